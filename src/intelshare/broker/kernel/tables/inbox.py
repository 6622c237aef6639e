"""What this member has received, who has read it, and what it obliges to."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import BulletinId, Digest, LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Table


class InboxRow(NamedTuple):
    """An accepted bulletin."""

    md: ManifestDigest
    bulletin: BulletinId
    originator: MemberCode
    sender: MemberCode
    leaf: LeafId
    created: Instant
    received: Instant
    newest: int
    """Minus ``received``: an index over it gives the newest first."""
    expires: Instant
    precedence: int
    rank: int
    """Of the precedence: 0 is FLASH."""
    sequence: int
    portions: int
    told: int
    """1: the originator was told that it is read; once, however many read it (promise P4)."""
    gone: int
    """broker.lifecycle.destroy.Gone: readable, being destroyed, or destroyed."""
    cause: str
    """Why it was destroyed: RECALLED, EXPIRED, RETENTION; empty while it is readable."""
    due: Instant
    """When it is destroyed by itself (valid-until, the end of retention); once it is gone: since when."""
    size: int
    """Bytes of its bodies, as they came."""
    secrets: Digest
    """H(secrets): with the claims it proves what was granted, also after destruction."""
    sealed_claims: bytes


INBOX = Table(
    "inbox",
    InboxRow,
    ("md",),
    # Of one instant (a frame) by precedence, then in the order in which the sender numbered them.
    {
        "newest": ("newest", "rank", "sequence"),
        "bulletin": ("originator", "bulletin"),
        "id": ("bulletin",),
        "due": ("gone", "due"),
    },
)


class RecalledRow(NamedTuple):
    """A peer has recalled a bulletin of its own, whether that is held here, was, or never came."""

    member: MemberCode
    md: ManifestDigest
    at: Instant
    leaf: LeafId
    """Of the recall."""


RECALLED = Table("recalled", RecalledRow, ("member", "md"), lasting=True)


class DutyRow(NamedTuple):
    """An obligation of a received bulletin that somebody has to do something about."""

    md: ManifestDigest
    obligation: str
    due: Instant
    done: Instant
    """0: it is not done."""
    user: UserUri
    """Who said that it is done; empty until then."""


DUTY = Table("duty", DutyRow, ("md", "obligation"), {"due": ("done", "due")})


class ReaderRow(NamedTuple):
    """Who has read what, so that `inbox --unread` is each reader's own."""

    user: UserUri
    md: ManifestDigest
    at: Instant


READER = Table("reader", ReaderRow, ("user", "md"))


class ExportedRow(NamedTuple):
    """What a gateway was let hand to a consumer, so that the log says it once."""

    md: ManifestDigest
    user: UserUri
    """The gateway."""
    consumer: str
    at: Instant
    slots: bytes
    """One byte each, in order."""


EXPORTED = Table("exported", ExportedRow, ("md", "user", "consumer"))
