// Withheld: member by reason, as a table whose cells are buttons; then the cases, and of each the way to release it.

import { useState } from "./vendor/preact-hooks.js";
import { useDocument } from "./connection.js";
import { Decisions } from "./decisions.js";
import { Banner, Card, Choice, Damaged, html, PERIODS, Table, Time, useMore, View } from "./parts.js";
import { count, short } from "./show.js";

const STEPS = 5;

function sums(counts) {
  const cells = new Map();
  for (const one of counts) {
    const key = `${one.recipient} ${one.code}`;
    cells.set(key, (cells.get(key) || 0) + one.portions);
  }
  const total = (name) => (value) => counts.filter((one) => one[name] === value).reduce((sum, one) => sum + one.portions, 0);
  const order = (name) => [...new Set(counts.map((one) => one[name]))].sort((a, b) => total(name)(b) - total(name)(a) || (a < b ? -1 : 1));
  return { cells, members: order("recipient"), codes: order("code"), ofMember: total("recipient"), ofCode: total("code") };
}

function Heat({ document, chosen }) {
  const { cells, members, codes, ofMember, ofCode } = sums(document.counts);
  const most = Math.max(STEPS, ...cells.values());
  // By the root: one large number must not make all others alike.
  const step = (n) => Math.max(1, Math.ceil(Math.sqrt(n / most) * STEPS));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Withheld portions by member and reason"><table class="heat">
    <caption class="unseen">Withheld portions by member and reason. A cell opens its cases.</caption>
    <thead><tr><th scope="col">Member</th>${codes.map((code) => html`<th scope="col" title=${document.codes[code].means}>${code}<br /><span class="muted">rule ${document.codes[code].rule}</span></th>`)}<th scope="col">All</th></tr></thead>
    <tbody>${members.map((member) => html`<tr key=${member}><th scope="row">${member}</th>
      ${codes.map((code) => {
        const n = cells.get(`${member} ${code}`) || 0;
        const on = chosen[0] === member && chosen[1] === code;
        return n
          ? html`<td class=${`h${step(n)}`}><button aria-pressed=${on ? "true" : "false"} aria-label=${`${member}, ${code}: ${count(n, "portion")} withheld; show the cases`}
              onClick=${() => { location.hash = on ? "#/withheld" : `#/withheld/${member}/${code}`; }}>${n.toLocaleString("en")}</button></td>`
          : html`<td><span aria-hidden="true">·</span><span class="unseen">0</span></td>`;
      })}
      <td class="total">${ofMember(member).toLocaleString("en")}</td></tr>`)}
      <tr><th scope="row" class="muted">All</th>${codes.map((code) => html`<td class="total">${ofCode(code).toLocaleString("en")}</td>`)}<td class="total"></td></tr>
    </tbody></table></div>`;
}

function Case({ one }) {
  const { document, error } = useDocument("bulletin", { id: one.bulletin });
  if (error) return html`<p class="case">${error.message}</p>`;
  if (!document) return html`<p class="case muted">Asking the node.</p>`;
  const pair = document.pairs.find((each) => each.recipient === one.recipient);
  return html`<div class="case"><${Decisions} pair=${pair} marks=${document.marks} denied /></div>`;
}

function Cases({ document, member, code, more, limit }) {
  const [open, set] = useState("");
  const key = (one) => `${one.bulletin} ${one.recipient}`;
  if (!document.reader) return html`<p class="empty">Cases are shown to those who may read the bulletins: add an analyst’s profile with <code>--also</code>.</p>`;
  const shown = document.cases.find((one) => key(one) === open);
  return html`
    <p class="note" id="means"><strong>${code}</strong>: ${document.codes[code] ? document.codes[code].means : ""}</p>
    <${Table} caption=${`Bulletins of which something was withheld from ${member} by ${code}, newest first`} rows=${document.cases} keyOf=${key}
      empty="None that you may see."
      columns=${[
        ["Written", (one) => html`<${Time} at=${one.created_at} />`, "time"],
        ["Bulletin", (one) => html`<button class="link-button" aria-expanded=${open === key(one) ? "true" : "false"} onClick=${() => set(open === key(one) ? "" : key(one))}>${one.title || short(one.bulletin)}</button>`],
        ["Banner", (one) => html`<${Banner} text=${one.banner} />`],
        ["Released", (one) => `${one.granted} of ${one.portions}`, "num"],
        ["Whole bulletin", (one) => html`<a href=${`#/bulletins/${one.bulletin}`}>${short(one.bulletin)}</a>`],
      ]} />
    ${shown && html`<${Case} one=${shown} key=${open} />`}
    ${document.cases.length === limit && limit < document.most && html`<p class="buttons"><button onClick=${() => more(document.most)}>Show more</button></p>`}`;
}

export function Withheld({ rest }) {
  const [member = "", code = ""] = rest;
  const [hours, setHours] = useState("");
  const [limit, more] = useMore(25);
  const found = useDocument("withheld", { hours, recipient: member, code, limit: String(limit) });
  const { document } = found;
  return html`
    <${View} name="Withheld" intro="Every portion that a rule denied to a recipient. Choose a number to see its cases, the article, and the smallest change that would release it." found=${found}>
      <div class="controls"><${Choice} label="Bulletins of" value=${hours} options=${PERIODS} onChange=${setHours} /></div>
      ${document && html`<div class="stack">
        <${Card} title="Portions by member and reason" id="heat" note=${`${document.truncated ? "the newest " : ""}${count(document.looked, "bulletin")}${document.whose === "all" ? "" : ", of which you may see these"}`}>
          ${document.counts.length ? html`<${Heat} document=${document} chosen=${[member, code]} />` : html`<p class="empty">Nothing was withheld.</p>`}
          <${Damaged} records=${document.damaged} />
        </${Card}>
        ${member && code && html`<${Card} title=${`${member}: ${code}`} id="cases"><${Cases} key=${`${member} ${code}`} document=${document} member=${member} code=${code} more=${more} limit=${limit} /></${Card}>`}
        <${Card} title="By which law" id="law" note="file and line that deny">
          <${Table} caption="Portions by reason and place in the law" rows=${[...document.counts].sort((a, b) => b.portions - a.portions).slice(0, 40)} empty="Nothing was withheld."
            columns=${[
              ["Member", (one) => one.recipient], ["Reason", (one) => one.code],
              ["Place", (one) => (one.place ? html`<code>${one.place}</code>` : html`<span class="muted">the label itself</span>`)],
              ["Bulletins", (one) => one.bulletins.toLocaleString("en"), "num"], ["Portions", (one) => one.portions.toLocaleString("en"), "num"],
              ["Newest", (one) => html`<${Time} at=${one.newest_at} />`, "time"],
            ]} />
        </${Card}></div>`}
    </${View}>`;
}
