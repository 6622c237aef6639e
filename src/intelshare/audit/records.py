"""The contents of log entries: one record per type of act (docs/format.md, "Log").

Those about the node itself are in ``node_records``.

Entries are salted and stored sealed, so that neither the tree nor the database reveals what was decided; a
person who is given the salt and the record can check both against a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Final

from intelshare.audit.node_records import (
    BackupMade,
    CertificateChanged,
    Courier,
    ExclusionSet,
    KeyChanged,
    Operated,
    PolicyRead,
    Register,
    TrustAccepted,
)
from intelshare.crypto.codec import (
    B32,
    U8,
    U16,
    U32,
    U63,
    Bytes32,
    Count,
    Encoded,
    Text,
    kept,
    record,
)
from intelshare.crypto.records import (
    SLOT_COUNTS,
    Citation,
    Digest32,
    IncarnationId,
    Leaf32,
    Md32,
    Member,
    Node,
    Number,
    Time,
)


class EntryType(IntEnum):
    """The acts that are logged."""

    START = 1
    SUBMIT = 2
    DECISION = 3
    APPROVE = 4
    STOP = 5
    HAND_OVER = 6
    RECEIVED = 7
    REJECTED = 8
    RECEIPT = 9
    READ = 10
    REGISTER = 11
    TRUST = 12
    RECALL = 14
    DESTROYED = 15
    CONSENT = 16
    WITNESSED = 17
    TREATY_ACT = 13
    DUTY = 18
    POLICY = 19
    SETTLED = 20
    EXCLUSION = 21
    KEY = 22
    COURIER = 23
    EXPORT = 24
    OPERATED = 25
    REFUSE = 26
    CERTIFICATE = 27
    BACKUP = 28


@record
class Start:
    """Entry 0: the start of an incarnation, and the end of the log before it."""

    version: Text
    previous: IncarnationId
    """The incarnation before this one; 0 if this is the first."""
    size: U63
    root: Bytes32


@record
class Submit:
    """A user of this node submitted a bulletin."""

    md: Md32
    user: Text


@record
class LoggedReason:
    """One reason for a denial, as it was explained."""

    code: Text
    detail: Text
    place: Text


@record
class LoggedDecision:
    """A decision, regardless of the portion it concerns."""

    outcome: U8
    """The outcome: 1 allow, 2 hold, 3 deny."""
    basis: Text
    citations: Annotated[tuple[Citation, ...], Count()]
    obligations: Annotated[tuple[Text, ...], Count()]
    holds: Annotated[tuple[Text, ...], Count()]
    reasons: Annotated[tuple[LoggedReason, ...], Count()]


@record
class LoggedPortion:
    """The decision on one portion for one recipient."""

    position: U16
    slot: U16
    decision: Annotated[Encoded[LoggedDecision], kept(LoggedDecision)]
    """The decision together with its bytes, because many portions share one and each is logged, compared and
    returned with it.
    """


@record
class DecisionMade:
    """The decision on one pair: a hash for each slot, so that each portion can be shown alone
    (``audit.decided``).
    """

    md: Md32
    sender: Member
    recipient: Member
    at: Time
    portions: Annotated[tuple[Bytes32, ...], Count(among=SLOT_COUNTS)]
    """The hashes, by slot; random for a slot that was not decided."""


@record
class DecisionKept:
    """A decision as it is stored: everything that ``DecisionMade`` commits to."""

    seed: Bytes32
    """The seed of the portions' salts. It never leaves the node."""
    md: Md32
    sender: Member
    recipient: Member
    at: Time
    portions: Annotated[tuple[LoggedPortion, ...], Count()]


@record
class Approve:
    """A releasing officer lifted the holds of a pair."""

    md: Md32
    recipient: Member
    user: Text
    holds: Annotated[tuple[Text, ...], Count()]


@record
class Stop:
    """The sender stopped a pair because it was withheld, expired, recalled or undeliverable."""

    md: Md32
    recipient: Member
    cause: U8
    codes: Annotated[tuple[Text, ...], Count()]


@record
class HandOver:
    """A pair was numbered, sealed and marked."""

    md: Md32
    recipient: Member
    leaf: Leaf32
    incarnation: IncarnationId
    sequence: Number
    decision: Digest32


@record
class Received:
    """A peer's statement was accepted or refused."""

    member: Member
    kind: U8
    leaf: Leaf32
    subject: Digest32
    """The manifest digest of a release, if it was read; otherwise zeros."""
    codes: Annotated[tuple[Text, ...], Count()]
    """The codes of the refusal; empty if it was accepted."""


