// The decision of one recipient, portion by portion: what it rests on, or why not and what would release it.

import { Badge, html } from "./parts.js";

const OUTCOMES = { allow: "released", deny: "withheld", hold: "held" };
const CHANGES = {
  label: "with the label", category: "in the category", recipient: "to", consent: "with consent", date: "at another time:", membership: "if",
};

export const basisOf = (one) => [one.basis, one.articles.join(", ")].filter(Boolean).join(" ");

export function Decisions({ pair, marks, denied }) {
  if (!pair) return html`<p class="muted">This recipient is not shown.</p>`;
  if (pair.why.flaw) return html`<p>The decision cannot be shown: ${pair.why.flaw}.</p>`;
  const portions = pair.why.portions.filter((one) => !denied || one.outcome === "deny");
  return portions.map((one) => {
    const mark = marks[one.position] || { mark: "", category: "" };
    return html`<div class="reason" key=${one.position}>
      <p><${Badge} word=${one.outcome}>${OUTCOMES[one.outcome] || one.outcome}</${Badge}> portion ${one.position + 1} <span class="banner">${mark.mark}</span> <span class="muted">${mark.category}</span></p>
      ${one.outcome !== "deny" && html`<p>rests on <strong>${basisOf(one)}</strong>${one.obligations.length ? `, under: ${one.obligations.join(", ")}` : ""}${one.holds.length ? `, held by ${one.holds.join(", ")}` : ""}</p>`}
      ${one.reasons.map((reason) => html`<p><strong>${reason.code}</strong>${reason.detail && `: ${reason.detail}`} ${reason.place && html`<code>${reason.place}</code>`}</p>`)}
      ${one.changes.length > 0 && html`<p class="muted">The smallest changes of which each alone would release it:</p>
        <ul class="changes">${one.changes.map((change) => html`<li>${CHANGES[change.change] || change.change} <strong>${change.to}</strong> <span class="muted">(${basisOf(change)})</span></li>`)}</ul>`}
      ${one.outcome === "deny" && !one.changes.length && html`<p class="muted">No single change would release it.</p>`}
    </div>`;
  });
}
