"""Make tests/vectors/statements.json: ``python tests/vectors/make_statements.py``.

Everything comes from one seed but ML-DSA signatures, which the library randomises: those that the file has
are kept where they still hold, so that making it again changes nothing unless the format changed. That is
what ``test_statement_vectors.py`` checks; a change of the file is a new version of the format.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_envelope import plain
from make_log import decision_vectors, exhibit_vectors, log_vectors, path_vectors, rest_vectors
from make_said import everything
from make_trust import (
    document_vectors,
    forgetting_succession_vector,
    hello_vector,
    later_succession_vector,
    succession_vector,
)
from make_verdicts import verdict_vectors
from statement_world import FRA, INCARNATION, NOW, SEED, USA, h, make_world

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, pae
from intelshare.crypto.records import (
    Act,
    Batch,
    Checkpoint,
    Citation,
    Claims,
    Consent,
    Evidence,
    Granted,
    KeyRecord,
    KeyUse,
    Kind,
    Manifest,
    Portion,
    PortionKind,
    Precedence,
    Receipt,
    ReceiptStatus,
    Release,
    Reply,
    Reservation,
    StreamHead,
    TreatyAct,
)
from intelshare.crypto.suites import Signer
from intelshare.envelope import stream_start
from intelshare.ids import Digest, Incarnation, KeyId, LeafId, MemberCode, NodeUri, ReleaseNumber
from intelshare.instant import LATEST, NEVER, Instant
from intelshare.statement import KINDS, Leaf, SignedBatch, batch_message, sign_batch

PATH = Path(__file__).with_name("statements.json")
# --- the parts of the file -------------------------------------------------------------------------


def record_vectors(said: Sequence[Leaf]) -> list[dict[str, Any]]:
    """Records that are no statements, and bytes that no record has."""
    consent = next(one for one in said if one.kind is Kind.CONSENT)
    claims = Claims(
        h("a manifest"),
        USA,
        (
            Granted(3, (Citation("gsa-fra-usa", h("text"), "3.1"),), ("retention-30d", "no onward")),
            Granted(0, (), ()),
        ),
        "TRÈS SECRET//REL TO USA, FRA",
        (h("md of FRA"),),
        (Reply(USA, h("md of USA")),),
        h("decision"),
        (Evidence(consent.kind, consent.nonce, consent.data, h("proof")[:1] + 8 * h("proof"), b"batch"),),
    )
    manifest = Manifest(
        1, h("bulletin")[:16], FRA, NOW, Precedence.FLASH, NEVER, tuple(h(f"slot {n}") for n in range(64))
    )
    file = Portion(PortionKind.FILE, "(S//NF)", "nuclear", (), "", "application/pdf", b"%PDF")
    good = [
        {
            "layout": type(record).__name__,
            "record": plain(record),
            "bytes": encode(type(record), record).hex(),
        }
        for record in (claims, manifest, replace(manifest, created=LATEST, expires=LATEST), file)
    ]
    receipt = encode(Receipt, Receipt(USA, h("leaf"), ReceiptStatus.READ, ("A",), NOW))
    head = encode(StreamHead, StreamHead(USA, INCARNATION, Incarnation(0), 0, h("head"), ()))
    act = TreatyAct(FRA, 1, bytes(32), "t", h("text"), Act.RATIFY, NOW, ())
    reservation = Reservation((), "", (), Instant(0), NEVER)
    packed = encode(Manifest, manifest)
    bad = [
        ("Receipt", "one byte is missing", receipt[:-1]),
        ("Receipt", "a byte after the end", receipt + b"\0"),
        ("Receipt", "status 0", receipt[:37] + b"\x00" + receipt[38:]),
        ("Receipt", "status 5", receipt[:37] + b"\x05" + receipt[38:]),
        ("Receipt", "33 codes", receipt[:38] + (33).to_bytes(2, "big") + 33 * b"\0\0" + receipt[-8:]),
        ("Receipt", "a list longer than the bytes", receipt[:38] + b"\x00\x20" + receipt[40:]),
        ("Recall", "no UTF-8", b"\0\2\xc3\x28" + h("md") + b"\0\0"),
        ("Recall", "an overlong form", b"\0\2\xc1\x81" + h("md") + b"\0\0"),
        ("Recall", "a surrogate", b"\0\3\xed\xa0\x80" + h("md") + b"\0\0"),
        ("Recall", "a text longer than the bytes", b"\0\3USA" + h("md") + b"\xff\xff"),
        ("StreamHead", "half a range", head[:-2] + b"\0\1" + bytes(8)),
        ("Manifest", "version 2", b"\0\2" + packed[2:]),
        ("Manifest", "17 commitments", packed[: -64 * 32 - 2] + b"\0\x11" + bytes(17 * 32)),
        ("Claims", "nothing granted", encode(Claims, claims).replace(_granted(claims), b"\0\0")),
        ("Consent", "empty", b""),
        ("TreatyAct", "number 0", encode(TreatyAct, replace(act, n=0))),
        ("TreatyAct", "the first names one before it", encode(TreatyAct, replace(act, previous=h("act")))),
        ("TreatyAct", "the second names none", encode(TreatyAct, replace(act, n=2))),
        (
            "TreatyAct",
            "ratified with a reservation",
            encode(TreatyAct, replace(act, reservation=(reservation,))),
        ),
        *[
            (
                "TreatyAct",
                f"{word} with a reservation",
                encode(TreatyAct, replace(act, act=kind, reservation=(reservation,))),
            )
            for word, kind in (
                ("suspended", Act.SUSPEND),
                ("notice given", Act.GIVE_NOTICE),
                ("withdrawn", Act.WITHDRAW),
            )
        ],
        ("Release", "more than 1000 bytes", _long_release()),
        ("TreatyAct", "reserved without one", encode(TreatyAct, replace(act, act=Act.RESERVE))),
        (
            "TreatyAct",
            "two reservations",
            encode(TreatyAct, act)[:-2] + b"\0\2" + 2 * encode(Reservation, reservation),
        ),
        ("Trust", "type 3", b"\x03" + bytes(6)),
        ("Checkpoint", "cut off in a root", encode(Checkpoint, Checkpoint("x", 1, 1, h("r"), ()))[:-10]),
        ("HelloPayload", "no suite", bytes(8) + b"\0\0" + b"\0\0" + bytes(8) + b"\0\0" + b"\0\0"),
        ("LogPath", "66 hashes", _ask() + b"\0\0" + b"\0\x42" + 66 * bytes(32) + b"\0\0"),
        ("Receipt", "a code of 65 bytes", receipt[:38] + b"\0\1" + b"\0\x41" + 65 * b"A" + receipt[-8:]),
        *out_of_range(manifest),
    ]
    return [
        *good,
        *(
            {"layout": layout, "note": note, "bytes": raw.hex(), "error": "ENVELOPE_MALFORMED"}
            for layout, note, raw in bad
        ),
    ]


def out_of_range(manifest: Manifest) -> list[tuple[str, str, bytes]]:
    """Each with one number that its type does not allow, written over one that it does."""
    mark = 7_777_777_777_777_777
    year_10000, counter = LATEST + 1, 1 << 63
    release = Release(
        NodeUri("x"), INCARNATION, USA, ReleaseNumber(1), LeafId(bytes(32)), Precedence.FLASH, NOW,
        KeyId(bytes(32)), h("grant"), h("sealed"),
    )  # fmt: skip
    act = TreatyAct(FRA, 1, LeafId(bytes(32)), "t", h("text"), Act.SUSPEND, NOW, ())
    cases: list[tuple[Any, str, int, str]] = [
        (
            Receipt(USA, LeafId(h("leaf")), ReceiptStatus.READ, (), NOW),
            "decided_at",
            year_10000,
            "year 10000",
        ),
        (Receipt(USA, LeafId(h("leaf")), ReceiptStatus.READ, (), NOW), "decided_at", NEVER, "never"),
        (manifest, "created", NEVER, "never"),
        (manifest, "expires", year_10000, "year 10000"),
        (manifest, "expires", NEVER - 1, "just before never"),
        (release, "deliver_by", year_10000, "year 10000"),
        (release, "sequence", counter, "2^63"),
        (
            StreamHead(USA, INCARNATION, Incarnation(0), ReleaseNumber(1), h("head"), ()),
            "last",
            counter,
            "2^63",
        ),
        (Consent(USA, h("md"), (1,), FRA, NEVER), "until", year_10000, "year 10000"),
        (act, "effective", NEVER, "never"),
        (act, "n", counter, "2^63"),
        (Checkpoint(NodeUri("x"), INCARNATION, 1, h("root"), ()), "size", counter, "2^63"),
    ]
    return [
        (
            type(record).__name__,
            f"{field} is {word}",
            encode(type(record), replace(record, **{field: mark})).replace(
                mark.to_bytes(8, "big"), number.to_bytes(8, "big")
            ),
        )
        for record, field, number, word in cases
    ]


def _granted(claims: Claims) -> bytes:
    count = len(claims.granted).to_bytes(2, "big")
    return count + b"".join(encode(Granted, granted) for granted in claims.granted)


def _ask() -> bytes:
    return b"\0\1x" + bytes(32)


def signed_vector(signer: Signer, signed: SignedBatch) -> dict[str, Any]:
    batch = decode(Batch, signed.batch)
    return {
        "signer": encode(KeyRecord, signer.record).hex(),
        "batch": signed.batch.hex(),
        "message": batch_message(batch.suite, batch.key, batch.root, batch.signed_at).hex(),
        "statements": [
            {
                "kind": told.kind.name,
                "record": plain(decode(KINDS[told.kind].record, told.data)),
                "nonce": told.nonce.hex(),
                "data": told.data.hex(),
                "leaf_pae": pae(Domain.LEAF, bytes([told.kind]), told.nonce, told.data).hex(),
                "leaf_id": known.hex(),
                "proof": told.proof.hex(),
            }
            for told, known in zip(signed.statements, signed.leaves, strict=True)
        ],
    }


def _long_release() -> bytes:
    """One that names a recipient of 900 letters."""
    zero = bytes(32)
    release = Release(
        NodeUri("n"), INCARNATION, MemberCode("X" * 900), ReleaseNumber(1), LeafId(zero), Precedence.FLASH,
        NEVER, KeyId(zero), Digest(zero), Digest(zero),
    )  # fmt: skip
    return encode(Release, release)


def make(old: Any) -> dict[str, Any]:
    """The file; signatures of ``old`` are kept where they hold."""
    world = make_world(old)
    origin = world.fra.founded.node.uri
    entries, log = log_vectors(INCARNATION, NOW)
    signer = world.of(world.fra, KeyUse.SIGNING)
    said = everything(world, log)
    signed = sign_batch(said, signer, NOW, stream_of(f"{SEED}/tree"))
    start = stream_start(origin, INCARNATION, USA)
    return {
        "seed": SEED,
        "records": record_vectors(said),
        "stream": {
            "origin": origin,
            "incarnation": str(INCARNATION),
            "recipient": USA,
            "stream_start": start.hex(),
        },
        "all_kinds": signed_vector(signer, signed),
        "verdicts": verdict_vectors(world, signed),
        "documents": document_vectors(world),
        "succession": succession_vector(world),
        "later_succession": later_succession_vector(world),
        "forgetting_succession": forgetting_succession_vector(world),
        "hello": hello_vector(world),
        "log_entries": entries,
        "log": log,
        "paths": path_vectors(INCARNATION, NOW, origin),
        "exhibits": exhibit_vectors(INCARNATION, NOW, origin),
        "rest": rest_vectors(),
        "decisions": decision_vectors(NOW),
    }


def main() -> None:
    old = json.loads(PATH.read_text("utf-8")) if PATH.exists() else {}
    PATH.write_text(json.dumps(make(old), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
