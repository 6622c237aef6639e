"""The bulletins that this member has written, and their recipients."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import BulletinId, Digest, Incarnation, LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.ports import Table


class SubmissionRow(NamedTuple):
    """An idempotency key, for ever: the same key never stores a second bulletin (promise P2)."""

    key: bytes
    user: UserUri
    md: ManifestDigest
    sealed_answer: bytes
    """The first answer, to be repeated byte for byte. It opens only with the same draft beside it."""


SUBMISSION = Table("submission", SubmissionRow, ("key",), lasting=True)


class BulletinRow(NamedTuple):
    """A bulletin of this member, as written."""

    md: ManifestDigest
    bulletin: BulletinId
    author: UserUri
    created: Instant
    newest: int
    """Minus ``created``: an index over it gives the newest first."""
    precedence: int
    expires: Instant
    deliver_by: Instant
    manifest: bytes
    slots: bytes
    """u8 per portion, in reading order."""
    recalled: Instant
    """When a user of this member recalled it; 0: nobody did."""
    sealed_draft: bytes
    """The portions' labels, categories and flags in reading order, so that they can be decided again."""


BULLETIN = Table(
    "bulletin", BulletinRow, ("md",), {"newest": ("newest",), "bulletin": ("bulletin",)}, lasting=True
)


class PortionRow(NamedTuple):
    """One encrypted portion, this member's or received: the body is the same everywhere."""

    md: ManifestDigest
    slot: int
    position: int
    body: bytes
    """Empty once it is purged."""
    body_digest: Digest
    purged: Instant = EPOCH
    """When the body of a portion of this member was purged after delivery; 0: it is here."""
    author: UserUri = UserUri("")
    """Of the first portion of a bulletin of this member: who wrote it. What destroys the bulletin's own row
    on the disk takes the log entries about it too, but not this row: bulk rows have chunks of their own.
    """


PORTION = Table("portion", PortionRow, ("md", "slot"), bulk=True)


class PurgeRow(NamedTuple):
    """When to check whether a bulletin of this member may be purged."""

    at: Instant
    md: ManifestDigest


PURGE = Table("purge", PurgeRow, ("at", "md"))


class SecretRow(NamedTuple):
    """The 32 bytes that open a portion. Destroying it overwrites it with zeros: no row is deleted or resized.

    SQLite overwrites what it deletes, but where rows come and go it moves their neighbours to other pages and
    leaves copies behind (measured, in 7 of 200 runs). In a table that only grows and whose rows keep their
    size, nothing moves.
    """

    md: ManifestDigest
    slot: int
    sealed: bytes
    """Sealed at rest, 72 bytes; zeros once destroyed."""


SECRET = Table("secret", SecretRow, ("md", "slot"), erasable=True)


class PairRow(NamedTuple):
    """A bulletin for one recipient: the facts of docs/promises.md, "States of a pair"."""

    md: ManifestDigest
    recipient: MemberCode
    ready: int
    """1: hand-over may take it. Derived from the facts, kept for the index."""
    rank: int
    open: int
    """1: it is not stopped, and has no receipt or goes again beside one. Derived from the facts, kept for the
    index.
    """
    due: Instant
    """When it ends without a receipt: the earlier of valid-until and deliver-by."""
    created: Instant
    stage: int
    cause: int
    receipt: int
    conflict: int
    codes: str
    """The codes of the best receipt, or why it was stopped; separated by spaces."""
    changed: Instant
    granted: int
    portions: int
    basis: str
    decided_in: Incarnation
    decided_at: int
    """Incarnation and index of the log entry that holds the decision now in force."""
    decision: Digest
    """The hash of that entry, which a grant cites."""
    gist: Digest
    """The decision's fingerprint without its time: if unchanged at hand-over, no second entry is needed."""
    approved: str
    """Ids of the hold rows that a releasing officer approved, and marks of a pair made later than its
    bulletin (``add_recipient.addressed_by``, ``redecide.ONLY_OWN``); separated by spaces.
    """
    incarnation: Incarnation
    sequence: int
    leaf: LeafId
    """The release; empty before hand-over."""
    size: int
    """The bytes of the bulletin's bodies: what an open pair adds to its queue."""


PAIR = Table(
    "pair",
    PairRow,
    ("md", "recipient"),
    {
        "ready": ("recipient", "ready", "rank", "created"),
        "due": ("open", "due"),
        "stage": ("stage", "open", "created"),
    },
    only={"ready": "ready", "due": "open", "stage": "open"},
)


class RefusalRow(NamedTuple):
    """Why a releasing officer ended a held pair."""

    md: ManifestDigest
    recipient: MemberCode
    user: UserUri
    at: Instant
    sealed_reason: bytes


REFUSAL = Table("refusal", RefusalRow, ("md", "recipient"))


class RelatedRow(NamedTuple):
    """Bulletin ``md`` names an earlier one, ``of``: this member's or received; neither need be held here."""

    of: ManifestDigest
    relation: int
    """broker.lifecycle.relations.Relation: supersedes, or replies to."""
    md: ManifestDigest
    member: MemberCode
    """The originator of ``of``: look-ups never cross members."""


RELATED = Table("related", RelatedRow, ("of", "relation", "md"), {"md": ("md",)}, lasting=True)


class ReceiptRow(NamedTuple):
    """A signed receipt for a bulletin of this member; the statement itself is in ``received``."""

    md: ManifestDigest
    member: MemberCode
    leaf: LeafId


RECEIPT = Table("receipt", ReceiptRow, ("md", "member", "leaf"), lasting=True)


class ConsentRow(NamedTuple):
    """A consent that was requested: by this member (``own``), or from it by a peer."""

    md: ManifestDigest
    recipient: MemberCode
    """The member that is to get the bulletin."""
    member: MemberCode
    """The other side: the originator that was asked, or the peer that asks."""
    own: int
    state: int
    """broker.lifecycle.redecide.ConsentState."""
    slots: bytes
    """u8 per slot that was asked for."""
    until: Instant
    leaf: LeafId
    """The originator's answer, which is in ``received``; until it came, and where a peer asks, the question.
    """
    newest: int
    """Minus the instant of the question: an index over it gives the newest first."""
    changed: Instant


CONSENT = Table("consent", ConsentRow, ("md", "recipient", "member"), {"newest": ("newest",)})


class RequestRow(NamedTuple):
    """A request for information between this member and another one."""

    md: ManifestDigest
    """The bulletin that asks."""
    member: MemberCode
    """The member that was asked, or that asks."""
    own: int
    """1: this member asks."""
    state: int
    """broker.exchange.rfi.RequestState."""
    due: Instant
    reply: ManifestDigest
    """The last bulletin that answered, declined or closed it; empty until there is one."""
    newest: int
    """Minus the instant of the question: an index over it gives the newest first."""
    changed: Instant


REQUEST = Table(
    "request", RequestRow, ("md", "member", "own"), {"newest": ("newest",), "due": ("own", "state", "due")}
)
