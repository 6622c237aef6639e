"""The asyncio driver of a node's engine: carries out its actions, and feeds the outcomes back to it.

It makes no decisions (``engine`` does). While the node runs, only a dial is ever cancelled: a step whose link
has ended is carried out, and a thread that reads a log finishes before the next question is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Final, TypeVar

import grpc

from intelshare.audit.work import finish
from intelshare.broker.kernel.effects import HasEffects
from intelshare.engine import QUERIES, BudgetState, Engine, Event, Limits, LinkId, LinkReport, Now
from intelshare.engine.actions import (
    AskLogs,
    Claim,
    Close,
    ConfirmClock,
    Dial,
    Drain,
    HoldReserve,
    LogSaid,
    NoteMended,
    Opened,
    OpenPieces,
    PassOn,
    ReadSlice,
    RunChore,
    RunQuery,
    RunStep,
    Send,
    SetHealth,
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
    Committed,
    Connected,
    Drained,
    LogQuestion,
    LogsAsked,
    NodeChanged,
    PiecesOpened,
    PieceWritten,
    QueryDone,
    Ready,
    ReserveHeld,
    SayLog,
    Shredded,
    SidecarWritten,
    SliceRead,
    Started,
    StepDone,
    Stop,
    TimerDue,
)
from intelshare.engine.values import Chore
from intelshare.errors import PASSING, IntelshareError, StoreError, code_of_peer
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import SECOND, Instant
from intelshare.node.authn import Context, PeerCaller
from intelshare.node.dial import dial
from intelshare.node.events import Event as Logged
from intelshare.node.notices import write_notice
from intelshare.node.resolve import Resolver
from intelshare.node.runtime import Runtime, effects_of
from intelshare.node.streams import Stream
from intelshare.ports import Durable, NoMoreStepsError, Plan, View
from intelshare.private_files import folder_error, shortage
from intelshare.trust import Channel
from intelshare.wire import refused_in_tls

L = TypeVar("L", bound=HasEffects)
T = TypeVar("T")


class Files:
    """The engine's requests to the data folder; ``housekeeping`` carries them out, offline nothing does."""

    async def write_sidecar(self, *, clean: bool) -> None:
        """Write the state of the log. Raises StoreError DISK_FULL, DISK_ERROR."""

    async def chore(self, chore: Chore) -> bool:
        """Do a chore; return true if it brought something new."""
        del chore
        return False

    async def hold_reserve(self, *, on: bool) -> bool:
        """Make the reserve, or give it up; return true if there was room. Raises StoreError DISK_ERROR."""
        del on
        return True

    async def drain(self) -> None:
        """Accept no more calls and steps, and finish those that run."""


