"""Every row that a node keeps. In clear: ids, members, states, times, precedence; all else is sealed at rest.

``store/migrations`` holds the same as SQL; a test compares them. Sealed columns are named ``sealed_*``
and open only for their own table and key (docs/format.md, "At rest").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from intelshare.ids import (
    BulletinId,
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    NodeUri,
    UserUri,
)
from intelshare.instant import Instant
from intelshare.ports import Table


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """An idempotency key, for ever: the same key never stores a second bulletin (promise P2)."""

    key: bytes
    user: UserUri
    content: Digest
    md: ManifestDigest
    sealed_answer: bytes
    """The first answer, to be given again byte for byte."""


@dataclass(frozen=True, slots=True)
class BulletinRow:
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
    portions: int
    recalled: Instant
    """When an own user recalled it; 0: nobody did."""
    sealed_draft: bytes
    """The portions' labels, categories and flags in reading order, so that they can be decided again."""


@dataclass(frozen=True, slots=True)
class PortionRow:
    """One encrypted portion, own or received: the same body everywhere."""

    md: ManifestDigest
    slot: int
    position: int
    body: bytes
    body_digest: Digest


@dataclass(frozen=True, slots=True)
class SecretRow:
    """The 32 bytes that open a portion. Destroyed by zeros in their place: a row is never deleted nor resized.

    SQLite overwrites what it deletes, but where rows come and go it moves their neighbours to other pages and
    leaves copies behind (measured, in 7 of 200 runs). In a table that only grows and whose rows keep their
    size nothing moves.
    """

    md: ManifestDigest
    slot: int
    sealed: bytes
    """Sealed at rest, 72 bytes; zeros once destroyed."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """(bulletin, recipient): the facts of promises.md section 2."""

    md: ManifestDigest
    recipient: MemberCode
    ready: int
    """1: hand-over may take it. Derived from the facts, kept for the index."""
    rank: int
    open: int
    """1: it can still end by itself: not stopped, and no receipt yet. Derived, kept for the index."""
    due: Instant
    """When it ends by itself: the sooner of valid-until and deliver-by."""
    created: Instant
    stage: int
    cause: int
    receipt: int
    conflict: int
    codes: str
    """Of the best receipt, or why it was stopped; space between."""
    changed: Instant
    granted: int
    portions: int
    basis: str
    decided_in: Incarnation
    decided_at: int
    """Incarnation and index of the log entry that holds the decision now in force."""
    decision: Digest
    """Hash of that entry: what a grant cites."""
    gist: Digest
    """What was decided, without when: the same at hand-over needs no second entry."""
    approved: str
    """Ids of the hold rows that a releasing officer approved; space between."""
    incarnation: Incarnation
    sequence: int
    leaf: LeafId
    """Of the release; empty before hand-over."""


@dataclass(frozen=True, slots=True)
class StatementRow:
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


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A statement that a peer has not acknowledged."""

    leaf: LeafId
    peer: MemberCode
    rank: int
    place: int
    """Order within the rank: when it was queued, in microseconds since 1970, and its place in that step."""
    size: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch record, own or received, by its digest."""

    batch: Digest
    record: bytes


@dataclass(frozen=True, slots=True)
class BatchKeyRow:
    """The sealed batch key of one KEM key in an own batch: part of the bytes that a resend repeats."""

    batch: Digest
    kem: KeyId
    sealed: bytes


@dataclass(frozen=True, slots=True)
class OutgoingRow:
    """The tip of a stream that this node numbers."""

    incarnation: Incarnation
    recipient: MemberCode
    newest: int
    """Minus the instant at which the incarnation began: an index over it gives the newest first."""
    last: int
    head: LeafId
    cancelled: bytes
    """Packed ranges."""


@dataclass(frozen=True, slots=True)
class IncomingRow:
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


@dataclass(frozen=True, slots=True)
class ReceivedRow:
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


@dataclass(frozen=True, slots=True)
class InboxRow:
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
    """broker.destroy.Gone: readable, being destroyed, or destroyed."""
    cause: str
    """Why it was destroyed: RECALLED, EXPIRED, RETENTION; empty while it is readable."""
    due: Instant
    """When it is destroyed by itself (valid-until, the end of retention); once it is gone: since when."""
    secrets: Digest
    """H(secrets): with the claims it proves what was granted, also after destruction."""
    sealed_claims: bytes


@dataclass(frozen=True, slots=True)
class RecalledRow:
    """A peer has recalled a bulletin of its own, whether that is held here, was, or never came."""

    member: MemberCode
    md: ManifestDigest
    at: Instant
    leaf: LeafId
    """Of the recall."""


@dataclass(frozen=True, slots=True)
class RelatedRow:
    """Bulletin ``md`` names an earlier one, ``of``: both own or received, and neither need be held here."""

    of: ManifestDigest
    relation: int
    """broker.relations.Relation: supersedes, or replies to."""
    md: ManifestDigest
    member: MemberCode
    """The originator of ``of``: look-ups never cross members."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A signed receipt for an own bulletin; the statement itself is in ``received``."""

    md: ManifestDigest
    member: MemberCode
    leaf: LeafId


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent that was asked for: by this member (``own``), or of it by a peer."""

    md: ManifestDigest
    recipient: MemberCode
    """Who is to have it."""
    member: MemberCode
    """The other side: the originator that was asked, or the peer that asks."""
    own: int
    state: int
    """broker.consent.State."""
    slots: bytes
    """u8 per slot that was asked for."""
    until: Instant
    leaf: LeafId
    """Of the originator's answer, which is in ``received``; empty until it came."""
    newest: int
    """Minus the instant of the question: an index over it gives the newest first."""
    changed: Instant


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request for information between this member and another one."""

    md: ManifestDigest
    """Of the bulletin that asks."""
    member: MemberCode
    """Who was asked, or who asks."""
    own: int
    """1: this member asks."""
    state: int
    """broker.rfi.State."""
    due: Instant
    reply: ManifestDigest
    """Of the last bulletin that answered, declined or closed it; empty until there is one."""
    newest: int
    """Minus the instant of the question: an index over it gives the newest first."""
    changed: Instant


@dataclass(frozen=True, slots=True)
class DutyRow:
    """An obligation of a received bulletin that somebody has to do something about."""

    md: ManifestDigest
    obligation: str
    due: Instant
    done: Instant
    """0: it is not done."""
    user: UserUri
    """Who said that it is done; empty until then."""


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """Who has read what, so that `inbox --unread` is each reader's own."""

    user: UserUri
    md: ManifestDigest
    at: Instant


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log entry; its leaf hash is checked against the tree by ``audit verify``."""

    incarnation: Incarnation
    place: int
    type: int
    at: Instant
    leaf: Digest
    sealed_entry: bytes
    """Salt and record."""


@dataclass(frozen=True, slots=True)
class LogHeadRow:
    """Size and frontier of one log: what appending needs."""

    incarnation: Incarnation
    began: Instant
    size: int
    frontier: bytes


@dataclass(frozen=True, slots=True)
class ActRow:
    """A treaty act, own or of a peer; the statement itself is in ``statement`` or ``received``."""

    member: MemberCode
    n: int
    leaf: LeafId
    state: int
    """broker.act.Held: counts, waits for an earlier one, or contradicts one."""
    at: Instant
    """When it was made (an own act) or came."""
    since: Instant
    """From when it holds here, never before ``at``; 0 until it counts."""
    by: UserUri
    """Who made it, or let it count; empty: a peer's act as it came."""
    data: bytes


