"""A member whose node is several replicas over one database: which of them run, and what goes wrong with one.

The first that starts begins the incarnation, as a machine alone does; the others join it. ``Machine.process``
is the one that leads: peers reach it, and whatever concerns trust, keys, treaties and files is asked of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import NODE
from intelshare.broker.kernel.transaction import SELF
from intelshare.errors import PASSING, CryptoError, IntelshareError
from intelshare.instant import SECOND
from intelshare.node.clock import Clock
from intelshare.ports import Plan
from intelshare.sim.bugs import Bug
from intelshare.sim.chance import stream
from intelshare.sim.heap import Heap
from intelshare.sim.machine import AGAIN, Machine
from intelshare.sim.network import Network
from intelshare.sim.oracle import Oracle
from intelshare.sim.plan import Fault, FaultPlan
from intelshare.sim.process import Process
from intelshare.sim.replica import Replica
from intelshare.sim.room import LIMITS
from intelshare.sim.turns import Turns
from intelshare.sim.world import start_node
from intelshare.store.sidecar import Sidecar

_JOINS: Final = SECOND // 5
"""The time between two attempts to join."""

_STARTS: Final = SECOND // 10
"""The time that a replica takes to serve."""

_TOLD: Final = 2_000
"""The microseconds until the others hear of a commit."""

_NOTICES: Final = 3 * SECOND
"""The time without an answer after which a replica takes its line to the database for dead."""

LED: Final = frozenset((
    "attach", "download", "law", "treaty", "reinstate", "resume", "backfill", "rotate", "courier",
    "revoke", "suspend-member", "remove-member",
))  # fmt: skip
"""The acts that only the one that leads serves, as in a real node (``services.table.BESIDE``)."""


class ReplicatedMachine(Machine):
    """The database of such a member, what is beside it, and its replicas."""

    def __init__(
        self, name: str, plan: FaultPlan, heap: Heap, network: Network, oracle: Oracle, bug: Bug
    ) -> None:
        super().__init__(name, plan, heap, network, oracle, bug)
        numbers = range(plan.knobs.replicas)
        self.turns = Turns(self)
        self.replicas: list[Replica | None] = [None for _ in numbers]
        self.offsets = [
            stream(plan.seed, "replica's clock", name, str(number)).choice((0, 0, SECOND // 2, -SECOND))
            for number in numbers
        ]
        """By number, the microseconds that its clock is ahead."""
        self.covered: Counter[int] = Counter()
        """The most that the sidecar covered of the log of an incarnation."""
        self.newer = set(numbers) if not plan.knobs.older else set[int]()
        """The numbers of those that run the newer version; ``Knobs.older`` says what the other one lacks."""
        self.down = 0
        """The time after which the one that was stopped is started again."""
        self._asking = stream(plan.seed, "asked", name)
        self._chances = [stream(plan.seed, "replica", name, str(number)) for number in numbers]
        self._due: set[int] = set()
        self._number = 0

    @property
    def variant(self) -> int:
        """The variant of the member's own rules by which its node decides."""
        return self._oracle.rulings.variants[self.name]

    @variant.setter
    def variant(self, variant: int) -> None:
        self._oracle.rulings.variants[self.name] = variant

    def schema_of(self, number: int) -> int:
        """Return the schema that this one knows (``Disk.schema``)."""
        return int(self._plan.knobs.older == "schema" and number in self.newer)

    def divides(self, number: int) -> bool:
        """Return True if this one is of a version that divides links."""
        return self._plan.knobs.older != "links" or number in self.newer

    def heal(self) -> None:
        """See ``Machine``. Whoever could not be started in its version is upgraded."""
        super().heal()
        if self._plan.knobs.older == "schema":
            self.newer.update(range(len(self.replicas)))

    def covers(self, sidecar: Sidecar) -> None:
        """Note what the sidecar covers."""
        most = max(self.covered[sidecar.incarnation], sidecar.size)
        self.covered[sidecar.incarnation] = most

    def up(self) -> list[Replica]:
        """Return the replicas that run."""
        return [one for one in self.replicas if one is not None and one.alive]

    def asked(self, kind: str) -> Process | None:
        """See ``Machine``: any that serves, if it may do this."""
        if kind in LED or self.moving.away:
            return super().asked(kind)
        serving = [one for one in self.up() if one.serving]
        return self._asking.choice(serving) if serving else None

    # Starts

    def start(self) -> None:
        """Start every replica that is down; the one process, while the rows are in a file."""
        if self.moving.away:
            super().start()
            return
        for number in range(len(self.replicas)):
            self._start(number)

    def _later(self, number: int, delay: int) -> None:
        def start() -> None:
            self._due.discard(number)
            self._start(number)

        if number not in self._due:
            self._due.add(number)
            self.heap.after(delay, start)

    def _start(self, number: int) -> None:
        one = self.replicas[number]
        if (one is not None and one.alive) or number in self._due:
            return
        if self.moving.waits or self.moving.away:
            return
        if not self.turns.up or self.room.free < LIMITS.give:
            self.room.hold(on=False)
            self._later(number, SECOND)
        elif self.schema_of(number) < self.disk.schema:
            self._oracle.counts["replica refused SCHEMA_NEWER"] += 1
            self._later(number, AGAIN)
        elif not self.turns.sessions:
            self._number, led = number, self.process
            self.process = None
            super().start()
            self.process = self.process or led
        elif self.turns.shared:
            self._join(number)
        else:
            self._later(number, _JOINS)

    def make_process(self, node: Node, clock: Clock) -> Process:
        """See ``Machine``: the first one. Each has a clock of its own."""
        if self.moving.away:
            return super().make_process(node, clock)
        return self._made(node, self._number, first=True)

    def _made(self, node: Node, number: int, *, first: bool) -> Replica:
        made = Replica(
            self, node, self._network, self._oracle, self._chances[number].randbytes, number, first=first
        )
        self.replicas[number] = made
        return made

    def _join(self, number: int) -> None:
        view = self.disk.durable
        self.look_at_clock()
        me = view.get(NODE, SELF)
        assert me is not None  # noqa: S101 - the first one has begun an incarnation
        try:
            node = start_node(self.name, me.incarnation, self.keys, view, self.now(), self.turns.variant)
        except CryptoError as error:
            if error.code != "SIGNER_NOT_VALID":
                raise
            self._later(number, AGAIN)
            return
        node = replace(node, trees=self.bug.trees(), queues=self.queues, retention=self.retention)
        made = self._made(node, number, first=False)
        self.heap.note("joins", self.name, number)
        self._oracle.counts["replica joins"] += 1
        self.heap.after(_STARTS, made.serve_beside)

    def refuse_start(self, error: IntelshareError) -> None:
        """See ``Machine``."""
        if self.moving.away:
            super().refuse_start(error)
            return
        if error.code not in PASSING and not self.has_ended_keys(error):
            raise error
        self._oracle.counts["start on a full disk"] += error.code == "DISK_FULL"
        if isinstance(self.process, Replica):
            self.process.end(error.code)

    # Commits

    def next_sync(self) -> tuple[int, Fault | None]:
        """Return how long the next commit takes, and the crash in it."""
        self._synced += 1
        crash = self._crashes.get(self._synced) if self.heap.now <= self.lasts else None
        return self.sync // 2 + self._syncs.randrange(self.sync), crash

    def is_durable(self, plan: Plan[Any]) -> None:
        """Handle that a plan is durable, in the order of commits."""
        if plan.writes:
            self._oracle.durable(self, plan)
            if self.watcher is not None:
                self.watcher.durable(self, plan)

    def tell_replicas(self) -> None:
        """Let each hear of a commit."""
        for one in self.up():
            self.heap.after(_TOLD, one.told)

    def tell_others(self, replica: Replica, what: Callable[[Replica], None]) -> None:
        """Let the others hear something that is written nowhere, if they live and listen."""
        for one in self.up():
            if one is not replica and not one.frozen and not one.cut:
                self.heap.after(_TOLD, lambda one=one: what(one) if one.alive else None)  # type: ignore[misc]

    def serving(self) -> list[Process]:
        """See ``Machine``: each may have links."""
        return super().serving() if self.moving.away else list(self.up())

    # Ends

    def ended(self, replica: Replica, down: int) -> None:
        """Handle that a replica is gone: another one leads, and it is started again."""
        if self.process is replica:
            self.process = None
        self._oracle.crashed(self)
        if self.watcher is not None:
            self.watcher.crashed(self.disk.view)
        self._later(replica.number, down)

    def crash(self, keep: int, down: int) -> None:
        """Kill the one that leads."""
        if self.moving.away:
            super().crash(keep, down)
        elif isinstance(self.process, Replica):
            self.process.kill(down)

    def stop(self, down: int) -> None:
        """Stop the one that leads in order."""
        self.down = down
        super().stop(down)

    def end_in_order(self) -> None:
        """See ``Machine``: all of them."""
        if self.moving.away:
            super().end_in_order()
        self.down = SECOND
        for one in self.up():
            if one.serving:
                one.stop()
            else:
                one.kill(SECOND)

    def end_hard(self) -> None:
        """See ``Machine``: all of them."""
        if self.moving.away:
            super().end_hard()
        for one in self.up():
            one.kill(SECOND)

    def read_only(self, lasts: int) -> None:
        """The disk of the database accepts no writes: it ends, and is back after this time."""
        if self.moving.away:
            super().read_only(lasts)
            return
        self._oracle.counts["read-only"] += 1
        self.turns.restart(lasts, committed=False)

    def _end(self, keep: int) -> None:
        """End all of them, and every session: the database is put back."""
        if self.moving.away:
            super()._end(keep)
            return
        for session in list(self.turns.sessions):
            self.turns.end(session)
        for one in self.up():
            one.kill(SECOND)

    def trouble(self, fault: Fault) -> None:
        """Let this happen to a replica."""
        if fault.window == "upgrade":
            self.newer.add(fault.number - 1)
        up = self.up()
        leading = [one for one in up if one is self.process]
        chosen = leading if not fault.number else [one for one in up if one.number == fault.number - 1]
        for one in chosen:
            self.heap.note("trouble", self.name, one.number, fault.window)
            self._oracle.counts[f"trouble {fault.window}"] += 1
            TROUBLES[fault.window](one, fault)


def _drain(replica: Replica, fault: Fault) -> None:
    if replica.serving:
        replica.machine.down = fault.lasts
        replica.stop()


def _slow(replica: Replica, fault: Fault) -> None:
    def over() -> None:
        replica.slow = False

    replica.slow = True
    replica.heap.after(fault.lasts, over)


def _stuck(replica: Replica, fault: Fault) -> None:
    replica.sticks = fault.lasts


TROUBLES: Final[Mapping[str, Callable[[Replica, Fault], None]]] = {
    "kill": lambda one, fault: one.kill(fault.lasts),
    "freeze": lambda one, fault: one.freeze(fault.lasts),
    "line": lambda one, fault: one.cut_off(fault.lasts, _NOTICES),
    "doubt": lambda one, fault: one.doubt(committed=bool(fault.keep)),
    "slow": _slow,
    "drain": _drain,
    "stuck": _stuck,
    "upgrade": _drain,
}
"""The troubles of a replica: it is killed; it runs nothing for a time; its line to the database is cut;
the line ends in the middle of a commit (``keep``: which happens all the same); it follows late; it freezes
between its next steps and their commit; it is stopped in order; the same, and comes
back in the newer version.
"""
