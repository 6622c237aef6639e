"""The virtual database of a member with several replicas: sessions, the turn to write, and who leads.

    what happens                                          consequence
    ---------------------------------------------------   -------------------------------------------------
    nobody has the turn, a session waits for it            it has the turn
    the one that has it commits                            the others are told; the next one has the turn
    its session ends before that                           nothing of its group was written; the same
    the session of the one that leads ends                 whichever looks next leads
    a session claims a member that nobody holds            it holds it, until it gives it up or ends
    nobody has a session, and a process starts             it is the first of a new epoch
    one of a newer version has the turn                    it migrates; those that know less end (decision 74)

As ``store/postgres`` does it (decision 67): only the order of things is simulated, not SQL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from intelshare.broker.kernel.tables import LOG
from intelshare.engine.events import Divided
from intelshare.engine.values import Shares
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan, Put

if TYPE_CHECKING:
    from intelshare.engine.actions import Claim
    from intelshare.sim.plan import Fault
    from intelshare.sim.replica import Replica
    from intelshare.sim.replicated import ReplicatedMachine

IDLE: Final = 5 * SECOND
"""The time without a word of its replica after which the server ends a session."""

IDLE_IN_STEP: Final = 10 * SECOND
"""The same of the one that has the turn."""

_WAY: Final = 300
"""The microseconds of a message to the database."""


@dataclass(eq=False, slots=True)
class Session:
    """One connection that writes."""

    replica: Replica
    number: int
    alive: bool = True
    """True until the server has ended it; its replica may not have noticed."""
    closed: bool = False
    """Its replica has closed it: the server ends it after the commit that runs."""


@dataclass(frozen=True, slots=True)
class Job:
    """A step that waits for the turn; without a name it writes nothing."""

    name: str
    event: tuple[Any, ...]
    then: Callable[[Any], None]
    refused: Callable[[IntelshareError], None] | None


NOTHING: Final[Plan[Any]] = Plan((), None)
"""Of a step that has failed, or of none."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that has run in a turn."""

    job: Job
    at: Instant
    plan: Plan[Any] = NOTHING
    error: IntelshareError | None = None


@dataclass(eq=False, slots=True)
class TurnGroup:
    """The writes of one turn."""

    plans: list[Plan[Any]] = field(default_factory=list)
    number: int = 0
    """Its place among all groups, from 1; 0: it is not committed."""
    schema: int = 0
    """The ``Disk.schema`` that the version knows which commits it."""


