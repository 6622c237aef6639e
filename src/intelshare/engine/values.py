"""The input and output of an engine: frozen values, one class each.

A driver calls ``Engine.handle(event, node, now)`` and carries out the actions in order. Nothing here does
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NewType

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Acks, Gap, Hello, Message, Outbound, Slice, SliceAsk
from intelshare.crypto.records import Trust
from intelshare.engine.steps import Query, Step
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace, MemberCode, NodeUri
from intelshare.instant import EPOCH, Instant
from intelshare.ports import Durable
from intelshare.trust import Channel, DirectoriesHeld, DirectoryNode

LinkId = NewType("LinkId", int)
"""One connection, from the first dial or call to its end. A number is never used again."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time at which a driver hands over an event."""

    wall: Instant
    """Wall time, for signatures and for the validity of certificates and treaties. It may jump."""
    steady: Instant
    """A clock that never jumps; only differences mean something. All waiting is measured on it."""
    believed: bool = True
    """True if wall time may be believed (promise P10)."""


class Notice(StrEnum):
    """A line that a driver writes into its log."""

    LINK_CLOSED = "link closed"
    DIAL_FAILED = "dial failed"
    PEER_FORGOT = "the peer forgot numbers that it gave"
    FORGOT = "this node forgot entries that the peer holds"
    HEARD = "the peer was heard after this node forgot"
    ACTS_FORGOTTEN = "the peer asks for acts that this node no longer has"
    FRAME_REJECTED = "a message could not be read"
    REJECTED_BY_PEER = "the peer rejected a statement"
    LEFT_OUT = "lines about a peer were left out"
    FILE_WAITS = "a file could not be fetched, and is tried again"
    STEP_FAILED = "a step failed, and is tried again"


class Chore(StrEnum):
    """A task that a driver does by itself when the engine says that it is time."""

    SHOW = "show"
    """Write where the node is found, and if it serves."""
    POLICY = "policy"
    """Check if a policy file has changed."""
    RENEW = "renew"
    """Renew what is due: certificates, keys, the directory."""
    SPACE = "space"
    """Check how much room the disk has; then ``Space``."""
    MEND = "mend"
    """Mend the records that were found damaged."""


# Actions


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a stream to a node; then ``Connected``, or ``Closed`` with the reason."""

    link: LinkId
    member: MemberCode
    node: DirectoryNode


Sendable = Hello | Acks | Gap | LogAsk | LogPath | SliceAsk | Slice | DirectoriesHeld | Trust | Outbound


@dataclass(frozen=True, slots=True)
class Send:
    """Write one message; then ``Written``. A link has one at a time."""

    link: LinkId
    message: Sendable


@dataclass(frozen=True, slots=True)
class SetReading:
    """Read on from this link, or stop reading until told to."""

    link: LinkId
    on: bool


@dataclass(frozen=True, slots=True)
class Close:
    """End a link; the peer is told the code. Later events of this link are ignored."""

    link: LinkId
    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The hello of a link is over: from now on its node is served over it."""

    link: LinkId
    node: NodeUri
    dialled: bool
    offset: int
    """The peer's clock minus this one, in microseconds."""


NOBODY: Final = MemberCode("")


@dataclass(frozen=True, slots=True)
class RunStep:
    """Run a step of the broker in the store's writer; then ``StepDone``."""

    step: Step
    event: tuple[Any, ...] = ()
    link: LinkId | None = None
    """The link whose message caused the step, if any."""
    member: MemberCode = NOBODY
    """The member whose message caused the step; empty: none did."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Run a query on the committed rows; then ``QueryDone``."""

    query: Query
    event: tuple[Any, ...] = ()
    link: LinkId | None = None
    beside: bool = False
    """True if it may read a whole log: the answer is then a ``Work``, done beside all else to its end."""


@dataclass(frozen=True, slots=True)
class AskLogs:
    """Run a user's question about logs, whose turn has come, as if ``beside``; then ``LogsAsked``."""

    question: int


