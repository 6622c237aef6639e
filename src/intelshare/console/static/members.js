// Members: who is known and until when, this node's keys and their ages, certificates, budgets that were spent.

import { useDocument, useFeed } from "./connection.js";
import { Badge, Card, html, Table, Time, View } from "./parts.js";
import { short, span } from "./show.js";

const SOON = 2 * 86400000;

function Until({ at }) {
  if (!at) return html`<span class="muted">no end</span>`;
  const left = at - Date.now();
  return html`${left <= 0 ? html`<${Badge} word="wrong">has ended</${Badge}>` : left < SOON ? html`<${Badge} word="warning">in ${span(left)}</${Badge}>` : `in ${span(left)}`} <span class="muted"><${Time} at=${at} /></span>`;
}

function Age({ one }) {
  if (!one.from) return "–";
  const end = one.due || one.until;
  const age = Date.now() - one.from;
  if (!end) return span(age);
  const share = Math.min(1, Math.max(0, age / (end - one.from)));
  return html`${span(age)} <span class="muted">of ${span(end - one.from)}</span><span class=${`life ${share > 0.95 ? "soon" : ""}`} aria-hidden="true"><i style=${{ width: `${share * 100}%` }}></i></span>`;
}

export function Members() {
  const found = useDocument("members");
  useFeed();
  const { document } = found;
  return html`
    <${View} name="Members" intro="The members that this node knows, its keys and certificates, and the budgets that members have spent." found=${found}>
      ${document && html`<div class="stack">
        <${Card} title="Members" id="members">
          <${Table} caption="Members that this node knows" rows=${document.members} keyOf=${(one) => one.member}
            columns=${[
              ["Member", (one) => html`${one.member} <span class="muted">${one.own ? "this member" : one.organisation ? "organisation" : one.name}</span>`],
              ["Link", (one) => (one.own ? "–" : html`<${Badge} word=${one.exclusion || one.state || "waiting"} />`)],
              ["Directory ends", (one) => html`<${Until} at=${one.directory_expires} />`],
              ["Treaties", (one) => one.treaties.slice(0, 6).map((id) => html`<span class="chip">${id}</span>`)],
              ["Root", (one) => one.root_version, "num"],
              ["Clock", (one) => (one.own || one.state !== "linked" ? "–" : `${one.clock_offset_ms >= 0 ? "+" : "−"}${span(one.clock_offset_ms)}`), "num"],
              ["Fingerprint", (one) => html`<code>${one.fingerprint}</code>`],
            ]} />
        </${Card}>
        <${Card} title="Certificates" id="certificates"><dl class="facts">
          <div><dt>Node</dt><dd><${Until} at=${document.certificate_expires} /></dd></div><div><dt>Directory</dt><dd><${Until} at=${document.directory_expires} /></dd></div></dl></${Card}>
        <${Card} title="Keys of this node" id="keys" note="renewed by the node itself">
          ${document.keys === null ? html`<p class="empty">Keys are shown to operators and auditors.</p>` : html`<${Table} caption="Keys" rows=${document.keys} keyOf=${(one) => one.id + one.use}
            columns=${[
              ["Use", (one) => one.use], ["State", (one) => html`<${Badge} word=${one.state === "in use" ? "ok" : one.state === "compromised" ? "wrong" : "held"}>${one.state}</${Badge}>`],
              ["Age", (one) => html`<${Age} one=${one} />`], ["New one due", (one) => html`<${Time} at=${one.due} />`, "time"], ["Ends", (one) => html`<${Time} at=${one.until} />`, "time"],
              ["Suite", (one) => one.suite, "num"], ["Key", (one) => html`<code>${short(one.id)}</code>`],
            ]} />`}</${Card}>
        <${Card} title="Budgets that were spent" id="budgets" note="since the node’s start">
          <${Table} caption="Budgets" rows=${document.budgets} empty="No member has asked for more than it may."
            columns=${[["Member", (one) => one.member], ["Budget", (one) => one.name], ["Refused", (one) => one.refused, "num"], ["Takes something again", (one) => (one.again_ms ? `in ${span(one.again_ms)}` : "now")]]} /></${Card}>
        ${document.ports.length > 0 && html`<${Card} title="Ports" id="ports"><${Table} caption="Ports" rows=${document.ports}
          columns=${[["Port", (one) => one.name], ["Number", (one) => one.port, "num"], ["Connections", (one) => `${one.connections} of ${one.most}`, "num"]]} /></${Card}>`}
      </div>`}
    </${View}>`;
}
