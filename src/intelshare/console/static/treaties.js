// Treaties: each party's life as a lane, and who may send how much to whom on the day that is chosen.

import { useEffect, useState } from "./vendor/preact-hooks.js";
import { useDocument } from "./connection.js";
import { Badge, Card, Choice, html, Table, Twin, View } from "./parts.js";
import { day } from "./show.js";

const DAY = 86400000;
const WORDS = {
  IN_FORCE: ["#", "in force"], RESERVATION: ["r", "with a reservation"], NOT_YET_IN_FORCE: ["-", "not yet in force"],
  NOT_RATIFIED: [".", "not ratified"], SUSPENDED: ["~", "suspended"], WITHDRAWN: ["x", "withdrawn"], TERMINATED: ["x", "ended"],
};
const said = (state) => (WORDS[state] ? WORDS[state][1] : state);
const FIRST = 12; // Lanes that are drawn before somebody asks for all.
const date = (ms, first, last) => (ms < first ? "from the beginning" : ms > last ? "open" : day(ms));

function Lane({ lane, first, last, asOf }) {
  const at = (ms) => Math.min(100, Math.max(0, ((ms - first) / (last - first)) * 100));
  return html`<div class="lane"><span class="lane-name">${lane.member}${lane.known ? "" : html` <span class="muted" title="has no node that this one knows">·</span>`}</span>
    <div class="track">${lane.spans.filter((one) => one.until > first && one.start < last).map((one) => html`
      <span class=${`piece s-${one.state}`} style=${{ left: `${at(one.start)}%`, width: `${at(one.until) - at(one.start)}%` }} title=${`${said(one.state)}, ${date(one.start, first, last)} to ${date(one.until, first, last)}`}>${at(one.until) - at(one.start) > 9 ? said(one.state) : ""}</span>`)}
      <span class="asof" style=${{ left: `${at(asOf)}%` }}></span></div></div>`;
}

function Lanes({ treaty, asOf }) {
  const { first, last, lanes } = treaty;
  const [all, show] = useState(false);
  return html`
    <div class="lanes" role="img" aria-label=${`Lives of the parties of ${treaty.title}; the table below says the same`}>${lanes.slice(0, all ? lanes.length : FIRST).map((lane) => html`<${Lane} key=${lane.member} lane=${lane} first=${first} last=${last} asOf=${asOf} />`)}</div>
    <p class="axis"><span>${day(first)}</span><span>${day(last)}</span></p>
    ${lanes.length > FIRST && html`<p class="buttons"><button aria-expanded=${all ? "true" : "false"} onClick=${() => show(!all)}>${all ? "Draw fewer parties" : `Draw all ${lanes.length} parties`}</button></p>`}
    ${treaty.parties > lanes.length && html`<p class="note">${lanes.length} of ${treaty.parties} parties are drawn, those with a node first: <code>intelshare treaty timeline</code> draws all.</p>`}
    <${Twin} label="Parties as a table"><${Table} caption=${`Parties of ${treaty.title}`} rows=${lanes.flatMap((lane) => lane.spans.filter((one) => one.until > first && one.start < last).map((one) => ({ ...one, member: lane.member })))}
      columns=${[["Member", (one) => one.member], ["State", (one) => said(one.state)], ["From", (one) => date(one.start, first, last)], ["Until", (one) => date(one.until, first, last)]]} /></${Twin}>`;
}

function Matrix({ document }) {
  const of = (from, to) => document.cells.find((one) => one.from === from && one.to === to);
  return html`<div class="matrix"><${Table} caption=${`The highest level that may go, ${document.category}, as of ${day(document.as_of)}; rows send, columns receive`} hidden=${false} rows=${document.members} empty="No member with a node is a party of any treaty."
    columns=${[["from \\ to", (from) => from], ...document.members.map((to) => [to, (from) => {
      if (from === to) return html`<span class="muted" aria-label="itself">\\</span>`;
      const one = of(from, to);
      return one && one.level ? html`<span class="level">${one.level}</span><span class="ref">${one.reference}</span>` : html`<span class="muted">✕ nothing</span>`;
    }])]} /></div>`;
}

function AsOf({ document, value, set }) {
  const first = Math.min(...document.treaties.map((one) => one.first), document.now);
  const last = Math.max(...document.treaties.map((one) => one.last), document.now);
  const [moving, move] = useState(null);
  useEffect(() => {
    // The server decides anew when the hand rests.
    if (moving === null) return undefined;
    const timer = setTimeout(() => set(day(moving)), 120);
    return () => clearTimeout(timer);
  }, [moving]);
  const at = moving === null ? document.as_of : moving;
  return html`<div class="asof-bar">
    <label class="choice"><span>As of</span><input type="date" value=${day(at)} onChange=${(event) => { if (event.currentTarget.value) { move(null); set(event.currentTarget.value); } }} /></label>
    <label class="choice"><span>${day(first)} to ${day(last)}</span><input type="range" min=${first} max=${last} step=${DAY} value=${at} aria-valuetext=${day(at)} onInput=${(event) => move(Number(event.currentTarget.value))} /></label>
    <button type="button" disabled=${!value} onClick=${() => { move(null); set(""); }}>Now</button></div>`;
}

export function Treaties() {
  const [asOf, set] = useState("");
  const [category, choose] = useState("");
  const found = useDocument("treaties", { as_of: asOf, category });
  const { document } = found;
  return html`
    <${View} name="Treaties" intro="The parties of each treaty over time, and the highest level that may pass between members on the day that you choose." found=${found}>
      ${document && html`<div class="stack">
        <${Card} title="Who may send what to whom" id="matrix" note="without national overlays, which may forbid more">
          <div class="controls"><${Choice} label="Category" value=${document.category} options=${document.categories.map((one) => [one, one])} onChange=${choose} /></div>
          ${document.treaties.length > 0 && html`<${AsOf} document=${document} value=${asOf} set=${set} />`}
          <${Matrix} document=${document} />
        </${Card}>
        ${document.treaties.map((treaty) => html`<${Card} key=${treaty.id} title=${treaty.title || treaty.id} id=${`t-${treaty.id}`} note=${html`<code>${treaty.id}</code> · ${treaty.parties} parties`}>
          <p class="note">${treaty.articles.slice(0, 6).map((one) => html`<span class="chip"><strong>${one.article}</strong> ${one.categories.join(", ")} up to ${one.ceiling}${one.obligations.length ? `, ${one.obligations.join(", ")}` : ""}</span>`)}</p>
          <${Lanes} treaty=${treaty} asOf=${document.as_of} /></${Card}>`)}
        ${document.unread.length > 0 && html`<p class="notice"><${Badge} word="warning">other text</${Badge}> The node goes by another text than lies in its folder: ${document.unread.join(", ")}.</p>`}
      </div>`}
    </${View}>`;
}
