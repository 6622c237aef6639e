// Bulletins: what this member has sent; of one its portions by recipient, its way in time, and every signed receipt.

import { useState } from "./vendor/preact-hooks.js";
import { useDocument } from "./connection.js";
import { basisOf, Decisions } from "./decisions.js";
import { Badge, Banner, Card, Damaged, Failure, html, Table, Time, Twin, useMore, View } from "./parts.js";
import { clock, count, short, sign, span, time, tone } from "./show.js";

const MARKS = { ACCEPTED: "accepted", READ: "read", REFUSED: "refused", DESTROYED: "destroyed" };

function List({ document, chosen }) {
  return html`<${Table} caption="Bulletins, newest first" rows=${document.entries} keyOf=${(one) => one.bulletin} empty="None that you may see."
    columns=${[
      ["Written", (one) => html`<${Time} at=${one.created_at} />`, "time"],
      ["Bulletin", (one) => html`<a href=${`#/bulletins/${one.bulletin}`} aria-current=${chosen === one.bulletin ? "true" : undefined}>${one.title || short(one.bulletin)}</a>${one.recalled_at ? html` <${Badge} word="recalled" />` : ""}`],
      ["Banner", (one) => html`<${Banner} text=${one.banner} />`],
      ["Precedence", (one) => one.precedence],
      ["Recipients", (one) => one.pairs.slice(0, 8).map((pair) => html`<span class="chip" title=${`${pair.recipient}: ${pair.word}, ${pair.granted} of ${pair.portions} portions`}><span aria-hidden="true">${sign(pair.word)}</span> ${pair.recipient} <span class="muted">${pair.word}${pair.granted && pair.granted < pair.portions ? ` ${pair.granted}/${pair.portions}` : ""}</span></span>`)],
    ]} />`;
}

// What each recipient gets of each portion: a grid of words with signs.
function Grid({ document }) {
  const cell = (pair, position) => {
    const one = pair.why.portions.find((each) => each.position === position);
    if (!one) return html`<span class="muted">–</span>`;
    const why = one.outcome === "deny" ? one.reasons.map((reason) => reason.code).join(", ") : basisOf(one);
    return html`<${Badge} word=${one.outcome}>${{ allow: "released", deny: "withheld", hold: "held" }[one.outcome]}</${Badge}> <span class="muted">${why}</span>`;
  };
  return html`<div class="grid-cells"><${Table} caption="What each recipient gets" rows=${document.marks}
    columns=${[
      ["Portion", (_, n) => n + 1], ["Mark", (one) => html`<span class="banner">${one.mark}</span>`], ["Category", (one) => one.category],
      ...document.pairs.map((pair) => [pair.recipient, (_, n) => cell(pair, n)]),
    ]} /></div>`;
}

function moments(document, pair) {
  const found = [{ at: document.created_at, word: "submitted" }];
  if (!pair.granted) found.push({ at: pair.why.decided_at || document.created_at, word: "withheld" });
  for (const one of pair.receipts) found.push({ at: one.received_at, word: MARKS[one.status] || one.status.toLowerCase() });
  return found;
}

// What happened at nearly the same time stands side by side.
function spread(points, place) {
  let before = -9;
  return points.map((one) => { before = Math.max(place(one.at), before + 2.4); return { ...one, left: before }; });
}

function Timeline({ document }) {
  const rows = document.pairs.map((pair) => ({ pair, moments: moments(document, pair) }));
  const all = rows.flatMap((row) => row.moments.map((one) => one.at));
  if (document.recalled_at) all.push(document.recalled_at);
  const first = Math.min(...all);
  const length = Math.max(...all) - first || 1;
  // By the root: the first second, in which most of it happens, is not a point.
  const place = (at) => 3 + 93 * Math.sqrt((at - first) / length);
  return html`
    <div class="lanes" role="img" aria-label="Delivery in time; the table below says the same">${rows.map(({ pair, moments: points }) => html`
      <div class="lane" key=${pair.recipient}><span class="lane-name">${pair.recipient}</span>
        <div class="track points">${spread(points, place).map((one) => html`<span class=${`point ${tone(one.word)}`} style=${{ left: `${one.left}%` }} title=${`${one.word} ${time(one.at)}`}>${sign(one.word)}</span>`)}</div></div>`)}
    </div>
    <p class="axis"><span>${time(first)}</span><span>${length > 1 ? `+${span(length)}` : ""}</span></p>
    <${Twin} label="Delivery as a table"><${Table} caption="Delivery" rows=${rows.flatMap(({ pair, moments: points }) => points.map((one) => ({ ...one, recipient: pair.recipient })))}
      columns=${[["Recipient", (one) => one.recipient], ["What", (one) => html`<${Badge} word=${one.word} />`], ["When", (one) => html`<${Time} at=${one.at} />`], ["After", (one) => span(one.at - first)]]} /></${Twin}>`;
}