@record
class Rejected:
    """A peer's statement or frame was rejected; repetitions are counted in the evidence, not here."""

    member: Member
    digest: Digest32
    code: Text


@record
class ReceiptJoined:
    """A recipient's receipt arrived."""

    member: Member
    leaf: Leaf32
    of: Leaf32
    status: U8
    codes: Annotated[tuple[Text, ...], Count()]


@record
class Read:
    """A reader opened portions of a bulletin."""

    md: Md32
    user: Text
    slots: Annotated[tuple[U32, ...], Count()]


@record
class Exported:
    """A gateway was allowed to hand portions of a bulletin to a consumer; logged again only when there are
    more portions.
    """

    md: Md32
    user: Text
    """The user name of the gateway."""
    consumer: Text
    slots: Annotated[tuple[U32, ...], Count()]


@record
class TreatyActed:
    """A treaty act took effect at this node: its member's own act when it was made, a peer's when it was
    accepted.
    """

    member: Member
    n: U63
    leaf: Leaf32
    treaty: Text
    act: U8
    since: Time
    """The time from which it holds here."""
    user: Text
    """The user who made it or let it count; empty for a peer's act accepted without intervention."""


@record
class Witnessed:
    """A peer node's log began, or disagrees with what was seen of it before."""

    member: Member
    origin: Node
    incarnation: IncarnationId
    size: U63
    root: Digest32
    previous: IncarnationId
    """The log of the checkpoint held before; 0 if this is the first one seen."""
    held: U63
    """The size of the checkpoint held before."""
    forgot: U63
    """The number of its entries that the peer no longer has."""
    code: Text
    """Empty, LOG_FORK or LOG_INCONSISTENT."""


@record
class ConsentSaid:
    """A consent was requested, granted or refused, by this member or by a peer."""

    member: Member
    """The other side."""
    md: Md32
    recipient: Member
    slots: Annotated[tuple[U32, ...], Count()]
    state: U8
    """The state: 1 asked, 2 granted, 3 refused."""


@record
class DutyDone:
    """A user of this node reported that an obligation of a received bulletin is met."""

    md: Md32
    obligation: Text
    user: Text


@record
class Recalled:
    """A user of this node recalled a bulletin of this member."""

    md: Md32
    user: Text
    reason: Text


@record
class Destroyed:
    """The keys of a received bulletin were destroyed, and its sender is informed."""

    member: Member
    md: Md32
    leaf: Leaf32
    """The leaf id of its release."""
    cause: Text


@record
class Settled:
    """An operator has looked at evidence; what was held of that node's log is no longer held."""

    evidence: Digest32
    member: Member
    code: Text
    user: Text


@record
class Refuse:
    """A releasing officer ended a held pair; a STOP entry stands beside it."""

    md: Md32
    recipient: Member
    user: Text
    holds: Annotated[tuple[Text, ...], Count()]
    reason: Text


RECORDS: Final[Mapping[EntryType, type[Any]]] = {
    EntryType.START: Start,
    EntryType.SUBMIT: Submit,
    EntryType.DECISION: DecisionMade,
    EntryType.APPROVE: Approve,
    EntryType.STOP: Stop,
    EntryType.HAND_OVER: HandOver,
    EntryType.RECEIVED: Received,
    EntryType.REJECTED: Rejected,
    EntryType.RECEIPT: ReceiptJoined,
    EntryType.READ: Read,
    EntryType.REGISTER: Register,
    EntryType.EXPORT: Exported,
    EntryType.TRUST: TrustAccepted,
    EntryType.RECALL: Recalled,
    EntryType.DESTROYED: Destroyed,
    EntryType.CONSENT: ConsentSaid,
    EntryType.DUTY: DutyDone,
    EntryType.POLICY: PolicyRead,
    EntryType.WITNESSED: Witnessed,
    EntryType.SETTLED: Settled,
    EntryType.EXCLUSION: ExclusionSet,
    EntryType.KEY: KeyChanged,
    EntryType.OPERATED: Operated,
    EntryType.REFUSE: Refuse,
    EntryType.CERTIFICATE: CertificateChanged,
    EntryType.TREATY_ACT: TreatyActed,
    EntryType.COURIER: Courier,
    EntryType.BACKUP: BackupMade,
}

STORED: Final[Mapping[EntryType, type[Any]]] = {**RECORDS, EntryType.DECISION: DecisionKept}
"""The record types as the rows of the log store them."""


@record
class SealedEntries:
    """The sealed part of a row of the log: the salts and records of its entries, in order."""

    salts: Annotated[tuple[Bytes32, ...], Count(1, 256)]
    records: Annotated[tuple[B32, ...], Count(1, 256)]
