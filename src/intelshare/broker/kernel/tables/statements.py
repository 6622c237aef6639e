"""What nodes say to each other: signed statements, their batches, and how far each stream has gone."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import Digest, Incarnation, KeyId, LeafId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Table


class StatementRow(NamedTuple):
    """A statement that this node signed, as it was signed: never again in other bytes."""

    leaf: LeafId
    peer: MemberCode
    """Empty: the same bytes for every peer (treaty acts, checkpoints)."""
    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    batch: Digest
    kem: KeyId
    """Of a release; else empty."""
    grant: bytes
    md: ManifestDigest
    """Of a release: whose bodies travel with it; else empty."""
    slots: bytes
    """Of a release: u8 per granted slot, in grant order."""
    incarnation: Incarnation
    sequence: int
    sealed_claims: bytes = b""
    """Of a release: what its grant said (``kept_claims``); else empty."""


STATEMENT = Table(
    "statement",
    StatementRow,
    ("leaf",),
    {"number": ("peer", "kind", "incarnation", "sequence")},
    lasting=True,
)


class PendingRow(NamedTuple):
    """A statement that a peer has not acknowledged."""

    leaf: LeafId
    peer: MemberCode
    rank: int
    place: int
    """Order within the rank: when it was queued, in microseconds since 1970, and its place in that step."""
    size: int


PENDING = Table("pending", PendingRow, ("leaf", "peer"), {"peer": ("peer", "rank", "place")})


class BatchRow(NamedTuple):
    """A batch record, own or received, by its digest."""

    batch: Digest
    record: bytes


BATCH = Table("batch", BatchRow, ("batch",), lasting=True)


class BatchKeyRow(NamedTuple):
    """The sealed batch key of one KEM key in an own batch: part of the bytes that a resend repeats."""

    batch: Digest
    kem: KeyId
    sealed: bytes


BATCH_KEY = Table("batch_key", BatchKeyRow, ("batch", "kem"), lasting=True)


class OutgoingRow(NamedTuple):
    """The tip of a stream that this node numbers."""

    incarnation: Incarnation
    recipient: MemberCode
    newest: int
    """Minus the instant at which the incarnation began: an index over it gives the newest first."""
    last: int
    head: LeafId
    cancelled: bytes
    """Packed ranges."""


OUTGOING = Table("outgoing", OutgoingRow, ("incarnation", "recipient"), {"newest": ("recipient", "newest")})


class IncomingRow(NamedTuple):
    """A stream of a peer: delivery.Incoming."""

    origin: NodeUri
    incarnation: Incarnation
    member: MemberCode
    last: int
    head: LeafId
    holes: bytes
    cancelled: bytes
    frozen: int
    announced: int
    """What the peer says is the last number; holes are counted up to it."""


INCOMING = Table("incoming", IncomingRow, ("origin", "incarnation"), {"member": ("member",)})


class ReceivedRow(NamedTuple):
    """A statement that a peer made, accepted or refused: known for ever by its digest (promise P4)."""

    member: MemberCode
    leaf: LeafId
    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    batch: Digest
    at: Instant
    code: str
    """Empty: accepted."""
    receipt: LeafId
    """The own receipt that answers it; empty if none does."""
    origin: NodeUri
    incarnation: Incarnation
    sequence: int
    prev: LeafId


RECEIVED = Table(
    "received",
    ReceivedRow,
    ("member", "leaf"),
    {"number": ("origin", "incarnation", "kind", "sequence")},
    lasting=True,
)


class OwedRow(NamedTuple):
    """What the next bundle to a member must answer or ask (broker.line.courier): lost, it is owed again."""

    member: MemberCode
    kind: int
    """broker.line.courier.Owed."""
    key: bytes
    data: bytes


OWED = Table("owed", OwedRow, ("member", "kind", "key"))
