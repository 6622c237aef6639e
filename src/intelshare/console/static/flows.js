// Flows: who gave what kind to whom under which article. Ribbons from giver through article to receiver, and time.

import { useState } from "./vendor/preact-hooks.js";
import { useDocument } from "./connection.js";
import { Card, Choice, Damaged, html, PERIODS, Table, Twin, View } from "./parts.js";
import { count, span, time } from "./show.js";

const WIDTH = 1000;
const BAR = 12;
const GAP = 26;
const ARTICLES = 14;

function column(rows, keyOf, height) {
  const sums = new Map();
  for (const row of rows) sums.set(keyOf(row), (sums.get(keyOf(row)) || 0) + row.portions);
  const keys = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a) || (a < b ? -1 : 1));
  const total = rows.reduce((sum, row) => sum + row.portions, 0) || 1;
  const scale = (height - GAP * Math.max(0, keys.length - 1)) / total;
  const nodes = new Map();
  let y = 0;
  for (const key of keys) { nodes.set(key, { key, y, height: sums.get(key) * scale, sum: sums.get(key), left: y, right: y }); y += sums.get(key) * scale + GAP; }
  return { nodes, scale };
}

const under = (row) => [row.treaty, row.article].filter(Boolean).join(" ") || "no treaty";

function Ribbons({ rows }) {
  const articles = [...new Set(rows.map(under))].slice(0, ARTICLES);
  const shown = rows.map((row) => ({ ...row, via: articles.includes(under(row)) ? under(row) : "others" }));
  const height = Math.max(220, 40 * Math.max(articles.length, new Set(rows.map((r) => r.from)).size, new Set(rows.map((r) => r.to)).size));
  const columns = [column(shown, (r) => r.from, height), column(shown, (r) => r.via, height), column(shown, (r) => r.to, height)];
  const xs = [130, WIDTH / 2 - BAR / 2, WIDTH - 130 - BAR];
  const ribbon = (a, b, x1, x2, n, scaleA, scaleB, title) => {
    const ha = n * scaleA; const hb = n * scaleB;
    const [ya, yb] = [a.right, b.left];
    a.right += ha; b.left += hb;
    const mid = (x1 + x2) / 2;
    return html`<path class="ribbon" d=${`M${x1} ${ya}C${mid} ${ya} ${mid} ${yb} ${x2} ${yb}V${yb + hb}C${mid} ${yb + hb} ${mid} ${ya + ha} ${x1} ${ya + ha}Z`}><title>${title}</title></path>`;
  };
  const [from, via, to] = columns;
  const drawn = shown.flatMap((row) => {
    const title = `${row.from} to ${row.to}: ${row.category}, ${row.level}, under ${under(row)}: ${count(row.portions, "portion")}`;
    return [
      ribbon(from.nodes.get(row.from), via.nodes.get(row.via), xs[0] + BAR, xs[1], row.portions, from.scale, via.scale, title),
      ribbon(via.nodes.get(row.via), to.nodes.get(row.to), xs[1] + BAR, xs[2], row.portions, via.scale, to.scale, title),
    ];
  });
  return html`<svg class="ribbons" viewBox=${`0 -42 ${WIDTH} ${height + 48}`} role="img" aria-label="Who gave how many portions to whom under which article; the table below says the same">
    <text class="head" x=${xs[0] + BAR} y="-24" text-anchor="end">from</text><text class="head" x=${WIDTH / 2} y="-24" text-anchor="middle">under</text><text class="head" x=${xs[2]} y="-24">to</text>
    ${drawn}
    ${columns.map(({ nodes }, n) => [...nodes.values()].map((one) => html`<rect x=${xs[n]} y=${one.y} width=${BAR} height=${Math.max(1, one.height)} rx="2" />
      ${n === 1
        ? html`<text x=${WIDTH / 2} y=${one.y - 6} text-anchor="middle">${one.key} <tspan class="n">${one.sum}</tspan></text>`
        : html`<text x=${n === 0 ? xs[0] - 9 : xs[2] + BAR + 9} y=${one.y + one.height / 2 + 4} text-anchor=${n === 0 ? "end" : "start"}>${one.key} <tspan class="n">${one.sum}</tspan></text>`}`))}
  </svg>`;
}

function Sparks({ bars }) {
  const most = Math.max(1, ...bars.ways.flatMap((way) => way.counts));
  return html`<div class="sparks">${bars.ways.map((way) => {
    const total = way.counts.reduce((sum, one) => sum + one, 0);
    const width = 100 / way.counts.length;
    return html`<div class="spark"><p><strong>${way.from} → ${way.to}</strong><span class="muted">${count(total, "release")}</span></p>
      <svg viewBox="0 0 100 46" preserveAspectRatio="none" role="img" aria-label=${`${way.from} to ${way.to}: ${count(total, "release")}`}>
        ${way.counts.map((one, n) => one > 0 && html`<rect x=${n * width} y=${45 - (44 * one) / most} width=${Math.max(0.6, width - 0.3)} height=${(44 * one) / most + 1} />`)}</svg></div>`;
  })}</div>
  <${Twin} label="Releases in time as a table"><${Table} caption="Releases by way and time" rows=${bars.ways.flatMap((way) => way.counts.map((n, place) => ({ ...way, n, at: bars.start + place * bars.width })).filter((one) => one.n))}
    columns=${[["From", (one) => one.from], ["To", (one) => one.to], ["Beginning", (one) => time(one.at)], ["Releases", (one) => one.n, "num"]]} /></${Twin}>`;
}

export function Flows() {
  const [hours, choose] = useState("");
  const found = useDocument("flows", { hours });
  const { document } = found;
  return html`
    <${View} name="Flows" intro="Portions by sender, article and recipient, from this node’s log: categories, levels and articles, without titles." found=${found}>
      <div class="controls"><${Choice} label="In" value=${hours} options=${PERIODS} onChange=${choose} /></div>
      ${document && html`<div class="stack">
        <${Card} title="From whom, under what, to whom" id="ribbons" note=${`portions${document.truncated ? "; of the first 10,000 releases" : ""}`}>
          ${document.shared.length ? html`<${Ribbons} rows=${document.shared} />` : html`<p class="empty">Nothing was shared.</p>`}
          <${Twin} label="Flows as a table"><${Table} caption="Portions shared" rows=${document.shared}
            columns=${[["From", (one) => one.from], ["To", (one) => one.to], ["Under", under], ["Category", (one) => one.category], ["Level", (one) => one.level], ["Bulletins", (one) => one.bulletins, "num"], ["Portions", (one) => one.portions, "num"]]} /></${Twin}>
          <${Damaged} records=${document.damaged} />
        </${Card}>
        <${Card} title="Over time" id="time" note=${document.bars.width ? `releases, each bar ${span(document.bars.width)}, from ${time(document.bars.start)}` : ""}>
          ${document.bars.ways.length ? html`<${Sparks} bars=${document.bars} />` : html`<p class="empty">No release.</p>`}</${Card}>
        <${Card} title="Stopped and refused" id="stopped" note=${`${count(document.missing, "release")} without a receipt, ${count(document.overdue, "obligation")} overdue`}>
          <${Table} caption="What did not go, or was not taken" rows=${document.stopped} empty="Nothing was stopped or refused."
            columns=${[["From", (one) => one.from], ["To", (one) => one.to], ["What", (one) => one.word], ["Reason", (one) => one.code || "–"], ["Bulletins", (one) => one.bulletins, "num"]]} /></${Card}>
      </div>`}
    </${View}>`;
}
