"""What a log entry says: one record per type of act (docs/format.md, "Log").

Entries are salted and stored sealed, so that neither the tree nor the database tells what was decided;
whoever is given salt and record can check both against a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Final

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


@record
class Start:
    """Entry 0: a new incarnation, and where the log before it stood."""

    version: Text
    previous: IncarnationId
    """0: this is the first."""
    size: U63
    root: Bytes32


@record
class Submit:
    """An own user handed in a bulletin."""

    md: Md32
    user: Text


@record
class LoggedReason:
    """One reason of a denial, as it was explained."""

    code: Text
    detail: Text
    place: Text


@record
class LoggedDecision:
    """What was decided, whichever portion it is of."""

    outcome: U8
    """1 allow, 2 hold, 3 deny."""
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
    """With its bytes: many portions have the same, and each is logged, compared and answered with."""


@record
class DecisionMade:
    """One pair decided: a hash for each slot, so that each portion can be shown alone (``audit.decided``)."""

    md: Md32
    sender: Member
    recipient: Member
    at: Time
    portions: Annotated[tuple[Bytes32, ...], Count(among=SLOT_COUNTS)]
    """By slot. Of one that was not decided: random."""


@record
class DecisionKept:
    """What is stored of a decision: all that ``DecisionMade`` commits to."""

    seed: Bytes32
    """From which the salts of the portions come. It never leaves the node."""
    md: Md32
    sender: Member
    recipient: Member
    at: Time
    portions: Annotated[tuple[LoggedPortion, ...], Count()]


@record
class Approve:
    """A releasing officer closed the holds of a pair."""

    md: Md32
    recipient: Member
    user: Text
    holds: Annotated[tuple[Text, ...], Count()]


@record
class Stop:
    """The sender stopped a pair: withheld, expired, recalled or undeliverable."""

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
    """A statement of a peer was accepted or refused."""

    member: Member
    kind: U8
    leaf: Leaf32
    subject: Digest32
    """The manifest digest of a release, if it was read; else zeros."""
    codes: Annotated[tuple[Text, ...], Count()]
    """Empty: accepted."""


@record
class Rejected:
    """A peer's statement or frame was rejected; repeated ones are counted in the evidence, not here."""

    member: Member
    digest: Digest32
    code: Text


@record
class ReceiptJoined:
    """A recipient's signed word arrived."""

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
    """A gateway was let hand portions of a bulletin to a consumer; again only if they become more."""

    md: Md32
    user: Text
    """The gateway."""
    consumer: Text
    slots: Annotated[tuple[U32, ...], Count()]


@record
class Register:
    """A change of the user register."""

    by: Text
    user: Text
    change: Text


@record
class TrustAccepted:
    """A root or directory was taken in."""

    member: Member
    type: U8
    version: U63
    digest: Digest32


@record
class TreatyActed:
    """A treaty act counts in this node's world: an own one when made, a peer's when accepted."""

    member: Member
    n: U63
    leaf: Leaf32
    treaty: Text
    act: U8
    since: Time
    """From when it holds here."""
    user: Text
    """Who made it, or let it count; empty: a peer's act as it came."""


@record
class Witnessed:
    """A log of a peer node began, or does not agree with what was seen of it before."""

    member: Member
    origin: Node
    incarnation: IncarnationId
    size: U63
    root: Digest32
    previous: IncarnationId
    """The log of the checkpoint that was held before; 0: this is the first that was seen."""
    held: U63
    """The size of that checkpoint."""
    forgot: U63
    """How many entries of it the peer no longer has."""
    code: Text
    """Empty, LOG_FORK or LOG_INCONSISTENT."""


@record
class ConsentSaid:
    """A consent was asked for, granted or refused, by this member or by a peer."""

    member: Member
    """The other side."""
    md: Md32
    recipient: Member
    slots: Annotated[tuple[U32, ...], Count()]
    state: U8
    """1 asked, 2 granted, 3 refused."""


@record
class PolicyRead:
    """By which policy files is decided from here on: at a start, and when they have changed."""

    digest: Digest32
    """SHA-256 over their names and contents, in the order of names."""
    count: U32


@record
class DutyDone:
    """An own user said that an obligation of a received bulletin is met."""

    md: Md32
    obligation: Text
    user: Text


@record
class Recalled:
    """An own user took back an own bulletin."""

    md: Md32
    user: Text
    reason: Text


@record
class Destroyed:
    """The keys of a received bulletin are gone, and its sender is told so."""

    member: Member
    md: Md32
    leaf: Leaf32
    """Of its release."""
    cause: Text


@record
class Settled:
    """An operator has looked at evidence; what was held of that node's log is held no more."""

    evidence: Digest32
    member: Member
    code: Text
    user: Text


@record
class ExclusionSet:
    """An operator has suspended, removed or taken back a member."""

    member: Member
    how: U8
    """1 suspended, 2 removed, 0 neither."""
    user: Text


class KeyChange(IntEnum):
    """What became of an own key."""

    MADE = 1
    ROTATED = 2
    COMPROMISED = 3
    DESTROYED = 4


@record
class KeyChanged:
    """An own key was made, succeeded, called compromised, or its secret destroyed."""

    key: Digest32
    use: U8
    change: U8
    """A ``KeyChange``."""
    at: Time
    """From when it holds."""
    user: Text
    """Who asked for it; empty: it was due."""


class CourierWay(IntEnum):
    """Which way a bundle went."""

    WRITTEN = 1
    TAKEN_IN = 2


@record
class Courier:
    """A bundle for a member was written, or one of a member was taken in."""

    member: Member
    way: U8
    """A ``CourierWay``."""
    user: Text
    digest: Digest32
    """SHA-256 of the file, as far as it went."""
    size: U63
    statements: U63
    code: Text
    """Empty: whole; else why it ended early."""


class OperatorAct(IntEnum):
    """What an operator has decided."""

    CLOCK_BELIEVED = 1
    RECORD_DROPPED = 2
    STREAM_RELEASED = 3
    GIVEN_UP = 4


@record
class Operated:
    """An operator has decided what the node must not decide by itself."""

    act: U8
    """An ``OperatorAct``."""
    about: Text
    """Of what: ids, codes and times."""
    reason: Text
    """In the operator's words; empty: none was asked for."""
    user: Text


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
    EntryType.TREATY_ACT: TreatyActed,
    EntryType.COURIER: Courier,
}

STORED: Final[Mapping[EntryType, type[Any]]] = {**RECORDS, EntryType.DECISION: DecisionKept}
"""As a row of the log has them."""


@record
class SealedEntries:
    """What a row of the log keeps sealed of its entries, in their order."""

    salts: Annotated[tuple[Bytes32, ...], Count(1, 256)]
    records: Annotated[tuple[B32, ...], Count(1, 256)]
