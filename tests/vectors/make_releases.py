"""Make releases.json: releases that a recipient judges, one for each way in which one can be wrong.

All are signed together by a FRA that likes to break each rule of docs/format.md, "Verifying", checks 6 to 13.
Signatures and the sealed batch key never come again, so the file is made once; ``test_release_vectors.py``
reads it a second time by the words of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from make_envelope import plain

from envelope_world import (
    DEU,
    FRA,
    INCARNATION,
    LATER,
    NOW,
    USA,
    make_key,
    make_signer,
    stream_of,
    text_portion,
)
from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import key_id, sha256
from intelshare.crypto.records import (
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
    Precedence,
    Release,
)
from intelshare.crypto.suites import SUITE_1
from intelshare.envelope import first_tip
from intelshare.envelope.construct import (
    batch_key_info,
    body_bound,
    body_digest,
    body_key,
    commitment,
    grant_digest,
    grant_key,
    manifest_digest,
    sealed_digest,
)
from intelshare.envelope.padding import GRANT_FLOOR, PORTION_FLOOR, pad
from intelshare.ids import BulletinId, Digest, ReleaseNumber
from intelshare.instant import Instant
from intelshare.statement import Leaf, sign_batch

SEED = "releases"
PATH = Path(__file__).with_name("releases.json")
SIGNER = make_signer(f"{SEED}/FRA", FRA)
DEU_SIGNER = make_signer(f"{SEED}/DEU", DEU)
KEM, KEM_ID, KEM_SECRET = make_key(f"{SEED}/USA", USA, KeyUse.SEALING)
BATCH_KEY = stream_of(f"{SEED}/batch key")(32)
INFO = batch_key_info(1, SIGNER.key_id, SIGNER.record.node, USA, KEM_ID)
SECRETS = [stream_of(f"{SEED}/secret/{n}")(32) for n in range(2)]
SLOTS = (3, 0)
PORTIONS = (text_portion("Drought in the north."), text_portion("Title", "(U)"))

Change = Callable[[Any], Any]


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Wrong:
    """What FRA does otherwise; everything that follows from it is made to fit."""

    id: str
    error: str = ""
    padded: Change = same
    """A padded portion (the first)."""
    committed: Change = same
    """To what the manifest commits in its place."""
    manifest: Change = same
    manifest_bytes: Change = same
    body: Change = same
    claims: Change = same
    claims_bytes: Change = same
    secrets: Change = same
    framed: Change = same
    grant: Change = same
    bodies: Change = same
    batch_key: Change = same
    release: Change = same
    data: Change = same
    travels: dict[str, Any] = field(default_factory=dict)
    """What is changed behind FRA's back, and what the recipient knows."""


def changed(**changes: Any) -> Change:
    """The record with these fields."""
    return lambda record: replace(record, **changes)


def with_byte(place: int) -> Change:
    def change(data: bytes) -> bytes:
        at = place % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


def consent(by: Any = DEU_SIGNER, **changes: Any) -> Evidence:
    """DEU lets FRA pass a bulletin of its own on; ``md`` is filled in later."""
    said = replace(Consent(FRA, bytes(32), (3, 0), USA, LATER), **changes)  # type: ignore[arg-type]
    seed = stream_of(f"{SEED}/consent/{said}/{by.key_id.hex()}")
    batch = sign_batch([Leaf(Kind.CONSENT, seed(16), encode(Consent, said))], by, NOW, seed)
    (told,) = batch.statements
    return Evidence(told.kind, told.nonce, told.data, told.proof, batch.batch)


def of_deu(manifest: Manifest) -> Manifest:
    return replace(manifest, originator=DEU)


def consented(**changes: Any) -> Change:
    return lambda claims: replace(
        claims, consents=(consent(**{"md": manifest_digest(claims.manifest), **changes}),)
    )


def regrant(*slots: int) -> Change:
    return lambda claims: replace(
        claims,
        granted=tuple(
            Granted(slot, one.citations, one.obligations)
            for slot, one in zip(slots, claims.granted, strict=True)
        ),
    )


