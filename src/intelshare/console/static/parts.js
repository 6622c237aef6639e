// Parts that all views are made of. Whatever comes from others is a text node or an attribute, never HTML.

import { h } from "./vendor/preact.js";
import { useState } from "./vendor/preact-hooks.js";
import htm from "./vendor/htm.js";
import { count, iso, sign, time, tone } from "./show.js";

export const html = htm.bind(h);

export const Badge = ({ word, children }) =>
  html`<span class=${`badge ${tone(word)}`}><span aria-hidden="true">${sign(word)}</span> ${children || word}</span>`;

export const Time = ({ at }) =>
  at === null || at === undefined ? html`<span class="muted">–</span>` : html`<time datetime=${iso(at)}>${time(at)}</time>`;

export const Card = ({ title, note, id, wide, children }) => html`
  <section class=${`card ${wide ? "wide" : ""}`} aria-labelledby=${id}>
    <header class="card-head"><h2 id=${id}>${title}</h2>${note && html`<p class="note">${note}</p>`}</header>
    ${children}
  </section>`;

// A table is the text twin of each picture. columns: [heading, cell of a row, class]; the first cell names its row.
export function Table({ caption, columns, rows, keyOf, empty, hidden }) {
  if (!rows.length) return html`<p class="empty">${empty || "Nothing here."}</p>`;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
      <table>
        <caption class=${hidden === false ? "" : "unseen"}>${caption}</caption>
        <thead><tr>${columns.map(([name, , kind]) => html`<th scope="col" class=${kind}>${name}</th>`)}</tr></thead>
        <tbody>
          ${rows.map((row, n) => html`
            <tr key=${keyOf ? keyOf(row) : n}>
              ${columns.map(([, cell, kind], place) =>
                place === 0
                  ? html`<th scope="row" class=${kind}>${cell(row, n)}</th>`
                  : html`<td class=${kind}>${cell(row, n)}</td>`)}
            </tr>`)}
        </tbody>
      </table>
    </div>`;
}

export const Twin = ({ label, children }) => html`<details class="twin"><summary>${label || "As a table"}</summary>${children}</details>`;

export function Failure({ error }) {
  if (!error) return null;
  const role = error.code === "NOT_AUTHORISED";
  return html`
    <div class=${`notice ${role ? "" : "bad"}`} role="status">
      <p><strong>${role ? "Your role does not show this." : error.code || "The console does not answer."}</strong>
        ${" "}${error.message || "It may have ended: look at the terminal in which it ran."}</p>
      ${role && html`<p>Start the console with a second profile beside yours: <code>intelshare console --as A --also B</code>.</p>`}
      ${!role && error.hint && html`<p>${error.hint}</p>`}
    </div>`;
}

export function View({ name, intro, found, children }) {
  const { document, error, waiting } = found || { document: true };
  return html`
    <div class="view" aria-busy=${waiting ? "true" : "false"}>
      <header class="view-head"><h1 tabindex="-1" id="title">${name}</h1><p class="intro">${intro}</p></header>
      <${Failure} error=${error} />
      ${document ? children : !error && html`<p class="empty">Asking the node.</p>`}
    </div>`;
}

export function Choice({ label, value, options, onChange }) {
  return html`<label class="choice"><span>${label}</span>
    <select value=${value} onChange=${(event) => onChange(event.currentTarget.value)}>
      ${options.map(([given, shown]) => html`<option value=${given} selected=${given === value}>${shown}</option>`)}
    </select></label>`;
}

export const PERIODS = [["", "all time"], ["1", "the last hour"], ["24", "the last day"], ["168", "the last week"], ["720", "the last 30 days"]];

// What a damaged record would say is left out, and nothing else.
export const Damaged = ({ records }) => records > 0 && html`<p class="note">${count(records, "damaged record")} left out: intelshare doctor --deep</p>`;

export const Banner = ({ text }) => (text ? html`<span class="banner">${text}</span>` : html`<span class="muted">no banner</span>`);

// A list that begins short: what is beyond is shown when asked for.
export function useMore(step) {
  const [limit, set] = useState(step);
  return [limit, (most) => set(Math.min(most, limit * 2))];
}
