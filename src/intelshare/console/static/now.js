// Now: the map, what happened last, links, queues, what was withheld in the last hour, the checkpoint, what is wrong.

import { useFeed } from "./connection.js";
import { WorldMap } from "./map.js";
import { Badge, Card, html, Table, Time, View } from "./parts.js";
import { clock, count, iso, short, sign, tone } from "./show.js";

const SHOWN = 14;
const QUEUE_WORDS = ["FLASH", "IMMEDIATE", "PRIORITY", "ROUTINE"];

export function sentence(event) {
  const about = event.title ? `“${event.title}”` : event.bulletin ? short(event.bulletin) : "";
  const codes = event.codes.length ? ` (${event.codes.join(", ")})` : "";
  switch (event.what) {
    case "submitted": return `submitted ${about}`;
    case "sent": return `sent ${about} to ${event.member}`;
    case "accepted": case "read": case "refused": return `${event.member} ${event.what === "read" ? "has read" : event.what} ${about}${codes}`;
    case "withheld": case "partly withheld": return `${event.what} ${about} from ${event.member}${codes}`;
    case "received": return `received ${about} from ${event.member}`;
    case "destroyed": return `${event.member} has destroyed ${about}${codes}`;
    case "recalled": return event.member ? `recalled ${about} from ${event.member}` : `recalled ${about}`;
    case "treaty act": return `${event.member}: ${event.text}`;
    default: return [event.what, about, event.member && `(${event.member})`, event.text].filter(Boolean).join(" ") + codes;
  }
}

function Ticker({ events }) {
  const rows = [...events].reverse().slice(0, SHOWN);
  if (!rows.length) return html`<p class="empty">Nothing has happened since this console was started.</p>`;
  return html`<ol class="ticker">${rows.map((event) => html`
    <li key=${event.serial} class=${tone(event.what)}>
      <time datetime=${event.at ? iso(event.at) : ""}>${event.at ? clock(event.at) : ""}</time>
      <span class="sign" aria-hidden="true">${sign(event.what)}</span>
      ${event.bulletin && !["received", "destroyed"].includes(event.what)
        ? html`<a href=${`#/bulletins/${event.bulletin}`}>${sentence(event)}</a>`
        : html`<span>${sentence(event)}</span>`}
    </li>`)}</ol>`;
}

function Withheld({ rows }) {
  const most = Math.max(1, ...rows.map((one) => one.portions));
  return html`<${Table} caption="Portions withheld in the last hour" rows=${[...rows].sort((a, b) => b.portions - a.portions).slice(0, 8)}
    empty="Nothing was withheld in the last hour."
    columns=${[
      ["Member", (one) => one.recipient],
      ["Reason", (one) => html`<a href=${`#/withheld/${one.recipient}/${one.code}`}>${one.code}</a>`],
      ["Portions", (one) => html`<span class="bar"><meter min="0" max=${most} value=${one.portions} aria-hidden="true"></meter> ${one.portions}</span>`, "num"],
    ]} />`;
}

function Queues({ rows }) {
  if (!rows) return html`<p class="empty">Queues are shown to operators and auditors.</p>`;
  const members = [...new Set(rows.map((one) => one.member))].sort();
  const of = (member, word) => rows.find((one) => one.member === member && one.precedence === word);
  return html`<${Table} caption="Bulletins that wait, by member and precedence" rows=${members} empty="Nothing waits: every queue is empty."
    columns=${[
      ["Member", (member) => member],
      ...QUEUE_WORDS.map((word) => [word, (member) => {
        const one = of(member, word);
        return one ? html`<span>${one.queued}</span>${one.unacknowledged ? html` <span class="muted" title="sent, without an answer yet">+${one.unacknowledged} sent</span>` : ""}` : html`<span class="muted">0</span>`;
      }, "num"]),
    ]} />`;
}

function Head({ head }) {
  if (!head) return html`<p class="empty">The log is shown to operators and auditors.</p>`;
  return html`<dl class="facts">
    <div><dt>Entries</dt><dd>${head.entries.toLocaleString("en")}</dd></div>
    <div><dt>Signed</dt><dd>${head.size ? html`${head.size.toLocaleString("en")} at <${Time} at=${head.signed_at} />` : "nothing yet"}</dd></div>
    <div><dt>Root</dt><dd><code class="hash">${head.root ? `${head.root.slice(0, 24)}…` : "–"}</code></dd></div>
    <div><dt>Witnesses</dt><dd>${head.witnesses.length ? head.witnesses.map((one) => html`<span class="chip">${one.member} saw ${one.size.toLocaleString("en")}</span>`) : "nobody yet"}</dd></div>
  </dl>`;
}

export function Now() {
  const { state, events } = useFeed();
  if (!state) return html`<${View} name="Now" intro="" found=${{ document: null, error: null }} />`;
  if (state.down) return html`<${View} name="Now" intro="The node at this moment." found=${{ document: true, error: { ...state.down } }}>
    <p class="empty">The console asks again every second and goes on by itself.</p></${View}>`;
  // What to do about an alarm stands with it.
  const next = (one) => (state.findings.find((each) => each.check === `alarm ${short(one.evidence)}`) || { next: "" }).next;
  const wrong = state.findings.filter((one) => !one.check.startsWith("alarm "));
  const reader = state.who.some((one) => ["analyst", "releasing-officer"].includes(one.role));
  return html`
    <${View} name="Now" intro="The node at this moment.">
      <div class="now">
        <div class="card mapcard"><${WorldMap} state=${state} events=${events} />
          ${!reader && html`<p class="note">Releases move on the map for an analyst’s profile: <code>--also</code> adds one.</p>`}</div>
        <${Card} title="Latest events" id="happened" note="newest first"><${Ticker} events=${events} /></${Card}>
        <${Card} title="Links" id="links" note=${count(state.peers.length, "node")}>
          <${Table} caption="Links to other members" rows=${state.peers} keyOf=${(one) => one.node} empty="No other member is known."
            columns=${[
              ["Member", (one) => html`${one.member}${one.organisation && html` <span class="muted">organisation</span>`}`],
              ["State", (one) => html`<${Badge} word=${one.state} />${one.error && one.state !== "linked" ? html` <span class="muted">${one.error}</span>` : ""}`],
              ["Since", (one) => (one.since ? html`<${Time} at=${one.since} />` : "–"), "time"],
            ]} />
        </${Card}>
        <${Card} title="Withheld in the last hour" id="withheld"><${Withheld} rows=${state.withheld} /></${Card}>
        <${Card} title="Queues" id="queues" note="by precedence"><${Queues} rows=${state.queues} /></${Card}>
        <${Card} title="Last checkpoint" id="checkpoint"><${Head} head=${state.head} /></${Card}>
        <${Card} title="Alarms" id="alarms" wide note="from status, health and doctor">
          ${state.alarms.length > 0 && html`<ul class="alarms">${state.alarms.map((one) => html`
            <li class="notice bad"><strong><span aria-hidden="true">✕ </span>${one.code}</strong> ${one.member}: ${one.what} <span class="muted">since <${Time} at=${one.first_at} />, evidence ${short(one.evidence)}</span>. ${next(one)}</li>`)}</ul>`}
          <${Table} caption="Findings" rows=${wrong} empty=${state.alarms.length ? "Nothing else is wrong." : "Nothing is wrong."}
            columns=${[
              ["Check", (one) => one.check],
              ["State", (one) => html`<${Badge} word=${one.state} />`],
              ["Found", (one) => one.found],
              ["What to do", (one) => one.next],
            ]} />
        </${Card}>
      </div>
    </${View}>`;
}
