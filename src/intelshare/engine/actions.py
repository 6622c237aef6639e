"""The output of an engine: what its driver is to do, frozen values, one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import Acks, Gap, Hello, Outbound, Slice, SliceAsk
from intelshare.broker.lifecycle.mend import Mended
from intelshare.crypto.records import Trust
from intelshare.engine.steps import Query, Step
from intelshare.engine.values import Chore, LinkId, Notice
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.trust import DirectoriesHeld, DirectoryNode


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
class ConfirmClock:
    """Most linked members agree with the wall clock: what ends by it may be destroyed from now on."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The hello of a link is over: from now on its node is served over it."""

    link: LinkId
    node: NodeUri
    dialled: bool
    offset: int
    """The peer's clock minus this one, in microseconds."""


NOBODY: Final = MemberCode("")
"""No member: what was not caused by any."""


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
class NoteMended:
    """Log what became of damaged records; those that are settled are no longer damaged."""

    mended: tuple[Mended, ...]


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Hand over ``TimerDue`` at this instant of the steady clock. It replaces the previous timer."""

    at: Instant


@dataclass(frozen=True, slots=True)
class HoldReserve:
    """Make the reserve file, then ``ReserveHeld``; or give it up (``on`` is false)."""

    on: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold these members and give up all others; then ``Divided``, which comes each time that is looked at.

    Who gives one up has ended its links.
    """

    members: frozenset[MemberCode] = frozenset()
    """All that are divided."""
    hold: frozenset[MemberCode] = frozenset()
    call: frozenset[MemberCode] = frozenset()
    """The members that other replicas are to give up."""
    part: bool = True
    """False: this replica takes no more part."""


@dataclass(frozen=True, slots=True)
class PassOn:
    """Tell the replica that holds a member what to ask it, or the others what it says; it may be lost."""

    member: MemberCode
    message: Gap | LogAsk | Instant | None
    """An instant: the member's time now, by its link. None: the member says that a key does not count with
    which something was signed that waits.
    """


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
    | ConfirmClock
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
    | NoteMended
    | SetTimer
    | HoldReserve
    | Claim
    | PassOn
    | SetRoom
    | SetHealth
    | Tell
    | LogSaid
    | Drain
    | Stopped
)
