"""Vectors of releases that a recipient judges: checks 2, 4 to 8 and 10 to 13 of docs/format.md, in order.

Check 9, the end of 13, and 14 need data that only a node has: its streams, registry and law.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from intelshare.conformance.fields import plain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import Evidence, KeyRecord, Kind
from intelshare.crypto.suites import SUITES
from intelshare.envelope import (
    Opener,
    Payload,
    SealingKeyHeld,
    check_deliver_by,
    check_same_bulletin,
    match_payload,
    open_bodies,
    open_grant,
    peek,
    read_claims,
    read_release,
)
from intelshare.ids import KeyId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.statement import (
    Verified,
    VerifiedRoots,
    parse_statement,
    read_batch,
    verify,
    verify_evidence,
)

_bytes = bytes.fromhex
_SHARED: Final = frozenset(("signers", "kem", "recipient", "peer", "at", "batch", "batch_key", "releases"))
_OF_ONE: Final = frozenset(
    ("nonce", "data", "proof", "grant", "bodies", "batch_key", "retired", "held", "error", "md", "portions")
)


@dataclass(frozen=True, slots=True)
class Known:
    """The trust documents of a node that knows some keys, all of them fresh."""

    records: Mapping[KeyId, KeyRecord]
    floor: int = 1

    def key_record(self, key: KeyId) -> KeyRecord | None:
        return self.records.get(key)

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:  # noqa: ARG002
        return True

    def revocation(self, key_id: KeyId) -> None:  # noqa: ARG002
        return None


def _judged(case: Case, _: Setting) -> Iterator[Answer]:
    for number, told in enumerate(case["releases"], 1):
        only_known(told, _OF_ONE)
        yield answer(str(told.get("id", f"release {number}")), told, partial(_taken, case, told))


def _taken(case: Case, told: Case) -> dict[str, Any]:
    """Open the release as a recipient does, check by check."""
    records = [decode(KeyRecord, _bytes(record)) for record in case["signers"]]
    trust, roots, at = Known({key_id(one): one for one in records}), VerifiedRoots(), Instant(case["at"])
    nonce, data, proof = (_bytes(told[name]) for name in ("nonce", "data", "proof"))
    verified = verify(
        parse_statement(Kind.RELEASE, nonce, data, proof), read_batch(_bytes(case["batch"])),
        MemberCode(case["peer"]), at, trust=trust, suites=SUITES, roots=roots,
    )  # fmt: skip

    def prove(evidence: Evidence) -> Verified:
        return verify_evidence(evidence, trust=trust, suites=SUITES, roots=roots)

    peek(verified, MemberCode(case["recipient"]))
    release = read_release(verified)
    bodies = tuple(_bytes(body) for body in told["bodies"])
    payload = Payload(_bytes(told.get("batch_key", case["batch_key"])), _bytes(told["grant"]), bodies)
    match_payload(release, payload)
    check_deliver_by(release, at)
    grant = open_grant(verified, release, payload, _opener(case["kem"], retired=told.get("retired", False)))
    claimed = read_claims(verified, release, payload, grant, at, prove_consent=prove)
    check_same_bulletin(claimed, ManifestDigest(_bytes(told["held"])) if "held" in told else None)
    opened = open_bodies(claimed, payload)
    return {"md": claimed.md.hex(), "portions": [plain(one.portion) for one in opened.portions]}


def _opener(kem: Mapping[str, str], *, retired: bool) -> Opener:
    record = decode(KeyRecord, _bytes(kem["record"]))
    known = key_id(record)
    if retired:
        return Opener({}, (known,))
    return Opener({known: SealingKeyHeld(record, SUITES[record.suite].load_sealing(_bytes(kem["secret"])))})


RELEASE_SHAPES = (
    Shape("judged releases", frozenset(("signers", "kem", "releases")), _judged, _SHARED, answered=False),
)
