"""The driver of one process's engine over virtual time, network and disk. It decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from intelshare.audit.work import Work
from intelshare.broker.kernel.frame import Outbound, Slice
from intelshare.crypto.suites import Signer
from intelshare.engine import QUERIES, Engine, Event, LinkId, Now, Step
from intelshare.engine.actions import (
    Claim,
    Close,
    ConfirmClock,
    Dial,
    Drain,
    HoldReserve,
    NoteMended,
    Opened,
    OpenPieces,
    PassOn,
    ReadSlice,
    RunChore,
    RunQuery,
    RunStep,
    Send,
    SetReading,
    SetRoom,
    SetTimer,
    Shred,
    Stopped,
    Tell,
    WritePiece,
    WriteSidecar,
)
from intelshare.engine.events import (
    Accepted,
    ChoreDone,
    Closed,
    Connected,
    Covered,
    Drained,
    MessageWritten,
    QueryDone,
    ReserveHeld,
    Shredded,
    SidecarWritten,
    SliceRead,
    Space,
    StepDone,
    TimerDue,
)
from intelshare.engine.values import Chore, Notice
from intelshare.errors import IntelshareError, StoreError
from intelshare.ids import Incarnation, KeyId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import durable_after_commit
from intelshare.sim.attempts import Attempts
from intelshare.sim.mending import damage_found, note_mended
from intelshare.sim.network import Network
from intelshare.sim.rotation import renew_if_due
from intelshare.sim.stream import Stream
from intelshare.trust import Channel
from intelshare.wire import link_message

if TYPE_CHECKING:
    from intelshare.sim.process import Process

LEAF: Final = bytes(32)
"""The digest of the dialler's certificate, which does not exist here."""


