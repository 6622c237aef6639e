"""Seals grants and releases at hand-over, for all recipients that have room, under one signature.

Numbers are given here, from the tips of the streams, because a release names the one before it and that one
may be in the same batch. The caller commits batch, statements, ciphertexts and new tips before the first byte
leaves; if that commit is lost, everything is sealed again, with a new batch key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import encode, malformed
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import (
    Claims,
    Evidence,
    Granted,
    KeyRecord,
    Kind,
    Precedence,
    Release,
    Reply,
)
from intelshare.crypto.suites import Random, Signer, Suites
from intelshare.envelope.construct import (
    batch_key_info,
    grant_digest,
    grant_key,
    sealed_digest,
    stream_start,
)
from intelshare.envelope.padding import GRANT_FLOOR, pad
from intelshare.errors import CryptoError
from intelshare.ids import (
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    NodeUri,
    ReleaseNumber,
)
from intelshare.instant import Instant
from intelshare.statement import NONCE_LENGTH, Leaf, Statement, leaf_id, sign_batch

MAX_RELEASE = 1000
"""The most bytes of a release record."""


@dataclass(frozen=True, slots=True)
class ClearedPortion:
    """A portion that this recipient may open: its part of the claims, its secret, and its body's hash."""

    granted: Granted
    secret: bytes = field(repr=False)
    digest: Digest


@dataclass(frozen=True, slots=True)
class Cleared:
    """A bulletin that may go to one recipient: decided, and passed by the egress check.

    Only hand-over makes one (a test enforces it). ``portions`` is in reading order, with at least one.
    """

    recipient: MemberCode
    kem_id: KeyId
    kem: KeyRecord
    manifest: bytes
    precedence: Precedence
    """The precedence of the manifest."""
    deliver_by: Instant
    portions: tuple[ClearedPortion, ...]
    banner: str
    decision: Digest
    supersedes: tuple[ManifestDigest, ...] = ()
    reply: tuple[Reply, ...] = ()
    consents: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Tip:
    """The tip of a stream: the last number given and the leaf id of that release."""

    incarnation: Incarnation
    last: ReleaseNumber
    head: LeafId


@dataclass(frozen=True, slots=True)
class SealedRelease:
    """A signed release with the grant that travels beside it; the caller has the bodies."""

    cleared: Cleared
    release: Release
    leaf: LeafId
    statement: Statement
    grant: bytes


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """Everything that must be durable before any of it leaves."""

    batch: bytes
    releases: tuple[SealedRelease, ...]
    """The releases in the order of what was cleared."""
    batch_keys: Mapping[KeyId, bytes]
    """KEM key -> batch key bytes of this batch."""
    tips: Mapping[MemberCode, Tip]
    """The tips, after this batch, of the streams that moved."""


def first_tip(origin: NodeUri, incarnation: Incarnation, recipient: MemberCode) -> Tip:
    """Return the tip of a stream in which nothing was sent yet."""
    return Tip(incarnation, ReleaseNumber(0), stream_start(origin, incarnation, recipient))


def seal(
    cleared: Sequence[Cleared],
    signer: Signer,
    at: Instant,
    random: Random,
    *,
    tips: Mapping[MemberCode, Tip],
    suites: Suites,
) -> SealedBatch:
    """Number, grant and sign 1 to 256 releases.

    ``tips`` has one for every recipient. There is one signature for all, and one encapsulation per KEM key;
    both draw their randomness themselves. Raises EnvelopeError TOO_LARGE; ENVELOPE_MALFORMED for a value that
    its record cannot carry; CryptoError KEM_KEY_UNKNOWN for a sealing key of another member, or of a suite
    that is not in ``suites``.
    """
    keys = _BatchKeys(signer, suites, random)
    moved: dict[MemberCode, Tip] = {}
    leaves: list[Leaf] = []
    made: list[tuple[Release, bytes]] = []
    for item in cleared:
        tip = moved.get(item.recipient) or tips[item.recipient]
        leaf, release, grant = _release(item, tip, keys, random(NONCE_LENGTH))
        moved[item.recipient] = Tip(
            tip.incarnation, release.sequence, leaf_id(leaf.kind, leaf.nonce, leaf.data)
        )
        leaves.append(leaf)
        made.append((release, grant))
    signed = sign_batch(leaves, signer, at, random)
    return SealedBatch(
        batch=signed.batch,
        releases=tuple(
            SealedRelease(item, release, leaf, statement, grant)
            for item, (release, grant), leaf, statement in zip(
                cleared, made, signed.leaves, signed.statements, strict=True
            )
        ),
        batch_keys={kem: sealed for kem, (_, sealed, _) in keys.made.items()},
        tips=moved,
    )


class _BatchKeys:
    """One batch key per KEM key, drawn when it is first needed and gone with the call."""

    def __init__(self, signer: Signer, suites: Suites, random: Random) -> None:
        self.signer = signer
        self.suites = suites
        self.random = random
        self.made: dict[KeyId, tuple[bytes, bytes, MemberCode]] = {}

    def of(self, item: Cleared) -> tuple[bytes, bytes, MemberCode]:
        """Return (batch key, its sealed bytes, its recipient)."""
        key = self.made.get(item.kem_id)
        if key is not None and key[2] == item.recipient:
            return key
        signer, suite = self.signer, self.suites.get(item.kem.suite)
        if key is not None or suite is None or item.kem.member != item.recipient:
            raise CryptoError(
                "KEM_KEY_UNKNOWN",
                f"the sealing key does not belong to {item.recipient}, or its suite is unknown here",
                hint="seal to a key of the recipient; if its suite is newer, upgrade this node",
            )
        secret = self.random(32)
        info = batch_key_info(
            signer.suite.number, signer.key_id, signer.record.node, item.recipient, item.kem_id
        )
        key = (secret, suite.seal(item.kem.public, info, secret), item.recipient)
        self.made[item.kem_id] = key
        return key


def _release(item: Cleared, tip: Tip, keys: _BatchKeys, nonce: bytes) -> tuple[Leaf, Release, bytes]:
    batch_key, sealed_key, recipient = keys.of(item)
    origin = keys.signer.record.node
    sequence = ReleaseNumber(tip.last + 1)
    claims = encode(
        Claims,
        Claims(
            item.manifest,
            recipient,
            tuple([portion.granted for portion in item.portions]),
            item.banner,
            item.supersedes,
            item.reply,
            item.decision,
            item.consents,
        ),
    )
    secrets = b"".join([portion.secret for portion in item.portions])
    stream = (origin, tip.incarnation, recipient)
    grant = seal_once(
        grant_key(batch_key, keys.signer.suite.number, stream, sequence, nonce),
        frame_grant(claims, secrets),
    )
    release = Release(
        origin,
        tip.incarnation,
        recipient,
        sequence,
        tip.head,
        item.precedence,
        item.deliver_by,
        item.kem_id,
        grant_digest(claims, sha256(secrets)),
        sealed_digest(sealed_key, grant, [portion.digest for portion in item.portions]),
    )
    data = encode(Release, release)
    if len(data) > MAX_RELEASE:
        raise malformed("Release", f"{len(data)} bytes are more than {MAX_RELEASE}")
    return Leaf(Kind.RELEASE, nonce, data), release, grant


def frame_grant(claims: bytes, secrets: bytes) -> bytes:
    """Return the plaintext of a grant: both parts with their lengths, padded."""
    return pad(
        b"".join((len(claims).to_bytes(4, "big"), claims, len(secrets).to_bytes(4, "big"), secrets)),
        GRANT_FLOOR,
    )
