"""The envelope vectors, read twice: by the code, and here by the words of docs/format.md alone.

The second reading shares nothing with ``src/``: hashlib, hmac, struct and the library's AES-GCM.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from make_envelope import SEED, attachment_vectors, plain, receipt_leaf
from nacl import bindings

from envelope_world import (
    FRA,
    NOW,
    USA,
    Delivery,
    Directories,
    World,
    make_key,
    make_world,
    stream_of,
)
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, key_id, pae
from intelshare.crypto.records import Batch, Claims, KeyRecord, KeyUse, Kind, Manifest, Release
from intelshare.crypto.suites import SUITE_1, SUITES
from intelshare.envelope import Payload
from intelshare.envelope.padding import padded_length
from intelshare.statement import VerifiedRoots, parse_statement, read_batch, verify
from intelshare.statement.tree import grow

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("envelope.json").read_text())
RELEASE: dict[str, Any] = VECTORS["release"]


def b(text: str) -> bytes:
    return bytes.fromhex(text)


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def spelled_pae(domain: str, *parts: bytes) -> bytes:
    made = b"intelshare/v1" + (len(parts) + 1).to_bytes(8, "big")
    for part in (domain.encode(), *parts):
        made += len(part).to_bytes(8, "big") + part
    return made


def expand(key: bytes, domain: str, *parts: bytes) -> bytes:
    return hmac.new(key, spelled_pae(domain, *parts) + b"\x01", "sha256").digest()


@pytest.mark.parametrize("case", VECTORS["pae"], ids=lambda case: f"{case['domain']}-{len(case['parts'])}")
def test_pae(case: dict[str, Any]) -> None:
    parts = [b(part) for part in case["parts"]]
    assert (
        pae(Domain(case["domain"].encode()), *parts) == spelled_pae(case["domain"], *parts) == b(case["pae"])
    )


def test_padding() -> None:
    for length, portion, grant in VECTORS["padding"]:
        assert (padded_length(length, 256), padded_length(length, 1024)) == (portion, grant)


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["record"]["use"])
def test_key_record_and_id(case: dict[str, Any]) -> None:
    record = decode(KeyRecord, b(case["bytes"]))
    assert plain(record) == case["record"]
    assert encode(KeyRecord, record) == b(case["bytes"])
    assert key_id(record) == h(spelled_pae("key", b(case["bytes"]))) == b(case["key_id"])
    assert SUITE_1.public_of(record.use, b(case["secret"])) == record.public
    assert make_key(SEED, FRA, record.use) == (record, b(case["key_id"]), b(case["secret"]))


@pytest.mark.parametrize("name", ["batch_of_1", "batch_of_3"])
def test_batch(name: str) -> None:
    case = VECTORS[name]
    record = decode(KeyRecord, b(case["signer"]))
    batch = read_batch(b(case["batch"]))
    trust = Directories({key_id(record): record})
    for told in case["statements"]:
        kind, nonce, data, proof = Kind[told["kind"]], b(told["nonce"]), b(told["data"]), b(told["proof"])
        running = h(b"\x00" + spelled_pae("leaf", bytes([kind]), nonce, data))
        assert running == b(told["leaf_id"])
        for level in range(8):
            sibling = proof[1 + 32 * level : 33 + 32 * level]
            right = proof[0] >> level & 1
            running = h(b"\x01" + (sibling + running if right else running + sibling))
        assert running == batch.record.root
        verified = verify(
            parse_statement(kind, nonce, data, proof),
            batch,
            FRA,
            NOW,
            trust=trust,
            suites=SUITES,
            roots=VerifiedRoots(),
        )
        assert verified.leaf == b(told["leaf_id"])
    leaves = [b(told["leaf_id"]) for told in case["statements"]]
    root, proofs = grow(leaves, stream_of(f"{SEED}/batch"))  # type: ignore[arg-type]
    assert root == batch.record.root
    assert list(proofs) == [b(told["proof"]) for told in case["statements"]]
    made = [receipt_leaf(n + 1) for n in range(len(leaves))]
    assert [leaf.data for leaf in made] == [b(told["data"]) for told in case["statements"]]


def test_batch_record_spelled_out() -> None:
    raw = b(VECTORS["batch_of_1"]["batch"])
    batch = decode(Batch, raw)
    assert raw == (
        b"\x00\x01"
        + batch.key
        + batch.root
        + NOW.to_bytes(8, "big")
        + (3373).to_bytes(2, "big")
        + batch.signature
    )


def test_manifest_commitments_and_bodies_by_the_words_of_the_format() -> None:
    manifest = decode(Manifest, b(RELEASE["manifest"]["bytes"]))
    assert plain(manifest) == RELEASE["manifest"]["record"]
    md = h(spelled_pae("manifest", b(RELEASE["manifest"]["bytes"])))
    assert md == b(RELEASE["manifest"]["md"])
    for case in RELEASE["portions"]:
        slot, secret, padded = case["slot"].to_bytes(4, "big"), b(case["secret"]), b(case["padded"])
        salt = expand(secret, "portion-salt", manifest.bulletin, slot)
        assert salt == b(case["salt"])
        committed = h(spelled_pae("portion", manifest.bulletin, slot, salt, padded))
        assert committed == b(case["commitment"]) == manifest.commitments[case["slot"]]
        key = expand(secret, "body-key", md, slot)
        assert key == b(case["body_key"])
        assert AESGCM(key).encrypt(bytes(12), padded, spelled_pae("body", md, slot)) == b(case["body"])


def test_grant_and_release_by_the_words_of_the_format() -> None:
    release = decode(Release, b(RELEASE["release"]["bytes"]))
    assert plain(release) == RELEASE["release"]["record"]
    claims, nonce = b(RELEASE["grant"]["claims_bytes"]), b(RELEASE["release"]["nonce"])
    assert plain(decode(Claims, claims)) == RELEASE["grant"]["claims"]
    origin, suite, incarnation = release.origin.encode(), b"\x00\x01", release.incarnation.to_bytes(8, "big")
    key = expand(
        b(RELEASE["batch_key"]["opened"]),
        "grant-key",
        suite,
        origin,
        incarnation,
        b"USA",
        release.sequence.to_bytes(8, "big"),
        nonce,
    )
    assert key == b(RELEASE["grant"]["key"])
    secrets = b"".join(b(case["secret"]) for case in RELEASE["portions"])
    framed = len(claims).to_bytes(4, "big") + claims + len(secrets).to_bytes(4, "big") + secrets
    framed += bytes(padded_length(len(framed), 1024) - len(framed))
    grant = b(RELEASE["grant"]["ciphertext"])
    assert AESGCM(key).encrypt(bytes(12), framed, b"") == grant
    assert release.grant_digest == h(spelled_pae("grant", claims, h(secrets)))
    bodies = [h(b(case["body"])) for case in RELEASE["portions"]]
    assert release.sealed == h(spelled_pae("sealed", b(RELEASE["batch_key"]["sealed"]), grant, *bodies))
    assert release.prev == h(spelled_pae("stream", origin, incarnation, b"USA"))
    signer_id = h(spelled_pae("key", b(RELEASE["signer"])))
    info = spelled_pae("batch-key", suite, signer_id, origin, b"USA", b(RELEASE["kem"]["key_id"]))
    assert info == b(RELEASE["batch_key"]["info"])


def test_release_verifies_and_opens() -> None:
    world: World = make_world(seed=SEED)
    told = RELEASE["release"]
    delivery = Delivery(
        b(told["batch"]),
        parse_statement(Kind.RELEASE, b(told["nonce"]), b(told["bytes"]), b(told["proof"])),
        Payload(
            b(RELEASE["batch_key"]["sealed"]),
            b(RELEASE["grant"]["ciphertext"]),
            tuple(b(case["body"]) for case in RELEASE["portions"]),
        ),
    )
    opened = world.receive(delivery, member=USA)
    assert [plain(p.portion) for p in opened.portions] == [case["record"] for case in RELEASE["portions"]]
    assert SUITE_1.public_of(KeyUse.SEALING, b(RELEASE["kem"]["secret"])) == world.kem.public


def test_attachments_are_made_again_to_the_byte() -> None:
    assert attachment_vectors() == VECTORS["attachments"]


@pytest.mark.parametrize("case", [case for case in VECTORS["attachments"] if "content" in case])
def test_attachment_opens_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    raw, (piece,) = b(case["attachment"]), map(b, case["given"])
    size, key, header, count, digest = struct.unpack(">Q32s24sH32s", raw)
    assert (size, count, digest) == (case["size"], 1, h(piece))
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
    content, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, piece)
    assert (content, tag) == (b(case["content"]), 3)


@pytest.mark.parametrize("case", [case for case in VECTORS["attachments"] if "key" in case])
def test_the_pieces_of_an_attachment_are_those_of_the_page(case: dict[str, Any]) -> None:
    raw, size = b(case["attachment"]), case["size"]
    content = bytes(n % 251 for n in range(size))
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, b(case["header"]), b(case["key"]))
    starts = range(0, max(size, 1), 2**20 - 17)
    digests = [
        h(
            bindings.crypto_secretstream_xchacha20poly1305_push(
                state, content[start : start + 2**20 - 17], tag=3 if start == starts[-1] else 0
            )
        )
        for start in starts
    ]
    head = struct.pack(">Q32s24sH", size, b(case["key"]), b(case["header"]), len(digests))
    assert raw == head + b"".join(digests)
    assert b(case["pieces_id"]) == h(spelled_pae("pieces", *digests))
