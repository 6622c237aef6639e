"""The engine: one event in, the resulting actions out. It decides when a step runs, and does nothing itself.

``handle`` has one row per kind of event; ``outcomes`` has one per step and query that come back. A failure
that concerns one link ends that link, never the node; only a driver's defect or a disk error ends the node,
and neither comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node
from intelshare.crypto.suites import Signer
from intelshare.delivery import LinkWord
from intelshare.engine.acknowledged import Acknowledged
from intelshare.engine.actions import Action, SetTimer
from intelshare.engine.answers import Answers
from intelshare.engine.attachments import Fetching
from intelshare.engine.budgets import Budgets, BudgetState
from intelshare.engine.destruction import Destruction
from intelshare.engine.dialling import Dialling
from intelshare.engine.dividing import Dividing
from intelshare.engine.events import (
    Accepted,
    ChoreDone,
    Closed,
    Committed,
    Connected,
    Covered,
    DamageFound,
    Divided,
    Drained,
    Event,
    Joined,
    Lacking,
    Leads,
    LogQuestion,
    LogsAsked,
    MessageWritten,
    NodeChanged,
    PassedOn,
    PiecesOpened,
    PieceWritten,
    PolicyAvailable,
    QueryDone,
    QueuedAgain,
    Ready,
    Received,
    RecordsMended,
    ReserveHeld,
    SayLog,
    Shredded,
    SidecarWritten,
    SliceRead,
    Space,
    Started,
    StepDone,
    Stop,
    TimerDue,
    Unreadable,
)
from intelshare.engine.hearing import Hearing
from intelshare.engine.housekeeping import Housekeeping
from intelshare.engine.limits import Limits
from intelshare.engine.links import Links
from intelshare.engine.log_position import LogPosition
from intelshare.engine.mending import Mending
from intelshare.engine.outcomes import query_done, step_done
from intelshare.engine.sender import Sender
from intelshare.engine.space import RoomOnDisk
from intelshare.engine.stopping import STOP_ORDER, Phase, Stopping
from intelshare.engine.turn import Parts, Turn
from intelshare.engine.values import LinkId, LinkReport, Now
from intelshare.ids import Incarnation, KeyId, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Random
from intelshare.trust import TrustView


class Engine:
    """The engine of one start of one node."""

    def __init__(
        self,
        node: Node,
        signer: Callable[[KeyId], Signer],
        random: Random,
        *,
        leads: bool = True,
        dials: Callable[[MemberCode], bool],
        limits: Limits | None = None,
        stop_order: Sequence[Phase] = STOP_ORDER,
        dialling: Callable[[Callable[[MemberCode], bool]], Dialling] = Dialling,
    ) -> None:
        """``signer`` finds a signer in the vault. ``leads``: false for a replica beside one that leads.

        ``dials`` tells if this node dials a member. ``stop_order`` and ``dialling`` are for planted bugs.
        """
        self._trust = node.trust
        self._timer: Instant | None = None
        self._parts = Parts(
            limits=limits or Limits(),
            random=random,
            signer=signer,
            links=Links(),
            sender=Sender(),
            dialling=dialling(dials),
            dividing=Dividing(leads=leads),
            housekeeping=Housekeeping(),
            hearing=Hearing(),
            log_position=LogPosition(),
            destruction=Destruction(),
            answers=Answers(),
            fetching=Fetching(),
            stopping=Stopping(stop_order),
            budgets=Budgets((limits or Limits()).budgets),
            space=RoomOnDisk(),
            mending=Mending(),
            acknowledged=Acknowledged(),
        )

    def new_link(self) -> LinkId:
        """Return a number for a stream that a peer opens."""
        return self._parts.links.new()

    def state(self, node: NodeUri, now: Now) -> LinkReport:
        """Return the state of the link to a peer node."""
        link, seen = self._parts.links.to(node), self._parts.links.seen(node)
        twice = "TWO_INSTANCES" if self._parts.links.doubled(node, now.steady) else ""
        if link is None:
            state, error = self._parts.dialling.state(node)
            if (listed := self._trust.node(node)) is not None:
                state = LinkWord.ELSEWHERE if self._parts.dividing.elsewhere(listed[0]) else state
                seen = max(seen, self._parts.dividing.taken(listed[0]))
            return LinkReport(state, twice or error, seen=seen)
        error, offset = twice or link.last_error, link.clock.offset_at(now)
        return LinkReport(
            LinkWord.LINKED, error, link.since, offset, link.queue.unacknowledged, seen, *link.lost
        )

    def budgets(self, member: MemberCode, steady: Instant) -> tuple[BudgetState, ...]:
        """Return the budgets that a peer has spent since the start of this node."""
        return self._parts.budgets.state(member, steady)

    def line(self, member: MemberCode, steady: Instant) -> int | None:
        """Charge a driver's line about a peer; return how many were left out before.

        None: leave it out too.
        """
        return self._parts.budgets.line(member, steady)

    def may_release(self, now: Now) -> bool:
        """Return True if anything may be released, by whatever way (promises P10, P17)."""
        return self._parts.sender.may_release(now)

    def covers(self, here: Incarnation, outbound: Outbound) -> bool:
        """Return True if the sidecar has every checkpoint in a frame that was loaded again."""
        return self._parts.log_position.covers(here, outbound)

    def allowed(self, member: MemberCode, steady: Instant) -> Mapping[Lasting, int]:
        """Return what a member may make this node keep by a bundle that is taken in now."""
        return self._parts.budgets.allowed(member, steady)

    def kept(self, member: MemberCode, spent: Mapping[Lasting, int], steady: Instant) -> None:
        """Charge what the member made this node keep."""
        self._parts.budgets.kept(member, spent, steady)

    @property
    def others(self) -> bool:
        """True if other replicas have links too: what waits goes on from them if this one ends."""
        return self._parts.dividing.others

    @property
    def held(self) -> tuple[MemberCode, ...]:
        """The members that this replica holds; empty if it runs alone."""
        return self._parts.dividing.held

    @property
    def linked(self) -> tuple[MemberCode, ...]:
        """The members that are served now."""
        return tuple(link.member for link in self._parts.links.newest())

    def handle(self, event: Event, node: Node, now: Now) -> list[Action]:
        """Return the actions that follow from an event. Nothing that a peer may send raises.

        ``node`` is the node as it is now.
        """
        turn = Turn(self._parts, node, now)
        self._parts.housekeeping.clock(turn)
        if node.trust is not self._trust:
            before, self._trust = self._trust, node.trust
            self._trust_changed(turn, before)
        _EVENTS[type(event)](self, turn, event)
        self._tick(turn)
        return turn.actions

    def _trust_changed(self, turn: Turn, before: TrustView) -> None:
        """End what must not go on, dial new nodes, retry what had waited for a document, and let peers
        compare the directories held of others.
        """
        links = self._parts.links
        links.look(turn)
        held = {member: trust.directory_signed for member, trust in before.members.items()}
        here = turn.node.trust.members
        changed = [member for member in here if held.get(member) is not here[member].directory_signed]
        for link in links.newest():
            link.tell_directories(turn, changed)
        self._parts.dialling.look_for_peers(turn)
        self._parts.sender.wake(turn, [link.member for link in links.newest()])

    def _tick(self, turn: Turn) -> None:
        """Do what is due, and set the timer for what is due next."""
        parts = self._parts
        if self._timer is not None and self._timer <= turn.now.steady:
            self._timer = None
            parts.links.late(turn)
            parts.links.resume(turn)
            parts.sender.tick(turn)
            parts.dialling.tick(turn)
            parts.housekeeping.tick(turn)
            parts.log_position.tick(turn)
            parts.destruction.tick(turn)
            parts.fetching.tick(turn)
        parts.stopping.tick(turn)
        due: Instant | None = None
        for at in (
            parts.links.next_at(),
            parts.sender.next_at(),
            parts.dialling.next_at(turn),
            parts.housekeeping.next_at(),
            parts.log_position.next_at(),
            parts.destruction.next_at(),
            parts.fetching.next_at(),
            parts.stopping.next_at(),
        ):
            if at is not None and (due is None or at < due):
                due = at
        if due is not None and due != self._timer:
            self._timer = due
            turn.do(SetTimer(due))

    # Events

    def _started(self, turn: Turn, _: Started | Leads) -> None:
        self._parts.dialling.begin(turn)
        self._parts.housekeeping.begin(turn)
        self._parts.destruction.wake(turn)
        self._parts.fetching.look(turn, turn.node.trust.partners)

    def _leads(self, turn: Turn, event: Leads) -> None:
        self._parts.dividing.leads = True
        self._started(turn, event)
        self._parts.fetching.wake(turn, [link.member for link in self._parts.links.newest()])

    def _passed_on(self, turn: Turn, event: PassedOn) -> None:
        if event.message is None:
            if self._parts.dividing.leads:
                self._parts.housekeeping.doubt(turn)
        elif isinstance(event.message, int):
            self._parts.housekeeping.told_time(turn, event.member, event.message)
        elif self._parts.dividing.has(event.member):
            if self._parts.links.of_member(event.member) is None:
                self._parts.links.ask_later(event.member, event.message)
            else:
                turn.ask(event.member, event.message)

    def _timer_due(self, turn: Turn, _: TimerDue) -> None:
        if self._timer is not None and self._timer > turn.now.steady:
            # It came too soon: it is set again.
            self._timer = None

    def _node_changed(self, turn: Turn, _: NodeChanged) -> None:
        """Do nothing more: every event checks for a changed node."""

    def _accepted(self, turn: Turn, event: Accepted) -> None:
        self._parts.links.accept(turn, event)

    def _connected(self, turn: Turn, event: Connected) -> None:
        self._parts.links.attempt(turn, event.link, lambda link: link.connected(turn, event.channel))

    def _received(self, turn: Turn, event: Received) -> None:
        self._parts.links.attempt(
            turn, event.link, lambda link: link.received(turn, event.message, event.size)
        )

    def _unreadable(self, turn: Turn, event: Unreadable) -> None:
        self._parts.links.attempt(turn, event.link, lambda link: link.unreadable(turn, event))

    def _written(self, turn: Turn, event: MessageWritten) -> None:
        self._parts.links.attempt(turn, event.link, lambda link: link.written(turn))

    def _closed(self, turn: Turn, event: Closed) -> None:
        link = self._parts.links.get(event.link)
        if link is not None:
            self._parts.links.closed(turn, link, event.code)

    def _committed(self, turn: Turn, event: Committed) -> None:
        turn.carry_out(event.effects)

    def _lacking(self, turn: Turn, event: Lacking) -> None:
        for member, gap in event.gaps:
            if self._parts.dividing.has(member):
                turn.ask(member, gap)

    def _ready(self, turn: Turn, event: Ready) -> None:
        self._parts.sender.wake(turn, event.members)

    def _queued_again(self, turn: Turn, event: QueuedAgain) -> None:
        self._parts.links.queued_again(turn, event.member)

    def _log_question(self, turn: Turn, event: LogQuestion) -> None:
        self._parts.answers.ask_for_user(turn, event.question)

    def _logs_asked(self, turn: Turn, _: LogsAsked) -> None:
        self._parts.answers.over(turn)

    def _say_log(self, turn: Turn, event: SayLog) -> None:
        self._parts.log_position.say(turn, event.token)

    def _sidecar_written(self, turn: Turn, event: SidecarWritten) -> None:
        self._parts.log_position.written(turn, event)

    def _shredded(self, turn: Turn, event: Shredded) -> None:
        self._parts.destruction.shredded(turn, event.error)

    def _pieces_opened(self, turn: Turn, event: PiecesOpened) -> None:
        self._parts.fetching.opened(turn, event)

    def _piece_written(self, turn: Turn, event: PieceWritten) -> None:
        self._parts.fetching.written(turn, event)

    def _slice_read(self, turn: Turn, event: SliceRead) -> None:
        self._parts.links.attempt(turn, event.run.link, lambda link: link.slice_read(turn, event))

    def _chore_done(self, turn: Turn, event: ChoreDone) -> None:
        self._parts.housekeeping.done(turn, event)

    def _space(self, turn: Turn, event: Space) -> None:
        self._parts.space.seen(turn, event)

    def _reserve_held(self, turn: Turn, event: ReserveHeld) -> None:
        self._parts.space.held(turn, there_was_room=event.there_was_room)

    def _stop(self, turn: Turn, _: Stop) -> None:
        self._parts.stopping.begin(turn)

    def _drained(self, turn: Turn, _: Drained) -> None:
        self._parts.stopping.advance(turn)


_EVENTS: Final[Mapping[type[Any], Callable[[Engine, Turn, Any], None]]] = {
    Started: Engine._started,
    Joined: lambda engine, turn, _: engine._parts.dividing.join(turn),
    Leads: Engine._leads,
    Divided: lambda engine, turn, event: engine._parts.dividing.divided(turn, event),
    PassedOn: Engine._passed_on,
    Covered: lambda engine, _, event: engine._parts.log_position.cover(event),
    TimerDue: Engine._timer_due,
    NodeChanged: Engine._node_changed,
    Accepted: Engine._accepted,
    Connected: Engine._connected,
    Received: Engine._received,
    Unreadable: Engine._unreadable,
    MessageWritten: Engine._written,
    Closed: Engine._closed,
    StepDone: lambda _, turn, event: step_done(turn, event),
    QueryDone: lambda _, turn, event: query_done(turn, event),
    Committed: Engine._committed,
    Lacking: Engine._lacking,
    Ready: Engine._ready,
    QueuedAgain: Engine._queued_again,
    LogQuestion: Engine._log_question,
    LogsAsked: Engine._logs_asked,
    SayLog: Engine._say_log,
    SidecarWritten: Engine._sidecar_written,
    Shredded: Engine._shredded,
    PiecesOpened: Engine._pieces_opened,
    PieceWritten: Engine._piece_written,
    SliceRead: Engine._slice_read,
    ChoreDone: Engine._chore_done,
    Space: Engine._space,
    DamageFound: lambda engine, turn, event: engine._parts.mending.found(turn, event.records),
    RecordsMended: lambda engine, turn, event: engine._parts.mending.note(turn, event.mended),
    ReserveHeld: Engine._reserve_held,
    PolicyAvailable: lambda engine, turn, event: engine._parts.sender.policy(turn, available=event.available),
    Stop: Engine._stop,
    Drained: Engine._drained,
}
