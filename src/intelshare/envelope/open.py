"""Checks 6-8 and 10-13 of receiving, one function each, to be called in this order.

    6.  peek            whose release it is: WRONG_RECIPIENT, SIGNER_NOT_AUTHORISED (rejected)
    7.  read_release    the whole record: ENVELOPE_MALFORMED (refused, like all that follow but 8)
    8.  match_payload   ``sealed`` over what came beside it: SEALED_HASH_MISMATCH (rejected)
    9.                  the stream: the caller's, who knows what it holds
    10. check_deliver_by                  EXPIRED
    11. open_grant      KEM_KEY_UNKNOWN, KEM_KEY_RETIRED, OPEN_FAILED; framing and padding
                        ENVELOPE_MALFORMED; ``grant_digest`` COMMITMENT_MISMATCH
    12. read_claims     claims, manifest, slots, counts ENVELOPE_MALFORMED; MANIFEST_MISMATCH; EXPIRED
        check_same_bulletin               BULLETIN_EQUIVOCATION
    13. open_bodies     phase by phase over all portions: all open (OPEN_FAILED), all commitments
                        (COMMITMENT_MISMATCH), all records and padding (ENVELOPE_MALFORMED)
                        then the caller's, who knows the grammars: LABEL_INVALID, BANNER_MISMATCH

Each takes what the one before it returned. No byte of a portion leaves before its commitment was checked:
``VerifiedPortion`` has no other maker than ``open_bodies`` and ``reopen``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode, decode_prefix, malformed
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import (
    Batch,
    Claims,
    Consent,
    Evidence,
    KeyRecord,
    Kind,
    Manifest,
    Portion,
    Release,
    ReleasePeek,
)
from intelshare.crypto.suites import SealingKey
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
from intelshare.envelope.padding import GRANT_FLOOR, PORTION_FLOOR, check_padding
from intelshare.envelope.seal import MAX_RELEASE
from intelshare.errors import CryptoError, EnvelopeError, IntelshareError
from intelshare.ids import KeyId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.statement import Verified


@dataclass(frozen=True, slots=True)
class Payload:
    """The parts that travel beside a release in its frame."""

    batch_key: bytes
    """Empty if the frame has none."""
    grant: bytes
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SealingKeyHeld:
    """A sealing key of this member that can still open."""

    record: KeyRecord
    key: SealingKey = field(repr=False)


class Opener:
    """Opens batch keys with the member's sealing keys, each once: make one per frame, and drop it afterwards.

    ``retired`` are the ids of this member's keys that were destroyed.
    """

    __slots__ = ("_keys", "_opened", "_retired")

    def __init__(self, keys: Mapping[KeyId, SealingKeyHeld], retired: Collection[KeyId] = ()) -> None:
        self._keys = keys
        self._retired = retired
        self._opened: dict[tuple[bytes, bytes], bytes] = {}

    def batch_key(self, verified: Verified, release: Release, sealed: bytes) -> bytes:
        """Return the batch key. Raises CryptoError KEM_KEY_UNKNOWN, KEM_KEY_RETIRED, OPEN_FAILED."""
        return self.key_of(verified.batch.record, release.origin, release.recipient, release.kem, sealed)

    def key_of(
        self, batch: Batch, origin: NodeUri, recipient: MemberCode, kem: KeyId, sealed: bytes
    ) -> bytes:
        """Return the batch key of a release that names these. Raises as ``batch_key``."""
        held = self._keys.get(kem)
        if held is None and kem in self._retired:
            raise CryptoError(
                "KEM_KEY_RETIRED",
                "the release is sealed to a key of this member that was destroyed",
                hint="the originator hands it over again under this member's present key",
            )
        if held is None:
            raise CryptoError(
                "KEM_KEY_UNKNOWN", "the release is sealed to a key that this member does not have"
            )
        info = batch_key_info(batch.suite, batch.key, origin, recipient, kem)
        key = self._opened.get((info, sealed))
        if key is None:
            key = held.key.open(info, sealed)
            self._opened[info, sealed] = key
        return key


@dataclass(frozen=True, slots=True)
class Grant:
    """An opened grant whose digest holds; the claims are not read yet."""

    claims: bytes
    secrets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Given:
    """A genuine consent, and who gave it."""

    by: MemberCode
    consent: Consent


@dataclass(frozen=True, slots=True)
class Claimed:
    """Claims and manifest that agree with the release and with each other."""

    claims_bytes: bytes
    claims: Claims
    manifest: Manifest
    md: ManifestDigest
    secrets: tuple[bytes, ...] = field(repr=False)
    """One per granted portion, in the order of ``claims.granted``."""
    consents: tuple[Given, ...]
    """The genuine consents to this sender for this bulletin. Policy decides if one of them is the
    originator's and covers portion, recipient and time (CONSENT_REQUIRED).
    """


_MADE_HERE: Final = object()


@dataclass(frozen=True, slots=True)
class VerifiedPortion:
    """A portion to which the originator committed. Only this module makes one."""

    slot: int
    portion: Portion
    made: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.made is not _MADE_HERE:
            raise TypeError("only envelope.open makes a VerifiedPortion")


@dataclass(frozen=True, slots=True)
class Opened:
    """A release opened whole: the input of the decision, and what acceptance re-wraps."""

    claimed: Claimed
    portions: tuple[VerifiedPortion, ...]
    """The portions in reading order."""


def peek(verified: Verified, member: MemberCode) -> ReleasePeek:
    """Check 6: return the start of a release if it is for this member and from the signing key's node.

    Raises EnvelopeError ENVELOPE_MALFORMED, WRONG_RECIPIENT; CryptoError SIGNER_NOT_AUTHORISED.
    """
    if verified.statement.kind is not Kind.RELEASE:
        raise malformed("Release", f"the statement is a {verified.statement.kind.name}")
    start, _ = decode_prefix(ReleasePeek, verified.statement.data)
    if start.recipient != member:
        raise EnvelopeError("WRONG_RECIPIENT", f"the release is not for {member}")
    if start.origin != verified.signer.node:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "the release names another node than its signing key")
    return start


def read_release(verified: Verified) -> Release:
    """Check 7: read the whole release. Raises EnvelopeError ENVELOPE_MALFORMED."""
    check_size(verified.statement.data)
    return verified.read(Release)


def check_size(data: bytes) -> None:
    """Return if a release is not too long. Raises EnvelopeError ENVELOPE_MALFORMED."""
    if len(data) > MAX_RELEASE:
        raise malformed("Release", f"{len(data)} bytes are more than {MAX_RELEASE}")


def match_payload(release: Release, payload: Payload) -> Payload:
    """Check 8: return the payload if it is the one that was signed. Raises EnvelopeError
    SEALED_HASH_MISMATCH.
    """
    bodies = [body_digest(body) for body in payload.bodies]
    if sealed_digest(payload.batch_key, payload.grant, bodies) != release.sealed:
        raise EnvelopeError(
            "SEALED_HASH_MISMATCH",
            "the payload of the release is not what was signed",
            hint="it was damaged on the way; the sender sends it again",
        )
    return payload


def check_deliver_by(release: Release, at: Instant) -> None:
    """Check 10: return if the release may still be delivered. Raises EnvelopeError EXPIRED."""
    if at >= release.deliver_by:
        raise EnvelopeError("EXPIRED", "the release came after its deliver-by")


def open_grant(verified: Verified, release: Release, payload: Payload, opener: Opener) -> Grant:
    """Check 11: open the grant. Raises CryptoError KEM_KEY_UNKNOWN, KEM_KEY_RETIRED, OPEN_FAILED;
    EnvelopeError ENVELOPE_MALFORMED, COMMITMENT_MISMATCH.
    """
    batch_key = opener.batch_key(verified, release, payload.batch_key)
    key = grant_key(
        batch_key,
        verified.batch.record.suite,
        (release.origin, release.incarnation, release.recipient),
        release.sequence,
        verified.statement.nonce,
    )
    framed = open_once(key, payload.grant, b"", "the grant")
    middle = 4 + int.from_bytes(framed[:4], "big")
    end = middle + 4 + int.from_bytes(framed[middle : middle + 4], "big")
    check_padding(framed, end, GRANT_FLOOR, "Grant")
    claims, secrets = framed[4:middle], framed[middle + 4 : end]
    if grant_digest(claims, sha256(secrets)) != release.grant_digest:
        raise _commitment_mismatch("the content of the grant is not what was signed")
    return Grant(claims, secrets)


def read_claims(
    verified: Verified,
    release: Release,
    payload: Payload,
    grant: Grant,
    at: Instant,
    *,
    prove_consent: Callable[[Evidence], Verified],
) -> Claimed:
    """Check 12, except equivocation: read the claims.

    ``prove_consent`` is ``verify_evidence`` with this node's trust; a consent for which it raises counts as
    absent. Raises EnvelopeError ENVELOPE_MALFORMED, MANIFEST_MISMATCH, EXPIRED.
    """
    claims = decode(Claims, grant.claims)
    manifest = decode(Manifest, claims.manifest)
    granted = claims.granted
    if len({g.slot for g in granted}) != len(granted):
        raise malformed("Claims", "a slot is granted twice")
    if max([g.slot for g in granted]) >= len(manifest.commitments):
        raise malformed("Claims", "a slot is out of range")
    if len(payload.bodies) != len(granted):
        raise malformed("Claims", f"{len(granted)} portions are granted, {len(payload.bodies)} bodies came")
    if len(grant.secrets) != 32 * len(granted):
        raise malformed("Grant", f"{len(granted)} portions are granted, {len(grant.secrets)} secret bytes")
    if claims.recipient != release.recipient or manifest.precedence is not release.precedence:
        raise _manifest_mismatch("recipient or precedence differ from the release's")
    md = manifest_digest(claims.manifest)
    sender = verified.signer.member
    consents = _consents(claims, md, sender, prove_consent)
    if manifest.originator != sender and not any(one.by == manifest.originator for one in consents):
        raise _manifest_mismatch(f"a bulletin of {manifest.originator} without its consent")
    if at >= manifest.expires:
        raise EnvelopeError("EXPIRED", "the bulletin is no longer valid")
    secrets = tuple([grant.secrets[i : i + 32] for i in range(0, len(grant.secrets), 32)])
    return Claimed(grant.claims, claims, manifest, md, secrets, consents)


def check_same_bulletin(claimed: Claimed, held: ManifestDigest | None) -> None:
    """End check 12: return if ``held``, the md under (originator, bulletin id), is the same or None.

    Raises EnvelopeError BULLETIN_EQUIVOCATION.
    """
    if held is not None and held != claimed.md:
        raise EnvelopeError(
            "BULLETIN_EQUIVOCATION",
            f"{claimed.manifest.originator} gave one bulletin id to two contents",
            hint="both statements are kept as evidence; ask the originator",
        )


def open_bodies(claimed: Claimed, payload: Payload) -> Opened:
    """Check 13, except labels: open all portions or none.

    Raises CryptoError OPEN_FAILED; EnvelopeError COMMITMENT_MISMATCH, ENVELOPE_MALFORMED.
    """
    slots = [granted.slot for granted in claimed.claims.granted]
    portions = _open_all(claimed.manifest, claimed.md, slots, claimed.secrets, payload.bodies)
    return Opened(claimed, portions)


def reopen(manifest: bytes, slot: int, secret: bytes, body: bytes) -> VerifiedPortion:
    """Read one stored portion later, verifying it again, since stores lose data and flip bits.

    Raises CryptoError OPEN_FAILED; EnvelopeError COMMITMENT_MISMATCH, ENVELOPE_MALFORMED.
    """
    known = decode(Manifest, manifest)
    if slot >= len(known.commitments):
        raise malformed("Manifest", "a slot is out of range")
    return _open_all(known, manifest_digest(manifest), [slot], [secret], [body])[0]


def _open_all(
    manifest: Manifest,
    md: ManifestDigest,
    slots: Sequence[int],
    secrets: Sequence[bytes],
    bodies: Sequence[bytes],
) -> tuple[VerifiedPortion, ...]:
    padded = [
        open_once(body_key(secret, md, slot), body, body_bound(md, slot), "a portion")
        for slot, secret, body in zip(slots, secrets, bodies, strict=True)
    ]
    for slot, secret, data in zip(slots, secrets, padded, strict=True):
        if commitment(secret, manifest.bulletin, slot, data) != manifest.commitments[slot]:
            raise _commitment_mismatch("a portion differs from what the originator committed to")
    portions = []
    for slot, data in zip(slots, padded, strict=True):
        portion, end = decode_prefix(Portion, data)
        check_padding(data, end, PORTION_FLOOR, "Portion")
        portions.append(VerifiedPortion(slot, portion, _MADE_HERE))
    return tuple(portions)


def _consents(
    claims: Claims, md: ManifestDigest, sender: MemberCode, prove: Callable[[Evidence], Verified]
) -> tuple[Given, ...]:
    found = []
    for evidence in claims.consents:
        if evidence.kind is not Kind.CONSENT:
            continue
        try:
            proven = prove(evidence)
            consent = proven.read(Consent)
        except IntelshareError:
            continue
        if consent.md == md and consent.to == sender:
            found.append(Given(proven.signer.member, consent))
    return tuple(found)


def _manifest_mismatch(why: str) -> EnvelopeError:
    return EnvelopeError("MANIFEST_MISMATCH", f"the manifest does not belong to this release: {why}")


def _commitment_mismatch(why: str) -> EnvelopeError:
    return EnvelopeError("COMMITMENT_MISMATCH", why, hint="nothing of the bulletin is shown")
