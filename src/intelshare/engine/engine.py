"""The engine: one event in, the resulting actions out. It decides when a step runs, and does nothing itself.

``handle`` has one row per kind of event, and one per step and query that come back. A failure that concerns
one link ends that link, never the node; only a driver's defect or a disk error ends the node, and neither
comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.node import Node
from intelshare.crypto.suites import Signer
from intelshare.engine.actions import Action, RunStep, SetTimer, Tell
from intelshare.engine.answers import Answers
from intelshare.engine.attachments import Fetching
from intelshare.engine.budgets import REJECTED, Budgets, BudgetState, Passing
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
    Leads,
    LogQuestion,
    LogsAsked,
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
    Written,
)
from intelshare.engine.hearing import Hearing
from intelshare.engine.housekeeping import Housekeeping
from intelshare.engine.limits import Limits
from intelshare.engine.links import Links
from intelshare.engine.log_position import LogPosition
from intelshare.engine.mending import Mending
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.sender import Sender
from intelshare.engine.space import RoomOnDisk
from intelshare.engine.steps import Query, Step
from intelshare.engine.stopping import STOP_ORDER, Phase, Stopping
from intelshare.engine.turn import Parts, Turn
from intelshare.engine.values import LinkId, LinkState, Notice, Now
from intelshare.errors import PASSING, IntelshareError
from intelshare.ids import KeyId, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Durable, Random
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
        )

    def new_link(self) -> LinkId:
        """Return a number for a stream that a peer opens."""
        return self._parts.links.new()

    def state(self, node: NodeUri, now: Now) -> LinkState:
        """Return the state of the link to a peer node."""
        link, seen = self._parts.links.to(node), self._parts.links.seen(node)
        twice = "TWO_INSTANCES" if self._parts.links.doubled(node, now.steady) else ""
        if link is None:
            state, error = self._parts.dialling.state(node)
            if (listed := self._trust.node(node)) is not None:
                state = "elsewhere" if self._parts.dividing.elsewhere(listed[0]) else state
                seen = max(seen, self._parts.dividing.taken(listed[0]))
            return LinkState(state, twice or error, seen=seen)
        error = twice or link.last_error
        return LinkState(
            "linked", error, link.since, link.offset_at(now), link.queue.unacknowledged, seen, *link.lost
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

    def allowed(self, member: MemberCode, steady: Instant) -> Mapping[Lasting, int]:
        """Return what a member may make this node keep by a bundle that is taken in now."""
        return self._parts.budgets.allowed(member, steady)

    def kept(self, member: MemberCode, spent: Mapping[Lasting, int], steady: Instant) -> None:
        """Charge what the member made this node keep."""
        self._parts.budgets.kept(member, spent, steady)

    def elsewhere(self, member: MemberCode) -> bool:
        """Return True if another replica has the links with a member."""
        return self._parts.dividing.elsewhere(member)

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
            parts.links.next_at(turn),
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
        self._parts.fetching.lead(turn)

    def _leads(self, turn: Turn, event: Leads) -> None:
        self._parts.dividing.leads = True
        self._started(turn, event)
        self._parts.fetching.wake(turn, [link.member for link in self._parts.links.newest()])

    def _passed_on(self, turn: Turn, event: PassedOn) -> None:
        if event.message is None:
            if self._parts.dividing.leads:
                self._parts.housekeeping.doubt(turn)
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
        self._for_link(turn, event.link, lambda link: link.connected(turn, event.channel))

    def _received(self, turn: Turn, event: Received) -> None:
        self._for_link(turn, event.link, lambda link: link.received(turn, event.message, event.size))

    def _unreadable(self, turn: Turn, event: Unreadable) -> None:
        self._for_link(turn, event.link, lambda link: link.unreadable(turn, event))

    def _written(self, turn: Turn, event: Written) -> None:
        self._for_link(turn, event.link, lambda link: link.written(turn))

    def _closed(self, turn: Turn, event: Closed) -> None:
        link = self._parts.links.get(event.link)
        if link is not None:
            self._parts.links.closed(turn, link, event.code)

    def _committed(self, turn: Turn, event: Committed) -> None:
        turn.carry_out(event.effects)

    def _ready(self, turn: Turn, event: Ready) -> None:
        self._parts.sender.wake(turn, event.members)

    def _queued_again(self, turn: Turn, event: QueuedAgain) -> None:
        if (link := self._parts.links.of_member(event.member)) is not None:
            link.queue.more = True
        self._parts.sender.look_at(turn, [event.member])

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
        self._for_link(turn, event.run.link, lambda link: link.slice_read(turn, event))

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

    def _step_done(self, turn: Turn, event: StepDone) -> None:
        """Carry out what a durable step leads to, even if its link has ended in the meantime."""
        run, answer = event.run, event.answer
        link = self._parts.links.get(run.link)
        if run.step not in _OF_LINK:
            _STEPS_DONE[run.step](self, turn, event)
        elif link is not None:
            # An acknowledgement goes before the receipt in the same commit.
            self._for_link(turn, link.number, lambda link: _of_link(turn, link, run.step, answer))
        if isinstance(answer, Durable):
            self._charge(turn, run, answer)
            if run.step is Step.JUDGE and answer.value.learned:
                self._learned(turn)
            if run.step in _OF_LINK:
                self._tell_newest(turn, run, link)
        met_in_vain = run.step is Step.MEET and link is None
        if isinstance(answer, Durable) and (run.step in _LEADS or met_in_vain):
            turn.carry_out(answer.part(lambda led: led.effects))

    def _learned(self, turn: Turn) -> None:
        """State again at once what was learned of this member's keys, and ask for what they signed: that can
        be handed back now.
        """
        self._parts.hearing.ask_again()
        self._parts.housekeeping.renew_now(turn)

    def _tell_newest(self, turn: Turn, run: RunStep, link: PeerLink | None) -> None:
        """Let the peer's newest link load what a step of an older one may have queued again."""
        if self._parts.links.of_member(run.member) is not link:
            self._queued_again(turn, QueuedAgain(run.member))

    def _charge(self, turn: Turn, run: RunStep, answer: Durable[Any]) -> None:
        """Charge the cost of a step to the peer that caused it, even if its link has ended."""
        if run.step not in (Step.RECEIVE, Step.MEET):
            return
        budgets, member = turn.parts.budgets, run.member
        if answer.value.spent:
            budgets.kept(member, answer.value.spent, turn.now.steady)
        acks = answer.value.acks if run.step is Step.RECEIVE else ()
        # A statement that finds no room here is not the peer's fault.
        if rejected := sum([ack.code not in ("", *PASSING) for ack in acks]):
            budgets.charge(member, Passing.CHECKS, REJECTED * rejected, turn.now.steady)

    def _query_done(self, turn: Turn, event: QueryDone) -> None:
        run, answer = event.run, event.answer
        if run.query not in _ASKED_BY_LINK:
            _QUERIES_DONE[run.query](self, turn, event)
            return

        def told(link: PeerLink) -> None:
            if isinstance(answer, IntelshareError):
                raise answer
            _ASKED_BY_LINK[run.query](turn, link, run.event, answer)

        self._for_link(turn, run.link, told)

    def _for_link(self, turn: Turn, number: LinkId | None, do: Callable[[PeerLink], None]) -> None:
        """Do something with a link that still exists; an error ends the link."""
        links = self._parts.links
        link = links.get(number)
        if link is None:
            return
        try:
            do(link)
        except IntelshareError as error:
            links.end(turn, link, error)


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
    Written: Engine._written,
    Closed: Engine._closed,
    StepDone: Engine._step_done,
    QueryDone: Engine._query_done,
    Committed: Engine._committed,
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

