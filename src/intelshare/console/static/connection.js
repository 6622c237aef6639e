// One stream of events from the console, and documents asked for by views. All views share what this module holds.

import { useEffect, useRef, useState } from "./vendor/preact-hooks.js";

const KEPT = 100;
const held = { live: "connecting", state: null, events: [], news: 0 };
const listeners = new Set();
let serial = 0;

function changed(what) {
  Object.assign(held, what);
  for (const listener of listeners) listener();
}

function add(found) {
  const events = found.map((event) => ({ ...event, serial: ++serial, came: performance.now() }));
  changed({ events: [...held.events, ...events].slice(-KEPT), news: held.news + events.length });
}

// A browser opens six connections to one place: a page that nobody sees gives its own back.
export function connect() {
  if (document.hidden) {
    document.addEventListener("visibilitychange", connect, { once: true });
    return;
  }
  const source = new EventSource("/events");
  const hide = () => {
    if (!document.hidden) return;
    document.removeEventListener("visibilitychange", hide);
    source.close();
    connect();
  };
  document.addEventListener("visibilitychange", hide);
  source.addEventListener("open", () => changed({ live: "open" }));
  source.addEventListener("state", (event) => changed({ state: JSON.parse(event.data), live: "open" }));
  source.addEventListener("happened", (event) => add([JSON.parse(event.data)]));
  // What a page is told when it comes (again) replaces what it knew: nothing is shown twice.
  source.addEventListener("past", (event) => {
    const past = JSON.parse(event.data).map((one) => ({ ...one, serial: ++serial, came: -Infinity }));
    changed({ events: past.slice(-KEPT), news: held.news + 1 });
  });
  source.addEventListener("missed", () => changed({ news: held.news + 1 }));
  source.addEventListener("error", () => {
    changed({ live: "lost" });
    // The browser tries again by itself, unless it was refused.
    if (source.readyState === EventSource.CLOSED) {
      document.removeEventListener("visibilitychange", hide);
      setTimeout(connect, 5000);
    }
  });
}

export function useFeed() {
  const [, again] = useState(0);
  useEffect(() => {
    let waiting = 0;
    // Many events in one frame are drawn once.
    const listener = () => {
      if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; again((n) => n + 1); });
    };
    listeners.add(listener);
    listener();
    return () => { listeners.delete(listener); cancelAnimationFrame(waiting); };
  }, []);
  return held;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const document = await answer.json();
  if (!answer.ok) throw document;
  return document;
}

export function fixed(path) {
  return ask(path);
}

const PAUSE = 2000;

// The document of a view, asked for again when something has happened, at most every two seconds; not if it is still.
// The old one stays until the next answer is here, and an answer to an older question is dropped.
export function useDocument(view, query = {}, { still = false } = {}) {
  const feed = useFeed();
  const path = `/data/${view}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""))}`;
  const [found, set] = useState({ path: "", document: null, error: null });
  const asked = useRef({ path: "", at: 0 });
  const current = useRef(path);
  current.current = path;
  const down = Boolean(feed.state && feed.state.down);
  useEffect(() => {
    const last = asked.current;
    const run = () => {
      last.path = path;
      last.at = performance.now();
      ask(path).then(
        (document) => current.current === path && set({ path, document, error: null }),
        (error) => current.current === path && set((was) => ({ path, document: was.path === path ? was.document : null, error })),
      );
    };
    const wait = last.path === path ? Math.max(0, last.at + PAUSE - performance.now()) : 0;
    const timer = setTimeout(run, wait);
    return () => clearTimeout(timer);
  }, [path, still ? 0 : feed.news, down]);
  return { document: found.document, error: found.error, waiting: found.path !== path };
}