@dataclass(frozen=True, slots=True)
class TrustRow:
    """A trust document of a member, as it was signed: roots all, the directory the newest only."""

    member: MemberCode
    type: int
    version: int
    record: bytes


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user of this member; never crosses the border."""

    user: UserUri
    name: str
    role: str
    clearance: str
    nationality: str
    categories: str
    """Space between; ``*`` all."""
    revoked: int


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A rejected statement, or statements that contradict each other: bounded for each member."""

    evidence: Digest
    member: MemberCode
    shelf: int
    """0 rejected: the oldest give way. 1 contradictions: the first stay (broker.evidence)."""
    place: int
    """Minus its number on the shelf of the member: an index over it gives the newest first."""
    code: str
    first: Instant
    times: int
    exhibit: bytes
    """The statements as they were signed (audit.exhibit.Exhibit)."""


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A checkpoint of a node's log as it was signed: of the own the last, of others those that are held."""

    origin: NodeUri
    incarnation: Incarnation
    size: int
    root: Digest
    member: MemberCode
    """Who signed it: of a checkpoint that another member says it saw, that member."""
    state: int
    """broker.witness.Held."""
    at: Instant
    newest: int
    """Minus ``at``."""
    signed: bytes
    """The statement whole (Evidence): provable by itself."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """What the node remembers of itself: present incarnation, latest instant ever stored."""

    name: str
    incarnation: Incarnation
    previous: Incarnation
    """0: there was none."""
    began: Instant
    latest: Instant


SUBMISSION = Table("submission", SubmissionRow, ("key",))
BULLETIN = Table("bulletin", BulletinRow, ("md",), {"newest": ("newest",), "bulletin": ("bulletin",)})
PORTION = Table("portion", PortionRow, ("md", "slot"))
SECRET = Table("secret", SecretRow, ("md", "slot"))
PAIR = Table(
    "pair",
    PairRow,
    ("md", "recipient"),
    {
        "ready": ("recipient", "ready", "rank", "created"),
        "due": ("open", "due"),
        "leaf": ("leaf",),
        "stage": ("stage", "open", "created"),
    },
)
STATEMENT = Table(
    "statement", StatementRow, ("leaf",), {"number": ("peer", "kind", "incarnation", "sequence")}
)
PENDING = Table("pending", PendingRow, ("leaf", "peer"), {"peer": ("peer", "rank", "place")})
BATCH = Table("batch", BatchRow, ("batch",))
BATCH_KEY = Table("batch_key", BatchKeyRow, ("batch", "kem"))
OUTGOING = Table("outgoing", OutgoingRow, ("incarnation", "recipient"), {"newest": ("recipient", "newest")})
INCOMING = Table("incoming", IncomingRow, ("origin", "incarnation"), {"member": ("member",)})
RECEIVED = Table(
    "received", ReceivedRow, ("member", "leaf"), {"number": ("origin", "incarnation", "kind", "sequence")}
)
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
RECALLED = Table("recalled", RecalledRow, ("member", "md"))
RELATED = Table("related", RelatedRow, ("of", "relation", "md"), {"md": ("md",)})
RECEIPT = Table("receipt", ReceiptRow, ("md", "member", "leaf"))
CONSENT = Table("consent", ConsentRow, ("md", "recipient", "member"), {"newest": ("newest",)})
REQUEST = Table(
    "request", RequestRow, ("md", "member", "own"), {"newest": ("newest",), "due": ("own", "state", "due")}
)
DUTY = Table("duty", DutyRow, ("md", "obligation"), {"due": ("done", "due")})
READER = Table("reader", ReaderRow, ("user", "md"))
LOG = Table("log", LogRow, ("incarnation", "place"))
LOG_HEAD = Table("log_head", LogHeadRow, ("incarnation",), {"began": ("began",)})
ACT = Table("act", ActRow, ("member", "n", "leaf"))
TRUST = Table("trust", TrustRow, ("member", "type", "version"))
USER = Table("user", UserRow, ("user",))
EVIDENCE = Table(
    "evidence",
    EvidenceRow,
    ("evidence",),
    {"member": ("member", "shelf", "place"), "shelf": ("shelf", "first")},
)
CHECKPOINT = Table(
    "checkpoint", CheckpointRow, ("origin", "incarnation", "size"), {"state": ("origin", "state", "newest")}
)
NODE = Table("node", NodeRow, ("name",))

TABLES: tuple[Table[Any], ...] = (
    SUBMISSION,
    BULLETIN,
    PORTION,
    SECRET,
    PAIR,
    STATEMENT,
    PENDING,
    BATCH,
    BATCH_KEY,
    OUTGOING,
    INCOMING,
    RECEIVED,
    INBOX,
    RECALLED,
    RELATED,
    RECEIPT,
    CONSENT,
    REQUEST,
    DUTY,
    READER,
    LOG,
    LOG_HEAD,
    ACT,
    TRUST,
    USER,
    EVIDENCE,
    CHECKPOINT,
    NODE,
)
