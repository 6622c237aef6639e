"""One start of a node: the driver of its engine over virtual time, network and disk. It decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from intelshare.broker.kernel.effects import HasEffects
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node, with_acts
from intelshare.engine import QUERIES, Engine, Event, LinkId, Now, Step
from intelshare.engine.values import (
    Accepted,
    ChoreDone,
    Close,
    Closed,
    Committed,
    Connected,
    Dial,
    Drain,
    Drained,
    NodeChanged,
    Notice,
    Opened,
    QueryDone,
    Ready,
    RunChore,
    RunQuery,
    RunStep,
    Send,
    SetReading,
    SetTimer,
    Shred,
    Shredded,
    SidecarWritten,
    Started,
    StepDone,
    Stop,
    Stopped,
    Tell,
    TimerDue,
    WriteSidecar,
    Written,
)
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.node.clock import Clock
from intelshare.ports import Plan, Random, View, durable_after_commit
from intelshare.sim.disk import Disk
from intelshare.sim.network import Network
from intelshare.sim.stream import Stream
from intelshare.sim.threads import Question
from intelshare.trust import Channel
from intelshare.wire import link_message

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle

_LATE = 10 * SECOND

LEAF: Final = bytes(32)
"""Of the dialler's certificate: there is none."""


class _Late:
    """What is to happen when a step that was put off is durable."""

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then

    def __call__(self, answer: Any) -> None:
        self._then(answer)


