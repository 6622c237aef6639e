// Audit: one entry of the log. The browser computes the way from its bytes to the root that the node has signed.

import { useEffect, useMemo, useState } from "./vendor/preact-hooks.js";
import { useDocument } from "./connection.js";
import { bytes, hex, recompute } from "./merkle.js";
import { Card, html, Table, Time, Twin, View } from "./parts.js";

function Tree({ made, entry }) {
  // The honest path is what the picture is compared with: what differs from it is broken.
  const levels = [{ hash: made.leaf }, ...made.steps.map((step) => ({ hash: step.parent }))];
  const height = 66;
  const top = 26;
  const y = (level) => top + (levels.length - 1 - level) * height;
  const middle = 300;
  const xs = [middle];
  made.steps.forEach((step, n) => xs.push(xs[n] + (step.left ? -28 : 28)));
  const state = made.holds ? "on" : "broken";
  const mark = made.holds ? "✓" : "✕";
  // The picture is as wide as the path: it may go the same way many times.
  const sides = made.steps.map((step, n) => xs[n] + (step.left ? -170 : 170));
  const low = Math.min(...xs, ...sides, middle - 150) - 76;
  const high = Math.max(...xs.map((x) => x + 150), ...sides, middle + 150) + 76;
  const box = (x, level, value, kind, label) => html`<g class=${kind} transform=${`translate(${x} ${y(level)})`}><rect x="-66" y="-14" width="132" height="28" rx="6" /><text text-anchor="middle" dy="4">${kind ? `${mark} ` : ""}${value.slice(0, 12)}</text>${label && html`<text x="78" dy="4">${label}</text>`}</g>`;
  return html`<svg class="tree" viewBox=${`${low} 0 ${high - low} ${top * 2 + (levels.length - 1) * height}`} role="img" aria-label=${`Path of ${made.steps.length} hashes from the entry to the root; the table below says the same`}>
    ${made.steps.map((step, n) => {
      const side = sides[n];
      return html`<line class=${state} x1=${xs[n]} y1=${y(n) - 14} x2=${xs[n + 1]} y2=${y(n + 1) + 14} /><line x1=${side} y1=${y(n) - 14} x2=${xs[n + 1]} y2=${y(n + 1) + 14} />${box(side, n, step.sibling, "", "")}`;
    })}
    ${levels.map((level, n) => box(xs[n], n, level.hash, state, n === 0 ? `leaf of entry ${entry.index}` : n === levels.length - 1 ? "root" : ""))}
  </svg>`;
}

function Bytes({ record, changed }) {
  const pairs = hex(record).match(/../g) || [];
  const around = Math.max(0, Math.min(changed < 0 ? 0 : changed - 24, pairs.length - 160));
  const shown = pairs.slice(around, around + 160);
  return html`<p class="bytes">${around > 0 && "… "}${shown.map((pair, n) => (n + around === changed ? html`<mark>${pair}</mark> ` : `${pair} `))}${around + 160 < pairs.length && "…"}</p>`;
}

function Proof({ entry }) {
  const [changed, change] = useState(-1);
  const [made, set] = useState(null);
  const honest = useMemo(() => bytes(entry.record), [entry.record]);
  const record = useMemo(() => { const out = honest.slice(); if (changed >= 0) out[changed] ^= 1; return out; }, [honest, changed]);
  useEffect(() => {
    let ended = false;
    recompute(entry, record).then((found) => ended || set(found));
    return () => { ended = true; };
  }, [entry, record]);
  if (!made) return html`<p class="empty">The browser is computing.</p>`;
  return html`
    <div class=${`verdict ${made.holds ? "" : "broken"}`} role="status"><span class="big" aria-hidden="true">${made.holds ? "✓" : "✕"}</span>
      <div><p><strong>${made.holds ? "Your browser has computed the signed root." : "Your browser has computed another root."}</strong></p>
      <p>${made.holds
        ? html`Entry ${entry.index} is in the log of ${entry.size.toLocaleString("en")} entries that the node has signed, byte for byte.`
        : html`With byte ${changed + 1} changed, the entry is not in the log. Anybody who has the root would notice such an edit.`}</p></div></div>
    <div class="audit">
      <${Card} title=${`Entry ${entry.index}: ${entry.type_name}`} id="entry">
        <dl class="facts">
          <div><dt>Written</dt><dd><${Time} at=${entry.at} /></dd></div>
          <div><dt>Log</dt><dd><code>${entry.origin}</code></dd></div>
          <div><dt>Entry hash</dt><dd><code class="hash">${made.entry}</code></dd></div>
          <div><dt>Computed root</dt><dd><code class="hash">${made.root}</code></dd></div>
          <div><dt>Signed root</dt><dd><code class="hash">${entry.root}</code></dd></div>
        </dl>
        <h3 class="buttons">Record, ${record.length} bytes</h3>
        <${Bytes} record=${record} changed=${changed} />
        <p class="buttons"><button class="strong" disabled=${!record.length} onClick=${() => change((changed + 1) % record.length)}>${changed < 0 ? "Change one byte" : "Change the next byte"}</button>
          <button disabled=${changed < 0} onClick=${() => change(-1)}>As it was written</button></p>
        <p class="note">The byte is changed in this page alone.</p>
      </${Card}>
      <${Card} title="Path to the root" id="path" note="SHA-256 by your browser (RFC 9162)">
        <${Tree} made=${made} entry=${entry} />
        <${Twin} label="The path as a table"><${Table} caption="Each step hashes two neighbours into their parent" rows=${made.steps} empty="The entry is the whole log: its leaf is the root."
          columns=${[["Step", (_, n) => n + 1], ["Computed", (one) => html`<code>${one.here.slice(0, 16)}</code>`], ["Neighbour", (one) => html`<code>${one.sibling.slice(0, 16)}</code> <span class="muted">${one.left ? "left" : "right"}</span>`], ["Parent", (one) => html`<code>${one.parent.slice(0, 16)}</code>`]]} /></${Twin}>
        <${Twin} label="The signed note"><pre class="bytes">${entry.note}</pre></${Twin}>
      </${Card}>
    </div>`;
}

export function Audit({ rest }) {
  const asked = /^[0-9]{1,15}$/.test(rest[0] || "") ? rest[0] : "";
  const [typed, type] = useState("");
  const found = useDocument("audit", { index: asked }, { still: true });
  const { document } = found;
  const go = (index) => { location.hash = `#/audit/${index}`; };
  return html`
    <${View} name="Audit" intro="An entry of this node’s log, and its path to the root that the node has signed and other members keep. Your browser computes it and does not rely on the server." found=${found}>
      <form class="controls" onSubmit=${(event) => { event.preventDefault(); if (/^[0-9]{1,15}$/.test(typed)) go(typed); }}>
        <label class="choice"><span>Entry</span><input type="number" min="0" max=${document ? document.size - 1 : undefined} value=${typed} placeholder=${document ? String(document.index) : ""} onInput=${(event) => type(event.currentTarget.value)} /></label>
        <button type="submit">Show</button>
        <button type="button" disabled=${!document || document.index === 0} onClick=${() => go(document.index - 1)}>← Earlier</button>
        <button type="button" disabled=${!document || document.index + 1 >= document.size} onClick=${() => go(document.index + 1)}>Later →</button>
        <button type="button" disabled=${!asked} onClick=${() => { location.hash = "#/audit"; }}>Last</button>
      </form>
      ${document && html`<${Proof} entry=${document} key=${document.index} />`}
    </${View}>`;
}
