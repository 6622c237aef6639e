"""Signed statements between nodes, their batches, and the state of each stream."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from intelshare.ids import Digest, Incarnation, KeyId, LeafId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Table


class StatementRow(NamedTuple):
    """A statement that this node signed, kept as it was signed: its bytes never change."""

    leaf: LeafId
    peer: MemberCode
    """Empty: the same bytes go to every peer (treaty acts, checkpoints)."""
    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    batch: Digest
    kem: KeyId
    """The recipient's KEM key of a release; empty for other kinds."""
    grant: bytes
    md: ManifestDigest
    """The bulletin whose bodies travel with a release; empty for other kinds."""
    slots: bytes
    """For a release: u8 per granted slot, in grant order."""
    incarnation: Incarnation
    sequence: int
    sealed_claims: bytes = b""
    """The claims of a release's grant (``kept_claims``); empty for other kinds."""


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
    """The order within the rank: when it was queued, in microseconds since 1970, plus its place in that step.
    """
    size: int


PENDING = Table("pending", PendingRow, ("leaf", "peer"), {"peer": ("peer", "rank", "place")})


class BatchRow(NamedTuple):
    """A batch record, this node's or received, by its digest."""

    batch: Digest
    record: bytes


BATCH = Table("batch", BatchRow, ("batch",), lasting=True)


class BatchKeyRow(NamedTuple):
    """The sealed batch key for one KEM key in a batch of this node: a resend repeats its bytes."""

    batch: Digest
    kem: KeyId
    sealed: bytes


BATCH_KEY = Table("batch_key", BatchKeyRow, ("batch", "kem"), lasting=True)


class OutgoingRow(NamedTuple):
    """The tip of a stream of this node."""

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
    """A stream of a peer, as ``delivery.Incoming``."""

    origin: NodeUri
    incarnation: Incarnation
    member: MemberCode
    last: int
    head: LeafId
    holes: bytes
    cancelled: bytes
    frozen: int
    announced: int
    """The last number that the peer has announced; missing numbers are counted up to it."""


INCOMING = Table("incoming", IncomingRow, ("origin", "incarnation"), {"member": ("member",)})


class ReceivedRow(NamedTuple):
    """A statement of a peer, accepted or refused: known for ever by its digest (promise P4)."""

    member: MemberCode
    leaf: LeafId
    kind: int
    nonce: bytes
    data: bytes
    proof: bytes
    batch: Digest
    at: Instant
    code: str
    """Empty: it was accepted."""
    receipt: LeafId
    """This member's receipt that answers it; empty if none does."""
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


class Owed(IntEnum):
    """The kinds of answers and questions in the table of broker.line.courier."""

    ACK = 1
    PATH = 2
    ASK = 3
    FILE = 4


class OwedRow(NamedTuple):
    """An answer or question owed to a member by the next bundle (broker.line.courier); owed again if lost."""

    member: MemberCode
    kind: int
    """Owed."""
    key: bytes
    data: bytes


OWED = Table("owed", OwedRow, ("member", "kind", "key"))