CASES = (
    Wrong("honest"),
    Wrong("a moment before deliver-by", release=changed(deliver_by=Instant(NOW + 1))),
    Wrong("of another originator, with its consent", manifest=of_deu, claims=consented()),
    Wrong("the same bulletin again", travels={"held": "its own md"}),
    # 6
    Wrong("for another member", "WRONG_RECIPIENT", release=changed(recipient=DEU)),
    Wrong(
        "for another member and of another node",
        "WRONG_RECIPIENT",
        release=changed(recipient=DEU, origin=DEU_SIGNER.record.node),
    ),
    Wrong("of another node", "SIGNER_NOT_AUTHORISED", release=changed(origin=DEU_SIGNER.record.node)),
    # 7
    Wrong("a byte behind the release", "ENVELOPE_MALFORMED", data=lambda d: d + b"\0"),
    Wrong("a release that is cut off", "ENVELOPE_MALFORMED", data=lambda d: d[:-1]),
    Wrong(
        "a precedence that does not exist",
        "ENVELOPE_MALFORMED",
        data=lambda d: d.replace(b"\x02" + LATER.to_bytes(8, "big"), b"\x05" + LATER.to_bytes(8, "big")),
    ),
    # 8
    Wrong("another body travels", "SEALED_HASH_MISMATCH", travels={"bodies": with_byte(-1)}),
    Wrong("another grant travels", "SEALED_HASH_MISMATCH", travels={"grant": with_byte(-1)}),
    Wrong("another batch key travels", "SEALED_HASH_MISMATCH", travels={"batch_key": with_byte(-1)}),
    Wrong("a body is missing on the way", "SEALED_HASH_MISMATCH", travels={"drop": 1}),
    # 10
    Wrong("at deliver-by", "EXPIRED", release=changed(deliver_by=NOW)),
    Wrong(
        "after deliver-by, and sealed to a key unknown",
        "EXPIRED",
        release=changed(deliver_by=NOW, kem=bytes(32)),
    ),
    # 11
    Wrong("sealed to a key unknown", "KEM_KEY_UNKNOWN", release=changed(kem=bytes(32))),
    Wrong("sealed to a key that is destroyed", "KEM_KEY_RETIRED", travels={"kem": "retired"}),
    Wrong("a batch key that does not open", "OPEN_FAILED", batch_key=with_byte(-1)),
    Wrong("a grant that does not open", "OPEN_FAILED", grant=with_byte(5)),
    Wrong("a grant under another number", "OPEN_FAILED", travels={"number": 2}),
    Wrong(
        "claims that lead beyond the end", "ENVELOPE_MALFORMED", framed=lambda f: b"\xff\xff\xff\xff" + f[4:]
    ),
    Wrong("something in the grant's padding", "ENVELOPE_MALFORMED", framed=with_byte(-1)),
    Wrong("a grant that is padded further", "ENVELOPE_MALFORMED", framed=lambda f: f + bytes(32)),
    Wrong("a grant without padding", "ENVELOPE_MALFORMED", framed=lambda f: f.rstrip(b"\0")),
    Wrong(
        "a grant of another digest", "COMMITMENT_MISMATCH", release=changed(grant_digest=Digest(bytes(32)))
    ),
    # 12
    Wrong("a byte behind the claims", "ENVELOPE_MALFORMED", claims_bytes=lambda c: c + b"\0"),
    Wrong("a byte behind the manifest", "ENVELOPE_MALFORMED", manifest_bytes=lambda m: m + b"\0"),
    Wrong("a manifest of another version", "ENVELOPE_MALFORMED", manifest_bytes=lambda m: b"\0\x02" + m[2:]),
    Wrong("a slot twice", "ENVELOPE_MALFORMED", claims=regrant(3, 3)),
    Wrong("a slot out of range", "ENVELOPE_MALFORMED", claims=regrant(3, 16)),
    Wrong("fewer bodies than grants", "ENVELOPE_MALFORMED", bodies=lambda b: b[:1]),
    Wrong("more bodies than grants", "ENVELOPE_MALFORMED", bodies=lambda b: [*b, b[0]]),
    Wrong("a secret too many", "ENVELOPE_MALFORMED", secrets=lambda s: s + bytes(32)),
    Wrong("a secret that is short", "ENVELOPE_MALFORMED", secrets=lambda s: s[:-1]),
    Wrong("claims to another recipient", "MANIFEST_MISMATCH", claims=changed(recipient=DEU)),
    Wrong(
        "another precedence than the manifest's",
        "MANIFEST_MISMATCH",
        release=changed(precedence=Precedence.FLASH),
    ),
    Wrong("of another originator", "MANIFEST_MISMATCH", manifest=of_deu),
    Wrong(
        "with a consent of the sender itself",
        "MANIFEST_MISMATCH",
        manifest=of_deu,
        claims=consented(by=SIGNER),
    ),
    Wrong("with a consent to another", "MANIFEST_MISMATCH", manifest=of_deu, claims=consented(to=USA)),
    Wrong(
        "with a consent for another bulletin",
        "MANIFEST_MISMATCH",
        manifest=of_deu,
        claims=consented(md=bytes(32)),
    ),
    Wrong("of a bulletin that has ended", "EXPIRED", manifest=changed(expires=NOW)),
    Wrong("of an id that another bulletin has", "BULLETIN_EQUIVOCATION", travels={"held": bytes(32).hex()}),
    # 13
    Wrong("a body that does not open", "OPEN_FAILED", body=with_byte(5)),
    Wrong("another text than was committed to", "COMMITMENT_MISMATCH", committed=with_byte(40)),
    Wrong(
        "another text, and a second body that does not open",
        "OPEN_FAILED",
        committed=with_byte(40),
        bodies=lambda b: [b[0], with_byte(5)(b[1])],
    ),
    Wrong("something in a portion's padding", "ENVELOPE_MALFORMED", padded=with_byte(-1)),
    Wrong("a portion that is padded further", "ENVELOPE_MALFORMED", padded=lambda p: p + bytes(16)),
    Wrong("a portion without padding", "ENVELOPE_MALFORMED", padded=lambda p: p.rstrip(b"\0")),
    Wrong("a kind of portion that does not exist", "ENVELOPE_MALFORMED", padded=lambda p: b"\x09" + p[1:]),
    Wrong(
        "a text that is not UTF-8", "ENVELOPE_MALFORMED", padded=lambda p: p.replace(b"climate", b"\xff" * 7)
    ),
)


