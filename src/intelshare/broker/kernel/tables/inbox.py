"""The bulletins that this member has received, who has read them, and the obligations they carry."""

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
    """The rank of the precedence: 0 is FLASH."""
    sequence: int
    portions: int
    told: int
    """1: the originator was told that it was read.

    That happens once, however many users read it (promise P4).
    """
    gone: int
    """A broker.lifecycle.destroy.Gone: readable, being destroyed, or destroyed."""
    cause: str
    """Why it was destroyed: RECALLED, EXPIRED, RETENTION; empty while it is readable."""
    due: Instant
    """When it is to be destroyed (valid-until or end of retention); once it is gone: since when."""
    size: int
    """The bytes of its bodies, as received."""
    secrets: Digest
    """H(secrets): with the claims it proves what was granted, also after destruction."""
    sealed_claims: bytes


INBOX = Table(
    "inbox",
    InboxRow,
    ("md",),
    # Bulletins of one instant (a frame) are ordered by precedence, then by the sender's numbers.
    {
        "newest": ("newest", "rank", "sequence"),
        "bulletin": ("originator", "bulletin"),
        "id": ("bulletin",),
        "due": ("gone", "due"),
    },
)


class RecalledRow(NamedTuple):
    """A peer has recalled one of its bulletins, whether that is held here, was, or never came."""

    member: MemberCode
    md: ManifestDigest
    at: Instant
    leaf: LeafId
    """The recall."""


RECALLED = Table("recalled", RecalledRow, ("member", "md"), lasting=True)


class DutyRow(NamedTuple):
    """An obligation of a received bulletin that requires somebody to act."""

    md: ManifestDigest
    obligation: str
    due: Instant
    done: Instant
    """0: not done yet."""
    user: UserUri
    """The user who reported it as done; empty until then."""


DUTY = Table("duty", DutyRow, ("md", "obligation"), {"due": ("done", "due")})


class ReaderRow(NamedTuple):
    """The bulletins that each user has read, for `inbox --unread`."""

    user: UserUri
    md: ManifestDigest
    at: Instant


READER = Table("reader", ReaderRow, ("user", "md"))


class ExportedRow(NamedTuple):
    """A bulletin that a gateway was allowed to hand to a consumer, so that the log records it once."""

    md: ManifestDigest
    user: UserUri
    """The gateway."""
    consumer: str
    at: Instant
    slots: bytes
    """One byte per slot, in order."""


EXPORTED = Table("exported", ExportedRow, ("md", "user", "consumer"))