@dataclass(frozen=True, slots=True)
class WriteSidecar:
    """Write the log's position in the database into the file beside it; then ``SidecarWritten``."""

    clean: bool = False
    """True to add the mark of a clean stop: the very last thing."""


@dataclass(frozen=True, slots=True)
class Shred:
    """Shred everything that was overwritten, and remove the pieces of these files; then ``Shredded``."""

    files: tuple[FilePlace, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenPieces:
    """Make room for the pieces of a file, and check which are here; then ``PiecesOpened``."""

    place: FilePlace
    member: MemberCode
    """The member whose share of the room it takes."""
    size: int
    pieces: tuple[bytes, ...]
    """The hash of each piece."""


@dataclass(frozen=True, slots=True)
class WritePiece:
    """Write a piece durably, if it has this hash; then ``PieceWritten``.

    Pieces of all files are written in order.
    """

    place: FilePlace
    number: int
    parts: tuple[bytes, ...]
    expected: bytes


@dataclass(frozen=True, slots=True)
class ReadSlice:
    """Read ``length`` bytes of a file's pieces, for a link; then ``SliceRead``."""

    link: LinkId
    ask: SliceAsk
    place: FilePlace
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class RunChore:
    """Do a task of the driver's; then ``ChoreDone``."""

    chore: Chore


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Hand over ``TimerDue`` at this instant of the steady clock. It replaces the previous timer."""

    at: Instant


@dataclass(frozen=True, slots=True)
class HoldReserve:
    """Make the reserve file, then ``ReserveHeld``; or give it up (``on`` is false)."""

    on: bool


@dataclass(frozen=True, slots=True)
class SetRoom:
    """Tell steps and health that only ``free`` bytes are left of ``need``; with ``need`` 0 there is room."""

    free: int = 0
    need: int = 0


@dataclass(frozen=True, slots=True)
class SetHealth:
    """A code that prevents serving, or no longer does."""

    code: str
    on: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """A line for the log: ids, codes and counts only."""

    notice: Notice
    peer: NodeUri | None = None
    code: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class LogSaid:
    """The answer to ``SayLog``; ``error`` if it failed."""

    token: int
    error: IntelshareError | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """Accept no more calls and steps, and finish those that run; then ``Drained``."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The engine has come to its end; it gives no more actions."""


Action = (
    Dial
    | Send
    | SetReading
    | Close
    | Opened
    | RunStep
    | RunQuery
    | AskLogs
    | WriteSidecar
    | Shred
    | OpenPieces
    | WritePiece
    | ReadSlice
    | RunChore
    | SetTimer
    | HoldReserve
    | SetRoom
    | SetHealth
    | Tell
    | LogSaid
    | Drain
    | Stopped
)


# Events


@dataclass(frozen=True, slots=True)
class Started:
    """The node's incarnation is durable and its ports are open: start dialling and housekeeping."""


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
class Written:
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
    | TimerDue
    | NodeChanged
    | Accepted
    | Connected
    | Received
    | Unreadable
    | Written
    | Closed
    | StepDone
    | QueryDone
    | Committed
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
    | ReserveHeld
    | PolicyAvailable
    | Stop
    | Drained
)


@dataclass(frozen=True, slots=True)
class LinkState:
    """The state of the link to a peer node."""

    state: str
    """linked, dialling or waiting."""
    error: str = ""
    """The last code."""
    since: Instant = EPOCH
    """The wall time at which the link was opened; 0: there is none."""
    offset: int = 0
    """Its clock minus this one, in microseconds."""
    unacknowledged: int = 0
    """The statements that were sent and are not acknowledged."""
    seen: Instant = EPOCH
    """The wall time at which the last link to it ended; 0: none has since the start."""
    forgot: int = 0
    """Entries of this node's log that the peer holds and this node forgot, according to the peer's hello."""
    peer_forgot: int = 0
    """Numbers that the peer had given and forgot."""
