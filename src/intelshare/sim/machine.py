"""A machine: its disk, its clock, and the node process that runs on it, if there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intelshare.audit.work import finish
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import FILE, NODE
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.arrivals import came_again
from intelshare.broker.lifecycle.attachments import FileState, kept
from intelshare.broker.lifecycle.mend import Record, RecordOutcome
from intelshare.engine import Limits
from intelshare.errors import CryptoError, IntelshareError, StoreError
from intelshare.ids import Incarnation, KeyId, LeafId, ManifestDigest, MemberCode
from intelshare.instant import HOUR, MINUTE, SECOND, Instant
from intelshare.node.clock import Clock
from intelshare.node.sidecar import check_remembered, log_position
from intelshare.ports import Plan
from intelshare.sim.bugs import Bug
from intelshare.sim.chance import stream
from intelshare.sim.disk import Disk
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.hostile import Hostile
from intelshare.sim.losses import check_noticed
from intelshare.sim.mending import ROTS
from intelshare.sim.moving import Moving
from intelshare.sim.network import Network
from intelshare.sim.pieces import Pieces
from intelshare.sim.plan import Fault, FaultPlan
from intelshare.sim.process import Process
from intelshare.sim.room import LIMITS, Room
from intelshare.sim.snapshots import Snapshot, put_back
from intelshare.sim.watching import Watcher
from intelshare.sim.world import BEGIN, first_disk, first_keys, start_node
from intelshare.store.sidecar import Sidecar

if TYPE_CHECKING:
    from intelshare.sim.oracle import Oracle


AGAIN = 10 * SECOND
"""The time after which a node that could not start is started again."""


class Machine:
    """A machine, which survives its processes."""

    def __init__(
        self, name: str, plan: FaultPlan, heap: Heap, network: Network, oracle: Oracle, bug: Bug
    ) -> None:
        self.name = name
        self.heap = heap
        self.bug = bug
        self.limits = Limits(
            releases=plan.knobs.batch, answers=bug.answers, hearing=bug.hearing, space=LIMITS
        )
        queue = plan.knobs.queue
        self.queues = QueueBounds(queue, all_rows=2 * queue) if queue else QueueBounds()
        self.retention = plan.knobs.retention or 72 * HOUR
        self.calm = plan.knobs.calm
        self.lasts = plan.knobs.lasts
        self.page = plan.knobs.page
        self.removes = any((act.kind, act.node) == ("remove-member", name) for act in plan.acts)
        """True if its operators remove a member at some time."""
        self.sync = plan.knobs.sync
        self.mended: Counter[LeafId] = Counter()
        """The times that each received release was forgotten because it was damaged, and asked for again."""
        self.disk = Disk(first_disk(plan, name), mended=self.mended)
        self.keys = first_keys(plan, name)
        self.room = Room()
        self.pieces = Pieces()
        """The files beside the disk."""
        self.moving = Moving(self)
        self.sidecar: Sidecar | None = None
        """A file beside the disk: durable once written, and never restored."""
        self.process: Process | None = None
        self.hostile = Hostile(name, plan) if name == plan.knobs.hostile else None
        self.watcher = Watcher(name) if plan.knobs.watched and self.hostile is None else None
        self.others: Mapping[str, Machine] = {}
        self.law = 0
        """The variant of the member's own rules, as their file is now: durable once written."""
        self.forgets = 0
        """The number of times this disk went back to an earlier state."""
        self._folder: Snapshot | None = None
        self._folder_since = 0
        """The folder that was put back last, and the virtual time since when it is in use."""
        self.copied = False
        """True if the folder was put back since its node last wrote there: the sidecar's time says so."""
        self.damaged: dict[Record, RecordOutcome] = {}
        """The damaged records that are not settled, and what became of each when it was last looked at."""
        self.given_up: set[ManifestDigest] = set()
        """The bulletins of which an operator has given up damaged content."""
        self.stolen: set[KeyId] = set()
        """The signing keys that were stolen. Its operator revokes them, also again after a loss."""
        self.lost = False
        """True from an operator's start after a loss until nothing that was signed can be signed again."""
        self.misled = False
        """True if a node has started with a wrong clock, which only its operator can notice later."""
        self._plan = plan
        self._network = network
        self._oracle = oracle
        self._random = stream(plan.seed, "node", name)
        self._incarnations = stream(plan.seed, "incarnations", name)
        self._syncs = stream(plan.seed, "disk", name)
        self._offset = stream(plan.seed, "clock", name).randint(-plan.knobs.offset, plan.knobs.offset)
        self._first = BEGIN + SECOND + self._offset
        """Wall time at virtual time 0, as long as the clock is not ahead."""
        self._ahead = 0
        self._down = 0
        self._synced = 0
        self._syncing = False
        self._crashes = {
            fault.number: fault
            for fault in plan.faults
            if fault.kind == "crash" and fault.number and fault.node == name
        }

    def now(self) -> Instant:
        """Return wall time as this machine believes it."""
        return Instant(self._first + self.heap.now + self._ahead)

    def ahead(self, by: int) -> None:
        """Set how far ahead the clock is from now on."""
        self._ahead = by

    def deals(self, other: Machine) -> bool:
        """Return True if something is promised between these two: both are honest, and nothing parts them."""
        parted = {self.name, other.name} == set(self._plan.knobs.parted.split())
        return self.hostile is None and other.hostile is None and not parted

    def dials(self, member: MemberCode) -> bool:
        """Return True if this node dials a member. If not both dial, the one whose code sorts first does."""
        return self._plan.knobs.both_dial or self.name < member

    def running(self) -> Process | None:
        """Return the process that runs now."""
        return self.process

    def serving(self) -> list[Process]:
        """Return the processes that may have links."""
        return [self.process] if self.process is not None else []

    def asked(self, kind: str) -> Process | None:
        """Return the process that a user asks to do this (``users.ACTS``); None if none serves."""
        del kind
        return self.process if self.process is not None and self.process.serving else None

    def make_process(self, node: Node, clock: Clock) -> Process:
        """Return a process that has just started."""
        return Process(self, node, clock, self._network, self._oracle, self._random.randbytes)

    def look_at_clock(self) -> None:
        """Note a start with a wrong clock: a node has nothing to check it against then."""
        self.misled |= abs(self._ahead) >= MINUTE

    def heal(self) -> None:
        """End the faults that last."""
        self.ahead(0)
        self.room.empty()

    def start(self) -> None:
        """Start a process if none runs; it serves once its incarnation is durable (c6).

        If the sidecar remembers more than the disk, the operator says that it may start (STORE_FORGOT).
        """
        if self.process is not None or (self.hostile is not None and self._plan.knobs.absent):
            return
        if self.moving.waits:
            return
        self.look_at_clock()
        if self.room.free < LIMITS.give:
            self.room.hold(on=False)
        if self.room.free < LIMITS.give:
            # The start is refused, and the supervisor tries again.
            self._oracle.counts["start on a full disk"] += 1
            self.heap.after(SECOND, self.start)
            return
        view, forgot = self.disk.view, False
        try:
            if self.bug.reads_sidecar:
                check_remembered(self.sidecar, view)
        except StoreError as error:
            if not self.forgets:
                raise Violation("I9", f"{self.name} wrongly believes that its disk forgot") from error
            self._oracle.counts[error.code] += 1
            forgot = True
        if not forgot:
            check_noticed(self)
        forgot |= self.lost or (self.copied and self.bug.notices_copies)
        self.pieces.keep([one.place for one in kept(view)])
        me = view.get(NODE, SELF)
        incarnation = self.bug.incarnation(view, self._incarnations.getrandbits(64) | 1)
        try:
            node = start_node(self.name, incarnation, self.keys, view, self.now(), self.law)
        except CryptoError as error:
            if not self.has_ended_keys(error):
                raise
            # Its supervisor starts it again.
            self._oracle.counts[error.code] += 1
            self.heap.after(AGAIN, self.start)
            return
        self._oracle.rulings.variants[self.name] = self.law
        node = replace(node, trees=self.bug.trees(), queues=self.queues, retention=self.retention)
        latest, confirmed = (me.latest, me.confirmed) if me is not None else (Instant(0), Instant(0))
        clock = Clock(latest, self.now, lambda: self.heap.now, confirmed=confirmed)
        process = self.process = self.make_process(node, clock)
        if forgot:
            # A backup says when it was made, by this machine's clock, also that of a folder whose node had
            # never run.
            process.forgot = me.latest if me is not None else Instant(BEGIN + self._offset)
            # Until this is durable, the sidecar also tells the next start that the disk forgot.
            process.perform("ask_again", then=lambda _: self._wait(process), refused=self.refuse_start)
        else:
            self._begin(process)

    def _wait(self, process: Process) -> None:
        """Wait for every member of which the disk remembers anything."""

        def waits(since: Instant) -> None:
            process.forgot = since
            self._forget(process)

        process.perform("begin_hearing", process.forgot, then=waits, refused=self.refuse_start)

    def _forget(self, process: Process) -> None:
        """Forget the received bulletins that have lost their keys, and begin."""

        def done(answer: Any) -> None:
            if answer.after is None:
                self.lost = True
                self._begin(process)
            else:
                forget(answer.after)

        def forget(after: ManifestDigest) -> None:
            process.perform("forget_received", after, again, then=done, refused=self.refuse_start)

        again = finish(came_again(process.node, self.disk.checked))
        forget(ManifestDigest(b""))

    def refuse_start(self, error: IntelshareError) -> None:
        """Handle a start that finds no room, or whose clock went far ahead meanwhile: the process ends, and
        its supervisor tries again. Raises any other error.
        """
        ended = self.has_ended_keys(error)
        if error.code != "DISK_FULL" and not ended:
            raise error
        self._oracle.counts[error.code if ended else "start on a full disk"] += 1
        self._end(0)
        self.heap.after(AGAIN if ended else SECOND, self.start)

    def has_ended_keys(self, error: IntelshareError) -> bool:
        """Return True if this error says that by a clock that is far ahead all signing keys have ended."""
        return bool(self._ahead) and error.code == "SIGNER_NOT_VALID"

    def _begin(self, process: Process) -> None:
        """Remove the mark of a clean stop before anything can be signed under a new incarnation, and
        begin.
        """
        me = self.disk.view.get(NODE, SELF)
        self.sidecar = log_position(self.disk.view, me.incarnation if me is not None else Incarnation(0))
        process.begin()

    def remember(self, incarnation: Incarnation, then: Callable[[], None], *, clean: bool = False) -> None:
        """Write what is durable now into the sidecar, then call ``then``. The sidecar may lag the disk, never
        lead it.
        """
        process, now = self.process, log_position(self.disk.view, incarnation, clean=clean)

        def written() -> None:
            if process is not None and process.alive:
                self.sidecar = now
                then()

        if now == self.sidecar:
            then()
        else:
            self.commit(Plan((), None), lambda: self.heap.after(self._plan.knobs.sync, written))

    def shred(self, then: Callable[[], None]) -> None:
        """Remove overwritten data from the files; a crash in between leaves it there."""
        process = self.process

        def shredded() -> None:
            if process is not None and process.alive:
                self.disk.shred()
                then()

        if self.bug.shreds:
            self.commit(Plan((), None), lambda: self.heap.after(self._plan.knobs.sync, shredded))
        else:
            then()

    def commit(self, plan: Plan[Any], effect: Callable[[], None]) -> None:
        """Write a plan, and call ``effect`` once it is durable. Plans that come during a sync share the next
        one.
        """

        def durable() -> None:
            self._oracle.durable(self, plan)
            if self.watcher is not None:
                self.watcher.durable(self, plan)
            effect()

        self.disk.apply(plan, durable if plan.writes else effect)
        if self.watcher is not None and self.bug.watches_early and plan.writes:
            self.watcher.early(self)
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
        """Lose power; at most ``keep`` of the unsynced commits survive. The machine is back after
        ``down``.
        """
        self._end(min(keep, self.disk.unsynced))
        self._oracle.crashed(self)
        if self.watcher is not None:
            self.watcher.crashed(self.disk.view)
        self.heap.after(down, self.start)

    def restore(self, snapshot: Snapshot, down: int) -> None:
        """Put the disk, or all of the folder, back to an earlier state: amnesia.

        A disk that comes back alone is never older than the folder in which it is: what was there before the
        folder was put back is gone, and would name keys that the vault beside it never had.
        """
        if snapshot.keys is not None:
            self._folder, self._folder_since = snapshot, self.heap.now
        elif self._folder is not None and snapshot.taken < self._folder_since:
            snapshot = Snapshot(self._folder.rows, self._folder.rotten, self._folder.taken)
        self._end(0)
        put_back(self, snapshot)
        self.forgets += 1
        if self.watcher is not None:
            self.watcher.restored()
        self._oracle.restored(self, snapshot.taken)
        self.heap.after(down, self.start)

    def stop(self, down: int) -> None:
        """Stop in order, in the middle of anything; the machine is back ``down`` after the end."""
        if self.process is not None and self.process.serving:
            self._down = down
            self.process.stop()

    def end_in_order(self) -> None:
        """Stop whatever runs; what does not serve yet is killed."""
        self.stop(0)

    def end_hard(self) -> None:
        """Kill whatever runs."""
        if self.process is not None:
            self.crash(0, SECOND)

    def count(self, what: str) -> None:
        """Count something that has happened."""
        self._oracle.counts[what] += 1

    def stopped(self) -> None:
        """Handle that the process has stopped in order: once the mark is set, sidecar and disk must agree.

        A full disk takes no mark: the next start is then one after a crash.
        """
        process = self.process
        if process is None:
            return
        self.heap.note("stopped", self.name)
        marked = self.sidecar is not None and self.sidecar.clean
        agrees = self.sidecar == log_position(self.disk.view, process.node.incarnation, clean=True)
        if not agrees and (marked or self.room.free > 0):
            raise Violation("I9", f"{self.name} has stopped, but its sidecar does not match its disk")
        process.die()
        self.process = None
        self.disk.crash(self.disk.unsynced)
        self._syncing = False
        self._oracle.counts["stop"] += 1
        self.heap.after(self._down, self.start)

    def rot(self, which: str) -> None:
        """Damage what such a bulletin consists of (``mending.ROTS``), as soon as there is one."""
        table, find = ROTS[which]
        found = find(self.disk.view)
        if found is not None:
            self.heap.note("rot", self.name, which)
            self._oracle.counts["rot"] += 1
            self.disk.rot(table, found)
        elif self.heap.now < self.lasts:
            self.heap.after(SECOND // 10, lambda: self.rot(which))

    def fill(self, fault: Fault) -> None:
        """Let another program take all of the disk except ``keep`` bytes, for ``lasts``."""
        self.heap.note("full", self.name, fault.keep)
        self._oracle.counts["full"] += 1
        self.room.fill(fault.keep)
        self.heap.after(fault.lasts, self.room.empty)

    def read_only(self, lasts: int) -> None:
        """Make the disk read-only for this time: the process ends (DISK_ERROR), and no start succeeds."""
        if self.process is not None:
            self._oracle.counts["read-only"] += 1
            self.crash(0, lasts)

    def decay(self) -> None:
        """Lose a piece of a complete file, as soon as there is one."""
        for row in self.disk.view.find(FILE, "key"):
            if row.state == FileState.WHOLE and self.pieces.files.get(row.place):
                self.heap.note("decay", self.name)
                self._oracle.counts["decay"] += 1
                self.pieces.decay(row.place, min(self.pieces.files[row.place]))
                return
        if self.heap.now < self.lasts:
            self.heap.after(SECOND // 10, self.decay)

    def _end(self, keep: int) -> None:
        self.heap.note("crash", self.name, keep)
        if self.process is not None:
            self.process.die()
            self.process.driver.died()
            self.process = None
        self.disk.crash(keep)
        self._syncing = False
