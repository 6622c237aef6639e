"""A machine: its disk, its clock, and the node process that runs on it, if one does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from intelshare.broker.register import documents
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan
from intelshare.sim.bugs import Bug
from intelshare.sim.chance import stream
from intelshare.sim.disk import Disk
from intelshare.sim.heap import Heap
from intelshare.sim.network import Network
from intelshare.sim.plan import Fault, FaultPlan
from intelshare.sim.process import Process
from intelshare.sim.world import BEGIN, first_disk, start_node

if TYPE_CHECKING:
    from intelshare.sim.oracle import Oracle


class Machine:
    """Survives its processes."""

    def __init__(
        self, name: str, plan: FaultPlan, heap: Heap, network: Network, oracle: Oracle, bug: Bug
    ) -> None:
        self.name = name
        self.heap = heap
        self.bug = bug
        self.batch = plan.knobs.batch
        self.disk = Disk(first_disk(plan, name))
        self.process: Process | None = None
        self.others: Mapping[str, Machine] = {}
        self.forgets = 0
        """How often this disk went back to an earlier state."""
        self._plan = plan
        self._network = network
        self._oracle = oracle
        self._random = stream(plan.seed, "node", name)
        self._incarnations = stream(plan.seed, "incarnations", name)
        self._syncs = stream(plan.seed, "disk", name)
        self._offset = stream(plan.seed, "clock", name).randint(-plan.knobs.offset, plan.knobs.offset)
        self._ahead = 0
        self._synced = 0
        self._syncing = False
        self._crashes = {
            fault.number: fault
            for fault in plan.faults
            if fault.kind == "crash" and fault.number and fault.node == name
        }

    def now(self) -> Instant:
        """Wall time as this machine believes it."""
        return Instant(BEGIN + SECOND + self.heap.now + self._offset + self._ahead)

    def ahead(self, by: int) -> None:
        """From now on the clock is so far ahead of what it should be."""
        self._ahead = by

    def start(self) -> None:
        """Start a process, if none runs: it serves once its incarnation is durable (c6)."""
        if self.process is not None:
            return
        incarnation = self.bug.incarnation(self.disk.view, self._incarnations.getrandbits(64) | 1)
        node = start_node(self._plan, self.name, incarnation, documents(self.disk.view))
        process = self.process = Process(self, node, self._network, self._oracle, self._random.randbytes)
        peers = tuple(name for name in self._plan.members() if name != self.name)
        process.perform("begin", then=lambda _: self._begun(process, peers))

    def _begun(self, process: Process, peers: tuple[str, ...]) -> None:
        """As after a start on the operator's word (STORE_FORGOT), where the disk had forgotten."""
        if self.forgets:
            process.perform("ask_again", then=lambda _: process.serve(peers))
        else:
            process.serve(peers)

    def commit(self, plan: Plan[Any], effect: Callable[[], None]) -> None:
        """Write a plan; ``effect`` once it is durable. What comes while a sync runs shares the next."""
        self.disk.apply(plan, effect)
        if not self._syncing:
            self._sync()

    def _sync(self) -> None:
        self._syncing = True
        self._synced += 1
        process, count = self.process, self.disk.unsynced
        crash = self._crashes.get(self._synced) if self.heap.now <= self._plan.knobs.lasts else None
        takes = self._plan.knobs.sync // 2 + self._syncs.randrange(self._plan.knobs.sync)
        if crash is not None and crash.window == "before":
            self.heap.after(takes // 2, lambda: self._crash_of(process, crash))
        else:
            self.heap.after(takes, lambda: self._durable(process, count, crash))

    def _durable(self, process: Process | None, count: int, crash: Fault | None) -> None:
        if process is None or not process.alive:
            return
        self._syncing = False
        effects = self.disk.sync(count)
        if crash is not None:
            for effect in effects[: crash.keep]:
                effect()
            self.crash(0, crash.lasts)
            return
        for effect in effects:
            effect()
        if self.disk.unsynced and not self._syncing:
            self._sync()

    def _crash_of(self, process: Process | None, fault: Fault) -> None:
        if process is not None and process.alive:
            self.crash(fault.keep, fault.lasts)

    def crash(self, keep: int, down: int) -> None:
        """Loss of power; at most ``keep`` of the unsynced commits survive. Back after ``down``."""
        self._end(min(keep, self.disk.unsynced))
        self._oracle.crashed(self)
        self.heap.after(down, self.start)

    def restore(self, snapshot: Plan[None], taken: int, down: int) -> None:
        """The disk is as it was at ``taken``: amnesia."""
        self._end(0)
        self.disk = Disk(snapshot)
        self.forgets += 1
        self._oracle.restored(self, taken)
        self.heap.after(down, self.start)

    def _end(self, keep: int) -> None:
        self.heap.note("crash", self.name, keep)
        if self.process is not None:
            self.process.alive = False
            self.process = None
        self.disk.crash(keep)
        self._syncing = False
        self._network.crashed(self.name)