_LEADS: Final = frozenset(
    (
        Step.RECEIVE,
        Step.PROVE,
        Step.JUDGE,
        Step.EXPIRE,
        Step.PURGE,
        Step.REVIEW,
        Step.FINISH,
        Step.ARRIVED,
        Step.SIGN_ANEW,
        Step.MEND,
    )
)
"""The steps whose effects are carried out at once.

Those of MEET wait for the link, those of CHECKPOINT for the sidecar.
"""

_OF_LINK: Final = frozenset(
    (Step.MEET, Step.RECEIVE, Step.ACKNOWLEDGE, Step.FILL, Step.HAND_BACK, Step.PROVE, Step.JUDGE)
)


def _of_link(turn: Turn, link: PeerLink, step: Step, answer: Durable[Any] | IntelshareError) -> None:
    """Go on after a step that a message has caused. Raises what ends the link."""
    if step in (Step.RECEIVE, Step.FILL, Step.HAND_BACK, Step.PROVE, Step.JUDGE):
        link.worked(turn)
    if isinstance(answer, IntelshareError):
        raise answer
    match step:
        case Step.MEET:
            link.is_met(turn, answer)
        case Step.RECEIVE:
            link.taken(turn, answer.value)
        case Step.JUDGE:
            link.judged(turn, answer.value.forked)
        case Step.ACKNOWLEDGE:
            link.acknowledged(turn)
        case Step.HAND_BACK:
            link.hand(turn, answer.part(lambda back: back.frames))
            link.queue.more = True
        case Step.FILL if answer.value:
            link.queue.more = True
            turn.parts.sender.wake(turn, [link.member])
    turn.parts.sender.look_at(turn, [link.member])