def make(wrong: Wrong, sealed: bytes) -> tuple[dict[str, Any], Leaf]:
    """One case without its proof, and the leaf that is signed."""
    draw = stream_of(f"{SEED}/{wrong.id}")
    bulletin, nonce = BulletinId(draw(16)), draw(16)
    padded = [pad(encode(Portion, portion), PORTION_FLOOR) for portion in PORTIONS]
    padded[0] = wrong.padded(padded[0])
    commitments = [Digest(draw(32)) for _ in range(16)]
    for slot, secret, text in zip(SLOTS, SECRETS, [wrong.committed(padded[0]), padded[1]], strict=True):
        commitments[slot] = commitment(secret, bulletin, slot, text)
    manifest = Manifest(1, bulletin, FRA, NOW, Precedence.PRIORITY, LATER, tuple(commitments))
    raw = wrong.manifest_bytes(encode(Manifest, wrong.manifest(manifest)))
    md = manifest_digest(raw)
    bodies = [
        seal_once(body_key(secret, md, slot), text, body_bound(md, slot))
        for slot, secret, text in zip(SLOTS, SECRETS, padded, strict=True)
    ]
    bodies[0] = wrong.body(bodies[0])
    bodies = wrong.bodies(bodies)
    citation = Citation("fra-usa-climate-2024", Digest(bytes(range(32))), "3.1")
    granted = tuple(Granted(slot, (citation,), ("no onward",)) for slot in SLOTS)
    said = Claims(raw, USA, granted, "SECRET//REL TO USA, FRA", (), (), Digest(draw(32)), ())
    claims = wrong.claims_bytes(encode(Claims, wrong.claims(said)))
    secrets = wrong.secrets(b"".join(SECRETS))
    framed = len(claims).to_bytes(4, "big") + claims + len(secrets).to_bytes(4, "big") + secrets
    framed = wrong.framed(pad(framed, GRANT_FLOOR))
    stream, number = (SIGNER.record.node, INCARNATION, USA), ReleaseNumber(wrong.travels.get("number", 1))
    key = wrong.batch_key(sealed)
    grant = wrong.grant(seal_once(grant_key(BATCH_KEY, 1, stream, number, nonce), framed, b""))
    release = Release(
        SIGNER.record.node, INCARNATION, USA, ReleaseNumber(1), first_tip(*stream).head, Precedence.PRIORITY,
        LATER, KEM_ID, grant_digest(claims, sha256(secrets)),
        sealed_digest(key, grant, [body_digest(body) for body in bodies]),
    )  # fmt: skip
    data = wrong.data(encode(Release, wrong.release(release)))
    moved = {name: change for name, change in wrong.travels.items() if callable(change)}
    bodies = [*bodies[: -wrong.travels.get("drop", 0) or None]]
    case: dict[str, Any] = {
        "id": wrong.id, "nonce": nonce.hex(), "data": data.hex(),
        "grant": moved.get("grant", same)(grant).hex(),
        "bodies": [moved.get("bodies", same)(body).hex() for body in bodies],
    }  # fmt: skip
    travelling = moved.get("batch_key", same)(key)
    if travelling != sealed:
        case["batch_key"] = travelling.hex()
    if "kem" in wrong.travels:
        case["retired"] = True
    if "held" in wrong.travels:
        case["held"] = md.hex() if wrong.travels["held"] == "its own md" else wrong.travels["held"]
    if wrong.error:
        case["error"] = wrong.error
    else:
        case["md"] = md.hex()
        case["portions"] = [plain(portion) for portion in PORTIONS]
    return case, Leaf(Kind.RELEASE, nonce, data)


def main() -> None:
    sealed = SUITE_1.seal(KEM.public, INFO, BATCH_KEY)
    made = [make(wrong, sealed) for wrong in CASES]
    signed = sign_batch([leaf for _, leaf in made], SIGNER, NOW, stream_of(f"{SEED}/tree"))
    for (case, _), told in zip(made, signed.statements, strict=True):
        case["proof"] = told.proof.hex()
    document = {
        "seed": SEED,
        "judged": {
            "signers": [encode(KeyRecord, one.record).hex() for one in (SIGNER, DEU_SIGNER)],
            "kem": {"record": encode(KeyRecord, KEM).hex(), "secret": KEM_SECRET.hex()},
            "recipient": USA,
            "peer": FRA,
            "at": NOW,
            "batch": signed.batch.hex(),
            "batch_key": sealed.hex(),
            "releases": [case for case, _ in made],
        },
    }
    assert key_id(KEM) == KEM_ID
    PATH.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