class Driver:
    """The driver of one process."""

    def __init__(self, process: Process, network: Network) -> None:
        machine = process.machine
        self.engine = Engine(
            process.node,
            self._signer,
            process.random,
            leads=process.leads,
            dials=machine.dials,
            limits=machine.limits,
            stop_order=machine.bug.stop_order,
            dialling=machine.bug.dialling,
        )
        self._attempts = Attempts(process.name)
        self.links: dict[MemberCode, Stream] = {}
        """The links that are open."""
        self._process = process
        self._network = network
        self._streams: dict[LinkId, Stream | None] = {}
        """The streams by link; None if dialled but not yet connected."""
        self._events: deque[Event] = deque()
        self._feeding = False
        self._timer = 0
        self._covered: Covered | None = None
        """The state of the sidecar as the engine knows it."""

    def _signer(self, key_id: KeyId) -> Signer:
        return self._process.keys.signer(key_id)

    def feed(self, event: Event) -> None:
        """Hand an event to the engine, and carry out the resulting actions."""
        self._events.append(event)
        self.go_on()

    def go_on(self) -> None:
        """Handle what waits, unless the process is frozen."""
        if self._feeding or self._process.frozen:
            return
        self._feeding = True
        process = self._process
        # No time passes in here.
        read = process.clock.read()
        now = Now(read.now, Instant(process.heap.now), read.believed, read.confirmed)
        self._attempts.left_out(process.node.trust.excluded)
        try:
            while self._events and process.alive and not process.frozen:
                for action in self.engine.handle(self._events.popleft(), process.node, now):
                    do = _DO.get(type(action))
                    if do is not None and process.alive:
                        do(self, action)
        finally:
            self._feeding = False

    def _run_step(self, run: RunStep) -> None:
        def done(answer: Any) -> None:
            if run.step is Step.EXPIRE:
                self._process.oracle.expired(self._process)
            self.feed(StepDone(run, durable_after_commit(answer)))

        def refused(error: IntelshareError) -> None:
            expected = run.step is Step.ACCEPT_HELLO or error.code in _OUTCOMES
            if not expected and self._process.machine.hostile is None:
                raise error
            if error.code == "DISK_FULL":
                self._process.heap.after(0, self._found_full)
            if not self._process.machine.bug.loops_end:
                self.feed(StepDone(run, error))

        self._process.perform(run.step, *run.event, then=done, refused=refused)

    def _run_query(self, run: RunQuery) -> None:
        process = self._process
        view = process.rows(checked=not run.beside)
        try:
            answer = QUERIES[run.query](process.node, view, *run.event, process.now())
        except IntelshareError as error:
            answer = error
        if run.beside:
            self._go_on(run, answer)
        else:
            self.feed(QueryDone(run, answer))

    def _go_on(self, run: RunQuery, work: Work[Any]) -> None:
        """Do the next part of the work, in parallel with everything else, whatever happens to the link that
        asked.
        """
        if not self._process.alive:
            return
        try:
            next(work)
        except StopIteration as end:
            self.feed(QueryDone(run, end.value))
        else:
            self._process.heap.after(self._process.machine.page, lambda: self._go_on(run, work))

    def _dial(self, dial: Dial) -> None:
        self._streams[dial.link] = None
        if self._process.machine.hostile is None:
            self._attempts.dials(dial.member, self._process.heap.now)
        way = self._network.way(self._process.name, dial.member)
        self._process.heap.after(way, lambda: self._connect(dial))

    def _connect(self, dial: Dial) -> None:
        other = self._process.machine.others[dial.member].process
        if not self._process.alive or dial.link not in self._streams:
            return
        cut = self._network.is_cut(self._process.name, dial.member) or self._network.is_cut(
            dial.member, self._process.name
        )
        if cut or other is None or not other.serving or not other.alive:
            del self._streams[dial.link]
            self.feed(Closed(dial.link, "UNREACHABLE"))
            return
        mine, theirs = (
            Stream(self._process, dial.member, dial.link),
            Stream(other, self._process.name, other.driver.engine.new_link()),
        )
        mine.wire = theirs.wire = self._network.open(mine, theirs)
        self._streams[mine.link] = mine
        channel = Channel(self._process.node.uri, other.node.uri, LEAF)
        other.driver.accept(
            theirs, Accepted(theirs.link, MemberCode(self._process.name), self._process.node.uri, channel)
        )
        self.feed(Connected(mine.link, channel))

    def accept(self, stream: Stream, event: Accepted) -> None:
        """Handle that a peer has dialled."""
        self._streams[stream.link] = stream
        self._attempts.excused()
        self.feed(event)

    def lost(self, stream: Stream) -> None:
        """Handle that a connection is known to be gone."""
        self._streams.pop(stream.link, None)
        if self.links.get(stream.peer) is stream:
            del self.links[stream.peer]
            now = self._process.heap.now
            self._attempts.ended(stream.peer, now - stream.opened, now)

    def _opened(self, opened: Opened) -> None:
        stream = self._streams[opened.link]
        if stream is not None:
            self.links[stream.peer] = stream
            stream.opened = self._process.heap.now
            self._attempts.opened(stream.peer)
            self._network.linked(self._process.name, stream.peer)

    def _close(self, close: Close) -> None:
        stream = self._streams.pop(close.link, None)
        if stream is not None:
            self._process.heap.note(
                "closes", self._process.name, stream.peer, close.error.code if close.error else ""
            )
            self.lost(stream)
            stream.close()

    def _send(self, send: Send) -> None:
        stream, message = self._streams.get(send.link), send.message
        if stream is not None:
            if isinstance(message, Outbound):
                self._process.oracle.sent(self._process, message)
            elif isinstance(message, Slice):
                self._process.oracle.sliced(self._process, stream.peer, message)
            hostile = self._process.machine.hostile
            if hostile is None:
                stream.send(link_message(message, self._process.now()))
            else:
                for one in hostile.says(self._process, stream.peer, message):
                    stream.send(one)
            self.feed(MessageWritten(send.link))

    def _set_reading(self, action: SetReading) -> None:
        stream = self._streams.get(action.link)
        if stream is not None:
            stream.reading = action.on
            if action.on:
                self._process.heap.after(0, stream.read)

    def _set_timer(self, timer: SetTimer) -> None:
        self._timer += 1
        number = self._timer
        self._process.heap.after(
            timer.at - self._process.heap.now,
            lambda: self.feed(TimerDue()) if number == self._timer else None,
        )

    def _write_sidecar(self, run: WriteSidecar) -> None:
        def written() -> None:
            self._tell_covered()
            self.feed(SidecarWritten(run))

        if self._process.machine.room.free <= 0:
            self.feed(SidecarWritten(run, StoreError("DISK_FULL", "the disk is full")))
            self._found_full()
            return
        process = self._process
        if "checkpoint" in process.machine.bug.early and not run.clean:
            # The bug is that nobody waits for it: it is written all the same.
            process.remember(lambda: None, clean=False)
            written()
        else:
            process.remember(written, clean=run.clean)

    def _shred(self, shred: Shred) -> None:
        machine = self._process.machine

        def shredded() -> None:
            machine.pieces.remove(shred.files)
            self.feed(Shredded())

        self._process.shred(shredded)

    def _open_pieces(self, action: OpenPieces) -> None:
        self._soon(0, lambda: self._process.machine.pieces.open(action))

    def _write_piece(self, action: WritePiece) -> None:
        self._soon(self._process.machine.sync, lambda: self._process.machine.pieces.write(action))

    def _read_slice(self, action: ReadSlice) -> None:
        self._soon(0, lambda: SliceRead(action, self._process.machine.pieces.read(action)))

    def _soon(self, after: int, do: Callable[[], Event]) -> None:
        """Let the disk do something; a crash in between leaves it undone."""
        self._process.heap.after(after, lambda: self.feed(do()) if self._process.alive else None)

    def _tell(self, tell: Tell) -> None:
        self._process.heap.note(tell.notice, self._process.name, tell.peer or "", tell.code, tell.count)
        self._process.oracle.printed(self._process.name, tell)
        if tell.notice is Notice.DIAL_FAILED:
            self._attempts.excused()
        if tell.notice is Notice.REJECTED_BY_PEER:
            self._process.oracle.rejected(tell.code)

    def _run_chore(self, run: RunChore) -> None:
        if run.chore is Chore.SPACE:
            self.feed(self._process.machine.room.look())
            self.feed(ChoreDone(run.chore))
        elif run.chore is Chore.MEND:
            self.feed(damage_found(self._process))
            self.feed(ChoreDone(run.chore))
        elif run.chore is Chore.TELL:
            self._tell_covered()
            self.feed(ChoreDone(run.chore))
        elif run.chore is Chore.POLICY and not self._process.leads:
            self._process.look_at_vault()
            self.feed(ChoreDone(run.chore))
        elif run.chore is Chore.RENEW:
            renew_if_due(self._process)
            self.feed(ChoreDone(run.chore))

    def _tell_covered(self) -> None:
        sidecar, bug = self._process.machine.sidecar, self._process.machine.bug
        if sidecar is not None:
            waits = bug.waits_for_sidecar and "checkpoint" not in bug.early
            size = sidecar.size if waits else 1 << 60
            covered = Covered(Incarnation(sidecar.incarnation), size)
            if covered != self._covered:
                self._covered = covered
                self.feed(covered)

    def _confirm_clock(self, _: ConfirmClock) -> None:
        self._process.clock.confirm()

    def _note_mended(self, action: NoteMended) -> None:
        note_mended(self._process, action.mended)

    def _hold_reserve(self, hold: HoldReserve) -> None:
        there_was_room = self._process.machine.room.hold(on=hold.on)
        if hold.on:
            self._soon(0, lambda: ReserveHeld(there_was_room))

    def _set_room(self, room: SetRoom) -> None:
        self._process.set_room(room.free, room.need)

    def _found_full(self) -> None:
        if self._process.alive:
            self.feed(Space(0, self._process.machine.room.reserve))

    def _claim(self, claim: Claim) -> None:
        self._process.claim(claim)

    def _pass_on(self, action: PassOn) -> None:
        self._process.pass_on(action)

    def _drain(self, _: Drain) -> None:
        self._process.drain(lambda: self.feed(Drained()))

    def _stopped(self, _: Stopped) -> None:
        self._process.stopped()

    def woken(self) -> None:
        """Go on: while it was frozen nothing could be dialled."""
        self._attempts.excused()
        self.go_on()

    def divided(self) -> None:
        """Note that other links are this process's: it dials others than before."""
        self._attempts.excused()

    def died(self) -> None:
        """Let the other sides of its streams notice some time later: the process is gone."""
        for stream in self._streams.values():
            if stream is not None and stream.wire is not None:
                other = stream.wire.ends[stream.wire.other(stream.name)]
                self._process.heap.after(self._network.notice(), other.broken)