class Turns:
    """The database of one member."""

    def __init__(self, machine: ReplicatedMachine) -> None:
        self.epoch = 0
        self.groups: list[TurnGroup] = []
        """All that was committed, in order."""
        self.lead: Session | None = None
        self.holder: Session | None = None
        """The session that has the turn to write."""
        self.shared = False
        """True once the first replica of this epoch lets others join."""
        self.up = True
        self.sessions: list[Session] = []
        self._parts: set[int] = set()
        """The sessions among which links are divided."""
        self._holders: dict[tuple[str, MemberCode], Session] = {}
        """The sessions that hold members, or call for them (``engine.dividing``)."""
        self._committing: TurnGroup | None = None
        self._waiting: deque[Session] = deque()
        self._machine = machine
        self._variant = 0
        self._opened = 0

    def begin(self, replica: Replica) -> Session:
        """Let the first one in, alone: a new epoch, which it leads."""
        self.epoch += 1
        self.shared = False
        self.lead = self._open(replica)
        return self.lead

    def join(self, replica: Replica) -> Session | None:
        """Let a replica of this epoch in; None: not yet. ``replica.epoch`` says of which it is."""
        held = self.holder is not None and self.holder.replica is replica
        first = self.sessions[0].replica is replica if self.sessions else True
        if not self.up or held or not (self.shared or first):
            return None
        return self._open(replica)

    def _open(self, replica: Replica) -> Session:
        self._opened += 1
        session = Session(replica, self._opened)
        self.sessions.append(session)
        return session

    def ask(self, session: Session) -> None:
        """Wait for the turn."""
        if session.alive and session is not self.holder and session not in self._waiting:
            self._waiting.append(session)
            self._next()

    def _next(self) -> None:
        if self.holder is None and self._waiting and self.up:
            session = self.holder = self._waiting.popleft()
            self._variant = self._machine.variant
            self._machine.heap.after(_WAY, lambda: self._has_turn(session))

    def _has_turn(self, session: Session) -> None:
        if self.holder is session:
            session.replica.has_turn()

    @property
    def variant(self) -> int:
        """The variant of the member's own rules that is committed: whoever has the turn may have taken up
        another one.
        """
        return self._variant if self.holder is not None else self._machine.variant

    @property
    def committing(self) -> bool:
        """True if the one that has the turn has sent its COMMIT."""
        return self._committing is not None

    def commit(self, session: Session, group: TurnGroup) -> None:
        """Make a group durable, which was applied to the disk, and end the turn."""
        self._committing = group
        takes, crash = self._machine.next_sync()
        if crash is not None and crash.window == "before":
            self._machine.heap.after(takes // 2, lambda: self._crash(session, crash))
        else:
            self._machine.heap.after(takes, lambda: self._durable(session, crash))

    def _crash(self, session: Session, crash: Fault) -> None:
        if session.replica.alive:
            session.replica.kill(crash.lasts)

    def _durable(self, session: Session, crash: Fault | None) -> None:
        if self.holder is not session or self._committing is None:
            return
        group, self._committing, self.holder = self._committing, None, None
        self._machine.disk.sync(self._machine.disk.unsynced)
        self.write(group)
        if session.closed:
            self.end(session)
        replica = session.replica
        replica.answered(crash.keep if crash is not None else None)
        if crash is not None and replica.alive:
            replica.kill(crash.lasts)
        self._next()

    def write(self, group: TurnGroup) -> None:
        """Note that a group is durable, and tell all."""
        group.number = len(self.groups) + 1
        self.groups.append(group)
        self._keep_up(group)
        for plan in group.plans:
            self._machine.is_durable(plan)
        if group.plans:
            self._machine.tell_replicas()

    def _keep_up(self, group: TurnGroup) -> None:
        """Migrate in the first commit of a newer version; from then on each keeps up what that relies on."""
        disk = self._machine.disk
        if group.schema > disk.schema:
            disk.schema, disk.kept = group.schema, disk.durable.count(LOG, "key")
        elif group.schema:
            writes = [write for plan in group.plans for write in plan.writes if write.table is LOG]
            disk.kept += sum(1 if isinstance(write, Put) else -1 for write in writes)

    def force(self, group: TurnGroup) -> None:
        """Carry out a planted bug: write a group whose session has ended, whoever has the turn now."""
        disk, other = self._machine.disk, self.holder
        if other is None:
            for plan in group.plans:
                disk.apply(plan, lambda: None)
            disk.sync(disk.unsynced)
            self.write(group)

    def end(self, session: Session) -> None:
        """End a session: what it has not committed was never written."""
        if not session.alive:
            return
        session.alive = False
        self.sessions.remove(session)
        if session in self._waiting:
            self._waiting.remove(session)
        if self.lead is session:
            self.lead = None
        self._parts.discard(session.number)
        if self._machine.bug.frees_links:
            self._holders = {what: one for what, one in self._holders.items() if one is not session}
        if self.holder is session:
            self._machine.disk.crash(0)
            self._machine.variant = self._variant
            self.holder = self._committing = None
        self._next()

    def claim(self, session: Session, claim: Claim) -> bool:
        """Let a session hold what it claims and nobody else has; true if it gives something up."""
        (self._parts.add if claim.part else self._parts.discard)(session.number)
        wanted = {*[("link", one) for one in claim.hold], *[("call", one) for one in claim.call]}
        gone = [what for what, one in self._holders.items() if one is session and what not in wanted]
        for what in gone:
            del self._holders[what]
        for what in sorted(wanted):
            self._holders.setdefault(what, session)
        return bool(gone)

    def division(self, session: Session) -> Divided:
        """Return what all hold, for one of them."""
        holders = {member: one for (what, member), one in self._holders.items() if what == "link"}
        parts = set(self._parts)
        if self.lead is not None and not self._machine.bug.sees_older:
            parts.add(self.lead.number)
        shares = Shares(
            session.number,
            self.lead.number if self.lead is not None else 0,
            tuple(sorted(parts)),
            {member: one.number for member, one in holders.items()},
            frozenset(member for what, member in self._holders if what == "call"),
        )
        return Divided(shares, frozenset(member for member, one in holders.items() if one is session))

    def end_all(self, replica: Replica) -> None:
        """End the sessions of a process that has ended."""
        for session in [one for one in self.sessions if one.replica is replica]:
            self.end(session)

    def restart(self, lasts: int, *, committed: bool) -> None:
        """Restart the server; ``committed``: the commit that runs happens, and nobody is told."""
        if committed and self.holder is not None and self._committing is not None:
            self._machine.disk.sync(self._machine.disk.unsynced)
            self.write(self._committing)
            self.holder = self._committing = None
        self.up = False
        for session in list(self.sessions):
            self.end(session)
            session.replica.look_at_session()
        self._machine.heap.after(lasts, self._back)

    def _back(self) -> None:
        self.up = True
        self._next()
