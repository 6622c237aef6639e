"""One sender per destination, and one hand-over for all: what leaves first, how much, and when to wait.

    stage       what happens                                                   next
    ---------   ------------------------------------------------------------   -------------------
    IDLE        room, something to send again and something fresh: ask         ASKING
                room, something to send again: step "resend"                   RESENDING
                room, something fresh                                          WANTS
    ASKING      the fresh one is more urgent                                   WANTS
                it is not: step "resend"                                       RESENDING
    WANTS       no hand-over runs: step "handover" for all that want it        HANDING
    HANDING     something went                                                 IDLE
                nothing went: ask how much is left                             COUNTING
    COUNTING    none: not until something changes; as many as last time:       IDLE
                after a minute
    RESENDING   it is durable                                                  IDLE

The sender acts on events: whenever something became ready or a window opened. Pairs that become ready during
one commit share the next: that is the only batching there is. While the clock is not believed (promise P10)
or there is no policy (P17), nothing is released, but all other statements still go. A step that fails is
tried again after a pause, for its destination alone: one peer's trouble does not affect others (P15).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.line.resend import Loaded
from intelshare.delivery import Backoff
from intelshare.engine.actions import RunQuery, RunStep, Tell
from intelshare.engine.limits import RETRY
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice, Now
from intelshare.errors import PASSING, IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import EPOCH, MINUTE, Instant
from intelshare.ports import Durable


class DestinationStage(Enum):
    """The stage of a destination, as in the table above."""

    IDLE = auto()
    ASKING = auto()
    WANTS = auto()
    HANDING = auto()
    COUNTING = auto()
    RESENDING = auto()


@dataclass(slots=True)
class _Destination:
    stage: DestinationStage = DestinationStage.IDLE
    fresh: bool = False
    """True if pairs may be ready for hand-over."""
    left: int = -1
    """The number of pairs left when nothing went; -1: not known."""
    again: Instant | None = None
    """When to look at those again, on the steady clock: what keeps them may end by time, as when the
    recipient's key begins to count.
    """
    not_before: Instant = EPOCH
    """When to try again, on the steady clock."""
    backoff: Backoff | None = None
    releases_wait: bool = False
    """True if all other statements were sent again and only releases are left, which must wait."""
    alone: bool = False
    """True if a hand-over together with others has failed."""


class Sender:
    """The sender for all destinations."""

    def __init__(self) -> None:
        self._to: dict[MemberCode, _Destination] = {}
        self._due: dict[MemberCode, Instant] = {}
        """When to look at a destination again."""
        self._handing = False
        self._policy = True

    def wake(self, turn: Turn, ready: Iterable[MemberCode] = ()) -> None:
        """Note that pairs of these members may have become ready."""
        for member in ready:
            destination = self._at(member)
            destination.fresh, destination.left, destination.again = True, -1, None
            self._look_at(turn, member)
        self._hand_over(turn)

    def look_at(self, turn: Turn, members: Iterable[MemberCode]) -> None:
        """Look at destinations for which something changed: the window, or what is to be sent again."""
        for member in members:
            self._look_at(turn, member)
        self._hand_over(turn)

    def look(self, turn: Turn) -> None:
        """Look at all destinations: the clock has changed, or time has passed."""
        self.look_at(turn, [link.member for link in turn.parts.links.newest()])

    def search(self, turn: Turn) -> None:
        """Look in the store for all that waits for any destination: some of it could not be read before."""
        links = turn.parts.links.newest()
        for link in links:
            link.queue.more = True
        self.wake(turn, [link.member for link in links])

    def policy(self, turn: Turn, *, available: bool) -> None:
        """Note if there is a policy to release by."""
        self._policy = available
        self.look(turn)

    def dropped(self, member: MemberCode, link: LinkId) -> None:
        """Note that a link has ended. What was requested for it is in the store, for the next one."""
        del link
        self._due.pop(member, None)
        destination = self._at(member)
        if destination.stage in (DestinationStage.ASKING, DestinationStage.WANTS):
            destination.stage = DestinationStage.IDLE

    def next_at(self) -> Instant | None:
        """Return when to look again: something is due, or a pause is over."""
        return min(self._due.values()) if self._due else None

    def tick(self, turn: Turn) -> None:
        """Look at everything that may be due."""
        self.look(turn)

    def _at(self, member: MemberCode) -> _Destination:
        found = self._to.get(member)
        if found is None:
            found = self._to[member] = _Destination()
        return found

    def may_release(self, now: Now) -> bool:
        """Return True if anything may be released."""
        return now.believed and self._policy

    def _may(self, turn: Turn) -> bool:
        return self.may_release(turn.now)

    def _may_to(self, turn: Turn, link: PeerLink) -> bool:
        """By a clock that may be wrong nothing is handed over: it might end what is not over. Nor is anything
        sealed to keys that the peer may not have (``PeerLink.waits_until``).
        """
        return self._may(turn) and link.clock.agrees(turn.now) and link.waits_until(turn) is None

    def _look_at(self, turn: Turn, member: MemberCode) -> None:
        link = turn.parts.links.of_member(member)
        if link is None:
            return
        destination, queue, now = self._at(member), link.queue, turn.now.steady
        times = [due for due in (queue.due(now), link.waits_until(turn)) if due is not None]
        if destination.again is not None and destination.again <= now:
            destination.fresh, destination.left, destination.again = True, -1, None
        elif destination.again is not None:
            times.append(destination.again)
        if destination.stage is DestinationStage.IDLE and queue.room() > 0:
            if destination.not_before <= now:
                self._begin(turn, link, destination)
            elif queue.more or (destination.fresh and self._may_to(turn, link)):
                times.append(destination.not_before)
        if times:
            self._due[member] = min(times)
        else:
            self._due.pop(member, None)

    def _begin(self, turn: Turn, link: PeerLink, destination: _Destination) -> None:
        may = self._may_to(turn, link)
        if may and destination.releases_wait:
            link.queue.more, destination.releases_wait = True, False
        if not may:
            if link.queue.more:
                self._send_again(turn, link, Step.RESEND_BUT_RELEASES)
        elif link.queue.more and destination.fresh:
            destination.stage = DestinationStage.ASKING
            turn.do(RunQuery(Query.FRESH_FIRST, (link.member,), link.number))
        elif link.queue.more:
            self._send_again(turn, link, Step.RESEND)
        elif destination.fresh:
            destination.stage = DestinationStage.WANTS

    def fresh_first(self, turn: Turn, run: RunQuery, answer: bool | IntelshareError) -> None:
        """Decide by the answer if a fresh pair goes before what is sent again."""
        link = turn.parts.links.get(run.link)
        if link is None:
            return
        destination = self._at(link.member)
        if destination.stage is not DestinationStage.ASKING:
            return
        if isinstance(answer, IntelshareError):
            self._failed(turn, link.member, answer)
        elif answer and self._may_to(turn, link):
            destination.stage = DestinationStage.WANTS
            self._hand_over(turn)
        else:
            may = self._may_to(turn, link)
            self._send_again(turn, link, Step.RESEND if may else Step.RESEND_BUT_RELEASES)

    def _send_again(self, turn: Turn, link: PeerLink, step: Step) -> None:
        self._at(link.member).stage = DestinationStage.RESENDING
        busy, room = link.busy(turn.now), link.queue.room()
        # Statements queued while the step runs need another step.
        link.queue.more, link.loading = False, True
        turn.do(RunStep(step, (link.member, busy, room), link.number, link.member))

    def resent(self, turn: Turn, run: RunStep, answer: Durable[Loaded] | IntelshareError) -> None:
        """Send what was loaded again, durably. While releases must wait, they are left."""
        member, link = run.member, turn.parts.links.get(run.link)
        destination = self._at(member)
        destination.stage = DestinationStage.IDLE
        if isinstance(answer, IntelshareError):
            if link is not None:
                link.queue.more, link.loading = True, False
            self._failed(turn, member, answer)
            return
        destination.backoff = None
        if link is not None:
            _, more = answer.value
            link.queue.more |= more
            destination.releases_wait |= run.step is Step.RESEND_BUT_RELEASES
            handed = link.hand_loaded(turn, answer.part(lambda loaded: loaded[0]))
            if link.queue.more and not handed:
                # Nothing that was found may go now.
                destination.not_before = Instant(turn.now.steady + RETRY)
        self.look_at(turn, [member])

    def _hand_over(self, turn: Turn) -> None:
        if self._handing or not self._may(turn):
            return
        wanting = [one for one, to in self._to.items() if to.stage is DestinationStage.WANTS]
        if not wanting:
            return
        rooms: dict[MemberCode, int] = {}
        for member in sorted(wanting):
            destination, link = self._to[member], turn.parts.links.of_member(member)
            if link is None or (destination.alone and rooms):
                continue
            destination.stage = DestinationStage.HANDING
            rooms[member] = link.queue.room()
            if destination.alone:
                break
        if rooms:
            self._handing = True
            turn.do(RunStep(Step.HANDOVER, (rooms, turn.parts.limits.releases)))

    def handed(
        self, turn: Turn, run: RunStep, answer: Durable[tuple[Outbound, ...]] | IntelshareError
    ) -> None:
        """Send what was ready and is now numbered, sealed and durable."""
        rooms, _ = run.event
        self._handing = False
        if isinstance(answer, IntelshareError):
            for member in rooms:
                self._at(member).alone = len(rooms) > 1
                self._failed(turn, member, answer)
        else:
            self._hand(turn, rooms, answer)
        self.look_at(turn, rooms)

    def _hand(self, turn: Turn, rooms: Sequence[MemberCode], said: Durable[tuple[Outbound, ...]]) -> None:
        served = {outbound.peer for outbound in said.value}
        for member in rooms:
            destination, link = self._at(member), turn.parts.links.of_member(member)
            destination.alone, destination.backoff = False, None
            if member in served:
                destination.stage = DestinationStage.IDLE
                # If a link has ended in the meantime, nothing is lost: the next one loads it from the store.
                if link is not None:
                    link.hand(turn, said)
            else:
                destination.stage = DestinationStage.COUNTING
                destination.fresh = False
                turn.do(RunQuery(Query.QUEUED, (member,)))

    def counted(self, turn: Turn, member: MemberCode, left: int | IntelshareError) -> None:
        """Note how many pairs wait for a destination after a hand-over that sent it nothing."""
        destination = self._at(member)
        if destination.stage is not DestinationStage.COUNTING:
            return
        destination.stage = DestinationStage.IDLE
        if isinstance(left, IntelshareError):
            destination.fresh = True
            self._failed(turn, member, left)
            return
        if left > 0 and left != destination.left:
            destination.fresh = True
        elif left > 0:
            destination.again = Instant(turn.now.steady + MINUTE)
        destination.left = left
        self.look_at(turn, [member])

    def _failed(self, turn: Turn, member: MemberCode, error: IntelshareError) -> None:
        """Try again after a pause: a second on a full disk, longer each time for anything else."""
        destination, now = self._at(member), turn.now.steady
        destination.stage = DestinationStage.IDLE
        destination.not_before = Instant(now + RETRY)
        if error.code not in PASSING:
            destination.backoff = (destination.backoff or Backoff(contact=now)).failed()
            destination.not_before = Instant(now + RETRY + destination.backoff.delay(now, turn.parts.random))
            turn.do(Tell(Notice.STEP_FAILED, code=error.code))
        self._look_at(turn, member)
