"""Attachments over links: what a recipient asks for and when, and what a sender answers.

The recipient pulls, so nothing is acknowledged or resent; after a break the transfer goes on with what is
missing.

    stage      of one file of one member at a time                                  next
    --------   ------------------------------------------------------------------   --------
    ASKING     a link is open: which file is wanted most, except those that wait    OPENING
               no file is wanted                                                    (ends)
    OPENING    it is known which of its pieces are here: some are missing           FETCHING
               none is missing: step "arrived"                                      ENDING
    FETCHING   a slice came: ask for the next; a piece is whole: write it
               the last missing piece is written: step "arrived"                    ENDING
               nothing came for long, a piece is wrong, no room, the peer has
               nothing: the file waits, longer each time                            ASKING
    ENDING     durable                                                              ASKING

A piece is checked where it is written. At most two pieces of a file are in memory, and at most
``Limits.files`` files are fetched at once. A sender reads one slice at a time, and none while two wait to be
written; a slice goes behind every other message of its link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from intelshare.broker.kernel.frame import SLICE, Slice, SliceAsk
from intelshare.broker.lifecycle.attachments import Kept, Wanted
from intelshare.crypto.pieces import PIECE, piece_span, sealed_size
from intelshare.delivery import Backoff
from intelshare.engine.actions import OpenPieces, ReadSlice, RunQuery, RunStep, Tell, WritePiece
from intelshare.engine.events import PiecesOpened, PieceWritten
from intelshare.engine.limits import RETRY
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice
from intelshare.errors import PASSING, DeliveryError, IntelshareError
from intelshare.ids import Digest, FilePlace, MemberCode
from intelshare.instant import EPOCH, SECOND, Instant

PER_PIECE: Final = PIECE // SLICE

SILENT: Final = 30 * SECOND
"""The time without a requested slice after which the file waits."""

IN_MEMORY: Final = 2
"""The pieces of one file that may be in assembly or being written."""


class FileStage(Enum):
    """The stage of a file, as in the table above."""

    ASKING = auto()
    OPENING = auto()
    FETCHING = auto()
    ENDING = auto()


@dataclass(slots=True)
class _Fetch:
    """The file that one member is being asked for."""

    link: LinkId
    stage: FileStage = FileStage.ASKING
    wanted: Wanted | None = None
    missing: deque[int] = field(default_factory=deque)
    """The pieces of which nothing has been requested yet, in order."""
    asked: deque[int] = field(default_factory=deque)
    """The slices that are on their way, in the order in which they come."""
    to_ask: deque[int] = field(default_factory=deque)
    """The remaining slices of the piece that is being requested."""
    parts: dict[int, list[bytes]] = field(default_factory=dict)
    """The slices of the pieces in assembly."""
    writing: set[int] = field(default_factory=set)
    heard: Instant = EPOCH
    """When the last slice came, on the steady clock."""
    woken: bool = False
    """More has come to be wanted since it was asked which file is: the answer may not know of it."""

    @property
    def over(self) -> bool:
        return not (self.missing or self.asked or self.to_ask or self.writing)


class Fetching:
    """The fetching of files from all members: one file of each at a time, the most urgent first."""

    def __init__(self) -> None:
        self._from: dict[MemberCode, _Fetch] = {}
        self._may: set[MemberCode] = set()
        """The members from which a file may be wanted that does not wait."""
        self._last = MemberCode("")
        """The member that had the last turn."""
        self._later: dict[FilePlace, tuple[Instant, MemberCode]] = {}
        """The files that wait: until when, on the steady clock, and from which member."""
        self._failures: dict[FilePlace, Backoff] = {}
        self._removed: set[FilePlace] = set()
        """The files whose pieces were removed: nothing of them is written any more."""

    def wake(self, turn: Turn, members: Iterable[MemberCode]) -> None:
        """Note that a link to these members has opened, or that a file is wanted from them."""
        if turn.parts.dividing.leads:
            for member in members:
                self._may.add(member)
                if member in self._from:
                    self._from[member].woken = True
            self._next(turn)

    def look(self, turn: Turn, members: Iterable[MemberCode]) -> None:
        """Look for files that are wanted from members whose links others have: they are called home."""
        if turn.parts.dividing.leads:
            for member in members:
                if not turn.parts.dividing.has(member):
                    turn.do(RunQuery(Query.FIRST_WANTED, (member, ())))

    def wants(self) -> frozenset[MemberCode]:
        """Return the members from which files may be wanted."""
        return frozenset((*self._may, *self._from, *[member for _, member in self._later.values()]))

    def _next(self, turn: Turn) -> None:
        """Begin with the next file. Members take turns, so that none waits for all files of the others."""
        for member in sorted(self._may, key=lambda member: (member <= self._last, member)):
            link = turn.parts.links.of_member(member)
            room = len(self._from) < turn.parts.limits.files and not turn.parts.stopping.begun
            if link is not None and member not in self._from and room:
                self._from[member], self._last = _Fetch(link.number), member
                waiting = tuple(sorted({*self._later, *self._removed}))
                turn.do(RunQuery(Query.FIRST_WANTED, (member, waiting), link.number))

    def found(self, turn: Turn, run: RunQuery, wanted: Wanted | IntelshareError | None) -> None:
        """Begin with the file that is wanted most from a member; None: there is none that does not wait."""
        member = run.event[0]
        if run.link is None:
            if isinstance(wanted, Wanted):
                self.wake(turn, [member])
            return
        fetch = self._from.get(member)
        if fetch is None or fetch.link != run.link or fetch.stage is not FileStage.ASKING:
            return
        if isinstance(wanted, Wanted):
            fetch.stage, fetch.wanted = FileStage.OPENING, wanted
            turn.do(OpenPieces(wanted.place, member, wanted.size, wanted.pieces))
            return
        del self._from[member]
        if wanted is not None or not fetch.woken:
            self._may.discard(member)
        if wanted is not None:
            turn.do(Tell(Notice.STEP_FAILED, code=wanted.code))
        self._next(turn)

    def opened(self, turn: Turn, event: PiecesOpened) -> None:
        """Request the missing pieces of a file."""
        member, fetch = self._at(event.place, FileStage.OPENING)
        if fetch is None:
            return
        if event.error is not None:
            self._wait(turn, member, event.error)
            return
        fetch.stage, fetch.heard = FileStage.FETCHING, turn.now.steady
        fetch.missing.extend(event.missing)
        self._go_on(turn, fetch)

    def came(self, turn: Turn, link: LinkId, member: MemberCode, message: Slice) -> bool:
        """Take a slice; return True if it was requested.

        Slices come in the order of the requests; any other belongs to an earlier request.
        """
        fetch = self._from.get(member)
        if fetch is None or fetch.link != link or fetch.wanted is None or not fetch.asked:
            return False
        if (fetch.wanted.pieces_id, fetch.asked[0]) != (message.pieces, message.number):
            return False
        fetch.asked.popleft()
        fetch.heard = turn.now.steady
        if len(message.data) != length_of(fetch.wanted, message.number):
            self._wait(turn, member, DeliveryError("NOT_FOUND", "the peer does not have this file now"))
            return True
        number = message.number // PER_PIECE
        parts = fetch.parts.setdefault(number, [])
        parts.append(message.data)
        if len(parts) == slices_of(fetch.wanted, number):
            del fetch.parts[number]
            fetch.writing.add(number)
            turn.do(WritePiece(fetch.wanted.place, number, tuple(parts), fetch.wanted.pieces[number]))
        self._go_on(turn, fetch)
        return True

    def written(self, turn: Turn, event: PieceWritten) -> None:
        """Go on after a piece is durable, could not be written, or is the wrong one."""
        member, fetch = self._at(event.place, FileStage.FETCHING)
        if fetch is None:
            return
        fetch.writing.discard(event.number)
        if event.error is not None:
            self._wait(turn, member, event.error)
            return
        self._failures.pop(event.place, None)
        self._go_on(turn, fetch)

    def arrived(self, turn: Turn, place: FilePlace, error: IntelshareError | None) -> None:
        """Go on after it is durable that a file is whole."""
        member, fetch = self._at(place, FileStage.ENDING)
        if fetch is None:
            return
        if error is not None:
            self._wait(turn, member, error)
            return
        del self._from[member]
        self._next(turn)

    def dropped(self, turn: Turn, link: LinkId) -> None:
        """End the fetches over a link that has ended. The missing pieces are requested over the next one."""
        for member, fetch in list(self._from.items()):
            if fetch.link == link:
                del self._from[member]
                self._may.add(member)
        self._next(turn)

    def removed(self, turn: Turn, places: Sequence[FilePlace]) -> None:
        """Stop fetching these files, whose pieces are about to be removed."""
        self._removed.update(places)
        for place in places:
            self._later.pop(place, None)
            self._failures.pop(place, None)
        for member, fetch in list(self._from.items()):
            if fetch.wanted is not None and fetch.wanted.place in self._removed:
                del self._from[member]
        self._next(turn)

    def forgotten(self, places: Sequence[FilePlace]) -> None:
        """Note that the rows of these files are gone too."""
        self._removed.difference_update(places)

    def tick(self, turn: Turn) -> None:
        """Resume files that have waited long enough, and stop waiting for a slice that is overdue."""
        now = turn.now.steady
        for place, (at, member) in list(self._later.items()):
            if at <= now:
                del self._later[place]
                self._may.add(member)
        for member, fetch in list(self._from.items()):
            if fetch.asked and now - fetch.heard >= SILENT:
                self._wait(turn, member, DeliveryError("TIMED_OUT", "a part of a file did not come"))
        self._next(turn)

    def next_at(self) -> Instant | None:
        """Return when to look again."""
        if not self._from and not self._later:
            return None
        times = [Instant(fetch.heard + SILENT) for fetch in self._from.values() if fetch.asked]
        return min([*times, *(at for at, _ in self._later.values())] if self._later else times, default=None)

    def _at(self, place: FilePlace, stage: FileStage) -> tuple[MemberCode, _Fetch | None]:
        for member, fetch in self._from.items():
            if fetch.stage is stage and fetch.wanted is not None and fetch.wanted.place == place:
                return member, fetch
        return MemberCode(""), None

    def _go_on(self, turn: Turn, fetch: _Fetch) -> None:
        """Request as many slices as may be on their way; if nothing is missing, the file has arrived."""
        wanted, link = fetch.wanted, turn.parts.links.get(fetch.link)
        if wanted is None or link is None:
            return
        while len(fetch.asked) < turn.parts.limits.slices:
            if not fetch.to_ask:
                if not fetch.missing or len(fetch.parts) + len(fetch.writing) >= IN_MEMORY:
                    break
                number = fetch.missing.popleft()
                fetch.parts[number] = []
                first = number * PER_PIECE
                fetch.to_ask.extend(range(first, first + slices_of(wanted, number)))
            if not fetch.asked:
                fetch.heard = turn.now.steady
            fetch.asked.append(fetch.to_ask[0])
            link.ask_for_slice(turn, SliceAsk(wanted.pieces_id, fetch.to_ask.popleft()))
        if fetch.over:
            fetch.stage = FileStage.ENDING
            turn.do(RunStep(Step.ARRIVED, (wanted.place,)))

    def _wait(self, turn: Turn, member: MemberCode, error: IntelshareError) -> None:
        """Let this file wait: a second if there is no room, longer each time for anything else."""
        fetch, now = self._from.pop(member), turn.now.steady
        assert fetch.wanted is not None  # noqa: S101 - the table: past ASKING
        place = fetch.wanted.place
        pause = RETRY
        if error.code not in PASSING:
            failed = self._failures.get(place, Backoff(contact=now)).failed()
            self._failures[place] = failed
            pause += failed.delay(now, turn.parts.random)
            turn.do(Tell(Notice.FILE_WAITS, code=error.code))
        self._later[place] = Instant(now + pause), member
        self._next(turn)


class Serving:
    """The slices that the peer of one link has requested, served one after the other."""

    def __init__(self) -> None:
        self._asks: deque[SliceAsk] = deque()
        self._busy = False
        self._known: dict[Digest, tuple[Kept | None, Instant]] = {}
        """The files that the peer may have, and until when that answer holds."""

    def asked(self, turn: Turn, ask: SliceAsk) -> None:
        """Queue a request for a slice. Raises DeliveryError RATE if there are too many at once."""
        if len(self._asks) >= turn.parts.limits.slices_asked:
            raise DeliveryError("RATE", f"more than {turn.parts.limits.slices_asked} parts of files at once")
        self._asks.append(ask)

    def go_on(self, turn: Turn, link: LinkId, member: MemberCode) -> Slice | None:
        """Go on with the next slice; return it if it can be answered at once."""
        if self._busy or not self._asks:
            return None
        ask = self._asks[0]
        kept, until = self._known.get(ask.pieces, (None, EPOCH))
        if until <= turn.now.steady:
            self._busy = True
            turn.do(RunQuery(Query.SERVES, (member, ask.pieces), link))
            return None
        self._asks.popleft()
        if kept is None or ask.number * SLICE >= sealed_size(kept.size):
            return Slice(ask.pieces, ask.number, b"")
        self._busy = True
        start = ask.number * SLICE
        end = min(start + SLICE, sealed_size(kept.size))
        turn.do(ReadSlice(link, ask, kept.place, start, end - start))
        return None

    def serves(self, turn: Turn, pieces: Digest, kept: Kept | None) -> None:
        """Note for a second that the peer may have a file, or may not."""
        self._busy = False
        self._known = {known: told for known, told in self._known.items() if told[1] > turn.now.steady}
        self._known[pieces] = kept, Instant(turn.now.steady + SECOND)

    def read(self) -> None:
        """Note that the slice has been read."""
        self._busy = False


def slices_of(wanted: Wanted, number: int) -> int:
    """Return the number of slices of a piece."""
    start, end = piece_span(wanted.size, number)
    return -(-(end - start) // SLICE)


def length_of(wanted: Wanted, number: int) -> int:
    """Return the bytes of a slice."""
    return min(SLICE, sealed_size(wanted.size) - number * SLICE)