class Process:
    """Dies whole: nothing that it began goes on after a crash."""

    def __init__(
        self,
        machine: Machine,
        node: Node,
        clock: Clock,
        network: Network,
        oracle: Oracle,
        random: Random,
    ) -> None:
        self.name = machine.name
        self.heap = machine.heap
        self.node = node
        self.clock = clock
        self.oracle = oracle
        self.random = random
        self.alive = True
        self.forgets = machine.forgets
        self.serving = False
        self.links: dict[MemberCode, Stream] = {}
        """Those that are open."""
        self.stepped = EPOCH
        """When the step ran whose effects happen now."""
        self.machine = machine
        self.engine = Engine(
            node,
            machine.keys.signer,
            random,
            dials=machine.dials,
            limits=machine.limits,
            stop_order=machine.bug.stop_order,
        )
        self._network = network
        self._streams: dict[LinkId, Stream | None] = {}
        """None: dialled, not connected yet."""
        self._events: deque[Event] = deque()
        self._feeding = False
        self._timer = 0
        self._questions: list[Question] = []

    @property
    def disk(self) -> Disk:
        """The machine's."""
        return self.machine.disk

    @property
    def view(self) -> View:
        """The rows as the writer sees them."""
        return self.machine.disk.view

    def now(self) -> Instant:
        """Wall time of this machine."""
        return self.machine.now()

    def begin(self) -> None:
        """A new incarnation; it serves once that is durable."""
        self.perform("begin", then=lambda _: self._serve())

    def _serve(self) -> None:
        self.serving = True
        self.feed(Started())

    def stop(self) -> None:
        """Begin a stop in order."""
        self.feed(Stop())

    def die(self) -> None:
        """Nothing that it has begun goes on."""
        self.alive = False
        for question in self._questions:
            question.abandon()

    def wake(self, *members: MemberCode) -> None:
        """Pairs of these members may be ready to be handed over."""
        self.feed(Ready(members))

    def carry_out(self, led: HasEffects) -> None:
        """What the durable step of a user leads to."""
        self.feed(Committed(durable_after_commit(led.effects)))

    def perform(
        self,
        name: str,
        *event: Any,
        then: Callable[[Any], None],
        refused: Callable[[IntelshareError], None] | None = None,
    ) -> None:
        """Run a step now; ``then`` with its answer once it is durable. Without ``refused`` none may raise."""
        if not self.alive:
            return
        machine, now = self.machine, self.now()
        try:
            plan = machine.bug.steps[name](self.node, self.disk.checked, *event, now, self.random)
        except IntelshareError as error:
            if refused is None:
                raise
            refused(error)
            return
        if name in machine.bug.swaps_first and not isinstance(then, _Late):
            self._swap_first(name, event, plan, then, refused)
            return
        self.heap.note(self.name, name, len(plan.writes))
        self.oracle.planned(self, name, event, plan, now)
        answer = plan.answer

        def done() -> None:
            if self.alive:
                self.stepped = now
                then(answer)

        self._swap(answer)
        if name in machine.bug.early:
            self.heap.after(0, done)
            machine.commit(plan, lambda: None)
        else:
            machine.commit(plan, done)

    def _swap_first(self, name: str, event: Any, plan: Plan[Any], then: Any, refused: Any) -> None:
        """A planted bug: the new world is in memory now, and its act is written ten seconds later."""
        before = set(self.node.world.acts)
        self._swap(plan.answer)
        added = set(self.node.world.acts) - before

        def write() -> None:
            self.node = with_acts(self.node, [act for act in self.node.world.acts if act not in added])
            self.perform(name, *event, then=_Late(then), refused=refused)

        self.heap.after(_LATE, write)

    def _swap(self, answer: Any) -> None:
        """The node from now on. Memory may run ahead of the disk here: a crash takes both back together."""
        effects = getattr(answer, "effects", None)
        node = effects.node if effects is not None else None
        if node is not None:
            self.node = node
            self.heap.after(0, lambda: self.feed(NodeChanged()))

    # The driver

    def feed(self, event: Event) -> None:
        """Hand an event to the engine, and carry out what follows."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events and self.alive:
                now = Now(self.now(), Instant(self.heap.now), not self.clock.wrong())
                for action in self.engine.handle(self._events.popleft(), self.node, now):
                    do = _DO.get(type(action))
                    if do is not None and self.alive:
                        do(self, action)
        finally:
            self._feeding = False

    def _run_step(self, run: RunStep) -> None:
        def done(answer: Any) -> None:
            if run.step is Step.EXPIRE:
                self.oracle.expired(self)
            self.feed(StepDone(run, durable_after_commit(answer)))

        def refused(error: IntelshareError) -> None:
            if run.step is not Step.MEET and error.code != "RECORD_CORRUPT":
                raise error
            if not self.machine.bug.loops_end:
                self.feed(StepDone(run, error))

        self.perform(run.step, *run.event, then=done, refused=refused)

    def _run_query(self, run: RunQuery) -> None:
        def ask(view: View) -> Any:
            return QUERIES[run.query](self.node, view, *run.event, self.now())

        if run.beside:
            question = Question(ask, self.view)
            self._questions.append(question)
            self._page(run, question)
        else:
            self.feed(QueryDone(run, ask(self.view)))

    def _page(self, run: RunQuery, question: Question) -> None:
        """Reads on, a page at a time; whatever happens to the link that has asked."""
        if not self.alive:
            return
        question.go_on()
        if not question.ended:
            self.heap.after(self.machine.page, lambda: self._page(run, question))
            return
        self._questions.remove(question)
        if question.error is not None:
            raise question.error
        self.feed(QueryDone(run, question.answer))

    def _dial(self, dial: Dial) -> None:
        self._streams[dial.link] = None
        way = self._network.way(self.name, dial.member)
        self.heap.after(way, lambda: self._connect(dial))

    def _connect(self, dial: Dial) -> None:
        other = self.machine.others[dial.member].process
        if not self.alive or dial.link not in self._streams:
            return
        cut = self._network.is_cut(self.name, dial.member) or self._network.is_cut(dial.member, self.name)
        if cut or other is None or not other.serving or not other.alive:
            del self._streams[dial.link]
            self.feed(Closed(dial.link, "UNREACHABLE"))
            return
        mine, theirs = Stream(self, dial.member, dial.link), Stream(other, self.name, other.engine.new_link())
        mine.wire = theirs.wire = self._network.open(mine, theirs)
        self._streams[mine.link] = mine
        channel = Channel(self.node.uri, other.node.uri, LEAF)
        other.accept(theirs, Accepted(theirs.link, MemberCode(self.name), self.node.uri, channel))
        self.feed(Connected(mine.link, channel))

    def accept(self, stream: Stream, event: Accepted) -> None:
        """A peer has dialled."""
        self._streams[stream.link] = stream
        self.feed(event)

    def lost(self, stream: Stream) -> None:
        """A connection is known to be gone."""
        self._streams.pop(stream.link, None)
        if self.links.get(stream.peer) is stream:
            del self.links[stream.peer]

    def _opened(self, opened: Opened) -> None:
        stream = self._streams[opened.link]
        if stream is not None:
            self.links[stream.peer] = stream

    def _close(self, close: Close) -> None:
        stream = self._streams.pop(close.link, None)
        if stream is not None:
            self.heap.note("closes", self.name, stream.peer, close.error.code if close.error else "")
            self.lost(stream)
            stream.close()

    def _send(self, send: Send) -> None:
        stream, message = self._streams.get(send.link), send.message
        if stream is not None:
            if isinstance(message, Outbound):
                self.oracle.sent(self, message)
            stream.send(link_message(message, self.now()))
            self.feed(Written(send.link))

    def _set_reading(self, action: SetReading) -> None:
        stream = self._streams.get(action.link)
        if stream is not None:
            stream.reading = action.on
            if action.on:
                self.heap.after(0, stream.read)

    def _set_timer(self, timer: SetTimer) -> None:
        self._timer += 1
        number = self._timer
        self.heap.after(
            timer.at - self.heap.now, lambda: self.feed(TimerDue()) if number == self._timer else None
        )

    def _write_sidecar(self, run: WriteSidecar) -> None:
        def written() -> None:
            self.feed(SidecarWritten(run))

        if "checkpoint" in self.machine.bug.early:
            written()
        else:
            self.machine.remember(self.node.incarnation, written, clean=run.clean)

    def _shred(self, _: Shred) -> None:
        self.machine.shred(lambda: self.feed(Shredded()))

    def _chore(self, run: RunChore) -> None:
        self.feed(ChoreDone(run.chore))

    def _tell(self, tell: Tell) -> None:
        self.heap.note(tell.notice, self.name, tell.peer or "", tell.code, tell.count)
        if tell.notice is Notice.REJECTED_BY_PEER:
            self.oracle.rejected(tell.code)

    def _drain(self, _: Drain) -> None:
        self.serving = False
        self.machine.commit(Plan((), None), lambda: self.feed(Drained()))

    def _stopped(self, _: Stopped) -> None:
        self.machine.stopped()


_DO: Final[Mapping[type[Any], Callable[[Process, Any], None]]] = {
    Dial: Process._dial,
    Opened: Process._opened,
    Close: Process._close,
    Send: Process._send,
    SetReading: Process._set_reading,
    RunStep: Process._run_step,
    RunQuery: Process._run_query,
    WriteSidecar: Process._write_sidecar,
    Shred: Process._shred,
    RunChore: Process._chore,
    SetTimer: Process._set_timer,
    Tell: Process._tell,
    Drain: Process._drain,
    Stopped: Process._stopped,
}
"""What health shows nobody reads here, and no user asks about logs."""
