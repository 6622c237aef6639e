"""The input of an engine: what its driver tells it, frozen values, one class each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Gap, Message
from intelshare.broker.lifecycle.mend import Mended, Record
from intelshare.engine.actions import (
    ReadSlice,
    RunQuery,
    RunStep,
    WriteSidecar,
)
from intelshare.engine.values import Chore, LinkId, Shares
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace, Incarnation, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Durable
from intelshare.trust import Channel


@dataclass(frozen=True, slots=True)
class Started:
    """The node's incarnation is durable and its ports are open: start dialling and housekeeping."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Other replicas of this node may run from now on: the links are divided among them (``dividing``)."""


@dataclass(frozen=True, slots=True)
class Leads:
    """This replica leads from now on: the one that led has ended."""


@dataclass(frozen=True, slots=True)
class Divided:
    """The members of each replica now, after the last ``Claim`` was carried out as far as it could be."""

    shares: Shares
    held: frozenset[MemberCode]
    """The members that this replica holds."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """Another replica has something to ask a member, or to say of it; see ``actions.PassOn``."""

    member: MemberCode
    message: Gap | LogAsk | Instant | None


@dataclass(frozen=True, slots=True)
class Covered:
    """The sidecar covers the log up to here: a checkpoint of it may leave."""

    incarnation: Incarnation
    size: int


@dataclass(frozen=True, slots=True)
class TimerDue:
    """The time of ``SetTimer`` has come. An early event, or one of a replaced timer, does no harm."""


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """The node handed over with this event may have another trust or world than before."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A peer node that TLS has identified has opened a stream. ``link`` is from ``Engine.new_link``."""

    link: LinkId
    member: MemberCode
    node: NodeUri
    channel: Channel
    certificate: bytes = b""
    """The DER of its leaf certificate: checked against revocations at every message. Empty without TLS."""
    between: tuple[bytes, ...] = ()
    """The DER of the certificates that came with it."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A dialled stream is open."""

    link: LinkId
    channel: Channel


@dataclass(frozen=True, slots=True)
class Received:
    """A message came, and could be read."""

    link: LinkId
    message: Message
    size: int
    """The bytes of the message as it came."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message came that could not be read."""

    link: LinkId
    digest: bytes
    code: str
    size: int


@dataclass(frozen=True, slots=True)
class MessageWritten:
    """The message of the last ``Send`` has left."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class Closed:
    """A link has ended, or could not be opened. ``code`` says why; empty: the peer ended it."""

    link: LinkId
    code: str = ""


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step is durable, or has failed and changed nothing."""

    run: RunStep
    answer: Durable[Any] | IntelshareError


@dataclass(frozen=True, slots=True)
class QueryDone:
    """A query has its answer, or has failed."""

    run: RunQuery
    answer: Any


@dataclass(frozen=True, slots=True)
class Committed:
    """A step that the driver ran by itself, for a user, is durable: these are its effects."""

    effects: Durable[Effects]


@dataclass(frozen=True, slots=True)
class Lacking:
    """Another replica has committed that numbers of these members are missing. It may have ended before it
    could ask for them.
    """

    gaps: Sequence[tuple[MemberCode, Gap]]


@dataclass(frozen=True, slots=True)
class Ready:
    """Pairs of these recipients may be ready for hand-over."""

    members: Sequence[MemberCode] = ()


@dataclass(frozen=True, slots=True)
class QueuedAgain:
    """A bundle of this member has queued statements for it again, beside its link."""

    member: MemberCode


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """A user asks something about this node's logs; ``AskLogs`` comes when it is its turn."""

    question: int


@dataclass(frozen=True, slots=True)
class LogsAsked:
    """A user's question about logs has ended, whatever the outcome: its thread has returned."""

    question: int


@dataclass(frozen=True, slots=True)
class SayLog:
    """Sign and send a checkpoint, due or not; ``LogSaid`` follows."""

    token: int


@dataclass(frozen=True, slots=True)
class SidecarWritten:
    """The file is written, or could not be."""

    run: WriteSidecar
    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class Shredded:
    """The files are shredded, or could not be."""

    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class PiecesOpened:
    """The missing pieces of a file, by their numbers from 0."""

    place: FilePlace
    missing: Sequence[int] = ()
    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class PieceWritten:
    """A piece is durable, or could not be written."""

    place: FilePlace
    number: int
    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class SliceRead:
    """The bytes that were requested; none if they could not be read."""

    run: ReadSlice
    data: bytes


@dataclass(frozen=True, slots=True)
class ChoreDone:
    """A chore is done. ``changed`` is true if it has brought something new."""

    chore: Chore
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """The room on the disk: the driver has looked, or a write has found none (``free`` is 0)."""

    free: int
    """The free bytes."""
    reserve: int
    """The bytes that the reserve holds; 0: it is given up."""


@dataclass(frozen=True, slots=True)
class DamageFound:
    """The records that were met damaged and are not settled."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class RecordsMended:
    """An operator has had damaged records mended, or has given them up: durable, with all effects."""

    mended: tuple[Mended, ...]


@dataclass(frozen=True, slots=True)
class ReserveHeld:
    """The outcome of making the reserve."""

    there_was_room: bool


@dataclass(frozen=True, slots=True)
class PolicyAvailable:
    """Reports if there is a policy to release by (promise P17)."""

    available: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop in order: last checkpoint, links, drain, clean mark."""


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing runs any more and all that was written is durable."""


Event = (
    Started
    | Joined
    | Leads
    | Divided
    | PassedOn
    | Covered
    | TimerDue
    | NodeChanged
    | Accepted
    | Connected
    | Received
    | Unreadable
    | MessageWritten
    | Closed
    | StepDone
    | QueryDone
    | Committed
    | Lacking
    | Ready
    | QueuedAgain
    | LogQuestion
    | LogsAsked
    | SayLog
    | SidecarWritten
    | Shredded
    | PiecesOpened
    | PieceWritten
    | SliceRead
    | ChoreDone
    | Space
    | DamageFound
    | RecordsMended
    | ReserveHeld
    | PolicyAvailable
    | Stop
    | Drained
)
