"""Hearing: after the disk forgot, each member is asked for what it received, and then waited for until heard.

    each second there is                              consequence
    ------------------------------------------------  ---------------------------------------------
    nobody who is waited for                          none until trust changes: an import may begin to wait
    a link over which its member was not asked        step "back_since"; then it looks again
    a link that was open for ``Limits.hearing``       step "heard"; then it looks again

The rows of ``broker.lifecycle.hearing`` say who is waited for, through any number of starts. Time is measured
on the steady clock: a wall clock that jumps hears nobody.

What a disk lost in the last second before the sidecar was written only peers can tell. A member that sends a
receipt for a release which is not known here is asked too, by the same step, since when it signed that. Such
a release may have come to it after it was asked over this link: it was on a courier's stick when the disk was
put back. So it is asked again for a later receipt, at most every ``AGAIN``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from intelshare.broker.kernel.tables import UnheardRow
from intelshare.engine.actions import RunQuery, RunStep, Tell
from intelshare.engine.events import StepDone
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.ports import Durable
from intelshare.trust import TrustView

AGAIN: Final = 10 * SECOND
"""The least time between two requests over one link for what a receipt shows to be forgotten."""


class Hearing:
    """Of one engine. It does one thing at a time."""

    def __init__(self) -> None:
        self._asked: dict[LinkId, tuple[Instant, Instant]] = {}
        """The open links over which their members were asked: for what they have since when, and when they
        were asked, on the steady clock.
        """
        self._looked: TrustView | None = None
        """The trust in force when it last looked."""
        self._over: TrustView | None = None
        """The trust in which nobody was waited for."""
        self._busy = False

    def look(self, turn: Turn) -> None:
        """Ask who is waited for."""
        if not (self._over is turn.node.trust or self._busy or turn.parts.stopping.begun):
            self._busy, self._looked = True, turn.node.trust
            turn.do(RunQuery(Query.UNHEARD))

    def found(self, turn: Turn, rows: Sequence[UnheardRow] | IntelshareError) -> None:
        """Ask the next member, or note those that are heard."""
        self._busy = False
        if isinstance(rows, IntelshareError):
            return
        self._over = None if rows else self._looked
        # By a clock that disagrees with an unconfirmed one nothing is taken in that comes back.
        links = [link for link in turn.parts.links.newest() if link.clock.agrees(turn.now)]
        waited = {row.member: row.since for row in rows}
        self._keep(links)
        for link in links:
            if link.member in waited and not self._was_asked(link, waited[link.member]):
                self._run(turn, RunStep(Step.BACK_SINCE, ((link.member,), waited[link.member]), link.number))
                return
        long = turn.now.steady - turn.parts.limits.hearing
        if known := tuple([one.member for one in links if one.member in waited and one.opened_at <= long]):
            self._run(turn, RunStep(Step.HEARD, (known,)))

    def forgotten(self, turn: Turn, link: PeerLink, since: Instant) -> None:
        """Ask a member that answers what is not known here, unless it was asked over this link just now.

        It sends its receipt again, so that a request which cannot be made now is made later.
        """
        self._keep(turn.parts.links.newest())
        waits = self._busy or turn.parts.stopping.begun or not link.clock.agrees(turn.now)
        if not (waits or self._was_asked(link, since, after=Instant(turn.now.steady - AGAIN))):
            self._run(turn, RunStep(Step.BACK_SINCE, ((link.member,), since), link.number))

    def _was_asked(self, link: PeerLink, since: Instant, *, after: Instant = EPOCH) -> bool:
        asked = self._asked.get(link.number)
        return asked is not None and asked[0] <= since and asked[1] >= after

    def _keep(self, links: Iterable[PeerLink]) -> None:
        there = {link.number for link in links}
        self._asked = {number: asked for number, asked in self._asked.items() if number in there}

    def _run(self, turn: Turn, step: RunStep) -> None:
        self._busy = True
        turn.do(step)

    def ask_again(self) -> None:
        """Ask over every link again: a key has become known with which something was signed."""
        self._asked.clear()

    def asked(self, turn: Turn, done: StepDone) -> None:
        """Carry out the request, and go on."""
        if isinstance(done.answer, Durable):
            turn.carry_out(done.answer)
        if self._done(turn, done.answer) and done.run.link is not None:
            before, since = self._asked.get(done.run.link), done.run.event[1]
            self._asked[done.run.link] = min(since, before[0]) if before else since, turn.now.steady
            self.look(turn)

    def heard(self, turn: Turn, done: StepDone) -> None:
        """Note that these members are waited for no longer, and go on."""
        if self._done(turn, done.answer):
            for member in done.run.event[0]:
                link = turn.parts.links.of_member(member)
                turn.do(Tell(Notice.HEARD, link.node if link is not None else None))
            self.look(turn)

    def _done(self, turn: Turn, answer: Durable[Any] | IntelshareError) -> bool:
        self._busy = False
        if isinstance(answer, IntelshareError) and answer.code not in PASSING:
            turn.do(Tell(Notice.STEP_FAILED, code=answer.code))
        return isinstance(answer, Durable)
