// The frame: which view is open (in the address, behind #), the head of the page, and what is said aloud.

import { render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/preact-hooks.js";
import { Audit } from "./audit.js";
import { Bulletins } from "./bulletins.js";
import { connect, useFeed } from "./connection.js";
import { Flows } from "./flows.js";
import { Members } from "./members.js";
import { Now, sentence } from "./now.js";
import { Badge, html } from "./parts.js";
import { Treaties } from "./treaties.js";
import { Withheld } from "./withheld.js";

const VIEWS = [
  ["now", "Now", Now], ["flows", "Flows", Flows], ["withheld", "Withheld", Withheld], ["treaties", "Treaties", Treaties],
  ["bulletins", "Bulletins", Bulletins], ["audit", "Audit", Audit], ["members", "Members", Members],
];

function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try { return decodeURIComponent(part); } catch { return ""; }
  });
  return VIEWS.some(([one]) => one === name) ? [name, rest] : ["now", []];
}

function useRoute() {
  const [now, set] = useState(route());
  useEffect(() => {
    const changed = () => set(route());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return now;
}

// Said to screen readers: the last event, and no more than one in three seconds.
function Aloud({ events }) {
  const [said, say] = useState("");
  const at = useRef(0);
  const last = events[events.length - 1];
  useEffect(() => {
    if (!last || last.came < 0) return undefined;
    const timer = setTimeout(() => { at.current = performance.now(); say(sentence(last)); }, Math.max(0, at.current + 3000 - performance.now()));
    return () => clearTimeout(timer);
  }, [last && last.serial]);
  return html`<p class="unseen" role="status" aria-live="polite">${said}</p>`;
}

function Head({ state, live }) {
  const up = state && !state.down;
  return html`<header class="top">
    <a class="brand" href="#/now"><span aria-hidden="true" class="logo"></span>intelshare <span class="muted">console</span></a>
    ${up && html`<p class="node"><strong>${state.member}</strong> <span class="muted">${state.node}</span></p>`}
    <p class="top-right">
      ${up && html`<span class="who">${state.who.map((one) => html`<span class="chip"><strong>${one.user.split("/").pop()}</strong> ${one.role}</span>`)}</span>`}
      ${live === "lost" ? html`<${Badge} word="wrong">console ended</${Badge}>`
        : !state ? html`<${Badge} word="waiting">connecting</${Badge}>`
        : state.down ? html`<${Badge} word="wrong">node does not answer</${Badge}>`
        : html`<${Badge} word=${state.health} />`}
    </p>
  </header>`;
}

function App() {
  const { state, live, events } = useFeed();
  const [name, rest] = useRoute();
  const [, title, Shown] = VIEWS.find(([one]) => one === name);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} – ${state && state.member ? `${state.member}, ` : ""}intelshare console`;
  }, [title, state && state.member]);
  useEffect(() => {
    // Who moves by keyboard begins at the head of the new view.
    if (!first.current) document.getElementById("title")?.focus();
    first.current = false;
  }, [name]);
  return html`
    <a class="skip" href="#title" onClick=${(event) => { event.preventDefault(); document.getElementById("title")?.focus(); }}>Go to the content</a>
    <${Head} state=${state} live=${live} />
    <div class="frame">
      <nav aria-label="Views"><ul>${VIEWS.map(([key, label]) => html`
        <li><a href=${`#/${key}`} aria-current=${key === name ? "page" : undefined}>${label}</a></li>`)}</ul>
        <p class="quiet">Read only. Nothing leaves this machine.</p></nav>
      <main>${live === "lost" && html`<div class="notice bad" role="alert"><p><strong>The console does not answer.</strong> What is shown is old. Look at the terminal in which it ran; a new one prints a new address.</p></div>`}
        <${Shown} rest=${rest} /></main>
    </div>
    <${Aloud} events=${events} />`;
}

connect();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
