"""bundles.json, read a second time by the words of docs/format.md alone: nothing of ``src/`` but the table of
vectors' own; HPKE is opened as ``test_suite_vectors.py`` spells it out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from nacl import bindings
from test_suite_vectors import hpke_open

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("bundles.json").read_text())
CASE = VECTORS["courier bundle"]
REFUSED = {case["id"]: case for case in CASE["refused"]}

b = bytes.fromhex


def pae(domain: str, *parts: bytes) -> bytes:
    made = b"intelshare/v1" + (len(parts) + 1).to_bytes(8)
    for part in (domain.encode(), *parts):
        made += len(part).to_bytes(8) + part
    return made


def padme(n: int) -> int:
    e = n.bit_length() - 1
    mask = (1 << (e - e.bit_length())) - 1
    return max(4096, (n + mask) & ~mask)


def opened(data: bytes) -> tuple[bytes, bytes]:
    """Prefix, and all that is inside."""
    assert data[:20] == b"intelshare bundle 1\n"
    assert data[20:22] == b"\0\1"
    sealed_length = 1088 + 32 + 32 + 16
    sealed, header = data[22 : 22 + sealed_length], data[22 + sealed_length :][:24]
    record, secret = b(CASE["sealing"][0]["key"]), b(CASE["sealing"][0]["secret"])
    kem = hashlib.sha256(pae("key", record)).digest()
    info = pae("bundle", b"\0\1", CASE["own"].encode(), kem)
    key = hpke_open(1, secret, info, sealed)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    prefix, at, inside = data[: 22 + sealed_length + 24], 22 + sealed_length + 24, b""
    while at < len(data):
        part, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, data[at : at + 65_536])
        at += 65_536
        assert (tag == bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL) is (at >= len(data))
        inside += part
    return prefix, inside


def test_the_bundle_is_what_the_page_says() -> None:
    prefix, inside = opened(b(CASE["bundle"]))
    assert prefix.hex() == CASE["prefix"]
    messages, at = [], 0
    while length := int.from_bytes(inside[at : at + 4]):
        messages.append(inside[at + 4 : at + 4 + length])
        at += 4 + length
    assert [message.hex() for message in messages] == CASE["messages"]
    assert inside[at:] == bytes(padme(at + 4) - at)


def test_its_head_is_signed_over_the_prefix() -> None:
    prefix, head = b(CASE["prefix"]), b(CASE["messages"][0])

    def take(count: int) -> bytes:
        nonlocal head
        taken, head = head[:count], head[count:]
        return taken

    node = take(int.from_bytes(take(2))).decode()
    documents = [take(int.from_bytes(take(4))) for _ in range(int.from_bytes(take(2)))]
    key, signed_at = take(32), take(8)
    said = take(int.from_bytes(take(4)))
    signature = take(int.from_bytes(take(2)))
    assert head == b""
    assert (node, key.hex(), len(documents)) == (CASE["node"], CASE["key"], 2)
    message = pae("bundle-head", b"\0\1", key, hashlib.sha256(prefix).digest(), signed_at, said)
    assert message.hex() == CASE["message"]
    assert said[:5] == b"\0\x03USA"
    public = next(public for record in CASE["held"] if (public := public_in(b(record), key)))
    ed25519.Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], message)
    mldsa.MLDSA65PublicKey.from_public_bytes(public[32:]).verify(
        signature[64:], message, b"intelshare/v1/bundle"
    )


def public_in(document: bytes, key: bytes) -> bytes:
    """The public string of a signing key of suite 1 that a document lists, by its id; empty: it does not."""
    at = -1
    while (at := document.find(b"\x07\xc0", at + 1)) >= 0:
        public = document[at + 2 : at + 2 + 1984]
        # suite u16, member s, node s, use u8 before it; two times after it.
        for start in range(max(0, at - 120), at):
            record = document[start : at + 2 + 1984 + 16]
            if hashlib.sha256(pae("key", record)).digest() == key:
                return public
    return b""


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_is_another_file_or_for_another_reader(name: str) -> None:
    case = REFUSED[name]
    assert case["error"]
    assert {"bundle", "cut", "flip", "add", "own", "read_at"} & case.keys()