def _error(answer: object) -> IntelshareError | None:
    return answer if isinstance(answer, IntelshareError) else None


_STEPS_DONE: Final[Mapping[Step, Callable[[Engine, Turn, StepDone], None]]] = {
    Step.HANDOVER: lambda engine, turn, done: engine._parts.sender.handed(turn, done.run, done.answer),
    Step.RESEND: lambda engine, turn, done: engine._parts.sender.resent(turn, done.run, done.answer),
    Step.RESEND_BUT_RELEASES: lambda engine, turn, done: engine._parts.sender.resent(
        turn, done.run, done.answer
    ),
    Step.EXPIRE: lambda engine, turn, done: engine._parts.housekeeping.expired(turn, _error(done.answer)),
    Step.PURGE: lambda engine, turn, done: engine._parts.housekeeping.purged(turn, done.answer),
    Step.REVIEW: lambda engine, turn, done: engine._parts.housekeeping.reviewed(turn, done.answer),
    Step.SIGN_ANEW: lambda engine, turn, done: engine._parts.housekeeping.signed_anew(turn, done.answer),
    Step.CHECKPOINT: lambda engine, turn, done: engine._parts.log_position.signed(turn, done.answer),
    Step.FINISH: lambda engine, turn, done: engine._parts.destruction.signed(turn, _error(done.answer)),
    Step.BACK_SINCE: lambda engine, turn, done: engine._parts.hearing.asked(turn, done),
    Step.HEARD: lambda engine, turn, done: engine._parts.hearing.heard(turn, done),
    Step.MEND: lambda engine, turn, done: engine._parts.mending.mended(turn, done.run, done.answer),
    Step.ARRIVED: lambda engine, turn, done: engine._parts.fetching.arrived(
        turn, done.run.event[0], _error(done.answer)
    ),
}

_ASKED_BY_LINK: Final[Mapping[Query, Callable[[Turn, PeerLink, tuple[Any, ...], Any], None]]] = {
    Query.GREET: lambda turn, link, _, answer: link.greets(turn, answer),
    Query.STILL_MISSING: lambda turn, link, event, answer: link.still_missing(turn, event[1], answer),
    Query.ACTS_FORGOTTEN: lambda turn, link, _, answer: (
        turn.tell(link.member, Tell(Notice.ACTS_FORGOTTEN, link.node, count=answer)) if answer else None
    ),
    Query.FRESH_FIRST: lambda turn, link, _, answer: turn.parts.sender.fresh_first(turn, link, answer),
    Query.SERVES: lambda turn, link, event, answer: link.serves(turn, event[1], answer),
}

_QUERIES_DONE: Final[Mapping[Query, Callable[[Engine, Turn, QueryDone], None]]] = {
    Query.QUEUED: lambda engine, turn, done: engine._parts.sender.counted(
        turn, done.run.event[0], done.answer
    ),
    Query.ANSWER: lambda engine, turn, done: engine._parts.answers.answered(turn, done.run, done.answer),
    Query.ANYTHING_TO_PURGE: lambda engine, turn, done: engine._parts.housekeeping.to_purge(
        turn, done.answer
    ),
    Query.ANYTHING_OVER: lambda engine, turn, done: engine._parts.housekeeping.over(turn, done.answer),
    Query.SIGNED_AHEAD: lambda engine, turn, done: engine._parts.housekeeping.ahead(turn, done.answer),
    Query.CHECKPOINT_DUE: lambda engine, turn, done: engine._parts.log_position.due(turn, done.answer),
    Query.FIRST_WANTED: lambda engine, turn, done: engine._parts.fetching.found(turn, done.run, done.answer),
    Query.UNHEARD: lambda engine, turn, done: engine._parts.hearing.found(turn, done.answer),
    Query.BROUGHT: lambda engine, turn, done: engine._parts.mending.brought(turn, done.run, done.answer),
    Query.MARKED: lambda engine, turn, done: engine._parts.destruction.found(turn, done.answer),
}