_DO: Final[Mapping[type[Any], Callable[[Driver, Any], None]]] = {
    Claim: Driver._claim,
    PassOn: Driver._pass_on,
    Dial: Driver._dial,
    OpenPieces: Driver._open_pieces,
    Opened: Driver._opened,
    ReadSlice: Driver._read_slice,
    Close: Driver._close,
    ConfirmClock: Driver._confirm_clock,
    Send: Driver._send,
    SetReading: Driver._set_reading,
    RunStep: Driver._run_step,
    HoldReserve: Driver._hold_reserve,
    NoteMended: Driver._note_mended,
    RunChore: Driver._run_chore,
    RunQuery: Driver._run_query,
    SetRoom: Driver._set_room,
    WritePiece: Driver._write_piece,
    WriteSidecar: Driver._write_sidecar,
    Shred: Driver._shred,
    SetTimer: Driver._set_timer,
    Tell: Driver._tell,
    Drain: Driver._drain,
    Stopped: Driver._stopped,
}
"""The methods that carry out actions. Nobody here reads health or asks about logs, and of a driver's chores
only the look at the disk and the mending ever end.
"""

_OUTCOMES: Final = frozenset(("RECORD_CORRUPT", "PEER_REVOKED", "DISK_FULL", "STORE_UNAVAILABLE"))
"""The errors of steps that a node survives."""
