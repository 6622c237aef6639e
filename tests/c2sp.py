"""A reader of transparency logs written from the texts at c2sp.org alone; shares no code with ``src/``.

signed-note, tlog-checkpoint, tlog-cosignature (Ed25519), tlog-tiles and tlog-proof, as far as a monitor or a
witness needs them. Raises ``RefusedError`` for whatever the texts refuse.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class RefusedError(Exception):
    """What a reader of the texts must not accept."""


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


def need(condition: bool, why: str) -> None:
    if not condition:
        raise RefusedError(why)


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RefusedError("base64") from None


class Vkey(NamedTuple):
    """signed-note, "Verifier keys"."""

    name: str
    key_id: bytes
    type: int
    public: bytes


def read_vkey(text: str) -> Vkey:
    name, key_id, material = text.split("+", 2)
    key = decoded(material)
    need(len(key) == 33, "an Ed25519 key has 32 bytes")
    found = Vkey(name, bytes.fromhex(key_id), key[0], key[1:])
    need(sha256(name.encode() + b"\n" + key).digest()[:4] == found.key_id, "the id is another key's")
    return found


def open_note(note: bytes, keys: list[Vkey]) -> tuple[str, dict[str, int | None]]:
    """Text and, of each key that has signed, the time that it states (None: a plain signature)."""
    text = note.decode("utf-8")
    need(all(ord(sign) >= 32 or sign == "\n" for sign in text), "control characters")
    at = text.rfind("\n\n")
    need(at >= 0, "no empty line")
    body, lines = text[: at + 1], text[at + 2 :]
    need(lines.endswith("\n"), "no newline at the end")
    signed: dict[str, int | None] = {}
    for line in lines[:-1].split("\n"):
        need(line.startswith("— "), "no em dash")
        name, _, data = line[2:].partition(" ")
        raw = decoded(data)
        need(name != "" and "+" not in name and len(raw) > 4, "no signature line")
        for key in keys:
            if (key.name, key.key_id) == (name, raw[:4]):
                signed[name] = _verify(key, body, raw[4:])
    need(bool(signed), "no known key has signed")
    return body, signed


def _verify(key: Vkey, body: str, signature: bytes) -> int | None:
    message, at = body.encode(), None
    if key.type == 4:
        need(len(signature) == 72, "a timestamped signature has 72 bytes")
        at, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        need(at < 2**63, "a time beyond 2^63")
        message = b"cosignature/v1\ntime " + str(at).encode() + b"\n" + message
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature:
        raise RefusedError("signature") from None
    return at


def checkpoint(body: str) -> Checkpoint:
    lines = body.split("\n")
    need(len(lines) >= 4 and lines[-1] == "" and all(lines[:-1]), "three lines that are not empty")
    size = lines[1]
    need(size.isascii() and size.isdigit() and (size == "0" or size[0] != "0"), "size")
    root = decoded(lines[2])
    need(len(root) == 32, "root")
    return Checkpoint(lines[0], int(size), root)


# --- RFC 6962 -----------------------------------------------------------------------------------------


def leaf(entry: bytes) -> bytes:
    return sha256(b"\0" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return node(mth(leaves[:split]), mth(leaves[split:]))


def included(leaf_hash: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    need(index < size, "index")
    fn, sn, running = index, size - 1, leaf_hash
    for part in proof:
        need(sn != 0, "a proof that is too long")
        if fn & 1 or fn == sn:
            running = node(part, running)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            running = node(running, part)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and running == root, "inclusion")


# --- tlog-tiles ---------------------------------------------------------------------------------------

Fetch = Callable[[str], bytes]


def tile_name(number: int) -> str:
    digits = f"{number:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join(["x" + part for part in parts[:-1]] + parts[-1:])


def names(size: int) -> list[str]:
    """Every file that a log of this size has, besides the checkpoint."""
    found = []
    for level in ["entries", *range(64)]:
        count = size >> (8 * level) if isinstance(level, int) else size
        for number in range(-(-count // 256)):
            width = min(256, count - 256 * number)
            end = "" if width == 256 else f".p/{width}"
            found.append(f"tile/{level}/{tile_name(number)}{end}")
    return found


def follow(fetch: Fetch, keys: list[Vkey]) -> tuple[Checkpoint, dict[str, int | None], list[bytes]]:
    """What a monitor does: the signed head, all entries, and that both and all tiles agree."""
    body, signed = open_note(fetch("checkpoint"), keys)
    head = checkpoint(body)
    entries: list[bytes] = []
    tiles: dict[str, bytes] = {name: fetch(name) for name in names(head.size)}
    for name, content in tiles.items():
        if name.startswith("tile/entries/"):
            at = 0
            while at < len(content):
                length = int.from_bytes(content[at : at + 2], "big")
                entries.append(content[at + 2 : at + 2 + length])
                need(len(entries[-1]) == length, "a bundle that is cut off")
                at += 2 + length
    need(len(entries) == head.size, "as many entries as the head says")
    hashes, level = [leaf(entry) for entry in entries], 0
    need(mth(hashes) == head.root, "the entries are not those of the head")
    while hashes:
        told = b"".join(content for name, content in tiles.items() if name.startswith(f"tile/{level}/"))
        need(told == b"".join(hashes), f"the tiles of level {level}")
        whole = len(hashes) // 256
        hashes = [mth(hashes[256 * at : 256 * at + 256]) for at in range(whole)]
        level += 1
    return head, signed, entries


def check_proof(text: str, keys: list[Vkey]) -> tuple[int, bytes, Checkpoint, Callable[[bytes], None]]:
    """tlog-proof: index, extra data, head, and a function that refuses a leaf hash that is not included."""
    front, _, note = text.partition("\n\n")
    lines = front.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "first line")
    extra = decoded(lines.pop(0)[6:]) if lines[0].startswith("extra ") else b""
    word, _, index = lines.pop(0).partition(" ")
    need(word == "index" and index.isdigit() and (index == "0" or index[0] != "0"), "index")
    head = checkpoint(open_note(note.encode(), keys)[0])
    proof = [decoded(line) for line in lines]
    return (
        int(index),
        extra,
        head,
        lambda leaf_hash: included(leaf_hash, int(index), head.size, proof, head.root),
    )
