"""One start of a node: carries out steps over the machine's disk, for its engine and for users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.effects import HasEffects
from intelshare.broker.kernel.node import Node, with_acts
from intelshare.broker.kernel.shortage import Shortage
from intelshare.broker.kernel.transaction import without_mark
from intelshare.engine import Event
from intelshare.engine.values import (
    Committed,
    NodeChanged,
    Ready,
    Started,
    Stop,
)
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.node.clock import Clock
from intelshare.ports import Plan, Random, View, durable_after_commit
from intelshare.sim.disk import Disk
from intelshare.sim.driver import Driver
from intelshare.sim.network import Network

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle

_LATE = 10 * SECOND


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
        self.stepped = EPOCH
        """When the step ran whose effects happen now."""
        self.machine = machine
        self.driver = Driver(self, network)

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
        self.perform("begin", then=lambda _: self._serve(), refused=self.machine.refuse_start)

    def _serve(self) -> None:
        self.serving = True
        self.feed(Started())

    def stop(self) -> None:
        """Begin a stop in order."""
        self.feed(Stop())

    def die(self) -> None:
        """Nothing that it has begun goes on."""
        self.alive = False

    def feed(self, event: Event) -> None:
        """Hand an event to the engine, and carry out what follows."""
        self.driver.feed(event)

    def believe(self) -> None:
        """An operator's word about the clock is durable."""
        self.clock.believe()
        self.feed(NodeChanged())

    def wake(self, *members: MemberCode) -> None:
        """Pairs of these members may be ready to be handed over."""
        self.feed(Ready(members))

    def set_room(self, free: int, need: int) -> None:
        """What the engine says of the disk: from the next step on it counts."""
        self.node = replace(self.node, lacks=Shortage(self.name, free, need) if need else None)

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
            machine.room.take(plan)
        except IntelshareError as error:
            if refused is None:
                raise
            refused(error)
            return
        if name in machine.bug.swaps_first and not isinstance(then, _Late):
            self._swap_first(name, event, plan, then, refused)
            return
        if not self.clock.read().believed and not machine.bug.stores_any_time:
            plan = without_mark(plan, self.disk.view)
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
            self.node = replace(node, lacks=self.node.lacks)
            self.heap.after(0, lambda: self.feed(NodeChanged()))
