"""Vectors of the format (docs/format.md): PAE, padding, keys, batches and a release with all inside it.

Each states bytes in hexadecimal and the expected result. Signatures are verified and keys opened rather than
made, because the library draws their randomness itself and the same ones cannot be made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from intelshare.conformance.fields import plain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode, decode_prefix, encode
from intelshare.crypto.pae import Domain, key_id, pae, sha256
from intelshare.crypto.pieces import PLAIN, PieceCipher, check_piece, piece_count, pieces_id, read_attachment
from intelshare.crypto.records import Attachment, Batch, Claims, KeyRecord, Kind, Manifest, Portion, Release
from intelshare.crypto.suites import SUITES
from intelshare.envelope import (
    GRANT_FLOOR,
    PORTION_FLOOR,
    Opener,
    Payload,
    SealingKeyHeld,
    batch_key_info,
    body_bound,
    body_key,
    commitment,
    grant_key,
    manifest_digest,
    match_payload,
    open_bodies,
    open_grant,
    padded_length,
    peek,
    portion_salt,
    read_claims,
    read_release,
)
from intelshare.ids import KeyId, MemberCode
from intelshare.instant import Instant
from intelshare.statement import (
    ReceivedBatch,
    Verified,
    VerifiedRoots,
    parse_statement,
    read_batch,
    verify,
    verify_evidence,
)

_bytes = bytes.fromhex

_TOLD = frozenset(("kind", "nonce", "data", "proof", "leaf_id", "error"))
_PARTS = {
    "kem": frozenset(("record", "key_id", "secret")),
    "manifest": frozenset(("record", "bytes", "md")),
    "portions": frozenset(("record", "padded", "slot", "secret", "salt", "commitment", "body_key", "body")),
    "batch_key": frozenset(("info", "sealed", "opened")),
    "grant": frozenset(("claims", "claims_bytes", "secrets_digest", "key", "ciphertext")),
    "release": frozenset(("record", "bytes", "nonce", "leaf_id", "proof", "batch")),
}
"""The keys that each part of a release may have."""


@dataclass(frozen=True, slots=True)
class _Signer:
    """The trust documents of a node that knows one key."""

    record: KeyRecord
    floor: int = 1

    def key_record(self, key: KeyId) -> KeyRecord | None:
        return self.record if key == key_id(self.record) else None

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:
        return member == self.record.member and at < self.record.not_after

    def revocation(self, key_id: KeyId) -> None:  # noqa: ARG002
        return None


def padding(case: list[int]) -> Answer:
    """Check a length, and what it is padded to as a portion and as a grant."""
    length = case[0]
    return Answer(
        "", case, [length, padded_length(length, PORTION_FLOOR), padded_length(length, GRANT_FLOOR)]
    )


def _pae(case: Case, _: Setting) -> Iterator[Answer]:
    domain, parts = Domain(case["domain"].encode()), [_bytes(part) for part in case["parts"]]
    yield answer("", case, lambda: {"pae": pae(domain, *parts).hex()})


def _key(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        record = decode(KeyRecord, _bytes(case["bytes"]))
        made = SUITES[record.suite].public_of(record.use, _bytes(case["secret"]))
        return {
            "record": {**plain(record), "public": made.hex()},
            "bytes": encode(KeyRecord, record).hex(),
            "key_id": key_id(record).hex(),
        }

    yield answer("", case, compute)


def _batch(case: Case, _: Setting) -> Iterator[Answer]:
    def record() -> dict[str, Any]:
        return {"batch": encode(Batch, read_batch(_bytes(case["batch"])).record).hex()}

    yield answer("record", {name: case[name] for name in ("batch", "error") if name in case}, record)
    for number, told in enumerate(case["statements"], 1):
        only_known(told, _TOLD)
        yield answer(f"statement {number}", told, partial(_statement, case, told))


def _statement(case: Case, told: Case) -> dict[str, Any]:
    return {"leaf_id": _verified(case["signer"], case["batch"], told).leaf.hex()}


def _verified(signer: str, batch: str, told: Case) -> Verified:
    record = decode(KeyRecord, _bytes(signer))
    received: ReceivedBatch = read_batch(_bytes(batch))
    nonce, data, proof = (_bytes(told[name]) for name in ("nonce", "data", "proof"))
    return verify(
        parse_statement(Kind[told["kind"]], nonce, data, proof),
        received,
        record.member,
        received.record.signed_at,
        trust=_Signer(record),
        suites=SUITES,
        roots=VerifiedRoots(),
    )


def _release(case: Case, _: Setting) -> Iterator[Answer]:
    for name, known in _PARTS.items():
        for part in case[name] if isinstance(case[name], list) else [case[name]]:
            only_known(part, known | {"error"})
    yield answer("manifest", case["manifest"], partial(_manifest, case))
    for number, told in enumerate(case["portions"], 1):
        yield answer(f"portion {number}", told, partial(_portion, case, told))
    yield answer("batch_key", case["batch_key"], partial(_batch_key, case))
    yield answer("grant", case["grant"], partial(_grant, case))
    yield answer("release", case["release"], partial(_opened, case))


def _manifest(case: Case) -> dict[str, Any]:
    raw = _bytes(case["manifest"]["bytes"])
    record = decode(Manifest, raw)
    return {
        "record": plain(record),
        "bytes": encode(Manifest, record).hex(),
        "md": manifest_digest(raw).hex(),
    }


def _portion(case: Case, told: Case) -> dict[str, Any]:
    raw = _bytes(case["manifest"]["bytes"])
    bulletin, md = decode(Manifest, raw).bulletin, manifest_digest(raw)
    slot, secret = told["slot"], _bytes(told["secret"])
    key = body_key(secret, md, slot)
    padded = open_once(key, _bytes(told["body"]), body_bound(md, slot), "a portion")
    return {
        "record": plain(decode_prefix(Portion, padded)[0]),
        "padded": padded.hex(),
        "salt": portion_salt(secret, bulletin, slot).hex(),
        "commitment": commitment(secret, bulletin, slot, padded).hex(),
        "body_key": key.hex(),
    }


def _batch_key(case: Case) -> dict[str, Any]:
    release, record = decode(Release, _bytes(case["release"]["bytes"])), _kem(case)
    signer = decode(KeyRecord, _bytes(case["signer"]))
    info = batch_key_info(signer.suite, key_id(signer), release.origin, release.recipient, key_id(record))
    opened = SUITES[record.suite].load_sealing(_bytes(case["kem"]["secret"]))
    return {"info": info.hex(), "opened": opened.open(info, _bytes(case["batch_key"]["sealed"])).hex()}


def _kem(case: Case) -> KeyRecord:
    return decode(KeyRecord, _bytes(case["kem"]["record"]))


def _grant(case: Case) -> dict[str, Any]:
    release, nonce = decode(Release, _bytes(case["release"]["bytes"])), _bytes(case["release"]["nonce"])
    stream = (release.origin, release.incarnation, release.recipient)
    suite = decode(KeyRecord, _bytes(case["signer"])).suite
    key = grant_key(_bytes(case["batch_key"]["opened"]), suite, stream, release.sequence, nonce)
    framed = open_once(key, _bytes(case["grant"]["ciphertext"]), b"", "the grant")
    middle = 4 + int.from_bytes(framed[:4], "big")
    end = middle + 4 + int.from_bytes(framed[middle : middle + 4], "big")
    return {
        "claims": plain(decode(Claims, framed[4:middle])),
        "claims_bytes": framed[4:middle].hex(),
        "secrets_digest": sha256(framed[middle + 4 : end]).hex(),
        "key": key.hex(),
    }


def _opened(case: Case) -> dict[str, Any]:
    """Open the release as a recipient does, check by check; its portions must be those stated."""
    told = {"kind": Kind.RELEASE.name, "data": case["release"]["bytes"], **case["release"]}
    verified = _verified(case["signer"], case["release"]["batch"], told)
    kem = _kem(case)
    held = SealingKeyHeld(kem, SUITES[kem.suite].load_sealing(_bytes(case["kem"]["secret"])))
    peek(verified, kem.member)
    release = read_release(verified)
    payload = Payload(
        _bytes(case["batch_key"]["sealed"]),
        _bytes(case["grant"]["ciphertext"]),
        tuple(_bytes(portion["body"]) for portion in case["portions"]),
    )
    match_payload(release, payload)
    grant = open_grant(verified, release, payload, Opener({key_id(kem): held}))
    trust = _Signer(decode(KeyRecord, _bytes(case["signer"])))
    claimed = read_claims(
        verified,
        release,
        payload,
        grant,
        verified.batch.record.signed_at,
        prove_consent=lambda evidence: verify_evidence(
            evidence, trust=trust, suites=SUITES, roots=VerifiedRoots()
        ),
    )
    open_bodies(claimed, payload)
    return {
        "record": plain(release),
        "bytes": encode(Release, release).hex(),
        "leaf_id": verified.leaf.hex(),
    }


def _attachment(case: Case, _: Setting) -> Iterator[Answer]:
    yield answer("", case, lambda: (_pieces_opened if "given" in case else _pieces_made)(case))


def _pieces_made(case: Case) -> dict[str, Any]:
    """Make the pieces of the file of ``size`` bytes in which byte i is i mod 251."""
    size, key, header = case["size"], _bytes(case["key"]), _bytes(case["header"])
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    cipher, last = PieceCipher(key, header), piece_count(size) - 1
    pieces = [
        cipher.seal(content[number * PLAIN : (number + 1) * PLAIN], last=number == last)
        for number in range(last + 1)
    ]
    digests = tuple([sha256(piece) for piece in pieces])
    return {
        "attachment": encode(Attachment, Attachment(size, key, header, digests)).hex(),
        "pieces_id": pieces_id(digests).hex(),
    }


def _pieces_opened(case: Case) -> dict[str, Any]:
    """Check and open the given pieces."""
    record = read_attachment(_bytes(case["attachment"]))
    cipher, content = PieceCipher(record.key, record.header), b""
    for number, (expected, piece) in enumerate(zip(record.pieces, case["given"], strict=True), 1):
        check_piece(_bytes(piece), expected)
        content += cipher.open(_bytes(piece), last=number == len(record.pieces))
    return {"content": content.hex()}


ENVELOPE_SHAPES = (
    Shape(
        "attachment",
        frozenset(("attachment", "size")),
        _attachment,
        frozenset(("key", "header", "pieces_id", "given", "content")),
        answered=False,
    ),
    Shape("pae", frozenset(("domain", "parts", "pae")), _pae, answered=False),
    Shape("key", frozenset(("secret", "record", "bytes", "key_id")), _key, answered=False),
    Shape("batch", frozenset(("signer", "batch", "statements")), _batch, answered=False),
    Shape(
        "release",
        frozenset(("signer", "kem", "manifest", "portions", "batch_key", "grant", "release")),
        _release,
        answered=False,
    ),
)
