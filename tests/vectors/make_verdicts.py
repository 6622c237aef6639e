"""The verdicts of statements.json: what is changed on the way, and what is signed as it should not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from make_envelope import plain
from make_said import acts, receipts
from statement_world import FRA, NOW, SEED, USA, World, flip, h, leaf

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import (
    Batch,
    KeyRecord,
    KeyUse,
    Kind,
    TreatyAct,
)
from intelshare.crypto.suites import SUITE_1, Signer
from intelshare.instant import DAY, SECOND, Instant
from intelshare.statement import SignedBatch, sign_batch
from intelshare.trust import (
    Revocation,
    Revoked,
    Why,
)
from intelshare.trust.keys import SecretKey


def verdict_vectors(world: World, signed: SignedBatch) -> list[dict[str, Any]]:
    """Checks 2, 4 and 5: what is changed on the way, and what is signed as it should not be."""
    signer = world.of(world.fra, KeyUse.SIGNING)
    return [
        _changed_on_the_way(signer, signed),
        _signed_by(world.of(world.fra, KeyUse.DIRECTORY), "SIGNER_NOT_AUTHORISED"),
        _signed_by(_otherwise(world, signer, not_after=NOW), "SIGNER_NOT_VALID"),
        _signed_by(_otherwise(world, signer, not_before=Instant(NOW + 1)), "SIGNER_NOT_VALID", "early"),
        _signed_by(_otherwise(world, signer, suite=2), "SIGNATURE_INVALID", "another suite"),
        _signed_malformed(signer),
    ]


def _group(signer: Signer, batch: bytes, judged: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "keys": [encode(KeyRecord, signer.record).hex()],
        "batch": batch.hex(),
        "peer": FRA,
        "at": NOW,
        "judged": judged,
    }


def _changed_on_the_way(signer: Signer, signed: SignedBatch) -> dict[str, Any]:
    place = next(n for n, one in enumerate(signed.statements) if one.kind is Kind.RECEIPT)
    told, known, raw = signed.statements[place], signed.leaves[place], signed.batch
    other = signed.statements[place + 1]
    batch = decode(Batch, raw)
    base = {"kind": "RECEIPT", "nonce": told.nonce.hex(), "data": told.data.hex(), "proof": told.proof.hex()}
    half = len(raw) - SUITE_1.signature
    swapped = told.proof[:1] + told.proof[33:65] + told.proof[1:33] + told.proof[65:]
    key = key_id(signer.record)

    def case(name: str, code: str = "", **changes: Any) -> dict[str, Any]:
        shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in changes.items()}
        return {"id": name, **base, **shown, **({"error": code} if code else {"leaf_id": known.hex()})}

    def revoked(why: Why, effective: int, of: bytes = key) -> Any:
        return plain(Revocation(Revoked.KEY, of, why, Instant(effective)))

    return _group(
        signer,
        raw,
        [
            case("as it was signed"),
            case("kind 0", "ENVELOPE_MALFORMED", kind=0),
            case("kind 9", "ENVELOPE_MALFORMED", kind=9),
            case("nonce of 15 bytes", "ENVELOPE_MALFORMED", nonce=told.nonce[:15]),
            case("proof of 7 siblings", "ENVELOPE_MALFORMED", proof=told.proof[:225]),
            case("proof of 9 siblings", "ENVELOPE_MALFORMED", proof=told.proof + bytes(32)),
            case("batch cut off", "ENVELOPE_MALFORMED", batch=raw[:-1]),
            case("batch with a byte more", "ENVELOPE_MALFORMED", batch=raw + b"\0"),
            case("suite 9", "SUITE_UNKNOWN", batch=encode(Batch, replace(batch, suite=9))),
            case("floor above the suite", "SUITE_BELOW_FLOOR", floor=2),
            case(
                "another key id",
                "SIGNER_UNKNOWN",
                batch=encode(Batch, replace(batch, key=flip(batch.key, 0))),
            ),
            case("handed over by another member", "NOT_AUTHORISED", peer=USA),
            case("directory expires this instant", "TRUST_EXPIRED", fresh_until=NOW),
            case("directory expires the next instant", fresh_until=NOW + 1),
            case("signed 300 s ahead", at=NOW - 300 * SECOND),
            case("signed more than 300 s ahead", "CLOCK_SKEW", at=NOW - 300 * SECOND - 1),
            case("rotated out when it was signed", "SIGNER_REVOKED", revoked=revoked(Why.ROTATED, NOW)),
            case("another key is compromised", revoked=revoked(Why.COMPROMISED, NOW, h("another key"))),
            case("rotated out later", revoked=revoked(Why.ROTATED, NOW + 1)),
            case("compromised later", "SIGNER_REVOKED", revoked=revoked(Why.COMPROMISED, NOW + DAY)),
            case(
                "one bit of the root",
                "SIGNATURE_INVALID",
                batch=encode(Batch, replace(batch, root=flip(batch.root, 0))),
            ),
            case(
                "one bit of the time",
                "SIGNATURE_INVALID",
                batch=encode(Batch, replace(batch, signed_at=Instant(batch.signed_at ^ 1))),
            ),
            case("one bit of the Ed25519 half", "SIGNATURE_INVALID", batch=flip(raw, half)),
            case("one bit of the ML-DSA half", "SIGNATURE_INVALID", batch=flip(raw, -1)),
            case(
                "one half of the signature",
                "SIGNATURE_INVALID",
                batch=encode(Batch, replace(batch, signature=batch.signature[:64])),
            ),
            case("one bit of the data", "BATCH_PROOF_INVALID", data=flip(told.data, -1)),
            case("a byte after the data", "BATCH_PROOF_INVALID", data=told.data + b"\0"),
            case("one bit of the nonce", "BATCH_PROOF_INVALID", nonce=flip(told.nonce, 0)),
            case("another position", "BATCH_PROOF_INVALID", proof=flip(told.proof, 0)),
            case("one bit of the last sibling", "BATCH_PROOF_INVALID", proof=flip(told.proof, -1)),
            case("siblings in another order", "BATCH_PROOF_INVALID", proof=swapped),
            case("proof of another statement", "BATCH_PROOF_INVALID", proof=other.proof),
            case("presented as a recall", "BATCH_PROOF_INVALID", kind="RECALL"),
            case("presented as trust", "BATCH_PROOF_INVALID", kind="TRUST"),
        ],
    )


def _signed_by(signer: Signer, code: str, label: str = "") -> dict[str, Any]:
    signed = sign_batch([receipts()[0]], signer, NOW, stream_of(f"{SEED}/tree/{label or code}"))
    (told,) = signed.statements
    shown = {"nonce": told.nonce.hex(), "data": told.data.hex(), "proof": told.proof.hex()}
    return _group(signer, signed.batch, [{"kind": "RECEIPT", **shown, "error": code}])


def _otherwise(world: World, signer: Signer, **changes: Any) -> Signer:
    """The same secret under another record."""
    (key,) = [key for key in world.fra.founded.keys if key.record.use is KeyUse.SIGNING]
    record = replace(signer.record, **changes)
    return world.signer(SecretKey(record, key_id(record), key.secret))


def _signed_malformed(signer: Signer) -> dict[str, Any]:
    good = {one.kind: one for one in (*receipts()[:1], *acts()[:1])}
    receipt = good[Kind.RECEIPT].data
    unused = encode(TreatyAct, replace(decode(TreatyAct, good[Kind.TREATY_ACT].data), n=0))
    bad = [
        ("a byte after the end", Kind.RECEIPT, receipt + b"\0"),
        ("status 5", Kind.RECEIPT, receipt[:37] + b"\x05" + receipt[38:]),
        ("33 codes", Kind.RECEIPT, receipt[:38] + b"\0\x21" + 33 * b"\0\0" + receipt[-8:]),
        ("no UTF-8", Kind.RECALL, b"\0\2\xc3\x28" + h("md") + b"\0\0"),
        ("another kind's record", Kind.RECALL, receipt),
        ("act 0", Kind.TREATY_ACT, unused),
    ]
    leaves = [leaf(kind, data, f"malformed {name}") for name, kind, data in bad]
    signed = sign_batch(leaves, signer, NOW, stream_of(f"{SEED}/tree/malformed"))
    return _group(
        signer,
        signed.batch,
        [
            {
                "id": f"signed: {name}",
                "kind": told.kind.name,
                "nonce": told.nonce.hex(),
                "data": told.data.hex(),
                "proof": told.proof.hex(),
                "error": "ENVELOPE_MALFORMED",
            }
            for (name, _, _), told in zip(bad, signed.statements, strict=True)
        ],
    )
