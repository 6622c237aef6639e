// RFC 9162, 2.1.3: the browser computes the root of the log from an entry and its path, with WebCrypto alone.
// docs/format.md, "Log": entry = H(PAE("log-entry", u8 type, u64 time, salt, record)), leaf = H(0x00 ‖ entry).

const text = (value) => new TextEncoder().encode(value);
const u64 = (value) => { const out = new Uint8Array(8); new DataView(out.buffer).setBigUint64(0, BigInt(value)); return out; };

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

export const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
export const hex = (data) => Array.from(data, (one) => one.toString(16).padStart(2, "0")).join("");

async function hash(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

function encoding(domain, ...parts) {
  const all = [text(domain), ...parts];
  return joined(text("intelshare/v1"), u64(all.length), ...all.flatMap((part) => [u64(part.length), part]));
}

// Each step: the hash that was computed so far, the sibling of the path, on which side it stands, the parent.
export async function recompute(entry, record) {
  const made = await hash(encoding("log-entry", Uint8Array.of(entry.type), u64(entry.time), bytes(entry.salt), record));
  let here = await hash(Uint8Array.of(0), made);
  const leaf = here;
  const steps = [];
  let place = BigInt(entry.index);
  let last = BigInt(entry.size) - 1n;
  let fitting = place <= last;
  for (const part of entry.proof) {
    if (last === 0n) { fitting = false; break; }
    const sibling = bytes(part);
    const right = place % 2n === 1n || place === last;
    const parent = right ? await hash(Uint8Array.of(1), sibling, here) : await hash(Uint8Array.of(1), here, sibling);
    steps.push({ here: hex(here), sibling: part, left: right, parent: hex(parent) });
    if (right) while (place % 2n === 0n && place !== 0n) { place /= 2n; last /= 2n; }
    place /= 2n;
    last /= 2n;
    here = parent;
  }
  return { entry: hex(made), leaf: hex(leaf), steps, root: hex(here), holds: fitting && last === 0n && hex(here) === entry.root };
}
