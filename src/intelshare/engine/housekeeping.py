"""Housekeeping: what a node does each second besides answering, and what its driver does less often.

    chore    every   what happens
    ------   -----   -----------------------------------------------------------------------------------
    look     1 s     links that must not go on end, gaps are asked for again, health shows the clock; if
                     most linked members agree with it, it is confirmed
    end      1 s     if anything is over: step "expire"; not while the clock is not confirmed
    purge    1 s     if it is time to look at what was delivered: step "purge", page by page; as "end"
    review   1 s     if an act, a document or the clock has changed the world: step "review", page by page;
                     as "end"
    anew     1 s     if anything was signed ahead of the clock, or with a key that is compromised now:
                     step "sign_anew", page by page; not while the clock is not believed
    log      1 s     the sidecar is written; a checkpoint is signed if one is due
    hear     1 s     after a loss: who was not heard is asked, and waited for (``hearing``)
    time     60 s    the other replicas are told what time the members have that are linked here
    TELL     1 s     the driver says what the sidecar covers that another replica writes, and tells that one
                     of records that were met damaged
    SHOW     1 s     the driver
    POLICY   2 s     the driver; if it brought something, RENEW follows at once
    RENEW    60 s    the driver; not while the clock is not believed
    SPACE    1 s     the driver looks how much room the disk has, also right after the start
    MEND     2 s     the driver says which records were met damaged; ``mending`` does the rest

A replica that does not lead does ``BESIDE`` only, and the one that leads all but TELL.

A chore that is still running is not started again. A chore that fails is tried again at its next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Final

from intelshare.broker.lifecycle.anew import counts
from intelshare.broker.lifecycle.purge import PurgeResult
from intelshare.broker.lifecycle.review import ReviewResult
from intelshare.engine.actions import ConfirmClock, RunChore, RunQuery, RunStep, SetHealth, Tell
from intelshare.engine.events import ChoreDone
from intelshare.engine.peer_clock import PeerClock
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Chore, Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, SECOND, Instant
from intelshare.policy import Snapshot
from intelshare.ports import Durable
from intelshare.trust import DirectoryDocument

LOOK: Final = "look"
END: Final = "end"
PURGE: Final = "purge"
REVIEW: Final = "review"
ANEW: Final = "anew"
LOG: Final = "log"
HEAR: Final = "hear"
TIME: Final = "time"

EVERY: Final[Mapping[str, int]] = {
    LOOK: SECOND,
    END: SECOND,
    PURGE: SECOND,
    REVIEW: SECOND,
    ANEW: SECOND,
    LOG: SECOND,
    HEAR: SECOND,
    TIME: MINUTE,
    Chore.SHOW: SECOND,
    Chore.POLICY: 2 * SECOND,
    Chore.RENEW: 60 * SECOND,
    Chore.SPACE: SECOND,
    Chore.MEND: 2 * SECOND,
    Chore.TELL: SECOND,
}

BESIDE: Final = frozenset((LOOK, HEAR, TIME, Chore.POLICY, Chore.SPACE, Chore.TELL))
"""The chores of a replica that does not lead: those of its links, and what decides if they may be used."""

TOLD: Final = 2 * MINUTE
"""For how long a member counts as linked with another replica, since that one told its time."""

_COMPROMISED: Final = attrgetter("compromised")

_OVER: Final = RunQuery(Query.ANYTHING_OVER)
_TO_PURGE: Final = RunQuery(Query.ANYTHING_TO_PURGE)
_AHEAD: Final = RunQuery(Query.SIGNED_AHEAD)
"""The questions of each second, made once."""


class Housekeeping:
    """The chores of one engine. Nothing is begun before ``begin`` or after a stop; what is done page by page
    ends with the page that runs.
    """

    def __init__(self) -> None:
        self._due: dict[str, Instant] = {}
        self._next: Instant | None = None
        """The earliest of them: asked for at every event."""
        self._running: set[str] = set()
        self._reviewed: Snapshot | None = None
        self._under_review: Snapshot | None = None
        self._signed_under: DirectoryDocument | None = None
        """This member's directory under which all that waits is known to be signed with keys that count."""
        self._signing_under: DirectoryDocument | None = None
        self._doubts = False
        """True if a peer has rejected a signature since all that waits was last looked at."""
        self._doubted = Instant(-MINUTE)
        self._believed = self._confirmed = True
        self._elsewhere: dict[MemberCode, tuple[Instant, PeerClock]] = {}
        """When another replica told the time of a member that it has a link with, and its clock."""

    def begin(self, turn: Turn) -> None:
        """Start. The first time of each chore is one period from now, except for the look at the disk."""
        chores = EVERY.keys() - {Chore.TELL} if turn.parts.dividing.leads else BESIDE
        now = turn.now.steady
        self._due = {chore: Instant(now + every) for chore, every in EVERY.items() if chore in chores}
        self._next = min(self._due.values())
        _BEGIN[Chore.SPACE](self, turn)

    def tick(self, turn: Turn) -> None:
        """Start what is due and not running."""
        now = turn.now.steady
        if turn.parts.stopping.begun:
            self._due = {}
        for chore, at in list(self._due.items()):
            if at <= now:
                self._due[chore] = Instant(now + EVERY[chore])
                if chore not in self._running:
                    _BEGIN[chore](self, turn)
        self._next = min(self._due.values(), default=None)

    def next_at(self) -> Instant | None:
        """Return when the next chore is due."""
        return self._next

    def clock(self, turn: Turn) -> None:
        """Let health show if wall time is believed. Called with every event."""
        if turn.now.believed != self._believed:
            self._believed = turn.now.believed
            turn.do(SetHealth("CLOCK", not self._believed))
            turn.parts.sender.look(turn)
        if turn.now.confirmed != self._confirmed:
            self._confirmed = turn.now.confirmed
            turn.parts.sender.look(turn)

    def _look(self, turn: Turn) -> None:
        turn.parts.links.look(turn)
        self._confirm(turn)

    def _confirm(self, turn: Turn) -> None:
        """One member that is wrong, or lies, neither confirms a wrong clock nor holds up a right one: of the
        linked members more must agree than not, whichever replica has the link. The one that leads, which
        alone ends and destroys what is over, may have none.
        """
        if turn.now.believed and not turn.now.confirmed:
            clocks = {
                one: clock for one, (at, clock) in self._elsewhere.items() if turn.now.steady - at <= TOLD
            }
            clocks |= {link.member: link.clock for link in turn.parts.links.newest()}
            agree = [clock.agrees(turn.now) for clock in clocks.values()]
            if agree.count(True) > agree.count(False):
                turn.do(ConfirmClock())

    def _time(self, turn: Turn) -> None:
        if turn.parts.dividing.others:
            for link in turn.parts.links.newest():
                at = Instant(turn.now.wall + link.clock.offset_at(turn.now))
                turn.parts.dividing.pass_on(turn, link.member, at)

    def told_time(self, turn: Turn, member: MemberCode, at: Instant) -> None:
        """Note the time of a member, as another replica tells it, which has the link."""
        clock = PeerClock()
        clock.measured(at - turn.now.wall, turn.now)
        self._elsewhere[member] = turn.now.steady, clock

    def _end(self, turn: Turn) -> None:
        if turn.now.confirmed:
            self._running.add(END)
            turn.do(_OVER)

    def over(self, turn: Turn, answer: bool | IntelshareError) -> None:
        """Run "expire" if anything is over."""
        if answer is True and not turn.parts.stopping.begun:
            turn.do(RunStep(Step.EXPIRE))
        else:
            self._running.discard(END)

    def expired(self, turn: Turn, error: IntelshareError | None) -> None:
        """Go on after what was over has ended durably; anything left is handled in the next second."""
        self._running.discard(END)
        self._tell(turn, error)

    def _purge(self, turn: Turn) -> None:
        if turn.now.confirmed:
            self._running.add(PURGE)
            turn.do(_TO_PURGE)

    def to_purge(self, turn: Turn, answer: bool | IntelshareError) -> None:
        """Run "purge" if it is time to look at what was delivered."""
        if answer is True and not turn.parts.stopping.begun:
            turn.do(RunStep(Step.PURGE))
        else:
            self._running.discard(PURGE)

    def purged(self, turn: Turn, answer: Durable[PurgeResult] | IntelshareError) -> None:
        """Go on after one page of what was delivered was purged or scheduled for later."""
        if isinstance(answer, IntelshareError) or not answer.value.more or turn.parts.stopping.begun:
            self._running.discard(PURGE)
            self._tell(turn, answer if isinstance(answer, IntelshareError) else None)
        else:
            turn.do(RunStep(Step.PURGE))

    def _review(self, turn: Turn) -> None:
        present = turn.node.world.at(turn.now.wall)
        if present is not self._reviewed and turn.now.confirmed:
            self._running.add(REVIEW)
            self._under_review = present
            turn.do(RunStep(Step.REVIEW, ((),)))

    def review_again(self) -> None:
        """Review all that is on its way, although the world has not changed."""
        self._reviewed = self._under_review = None

    def reviewed(self, turn: Turn, answer: Durable[ReviewResult] | IntelshareError) -> None:
        """Go on after one page of what is on its way was reviewed."""
        if isinstance(answer, IntelshareError):
            self._running.discard(REVIEW)
            self._tell(turn, answer)
        elif answer.value.after and not turn.parts.stopping.begun:
            turn.do(RunStep(Step.REVIEW, (answer.value.after,)))
        else:
            self._running.discard(REVIEW)
            if not answer.value.after:
                self._reviewed = self._under_review

    def _anew(self, turn: Turn) -> None:
        # With a key that counts only later nothing is signed again: RENEW leaves that key out first.
        if turn.now.believed and counts(turn.node, turn.node.signer.key_id, turn.now.wall):
            self._running.add(ANEW)
            turn.do(_AHEAD)

    def ahead(self, turn: Turn, answer: bool | IntelshareError) -> None:
        """Run "sign_anew" if anything may have been signed ahead of the clock, or with a key that was
        compromised since this directory was last looked at: at a start always, because the one before may
        have ended in between. Also if a peer rejects it: what did not wait then may wait by now.
        """
        own = turn.node.trust.members[turn.node.member].directory
        stolen = own is not self._signed_under and own is not None and any(map(_COMPROMISED, own.revocations))
        self._signing_under = own
        wanted = answer is True or stolen or self._doubts
        if wanted and turn.now.believed and not turn.parts.stopping.begun:
            turn.do(RunStep(Step.SIGN_ANEW, ((),)))
        else:
            self._running.discard(ANEW)

    def signed_anew(self, turn: Turn, answer: Durable[ReviewResult] | IntelshareError) -> None:
        """Go on after one page of what waits for an answer was looked at."""
        if isinstance(answer, IntelshareError):
            self._running.discard(ANEW)
            self._tell(turn, answer)
        elif answer.value.after and turn.now.believed and not turn.parts.stopping.begun:
            turn.do(RunStep(Step.SIGN_ANEW, (answer.value.after,)))
        else:
            self._running.discard(ANEW)
            if not answer.value.after:
                self._signed_under, self._doubts = self._signing_under, False

    def doubt(self, turn: Turn) -> None:
        """Look again, but not more often than once a minute: a peer says that the key or the time does not
        count with which something was signed that waits. The replica that leads looks.
        """
        if not turn.parts.dividing.leads:
            turn.parts.dividing.pass_on(turn, turn.node.member, None)
        elif turn.now.steady >= self._doubted + MINUTE:
            self._doubts, self._doubted = True, turn.now.steady

    def _log(self, turn: Turn) -> None:
        turn.parts.log_position.look(turn)

    def _hear(self, turn: Turn) -> None:
        turn.parts.hearing.look(turn)

    def done(self, turn: Turn, done: ChoreDone) -> None:
        """Note that the driver has done a chore."""
        self._running.discard(done.chore)
        if done.chore is Chore.POLICY and done.changed:
            self.renew_now(turn)

    def renew_now(self, turn: Turn) -> None:
        """Let the driver renew what is due at once: the directory has something new to say."""
        if Chore.RENEW in self._due:
            self._due[Chore.RENEW] = turn.now.steady
            self.tick(turn)

    def _tell(self, turn: Turn, error: IntelshareError | None) -> None:
        if error is not None and error.code not in PASSING:
            turn.do(Tell(Notice.STEP_FAILED, code=error.code))


def _driver(chore: Chore) -> Callable[[Housekeeping, Turn], None]:
    run = RunChore(chore)

    def begin(house: Housekeeping, turn: Turn) -> None:
        if chore is Chore.RENEW and not turn.now.believed:
            # Nothing made by a clock that is ahead is valid for anybody once the clock is right.
            return
        house._running.add(chore)
        turn.do(run)

    return begin


_BEGIN: Final[Mapping[str, Callable[[Housekeeping, Turn], None]]] = {
    LOOK: Housekeeping._look,
    END: Housekeeping._end,
    PURGE: Housekeeping._purge,
    REVIEW: Housekeeping._review,
    ANEW: Housekeeping._anew,
    LOG: Housekeeping._log,
    HEAR: Housekeeping._hear,
    TIME: Housekeeping._time,
    **{chore: _driver(chore) for chore in Chore},
}
