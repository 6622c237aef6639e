"""One start of a node: it carries out steps over the machine's disk, for its engine and for users."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.effects import HasEffects
from intelshare.broker.kernel.node import Node, with_acts
from intelshare.broker.kernel.shortage import Shortage
from intelshare.broker.kernel.transaction import without_mark
from intelshare.crypto.records import Checkpoint
from intelshare.engine import Event
from intelshare.engine.actions import Claim, PassOn
from intelshare.engine.events import Committed, NodeChanged, Ready, Started, Stop
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.node.clock import Clock, ClockReading
from intelshare.ports import Plan, Random, View, durable_after_commit
from intelshare.sim.counting import Counted
from intelshare.sim.disk import Disk
from intelshare.sim.driver import Driver
from intelshare.sim.keys import Keys
from intelshare.sim.network import Network
from intelshare.sim.rotation import forgot_keys, renew_after_loss
from intelshare.sim.steps import Step

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle

_LATE = 10 * SECOND


class _Late:
    """The callback of a step that was postponed."""

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then

    def __call__(self, answer: Any) -> None:
        self._then(answer)


class Process:
    """A process that dies as a whole: nothing that it began continues after a crash."""

    leads = True
    """It has the chores of its node, and the port for peers."""

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
        self.forgot: Instant | None = None
        """Until when the disk knows, if an operator has confirmed that it lost what came later."""
        self.renewals: deque[Callable[[], None]] = deque()
        """The renewal of the directory that is under way, and those that wait for its end."""
        self.drained = False
        """True once the store accepts no more steps: the process is about to end."""
        self.frozen = False
        """True while nothing of it runs, and nobody has noticed."""
        self.stepped = EPOCH
        """The time at which the step ran whose effects happen now."""
        self.machine = machine
        self.driver = Driver(self, network)

    @property
    def disk(self) -> Disk:
        """The machine's disk."""
        return self.machine.disk

    @property
    def keys(self) -> Keys:
        """The member's keys, as this process has them."""
        return self.machine.keys

    def look_at_vault(self) -> None:
        """Take over what another replica of its node has done to the keys; it has none."""

    @property
    def view(self) -> View:
        """The rows as the writer sees them."""
        return self.machine.disk.view

    @property
    def present(self) -> View:
        """The rows on which a step runs."""
        return self.machine.disk.checked

    @property
    def known(self) -> View | None:
        """The rows by which it is judged what this process may send; None: all that is durable, and whose
        effects have happened.
        """
        return None

    @property
    def followed_at(self) -> int:
        """The time at which it last knew all that was durable."""
        return self.heap.now

    def rows(self, *, checked: bool = True) -> View:
        """Return the rows as a question sees them; ``checked``: the digest of every record too."""
        return self.disk.check(self.disk.durable) if checked else self.disk.durable

    def remember(self, then: Callable[[], None], *, clean: bool) -> None:
        """Write what is durable into the sidecar, then call ``then``."""
        self.machine.remember(self.node.incarnation, then, clean=clean)

    def shred(self, then: Callable[[], None]) -> None:
        """Remove overwritten data from the files, then call ``then``."""
        self.machine.shred(then)

    def covers(self, said: Checkpoint) -> bool:
        """Return True if a checkpoint may leave: the sidecar has it, or it is of an earlier start."""
        kept, now = self.machine.sidecar, self.node.incarnation
        return said.incarnation != now or (
            kept is not None and kept.incarnation == now and said.size <= kept.size
        )

    def claim(self, claim: Claim) -> None:
        """Hold links beside other replicas of its node; it has none."""

    def pass_on(self, action: PassOn) -> None:
        """Tell other replicas of its node something; it has none."""

    def drain(self, then: Callable[[], None]) -> None:
        """Accept no more steps, and call ``then`` once those that ran are durable."""
        self.serving, self.drained = False, True
        self.machine.commit(Plan((), None), then)

    def stopped(self) -> None:
        """Handle that the engine has come to its end."""
        self.machine.stopped()

    def now(self) -> Instant:
        """Return the wall time of this machine."""
        return self.machine.now()

    def begin(self) -> None:
        """Begin a new incarnation; the process serves once that is durable."""
        self.perform("begin", then=lambda _: self._renew(), refused=self.machine.refuse_start)

    def _renew(self) -> None:
        """After a loss, sign a directory under a version that cannot have been used, and then serve."""
        if self.forgot is None and not forgot_keys(self):
            self._serve()
        else:
            renew_after_loss(self, self.forgot, self._serve)

    def _serve(self) -> None:
        self.serving = True
        self.oracle.serves(self)
        self.feed(Started())

    def stop(self) -> None:
        """Begin an orderly stop."""
        self.feed(Stop())

    def die(self) -> None:
        """Stop everything that the process has begun."""
        self.alive = False

    def feed(self, event: Event) -> None:
        """Hand an event to the engine, and carry out the resulting actions."""
        self.driver.feed(event)

    def believe(self) -> None:
        """Handle that an operator's statement about the clock is durable."""
        self.clock.believe()
        self.feed(NodeChanged())

    def wake(self, *members: MemberCode) -> None:
        """Tell the engine that pairs of these members may be ready to be handed over."""
        self.feed(Ready(members))

    def set_room(self, free: int, need: int) -> None:
        """Take over what the engine says about the disk; it counts from the next step on."""
        lacks = Shortage(self.name, free, need) if need else None
        if lacks != self.node.lacks:
            self.node = replace(self.node, lacks=lacks)

    def carry_out(self, led: HasEffects) -> None:
        """Carry out the effects of a user's durable step."""
        self.feed(Committed(durable_after_commit(led.effects)))

    def perform(
        self,
        name: str,
        *event: Any,
        then: Callable[[Any], None],
        refused: Callable[[IntelshareError], None] | None = None,
    ) -> None:
        """Run a step now, and call ``then`` with its answer once it is durable. Without ``refused`` no step
        may raise.
        """
        if not self.alive or self.drained:
            return
        machine, clock = self.machine, self.clock.read()
        now = clock.now
        try:
            plan = self.plan(machine.bug.steps[name], name, event, clock)
        except IntelshareError as error:
            if refused is not None:
                refused(error)
            elif machine.hostile is None:
                raise
            return
        if name in machine.bug.swaps_first and not isinstance(then, _Late):
            self._swap_first(name, event, plan, then, refused)
            return
        plan = self.noted(name, event, plan, clock)
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

    def plan(self, step: Step, name: str, event: tuple[Any, ...], clock: ClockReading) -> Plan[Any]:
        """Run a step on what the writer sees, and take the room for what it writes. Raises what it raises."""
        if self.node.confirmed is not clock.confirmed:
            self.node = replace(self.node, confirmed=clock.confirmed)
        try:
            view = Counted(self.present) if name == "handover" else self.present
            plan = step(self.node, view, *event, clock.now, self.random)
            if isinstance(view, Counted):
                view.check(self.name, plan)
            self.machine.room.take(plan)
        except IntelshareError as error:
            self.oracle.printed(self.name, error, error.hint, error.place)
            raise
        return plan

    def noted(self, name: str, event: tuple[Any, ...], plan: Plan[Any], clock: ClockReading) -> Plan[Any]:
        """Return the plan as it is written; the oracle has seen it."""
        if not clock.believed and not self.machine.bug.stores_any_time:
            plan = without_mark(plan, self.disk.view, clock.expected)
        self.heap.note(self.name, name, len(plan.writes))
        self.oracle.planned(self, name, event, plan, clock.now)
        return plan

    def _swap_first(self, name: str, event: Any, plan: Plan[Any], then: Any, refused: Any) -> None:
        """Carry out a planted bug: the new world is in memory now, and its act is written ten seconds
        later.
        """
        before = set(self.node.world.acts)
        self._swap(plan.answer)
        added = set(self.node.world.acts) - before

        def write() -> None:
            self.node = with_acts(self.node, [act for act in self.node.world.acts if act not in added])
            self.perform(name, *event, then=_Late(then), refused=refused)

        self.heap.after(_LATE, write)

    def _swap(self, answer: Any) -> None:
        """Replace the node. Memory may run ahead of the disk here: a crash takes both back together."""
        effects = getattr(answer, "effects", None)
        node = effects.node if effects is not None else None
        if node is not None:
            lacks = self.node.lacks
            self.node = node if node.lacks == lacks else replace(node, lacks=lacks)
            self.heap.after(0, lambda: self.feed(NodeChanged()))
