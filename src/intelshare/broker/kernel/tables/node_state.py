"""The state of a node: its log, whom it trusts and serves, treaty acts, evidence, checkpoints, itself."""

from __future__ import annotations

from typing import Final, NamedTuple

from intelshare.ids import Digest, Incarnation, LeafId, MemberCode, NodeUri, UserUri
from intelshare.instant import EPOCH, Instant
from intelshare.ports import Table


class LogRow(NamedTuple):
    """The entries of one transaction, as ``kernel.log`` packs them: no other module reads this row."""

    incarnation: Incarnation
    last: int
    """The index of the last entry."""
    entries: bytes
    """The type, time and hash of each entry."""
    sealed_entries: bytes
    """The salt and record of each entry."""


LOG = Table("log", LogRow, ("incarnation", "last"), lasting=True)


class LogHeadRow(NamedTuple):
    """The size and frontier of one log: all that appending needs."""

    incarnation: Incarnation
    began: Instant
    size: int
    frontier: bytes


LOG_HEAD = Table("log_head", LogHeadRow, ("incarnation",), {"began": ("began",)})


class ActRow(NamedTuple):
    """A treaty act of this member or a peer; the statement itself is in ``statement`` or ``received``."""

    member: MemberCode
    n: int
    leaf: LeafId
    state: int
    """broker.treaty.act.ActState: counts, waits for an earlier one, or contradicts one."""
    at: Instant
    """When it was made (an act of this member) or received."""
    since: Instant
    """From when it applies here, never before ``at``; 0 until it counts."""
    by: UserUri
    """The user who made it, or let it count; empty: a peer's act as it came."""
    data: bytes


ACT = Table("act", ActRow, ("member", "n", "leaf"), lasting=True)


class LawRow(NamedTuple):
    """A policy file by which the node decides, and since when; the row without a name is for all files."""

    file: str
    """``treaties/paris.toml``; empty: all files together, including those removed."""
    about: str
    """The id of the treaty, or the member whose overlay it is."""
    digest: Digest
    """SHA-256 of the file."""
    since: Instant


LAW = Table("law", LawRow, ("file",))


class TrustRow(NamedTuple):
    """A trust document of a member, as it was signed: all roots, but of directories only the newest and those
    whose keys it leaves out; or what the member has revoked (``kernel.documents``).
    """

    member: MemberCode
    type: int
    version: int
    record: bytes
    remembered: bytes = b""
    """Beside a directory: what earlier ones revoked and it does not say (``Revocations``); empty: nothing."""


TRUST = Table("trust", TrustRow, ("member", "type", "version"), lasting=True)


class ExclusionRow(NamedTuple):
    """A member that operators have suspended or removed, or that waits for their word after a loss."""

    member: MemberCode
    how: int
    """trust.Exclusion."""
    since: Instant
    by: UserUri
    """Empty: the start of a node that lost memory."""


EXCLUSION = Table("exclusion", ExclusionRow, ("member",))


class UserRow(NamedTuple):
    """A user of this member; never crosses the border."""

    user: UserUri
    name: str
    role: str
    clearance: str
    nationality: str
    categories: str
    """Separated by spaces; ``*`` means all."""
    revoked: int
    certificate: Digest = Digest(b"")
    """SHA-256 of the certificate that counts; empty: none yet."""
    pending: Digest = Digest(b"")
    """A certificate that was issued since. It is valid too; its first use replaces the other."""
    ticket: Digest = Digest(b"")
    """The ticket of an open enrolment: it fetches a certificate and nothing else, until one is used."""
    subject: str = ""
    """The name in certificates of another authority, with its kind (``email:``); empty: the URI."""
    issued: Instant = Instant(0)
    """The start of validity of the certificate that counts.

    Only certificates of another authority that are valid from a later time supersede it.
    """
    person: str = ""
    """The person behind the user; empty: the name. Rules that ask for two persons count persons."""
    waits: int = 0
    """1: the disk forgot, perhaps that the user was revoked too: it waits until an operator confirms it."""


USER = Table("user", UserRow, ("user",))


class CertificateRow(NamedTuple):
    """A certificate that an authority of this node has issued and that has not ended long ago."""

    certificate: Digest
    """SHA-256 of the DER."""
    holder: str
    """URI of the node or user that it names."""
    serial: str
    """In hexadecimal."""
    start: Instant
    end: Instant
    revoked: Instant = Instant(0)
    """0: it is not."""
    reason: str = ""
    """Why it was revoked."""


CERTIFICATE = Table("certificate", CertificateRow, ("certificate",), {"holder": ("holder", "end")})


class EvidenceRow(NamedTuple):
    """A rejected statement, or statements that contradict each other: limited in number for each member."""

    evidence: Digest
    member: MemberCode
    shelf: int
    """0: rejected, the oldest give way. 1: contradictions, the first stay (broker.transparency.evidence)."""
    place: int
    """Minus its number on this member's shelf: an index over it gives the newest first."""
    code: str
    first: Instant
    times: int
    exhibit: bytes
    """The statements as they were signed (audit.exhibit.Exhibit)."""


EVIDENCE = Table(
    "evidence",
    EvidenceRow,
    ("evidence",),
    {"member": ("member", "shelf", "place"), "shelf": ("shelf", "first")},
)


class CheckpointRow(NamedTuple):
    """A checkpoint of a node's log as it was signed: the last of this node's, and those held of others."""

    origin: NodeUri
    incarnation: Incarnation
    size: int
    root: Digest
    member: MemberCode
    """The member that signed it: if another member reported this checkpoint, that member."""
    state: int
    """broker.transparency.known_checkpoints.CheckpointState."""
    at: Instant
    newest: int
    """The lower, the later (``known_checkpoints.place_of``): minus ``at``, or less if a clock went back."""
    signed: bytes
    """The whole statement (Evidence), provable by itself."""


CHECKPOINT = Table(
    "checkpoint", CheckpointRow, ("origin", "incarnation", "size"), {"state": ("origin", "state", "newest")}
)


class CounterRow(NamedTuple):
    """Rows and bytes of one kind that are kept now (``kernel.counters``)."""

    name: str
    rows: int
    size: int


COUNTER = Table("counter", CounterRow, ("name",))


class UnheardRow(NamedTuple):
    """A member that was not heard since the disk forgot (``lifecycle.hearing``)."""

    member: MemberCode
    since: Instant
    """Up to when the disk remembers: what the member received after that is asked for."""
    until: Instant
    """Bulletins that came from it until then wait, and nobody reads them."""
    allowed: int
    """1: an operator let users read it all the same."""


UNHEARD = Table("unheard", UnheardRow, ("member",))

UNKNOWN: Final = MemberCode("")
"""The ``UnheardRow`` of the members that this node does not know. It stays: who is admitted later may hold
what the disk forgot, too.
"""


class NodeRow(NamedTuple):
    """The node's record of itself: the present incarnation, and how far its clock has gone."""

    name: str
    incarnation: Incarnation
    previous: Incarnation
    """0: there was none."""
    began: Instant
    latest: Instant
    """The highest instant that was stored while the clock was believed: the mark of promise P10."""
    written: Instant
    """The highest instant at which anything was stored, whether the clock was believed or not. If it is ahead
    of the clock, something may have been signed in the future.
    """
    confirmed: Instant = EPOCH
    """The highest instant that was stored while the clock was confirmed: a start soon after it goes on so."""


NODE = Table("node", NodeRow, ("name",))
