"""One of several replicas of a member, which run together over one database (decisions 67 and 76).

Its steps wait until it has the turn; it follows what the others have committed before each of its own groups,
and when it is told. Questions see what it has followed. What it learns, ``engine.following`` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from intelshare.broker.kernel.documents import documents
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import NODE
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.attachments import kept
from intelshare.broker.line.handover import handover
from intelshare.broker.line.read_ahead import handover_ahead, read_ahead
from intelshare.crypto.records import Checkpoint
from intelshare.engine.actions import Claim, PassOn
from intelshare.engine.events import Divided, Joined, Leads, NodeChanged, PassedOn, Started
from intelshare.engine.following import learn_groups, renewed, undone, with_keys
from intelshare.engine.values import Shares
from intelshare.errors import IntelshareError, StoreError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.node.clock import Clock
from intelshare.ports import Random, View
from intelshare.sim.keys import Keys
from intelshare.sim.law import law, law_file
from intelshare.sim.network import Network
from intelshare.sim.shared_folder import InSharedFolder
from intelshare.sim.turns import IDLE, IDLE_IN_STEP, NOTHING, Done, Job, Session, TurnGroup
from intelshare.sim.written import Written, check_memory, check_told

if TYPE_CHECKING:
    from intelshare.sim.oracle import Oracle
    from intelshare.sim.replicated import ReplicatedMachine

A = TypeVar("A")

LOOK: Final = SECOND // 2
"""The time after which a replica looks for what others have committed, if nobody tells it."""

_RESUME: Final = SECOND // 5
"""The time between two attempts to have a session again."""

_KEPT: Final = 60
"""The groups that a replica may be behind: rows of older ones stand elsewhere, and it ends."""

_MOST: Final = 256
"""The steps of one commit."""

_SOON: Final = 1_000
"""The microseconds until a claim is carried out."""

_LEADING: Final = SECOND // 10
"""The time that a replica takes to open its port for peers."""


class Replica(InSharedFolder):
    """A process that dies as a whole, among others of its node."""

    def __init__(
        self,
        machine: ReplicatedMachine,
        node: Node,
        network: Network,
        oracle: Oracle,
        random: Random,
        number: int,
        *,
        first: bool,
    ) -> None:
        self._offset = machine.offsets[number]
        self.schema = machine.schema_of(number)
        self.divides = machine.divides(number)
        """False of a version that divides no links: if it leads, it has all."""
        self.leads = first
        self.followed_rows = machine.disk.copy()
        me = self.followed_rows.get(NODE, SELF)
        latest, confirmed = (me.latest, me.confirmed) if me is not None else (Instant(0), Instant(0))
        clock = Clock(
            latest,
            lambda: Instant(machine.now() + self._offset),
            lambda: machine.heap.now,
            confirmed=confirmed,
        )
        super().__init__(machine, node, clock, network, oracle, random)
        turns = machine.turns
        self.number = number
        self.cut = self.slow = False
        """The line to the database is cut; it follows nothing but before its own steps."""
        self.sticks = 0
        """If not 0, it freezes for this time when it has run its next steps, before it commits them."""
        self._told = first or machine.bug.tells_leader
        self._outdated, self._law = not first, False
        self._has_led = first
        self._claimed: Claim | None = None
        self._held = frozenset[MemberCode]()
        self._vault = machine.keys.copy()
        self._jobs: deque[Job] = deque()
        self._group: TurnGroup | None = None
        """The group that it has sent to be committed, and of which it has not heard."""
        self._done: list[Done] = []
        self.at_wake: list[Callable[[], None]] = []
        self._followed_at = machine.heap.now
        self.session = turns.begin(self) if first else turns.join(self)
        self.epoch = turns.epoch
        self.at = len(turns.groups)
        """The group up to which it has followed."""
        machine.heap.after(LOOK, self._look)
        if not first:
            self._nothing()

    # What it sees

    def now(self) -> Instant:
        """Return the wall time of its own machine."""
        return Instant(self.machine.now() + self._offset)

    @property
    def present(self) -> View:
        """See ``Process``. A planted bug: what it has followed."""
        return self.disk.checked if self.machine.bug.catches_up else self.disk.check(self.followed_rows)

    @property
    def keys(self) -> Keys:
        """See ``Process``: the vault as it has read it last, or, if it leads, as it has written it."""
        return self.machine.keys if self._writes_vault else self._vault

    @property
    def _writes_vault(self) -> bool:
        return self.leads and self.machine.process is self

    @property
    def known(self) -> View:
        """See ``Process``."""
        return self.followed_rows

    @property
    def followed_at(self) -> int:
        """See ``Process``."""
        return self._followed_at

    def rows(self, *, checked: bool = True) -> View:
        """See ``Process``: what it has followed."""
        return self.disk.check(self.followed_rows) if checked else self.followed_rows

    def _serve(self) -> None:
        """Record under which files this start decides: the others learn of the next ones by their rows."""
        machine = self.machine
        members = tuple(sorted(self.node.world.members))
        files = law(self.name, members, (), machine.law), (law_file(self.name, machine.law),)
        self.perform("take_files", *files, then=lambda _: self._share(), refused=machine.refuse_start)

    def _share(self) -> None:
        self.machine.turns.shared = True
        super()._serve()
        self._take_part()

    def serve_beside(self) -> None:
        """Serve users from now on, as one that does not lead."""
        if self.alive and not self.serving:
            self.serving = True
            self.oracle.serves(self)
            self._take_part()
            self.feed(Started())

    def _take_part(self) -> None:
        if self.divides:
            self.feed(Joined())

    # Steps

    def perform(
        self,
        name: str,
        *event: Any,
        then: Callable[[Any], None],
        refused: Callable[[IntelshareError], None] | None = None,
    ) -> None:
        """See ``Process``: the step runs when it has the turn. What a hand-over needs is read now."""
        if self.alive and not self.drained:
            if name == "handover" and self.machine.bug.steps[name] is handover:
                rooms, most = event
                event = rooms, most, read_ahead(self.node, self.rows(), rooms, most, self.now())
            self.put(Job(name, event, then, refused))

    def put(self, job: Job) -> None:
        """See ``InSharedFolder``."""
        if self.session is None:
            self.heap.after(0, lambda: self._refuse([job]))
            return
        self._jobs.append(job)
        if not self.frozen:
            self.machine.turns.ask(self.session)

    def _nothing(self) -> None:
        """Have the turn soon, though no step waits: the node is outdated."""
        self.put(Job("", (), lambda _: None, lambda _: None))

    def _refuse(self, jobs: Sequence[Job]) -> None:
        error = StoreError("STORE_UNAVAILABLE", "the database cannot be reached", retry_after=1)
        for job in jobs:
            if self.alive and job.refused is not None:
                job.refused(error)

    def has_turn(self) -> None:
        """Run what waits, and commit it."""
        turns, session = self.machine.turns, self.session
        if self.frozen or self.cut or session is None or turns.holder is not session or turns.committing:
            return
        if self._group is not None:
            turns.commit(session, self._group)
            return
        if self.machine.bug.catches_up and not self._catch_up():
            return
        if self._is_older():
            return
        if self._outdated and self.machine.bug.renews and not self._make_again():
            return
        group, self._done = TurnGroup(schema=self.schema), []
        last = False
        while self._jobs and len(self._done) < _MOST and not last:
            done = self._run(self._jobs.popleft())
            self._done.append(done)
            if done.plan is not NOTHING:
                group.plans.append(done.plan)
                self.disk.apply(done.plan, lambda: None)
                last = done.plan.last
        self._group = group
        if self.sticks and group.plans:
            lasts, self.sticks = self.sticks, 0
            self.freeze(lasts)
        else:
            turns.commit(session, group)

    def _run(self, job: Job) -> Done:
        clock = self.clock.read()
        now = clock.now
        if not job.name:
            return Done(job, now)
        step, name = self.machine.bug.steps[job.name], job.name
        try:
            plan = self.plan(handover_ahead if step is handover else step, name, job.event, clock)
        except IntelshareError as error:
            if job.refused is None:
                raise
            return Done(job, now, error=error)
        return Done(job, now, self.noted(name, job.event, plan, clock))

    def answered(self, most: int | None = None) -> None:
        """Hear that a group is committed, unless nothing comes through; ``most``: so many of its steps are
        answered before a crash.
        """
        group = self._group
        if group is None or not group.number or self.frozen or self.cut or not self.alive:
            return
        self._group, done, self._done = None, self._done, []
        self.at, self._followed_at = group.number, self.heap.now
        for one in done:
            self._swap(one.plan.answer)
        for one in done if most is None else done[:most]:
            # Whatever leaves at this moment was durable before what the next step stops.
            self.followed_rows.repeat(one.plan.writes)
            self._answer(one)
        if self._jobs and self.session is not None:
            self.machine.turns.ask(self.session)

    def _answer(self, one: Done) -> None:
        if not self.alive:
            return
        self.stepped = one.at
        effects = getattr(one.plan.answer, "effects", None)
        if isinstance(effects, Effects):
            check_told(self.node, one.job.name, effects, Written([TurnGroup([one.plan])]), leads=self.leads)
        if one.error is None:
            one.job.then(one.plan.answer)
        elif one.job.refused is not None:
            one.job.refused(one.error)

    def _take(self, group: TurnGroup) -> None:
        """A group is durable, and this replica knows it."""
        for plan in group.plans:
            self.followed_rows.repeat(plan.writes)
        self.at = group.number
        self._followed_at = self.heap.now

    # What the others have committed

    def follow(self) -> None:
        """Take in what others have committed, unless it writes itself; lead if nobody does."""
        turns, session = self.machine.turns, self.session
        if not self.alive or self.frozen or self.cut or session is None or turns.holder is session:
            return
        if self._is_older():
            return
        if self._group is None and self._catch_up() and turns.lead is None and turns.shared:
            turns.lead = session
            self._lead()

    def told(self) -> None:
        """Hear that somebody has committed."""
        if not self.slow:
            self.follow()

    def _look(self) -> None:
        if self.alive:
            self.heap.after(LOOK, self._look)
            self.divide()
            if not self.slow:
                self.follow()

    # Links

    def covers(self, said: Checkpoint) -> bool:
        """See ``Process``."""
        now = said.incarnation == self.node.incarnation
        return self.leads or not now or said.size <= self.machine.covered[said.incarnation]

    def claim(self, claim: Claim) -> None:
        """See ``Process``."""
        if self.divides:
            self._claimed = claim if self.machine.bug.calls_home else replace(claim, call=frozenset())
            self.heap.after(_SOON, self.divide)

    def divide(self) -> None:
        """Hold what it claims, and see what all hold."""
        turns, session = self.machine.turns, self.session
        if not self.divides:
            self._have_all()
            return
        if not self.alive or self.frozen or self.cut or session is None or not session.alive:
            return
        if self._claimed is None or not turns.up:
            return
        if turns.claim(session, self._claimed):
            self.machine.tell_others(self, lambda one: one.divide())
        seen = turns.division(session)
        self.heap.after(0, lambda: self._divided(seen) if self.alive else None)

    def _have_all(self) -> None:
        """Have every link if it leads, and none else, as a version did that divides nothing."""
        trust = self.node.trust
        leads = self.leads and self.machine.process is self
        every = frozenset(one for one in trust.partners if one not in trust.excluded)
        held = every if leads else frozenset[MemberCode]()
        if self.alive and not self.frozen and held != self._held:
            self._divided(Divided(Shares(0, 0, (), {}, frozenset()), held))

    def _divided(self, seen: Divided) -> None:
        if seen.held != self._held:
            self._held = seen.held
            self.driver.divided()
        self.feed(seen)

    def pass_on(self, action: PassOn) -> None:
        """See ``Process``."""
        if not self.cut and self.session is not None:
            self.machine.tell_others(self, lambda one: one.feed(PassedOn(action.member, action.message)))

    def _is_older(self) -> bool:
        """Return true if a newer version has migrated: this process has ended over it."""
        if self.disk.schema > self.schema and self.machine.bug.reads_schema:
            self.end("SCHEMA_NEWER")
            return True
        return False

    def _catch_up(self) -> bool:
        """Return false if this process has ended over it."""
        turns = self.machine.turns
        missing = turns.groups[self.at :]
        if turns.epoch != self.epoch or len(missing) > _KEPT:
            self.end("DATA_LOCKED")
            return False
        for group in missing:
            self._take(group)
        self._followed_at = self.heap.now
        if missing:
            self._learn(Written(missing))
        check_memory(self.node, self.followed_rows)
        return True

    def _learn(self, written: Written) -> None:
        node = (
            self.node
            if self.machine.bug.forgets_pairs
            else replace(self.node, recent=type(self.node.recent)())
        )
        learnt = learn_groups(node, written)
        self._law |= learnt.law
        if learnt.outdated:
            self._outdated = True
            self._nothing()
        for event in learnt.events if self._told else ():
            self.heap.after(0, lambda event=event: self.feed(event) if self.alive else None)  # type: ignore[misc]

    def _make_again(self) -> bool:
        """Make the node again; return false if this process has ended over it."""
        if not self._follow_vault():
            return False
        files = None
        if self._law:
            files = law(self.name, tuple(sorted(self.node.world.members)), (), self.machine.variant)
        view = self.disk.view
        self.node = with_keys(renewed(self.node, view, documents(view), files), self.keys, self.now())
        self._outdated = self._law = False
        self.heap.after(0, lambda: self.feed(NodeChanged()) if self.alive else None)
        return True

    def look_at_vault(self) -> None:
        """See ``Process``: make the node again if whoever leads has changed the keys."""
        before = self._vault.state
        if self._follow_vault() and self._vault.state != before and not self._writes_vault:
            self._outdated = True
            self._nothing()

    def _follow_vault(self) -> bool:
        """Take over the vault's later state; return false if this process has ended over another one."""
        there = self.machine.keys
        if there.state == self._vault.state:
            return True
        if not (self._writes_vault or there.is_later_than(self._vault)):
            self.end("DATA_LOCKED")
            return False
        if not self._writes_vault:
            self.oracle.counts["vault followed"] += 1
        self._vault = there.copy()
        return True

    def _lead(self) -> None:
        """The one that led has ended, or its session has: links and chores are this replica's."""
        self.leads = True
        self.heap.note("leads", self.name, self.number)
        self.oracle.counts["replica leads"] += 1
        self.look_at_vault()
        if self.alive:
            self.heap.after(_LEADING, self._led)

    def _led(self) -> None:
        if self.alive and self.leads:
            self.machine.pieces.keep([one.place for one in kept(self.followed_rows)])
            again, self._has_led, self.machine.process = self._has_led, True, self
            if not again:
                self.feed(Leads())
            if not self.divides:
                self._have_all()

    # Sessions

    def freeze(self, lasts: int) -> None:
        """Run nothing for a time; the server ends a session of which it hears nothing."""
        if self.alive and not self.frozen:
            self.frozen = True
            self._silent()
            self.heap.after(lasts, self._wake)

    def _wake(self) -> None:
        """Go on, with what it knew before; then it finds what has become of its session."""
        if not self.alive:
            return
        self.frozen = False
        self.driver.woken()
        waiting, self.at_wake = self.at_wake, []
        for do in waiting:
            do()
        self._go_on()

    def cut_off(self, lasts: int, notices: int) -> None:
        """Cut the line to the database; this side notices after a time, the server after another."""
        if self.alive and not self.cut:
            self.cut = True
            self._silent()
            self.heap.after(lasts, self._joined_up)
            self.heap.after(min(lasts, notices), lambda: self._lose() if self.cut else None)

    def _joined_up(self) -> None:
        self.cut = False
        self._go_on()

    def doubt(self, *, committed: bool) -> None:
        """Lose the line in the middle of a commit, as soon as there is one."""
        turns = self.machine.turns
        if not self.alive or self.session is None:
            return
        if turns.holder is not self.session or not turns.committing:
            self.heap.after(1_000, lambda: self.doubt(committed=committed))
            return
        session = self.session
        session.closed = True
        if not committed:
            turns.end(session)
        self._lose()

    def _silent(self) -> None:
        session = self.session
        if session is not None:
            self.heap.after(IDLE, lambda: self._idle(session, IDLE))
            self.heap.after(IDLE_IN_STEP, lambda: self._idle(session, IDLE_IN_STEP))

    def _idle(self, session: Session, after: int) -> None:
        turns, heard = self.machine.turns, not (self.frozen or self.cut) and self.session is session
        if not heard and (turns.holder is not session or after == IDLE_IN_STEP):
            turns.end(session)

    def _go_on(self) -> None:
        if not self.alive:
            return
        self.look_at_session()
        if self.session is not None:
            self.answered()
            self.has_turn()
            if self._jobs:
                self.machine.turns.ask(self.session)
        else:
            self._resume()

    def look_at_session(self) -> None:
        """Notice that the server has ended the session."""
        if not self.frozen and not self.cut and self.session is not None and not self.session.alive:
            self._lose()

    def _lose(self) -> None:
        """Its session is over: what waits is refused, and what it was committing is in doubt."""
        if not self.alive or self.frozen or self.session is None:
            return
        self.heap.note("session lost", self.name, self.number)
        self.oracle.counts["session lost"] += 1
        self.session = None
        if self._group is not None and not self._group.number and not self.machine.bug.fenced:
            self.machine.turns.force(self._group)
        waiting, self._jobs = list(self._jobs), deque()
        self._refuse(waiting)
        self.heap.after(_RESUME, self._resume)

    def _resume(self) -> None:
        turns = self.machine.turns
        if not self.alive or self.frozen or self.session is not None:
            return
        if turns.epoch != self.epoch and not self.cut and turns.up:
            self.end("DATA_LOCKED")
            return
        session = turns.join(self) if not self.cut else None
        if session is None:
            self.heap.after(_RESUME, self._resume)
            return
        self.session = session
        if self.leads and turns.lead is not None:
            self.end("DATA_LOCKED")
            return
        if self.leads:
            turns.lead = session
            self._lead()
        self._settle()
        self.divide()
        self.follow()

    def _settle(self) -> None:
        """Find out what became of the group that was in doubt."""
        group, done = self._group, self._done
        if group is None:
            return
        self.oracle.counts["commit in doubt"] += 1
        if group.number:
            self.answered()
            return
        self._group, self._done = None, []
        undone(self.node)
        self._refuse([one.job for one in done])

    def kill(self, down: int) -> None:
        """End at once: kill -9."""
        self.heap.note("crash", self.name, self.number)
        self.oracle.counts["replica killed"] += 1
        self._over(down)

    def end(self, code: str) -> None:
        """End by itself; it is started again."""
        self.heap.note("ends", self.name, self.number, code)
        self.oracle.counts[f"replica ended {code}"] += 1
        self._over(SECOND)

    def stopped(self) -> None:
        """See ``Process``: no mark is written, since others may write on."""
        self.oracle.counts["stop"] += 1
        self._over(self.machine.down)

    def _over(self, down: int) -> None:
        self.die()
        self.driver.died()
        self.machine.turns.end_all(self)
        self.machine.ended(self, down)