class Links:
    """The engine of one node, and what the node's services ask of it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.engine = Engine(
            runtime.node,
            runtime.vault.signer,
            runtime.random,
            leads=runtime.leads,
            dials=runtime.settings.dials,
            limits=Limits(budgets=runtime.settings.budgets, space=runtime.settings.space),
        )
        self.files = Files()
        self.perform: Callable[[RunStep], Awaitable[Any]] = runtime.perform
        """Carries out a step of the engine."""
        self.claim: Callable[[Claim], None] = lambda _: None
        """Claims members for this replica (``following``)."""
        self.pass_on: Callable[[PassOn], None] = lambda _: None
        """Tells the other replicas something (``following``)."""
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a stop is complete."""
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._feeding = False
        self._closed = False
        self._streams: dict[LinkId, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._log_reader = ThreadPoolExecutor(1, "log-reader")
        self._resolver = Resolver(allow_loopback=runtime.settings.allow_loopback_peers)
        self._tokens = count(1)
        self._said: dict[int, asyncio.Future[None]] = {}
        self._questions: dict[int, tuple[Callable[[View], Any], asyncio.Future[Any]]] = {}
        runtime.may_log = self._may_log
        runtime.on_trust.append(lambda: self.feed(NodeChanged()))

    # For services

    async def act(self, step: Callable[..., Plan[L]], *event: object) -> Durable[L]:
        """Carry out a step and its effects. Raises what the step raises, and StoreError."""
        done = await self._runtime.step(step, *event)
        self.feed(Committed(done.part(effects_of)))
        return done

    def wake(self, *members: MemberCode) -> None:
        """Note that pairs for these members may be ready for hand-over."""
        self.feed(Ready(members))

    async def say_log(self) -> None:
        """Sign and send the current state of the log. Raises StoreError."""
        token = next(self._tokens)
        said = self._said[token] = self._loop.create_future()
        self.feed(SayLog(token))
        await said

    async def over_logs(self, question: Callable[[View], T]) -> T:
        """Answer a question about this node's logs. It may read a whole log, so one question is asked at a
        time.

        A caller that is cancelled gets no answer; its question, once begun, is still completed.
        """
        number = next(self._tokens)
        answered: asyncio.Future[T] = self._loop.create_future()
        self._questions[number] = question, answered
        self.feed(LogQuestion(number))
        return await answered

    def state(self, node: NodeUri) -> LinkReport:
        """Return the state of the connection to a peer node."""
        return self.engine.state(node, self._now())

    def budgets(self, member: MemberCode) -> list[tuple[BudgetState, int]]:
        """Return the budgets that a peer has exceeded, each with the microseconds until it is open again."""
        steady = self.steady()
        states = self.engine.budgets(member, steady)
        return [(one, max(0, one.again - steady) if one.again else 0) for one in states]

    def _may_log(self, member: MemberCode) -> bool:
        """Return true if a line about a peer may be written; first log how many were left out before."""
        left_out = self.engine.line(member, self.steady())
        if left_out:
            self._runtime.log.warning(Logged.LINES_LEFT_OUT, member=member, count=left_out)
        return left_out is not None

    def steady(self) -> Instant:
        """Return the time of a clock that never jumps."""
        return Instant(int(self._loop.time() * SECOND))

    async def serve(self, caller: PeerCaller, context: Context) -> None:
        """Serve a Link call on the peer port. Raises the error that ends it."""
        link = self.engine.new_link()
        stream = self._streams[link] = Stream(link, self.feed)
        channel = Channel(caller.node, self._runtime.node.uri, caller.leaf)
        self.feed(Accepted(link, caller.member, caller.node, channel, caller.certificate, caller.between))
        code = ""
        try:
            await stream.run(context)
        except Exception as error:
            code = _code_of(error)
            raise
        finally:
            self._streams.pop(link, None)
            self.feed(Closed(link, code))

    # The driver

    def start(self) -> None:
        """Dial peers, and start the chores."""
        self.feed(Started())

    def stop(self) -> None:
        """Begin an orderly stop; ``stopped`` is done when it is complete."""
        self.feed(Stop())

    async def settle(self) -> None:
        """Wait until all work that was begun has ended, and what followed from it."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Close all links after the store was drained: whatever still waits is abandoned."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for stream in list(self._streams.values()):
            stream.end()
        await asyncio.to_thread(self._log_reader.shutdown, cancel_futures=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def feed(self, event: Event) -> None:
        """Hand an event to the engine, and carry out the actions that follow."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                runtime = self._runtime
                for action in self.engine.handle(self._events.popleft(), runtime.node, self._now()):
                    _DO[type(action)](self, action)
        except Exception as error:
            self.fail(error)
        finally:
            self._feeding = False

    def _now(self) -> Now:
        read = self._runtime.clock.read()
        return Now(read.now, self.steady(), read.believed, read.confirmed)

    def fail(self, error: BaseException) -> None:
        """End the node because of a defect, or of an error that nobody handles."""
        if isinstance(error, NoMoreStepsError):
            return  # It ends already: what it would still have written is left to the next start.
        gone = folder_error(error, self._runtime.folder.root)
        if gone is not None:
            self._runtime.noticed(gone)
        if gone is not None or self._closed:  # once closed, what fails fails because the node has ended
            return
        self._runtime.log.error(Logged.DEFECT, exception=type(error).__name__)
        if not self._runtime.failed.done():
            known = isinstance(error, IntelshareError)
            self._runtime.failed.set_result(error if known else StoreError("INTERNAL", repr(error)))  # type: ignore[arg-type]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _tell_when_done(self, work: Awaitable[T], event: Callable[[T | IntelshareError], Event]) -> None:
        """Feed the outcome of some work, which may be an error, to the engine."""

        async def run() -> None:
            answer: T | IntelshareError
            try:
                answer = await work
            except IntelshareError as error:
                answer = error
            except (OSError, MemoryError, RuntimeError) as error:
                short = shortage(error)
                if short is None:
                    raise
                self._runtime.lacks("work", short.code)
                answer = short
            else:
                self._runtime.lacks("work")
            self.feed(event(answer))

        self._spawn(run())

    def _run_step(self, run: RunStep) -> None:
        self._tell_when_done(self.perform(run), lambda answer: StepDone(run, answer))

    def _run_query(self, run: RunQuery) -> None:
        self._tell_when_done(self._query(run), lambda answer: QueryDone(run, answer))

    async def _query(self, run: RunQuery) -> Any:
        runtime = self._runtime

        def question(view: View) -> Any:
            return QUERIES[run.query](runtime.node, view, *run.event, runtime.now())

        if run.beside:
            return await self._loop.run_in_executor(
                self._log_reader, runtime.store.ask_now, lambda view: finish(question(view))
            )
        return runtime.store.ask_now(question)

    def _ask_logs(self, ask: AskLogs) -> None:
        self._spawn(self._over_logs(ask.question))

    async def _over_logs(self, number: int) -> None:
        question, answered = self._questions.pop(number)
        try:
            if not answered.cancelled():
                answer = await self._loop.run_in_executor(
                    self._log_reader, self._runtime.store.ask_now, question
                )
                if not answered.cancelled():
                    answered.set_result(answer)
        except Exception as error:
            if not answered.cancelled():
                answered.set_exception(error)
        finally:
            self.feed(LogsAsked(number))

    def _dial(self, action: Dial) -> None:
        stream = self._streams[action.link] = Stream(action.link, self.feed)
        stream.dial = self._spawn(self._open(action, stream))

    async def _open(self, action: Dial, stream: Stream) -> None:
        code = ""
        try:
            async with dial(self._runtime, self._resolver, action.member, action.node) as (call, channel):
                self.feed(Connected(action.link, channel))
                await stream.run(call)
        except (IntelshareError, grpc.aio.AioRpcError, OSError) as error:
            code = _code_of(error)
        finally:
            self._streams.pop(action.link, None)
            self.feed(Closed(action.link, code))

    def _opened(self, opened: Opened) -> None:
        role = "dialler" if opened.dialled else "acceptor"
        self._runtime.log.info(Logged.LINK_OPENED, peer=opened.node, role=role, clock_offset_us=opened.offset)

    def _close(self, close: Close) -> None:
        if (stream := self._streams.get(close.link)) is not None:
            stream.end(close.error)

    def _send(self, send: Send) -> None:
        if (stream := self._streams.get(send.link)) is not None:
            stream.send(send.message, self._runtime.now())

    def _set_reading(self, reading: SetReading) -> None:
        if (stream := self._streams.get(reading.link)) is not None:
            stream.set_reading(reading.on)

    def _set_timer(self, timer: SetTimer) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(timer.at / SECOND, lambda: self.feed(TimerDue()))

    def _shred(self, shred: Shred) -> None:
        self._tell_when_done(self._erase(shred), Shredded)

    async def _erase(self, shred: Shred) -> None:
        await self._runtime.store.shred()
        if shred.files:
            await self._runtime.pieces.remove(shred.files)
            self._runtime.lacks("files")

    def _open_pieces(self, action: OpenPieces) -> None:
        opened = self._runtime.pieces.open(action.place, action.member, action.size, action.pieces)
        self._tell_when_done(
            self.noticing_room(opened),
            lambda answer: (
                PiecesOpened(action.place, error=answer)
                if isinstance(answer, IntelshareError)
                else PiecesOpened(action.place, answer)
            ),
        )

    def _write_piece(self, action: WritePiece) -> None:
        written = self._runtime.pieces.write(action.place, action.number, action.parts, action.expected)
        self._tell_when_done(
            self.noticing_room(written), lambda error: PieceWritten(action.place, action.number, error)
        )

    def _read_slice(self, action: ReadSlice) -> None:
        read = self._runtime.pieces.read(action.place, action.start, action.length)
        self._tell_when_done(read, lambda data: SliceRead(action, data if isinstance(data, bytes) else b""))

    async def noticing_room(self, work: Awaitable[T]) -> T:
        """Do some work; health shows whether there is room for files."""
        try:
            done = await work
        except StoreError as error:
            if error.code in PASSING:
                self._runtime.lacks("files", error.code)
            raise
        self._runtime.lacks("files")
        return done

    def _write_sidecar(self, run: WriteSidecar) -> None:
        written = self.files.write_sidecar(clean=run.clean)
        self._tell_when_done(written, lambda error: SidecarWritten(run, error))

    def _run_chore(self, run: RunChore) -> None:
        self._tell_when_done(
            self.files.chore(run.chore), lambda changed: ChoreDone(run.chore, changed is True)
        )

    def _hold_reserve(self, hold: HoldReserve) -> None:
        if hold.on:
            held = self.files.hold_reserve(on=True)
            self._tell_when_done(held, lambda room: ReserveHeld(room is True))
        else:
            self._spawn(self._give_up_reserve())

    async def _give_up_reserve(self) -> None:
        await self.files.hold_reserve(on=False)

    def _drain(self, _: Drain) -> None:
        self._tell_when_done(self.files.drain(), lambda _: Drained())

    def _stopped(self, _: Stopped) -> None:
        if not self.stopped.done():
            self.stopped.set_result(None)

    def _set_health(self, health: SetHealth) -> None:
        (self._runtime.health.set if health.on else self._runtime.health.clear)(health.code)

    def _log_said(self, said: LogSaid) -> None:
        waiting = self._said.pop(said.token)
        if not waiting.done():
            if said.error is not None:
                waiting.set_exception(said.error)
            else:
                waiting.set_result(None)

    def _tell(self, tell: Tell) -> None:
        write_notice(self._runtime.log, tell)


_SAYS: Final = {
    grpc.StatusCode.UNAVAILABLE: "NODE_UNREACHABLE",
    grpc.StatusCode.CANCELLED: "NODE_UNREACHABLE",
    grpc.StatusCode.INTERNAL: "NODE_UNREACHABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "TIMED_OUT",
}
"""The code that people are shown for a call that gRPC ended, with no word of the peer. It calls a stream that
the peer has cut internal: no defect, which the peer would name itself.
"""


def _code_of(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        told = dict(error.trailing_metadata() or ()).get("intelshare-code")
        if told is not None:
            return code_of_peer(str(told))
        if error.code() is grpc.StatusCode.UNAVAILABLE and refused_in_tls(str(error.details() or "")):
            return "TLS_REFUSED"
        return _SAYS.get(error.code(), str(error.code().name))
    return error.code if isinstance(error, IntelshareError) else type(error).__name__


_DO: Final[Mapping[type[Any], Callable[[Links, Any], None]]] = {
    AskLogs: Links._ask_logs,
    Claim: lambda links, action: links.claim(action),
    Close: Links._close,
    ConfirmClock: lambda links, _: links._runtime.clock.confirm(),
    Dial: Links._dial,
    Drain: Links._drain,
    HoldReserve: Links._hold_reserve,
    LogSaid: Links._log_said,
    NoteMended: lambda links, action: links._runtime.mending.note(action.mended),
    OpenPieces: Links._open_pieces,
    Opened: Links._opened,
    PassOn: lambda links, action: links.pass_on(action),
    ReadSlice: Links._read_slice,
    RunChore: Links._run_chore,
    RunQuery: Links._run_query,
    RunStep: Links._run_step,
    Send: Links._send,
    SetHealth: Links._set_health,
    SetReading: Links._set_reading,
    SetRoom: lambda links, room: links._runtime.set_room(room.free, room.need),
    SetTimer: Links._set_timer,
    Shred: Links._shred,
    Stopped: Links._stopped,
    Tell: Links._tell,
    WritePiece: Links._write_piece,
    WriteSidecar: Links._write_sidecar,
}
