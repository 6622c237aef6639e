"""Where a node stands: its log, whom it trusts and serves, treaty acts, evidence, checkpoints, itself."""

from __future__ import annotations

from typing import NamedTuple

from intelshare.ids import Digest, Incarnation, LeafId, MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.ports import Table


class LogRow(NamedTuple):
    """The entries of one transaction, as ``kernel.log`` packs them: nobody else reads this row."""

    incarnation: Incarnation
    last: int
    """Index of the last of them."""
    entries: bytes
    """Type, time and hash of each."""
    sealed_entries: bytes
    """Salt and record of each."""


LOG = Table("log", LogRow, ("incarnation", "last"), lasting=True)


class LogHeadRow(NamedTuple):
    """Size and frontier of one log: what appending needs."""

    incarnation: Incarnation
    began: Instant
    size: int
    frontier: bytes


LOG_HEAD = Table("log_head", LogHeadRow, ("incarnation",), {"began": ("began",)})


class ActRow(NamedTuple):
    """A treaty act, own or of a peer; the statement itself is in ``statement`` or ``received``."""

    member: MemberCode
    n: int
    leaf: LeafId
    state: int
    """broker.treaty.act.ActState: counts, waits for an earlier one, or contradicts one."""
    at: Instant
    """When it was made (an own act) or came."""
    since: Instant
    """From when it holds here, never before ``at``; 0 until it counts."""
    by: UserUri
    """Who made it, or let it count; empty: a peer's act as it came."""
    data: bytes


ACT = Table("act", ActRow, ("member", "n", "leaf"), lasting=True)


class LawRow(NamedTuple):
    """A policy file that the node decides by, and since when it does so; one without a name is for all."""

    file: str
    """``treaties/paris.toml``; empty: all files together, also those that went."""
    about: str
    """Id of the treaty, or the member whose overlay it is."""
    digest: Digest
    """SHA-256 of the file."""
    since: Instant


LAW = Table("law", LawRow, ("file",))


class TrustRow(NamedTuple):
    """A trust document of a member, as it was signed: roots all, the directory the newest only."""

    member: MemberCode
    type: int
    version: int
    record: bytes


TRUST = Table("trust", TrustRow, ("member", "type", "version"), lasting=True)


class ExclusionRow(NamedTuple):
    """A member that operators have suspended or removed."""

    member: MemberCode
    how: int
    """trust.Exclusion."""
    since: Instant
    by: UserUri


EXCLUSION = Table("exclusion", ExclusionRow, ("member",))


class UserRow(NamedTuple):
    """A user of this member; never crosses the border."""

    user: UserUri
    name: str
    role: str
    clearance: str
    nationality: str
    categories: str
    """Space between; ``*`` all."""
    revoked: int
    certificate: Digest = Digest(b"")
    """SHA-256 of the certificate that counts; empty: none yet."""
    pending: Digest = Digest(b"")
    """Of one that was issued since. It counts too; with its first use it takes the other's place."""
    ticket: Digest = Digest(b"")
    """Of an enrolment that is open: it fetches a certificate and nothing else, until one is used."""
    subject: str = ""
    """What certificates of another authority call the user, with its kind (``email:``); empty: by the URI."""
    issued: Instant = Instant(0)
    """From when the certificate that counts is valid. Of those of another authority only later ones supersede
    it."""


USER = Table("user", UserRow, ("user",))


class EvidenceRow(NamedTuple):
    """A rejected statement, or statements that contradict each other: bounded for each member."""

    evidence: Digest
    member: MemberCode
    shelf: int
    """0 rejected: the oldest give way. 1 contradictions: the first stay (broker.transparency.evidence)."""
    place: int
    """Minus its number on the shelf of the member: an index over it gives the newest first."""
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
    """A checkpoint of a node's log as it was signed: of the own the last, of others those that are held."""

    origin: NodeUri
    incarnation: Incarnation
    size: int
    root: Digest
    member: MemberCode
    """Who signed it: of a checkpoint that another member says it saw, that member."""
    state: int
    """broker.transparency.known_checkpoints.CheckpointState."""
    at: Instant
    newest: int
    """Minus ``at``."""
    signed: bytes
    """The statement whole (Evidence): provable by itself."""


CHECKPOINT = Table(
    "checkpoint", CheckpointRow, ("origin", "incarnation", "size"), {"state": ("origin", "state", "newest")}
)


class CounterRow(NamedTuple):
    """Rows and bytes of one kind that are kept now (``kernel.counters``)."""

    name: str
    rows: int
    size: int


COUNTER = Table("counter", CounterRow, ("name",))


class NodeRow(NamedTuple):
    """What the node remembers of itself: present incarnation, and how far its clock has gone."""

    name: str
    incarnation: Incarnation
    previous: Incarnation
    """0: there was none."""
    began: Instant
    latest: Instant
    """The highest instant that was stored while the clock was believed: the mark of promise P10."""
    written: Instant
    """The highest instant at which anything was stored, believed or not. Ahead of the clock: something may
    have been signed in the future."""


NODE = Table("node", NodeRow, ("name",))
