"""Make tests/vectors/suites.json anew: ``python tests/vectors/make_suites.py``.

Suite 2 alone and both suites in one net: keys, a batch, releases signed in one and sealed in the other,
documents, a hello, what a floor refuses. As with envelope.json the library draws signatures and
encapsulations itself, so that making the file again gives other bytes of the same worth.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_envelope import batch_vector, key_vectors, plain, receipt_leaf, release_vector

from envelope_world import FRA, NOW, USA, make_signer, stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Batch, KeyRecord, KeyUse, Trust, TrustType
from intelshare.crypto.suites import SUITE_1, SUITE_2
from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.statement import sign_batch
from intelshare.trust import (
    Channel,
    HelloPayload,
    answer_hello,
    check_answer,
    confirm_hello,
    fingerprint,
    open_hello,
    read_directory,
    read_root,
    sign_directory,
)
from intelshare.trust.documents import document_message
from intelshare.trust.hello import Proof, Role, hello_message
from trust_world import NOW as FOUNDED
from trust_world import TestMember, documents, member, view_of

PATH = Path(__file__).with_name("suites.json")
SEED = "suites"
P384_ORDER = 2**384 - int("389cb27e0bc8d220a7e5f24db74f58851313e695333ad68d", 16)


def judged_vector() -> dict[str, Any]:
    """One receipt, signed in suite 2: what each change to batch and floor leads to."""
    signers = [make_signer(SEED, FRA, suite=suite) for suite in (SUITE_1, SUITE_2)]
    signed = [sign_batch([receipt_leaf(1)], one, NOW, stream_of(f"{SEED}/tree")) for one in signers]
    (told,), (leaf,) = signed[1].statements, signed[1].leaves
    batch = decode(Batch, signed[1].batch)
    first, second = batch.signature[:96], batch.signature[96:]
    other_s = first[:48] + (P384_ORDER - int.from_bytes(first[48:])).to_bytes(48)
    holds = {"leaf_id": leaf.hex()}
    cases: list[tuple[str, Batch, dict[str, Any], dict[str, Any]]] = [
        ("as signed", batch, {}, holds),
        ("floor 2", batch, {"floor": 2}, holds),
        ("suite 1 above the floor", decode(Batch, signed[0].batch), {"floor": 1}, holds),
        ("suite 1 below the floor", decode(Batch, signed[0].batch), {"floor": 2}, _code("SUITE_BELOW_FLOOR")),
        ("a suite that does not exist", replace(batch, suite=3), {}, _code("SUITE_UNKNOWN")),
        ("a key of another suite", replace(batch, suite=1), {}, _code("SIGNATURE_INVALID")),
        ("ECDSA: the other s", _signed(batch, other_s + second), {}, _code("SIGNATURE_INVALID")),
        ("ECDSA: r and s 0", _signed(batch, bytes(96) + second), {}, _code("SIGNATURE_INVALID")),
        ("ML-DSA-87: one bit", _signed(batch, first + _flip(second)), {}, _code("SIGNATURE_INVALID")),
        ("no second half", _signed(batch, first), {}, _code("SIGNATURE_INVALID")),
        (
            "the signature of the other suite",
            _signed(batch, decode(Batch, signed[0].batch).signature),
            {},
            _code("SIGNATURE_INVALID"),
        ),
    ]
    return {
        "keys": [encode(KeyRecord, one.record).hex() for one in signers],
        "batch": signed[1].batch.hex(),
        "peer": FRA,
        "at": NOW,
        "judged": [
            {
                "id": name,
                "kind": told.kind.name,
                "nonce": told.nonce.hex(),
                "data": told.data.hex(),
                "proof": told.proof.hex(),
                "batch": encode(Batch, changed).hex(),
                **given,
                **expected,
            }
            for name, changed, given, expected in cases
        ],
    }


def _code(code: str) -> dict[str, str]:
    return {"error": code}


def _signed(batch: Batch, signature: bytes) -> Batch:
    return replace(batch, signature=signature)


def _flip(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


def document_vectors(who: TestMember) -> list[dict[str, Any]]:
    """Root and directory of a member of suite 2."""
    founded, made = who.founded, []
    keys = ((founded.root, founded.root_keys[0]), (founded.directory, who.key(KeyUse.DIRECTORY)))
    for trust, key in keys:
        root = trust.type is TrustType.ROOT
        document = (read_root if root else read_directory)(trust, {1: SUITE_1, 2: SUITE_2})
        made.append(
            {
                "trust": encode(Trust, trust).hex(),
                "by": [encode(KeyRecord, key.record).hex()],
                "document": plain(document),
                "bytes": trust.document.hex(),
                "messages": [document_message(trust.type, 2, key.key_id, trust.document).hex()],
                "signed_by": 1,
                "fingerprint": fingerprint(trust.document) if root else "",
            }
        )
    return made


def hello_vector(fra: TestMember, usa: TestMember) -> dict[str, Any]:
    """FRA, of suite 1, dials USA, of suite 2; and what each refuses once its floor is raised."""
    uris = {"dialler": fra.founded.node.uri, "acceptor": usa.founded.node.uri}
    channel = Channel(uris["dialler"], uris["acceptor"], bytes(32))
    opening, nonce_a = open_hello(stream_of(f"{SEED}/nonce A"))
    payload = HelloPayload(FOUNDED, (1, 2), (), Incarnation(9), (), ())
    answer, _ = answer_hello(
        opening, channel, usa.signer(KeyUse.SIGNING), payload, random=stream_of(f"{SEED}/nonce B")
    )
    _, pending = check_answer(answer, channel, nonce_a, FOUNDED, view=view_of(fra, usa))
    confirmation = confirm_hello(pending, fra.signer(KeyUse.SIGNING), payload)

    def told(raw: bytes, role: Role, who: TestMember, suite: int) -> dict[str, Any]:
        proof = decode(Proof, raw)
        return {
            "proof": raw.hex(),
            "at": FOUNDED,
            "member": who.code,
            "key": proof.key.hex(),
            "nonce": proof.nonce.hex(),
            "payload": plain(payload),
            "payload_bytes": proof.payload.hex(),
            "message": hello_message(role, pending, suite, proof.key, proof.payload).hex(),
        }

    strict = sign_directory(
        replace(usa.directory, version=2, issued=Instant(FOUNDED), floor=2), usa.signer(KeyUse.DIRECTORY)
    )
    held = [raw.hex() for raw in documents(fra, usa)]
    short = decode(Proof, answer)
    return {
        "held": held,
        "dialler": {"member": FRA, "node": uris["dialler"]},
        "acceptor": {"member": USA, "node": uris["acceptor"]},
        "leaf": channel.leaf.hex(),
        "opening": opening.hex(),
        "answer": told(answer, Role.ACCEPTOR, usa, 2),
        "confirmation": told(confirmation, Role.DIALLER, fra, 1),
        "refused": [
            {
                "id": "suite 1 below the acceptor's floor",
                "is": "confirmation",
                "proof": confirmation.hex(),
                "held": [*held[:3], encode(Trust, strict).hex()],
                "error": "SUITE_BELOW_FLOOR",
            },
            {
                "id": "one half only",
                "is": "answer",
                "proof": encode(Proof, replace(short, signature=short.signature[:96])).hex(),
                "error": "SIGNATURE_INVALID",
            },
        ],
    }


def main() -> None:
    fra, usa = member(FRA), member(USA, suite=SUITE_2)
    leaves = [receipt_leaf(number) for number in (1, 2)]
    vectors = {
        "seed": SEED,
        "keys": key_vectors(SUITE_2),
        "batch_of_2": batch_vector(leaves, SUITE_2),
        "release_1_to_2": release_vector(SUITE_1, SUITE_2),
        "release_2_to_1": release_vector(SUITE_2, SUITE_1),
        "release_2_to_2": release_vector(SUITE_2, SUITE_2),
        "judged": judged_vector(),
        "documents": document_vectors(usa),
        "hello": hello_vector(fra, usa),
    }
    PATH.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