function Receipts({ document }) {
  const rows = document.pairs.flatMap((pair) => pair.receipts.map((one) => ({ ...one, recipient: pair.recipient })));
  return html`<${Table} caption="Signed receipts" rows=${rows} keyOf=${(one) => one.digest} empty="No receipt yet."
    columns=${[
      ["Recipient", (one) => one.recipient],
      ["Says", (one) => html`<${Badge} word=${MARKS[one.status] || one.status}>${one.status}</${Badge}> ${one.codes.join(", ")}`],
      ["Decided there", (one) => html`<${Time} at=${one.decided_at} />`, "time"], ["Received", (one) => html`<${Time} at=${one.received_at} />`, "time"],
      ["Signature", (one) => (one.flaw ? html`<${Badge} word="wrong">${one.flaw}</${Badge}>` : html`<${Badge} word="ok">holds</${Badge}>`)],
      ["Digest", (one) => html`<code>${one.digest.slice(0, 16)}</code>`],
    ]} />`;
}

function One({ id }) {
  const { document, error } = useDocument("bulletin", { id });
  if (!document) return html`<${Failure} error=${error} />`;
  const denied = document.pairs.filter((pair) => pair.granted < pair.portions);
  return html`<div class="stack">
    <${Card} title=${document.title || `Bulletin ${short(document.bulletin)}`} id="one" note=${html`<code>${document.bulletin}</code>`}>
      <dl class="facts">
        <div><dt>Banner</dt><dd><${Banner} text=${document.banner} /></dd></div>
        <div><dt>Precedence</dt><dd>${document.precedence}</dd></div>
        <div><dt>Written</dt><dd><${Time} at=${document.created_at} /> by ${document.author.split("/").pop()}</dd></div>
        ${document.recalled_at && html`<div><dt>Recalled</dt><dd><${Time} at=${document.recalled_at} /></dd></div>`}
        ${document.purged_at && html`<div><dt>Content purged</dt><dd><${Time} at=${document.purged_at} /></dd></div>`}
        <div><dt>Text</dt><dd class="muted">is not opened here: reading is an act that the log keeps. <code>intelshare read ${short(document.bulletin)}</code></dd></div>
      </dl>
      <${Grid} document=${document} />
      ${document.recipients > document.pairs.length && html`<p class="note">${document.pairs.length} of ${document.recipients} recipients are shown.</p>`}
    </${Card}>
    <${Card} title="Delivery" id="delivery" note="by this node’s clock; what came early is drawn wide"><${Timeline} document=${document} /></${Card}>
    ${denied.length > 0 && html`<${Card} title="Withheld" id="denied" note="why, and the smallest change that would release it">
      ${denied.map((pair) => html`<h3 key=${pair.recipient}>${pair.recipient}</h3><div class="case"><${Decisions} pair=${pair} marks=${document.marks} denied /></div>`)}</${Card}>`}
    <${Card} title="Receipts" id="receipts" note=${html`decision in log entry ${document.pairs.map((pair) => pair.why.log_index !== null && html` <a href=${`#/audit/${pair.why.log_index}`}>${pair.why.log_index}</a>`)}`}><${Receipts} document=${document} />
      <${Damaged} records=${document.damaged} /></${Card}>
  </div>`;
}

export function Bulletins({ rest }) {
  const [id = ""] = rest;
  const [typed, type] = useState("");
  const [query, search] = useState("");
  const [limit, more] = useMore(25);
  const found = useDocument("bulletins", { query, limit: String(limit) });
  const { document } = found;
  return html`
    <${View} name="Bulletins" intro="Bulletins that your member has sent: the portions of each recipient, the article or the reason, and the signed receipts." found=${found}>
      ${id && html`<p class="controls"><a href="#/bulletins">← All bulletins</a></p><${One} id=${id} key=${id} />`}
      ${!id && html`<form class="controls" role="search" onSubmit=${(event) => { event.preventDefault(); search(typed.trim()); }}>
        <label class="choice"><span>Words in the bulletin</span><input type="search" maxlength="200" value=${typed} onInput=${(event) => type(event.currentTarget.value)} /></label>
        <button type="submit">Search</button></form>
        ${document && html`<${Card} title=${query ? `With “${query}”` : "Sent"} id="sent" note=${`${count(document.entries.length, "bulletin")} shown, newest first`}>
          <${List} document=${document} chosen=${id} />
          ${document.more && html`<p class="buttons">${limit < document.most ? html`<button onClick=${() => more(document.most)}>Show more</button>` : html`<span class="note">Older ones are found by their words.</span>`}</p>`}
          <${Damaged} records=${document.damaged} />
        </${Card}>`}`}
    </${View}>`;
}
