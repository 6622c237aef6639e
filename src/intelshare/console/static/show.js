// How times, lengths and states are written. A sign stands beside every colour, so that none is needed.

const two = (n) => String(n).padStart(2, "0");

export function time(ms) {
  if (ms === null || ms === undefined) return "–";
  const d = new Date(ms);
  return `${day(ms)} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}Z`;
}

export function clock(ms) {
  const d = new Date(ms);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

export function day(ms) {
  const d = new Date(ms);
  return `${String(d.getUTCFullYear()).padStart(4, "0")}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
}

export function iso(ms) {
  return new Date(ms).toISOString();
}

export function span(ms) {
  const s = Math.abs(ms) / 1000;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 90) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export const short = (id) => id.slice(0, 8);

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// What happened to a release: sign, tone. The tone chooses a colour, the sign and the word say it without one.
const WORDS = {
  accepted: ["✓", "good"], read: ["✓", "good"], sent: ["→", "info"], received: ["←", "info"],
  submitted: ["•", "info"], queued: ["…", "info"], withheld: ["✕", "bad"], "partly withheld": ["◐", "warn"],
  refused: ["✕", "bad"], held: ["⏸", "warn"], recalled: ["↶", "warn"], destroyed: ["∅", "warn"],
  expired: ["⌛", "warn"], undeliverable: ["✕", "bad"], "treaty act": ["§", "info"], linked: ["●", "good"],
  dialling: ["○", "warn"], waiting: ["○", "warn"], suspended: ["⏸", "warn"], removed: ["∅", "warn"],
  allow: ["✓", "good"], deny: ["✕", "bad"], hold: ["⏸", "warn"], ok: ["✓", "good"], warning: ["!", "warn"],
  wrong: ["✕", "bad"], SERVING: ["●", "good"], NOT_SERVING: ["✕", "bad"],
};
export const sign = (word) => (WORDS[word] || ["•", "info"])[0];
export const tone = (word) => (WORDS[word] || ["•", "info"])[1];
