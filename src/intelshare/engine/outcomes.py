"""Handles the outcome of each step and query that the driver has run: one row per step, one per query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from intelshare.engine.actions import RunStep, Tell
from intelshare.engine.budgets import REJECTED, Passing
from intelshare.engine.events import QueryDone, StepDone
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.ports import Durable


def step_done(turn: Turn, event: StepDone) -> None:
    """Carry out what a durable step leads to, even if its link has ended in the meantime."""
    run, answer, links = event.run, event.answer, turn.parts.links
    link = links.get(run.link)
    if run.step not in _OF_LINK:
        _STEPS_DONE[run.step](turn, event)
    elif link is not None:
        # An acknowledgement goes before the receipt in the same commit.
        links.attempt(turn, link.number, lambda link: _of_link(turn, link, run.step, answer))
    if not isinstance(answer, Durable):
        return
    _charge(turn, run, answer)
    if run.step is Step.JUDGE_DIRECTORY and answer.value.learned:
        _learned(turn)
    if run.step in _OF_LINK and links.of_member(run.member) is not link:
        # The peer's newest link loads what a step of an older one may have queued again.
        links.queued_again(turn, run.member)
    met_in_vain = run.step is Step.ACCEPT_HELLO and link is None
    if run.step in _LEADS or met_in_vain:
        turn.carry_out(answer.part(lambda led: led.effects))


def query_done(turn: Turn, event: QueryDone) -> None:
    """Hand over the answer of a query; one that a link has asked is dropped if the link has ended."""
    run, answer = event.run, event.answer
    if run.query not in _ASKED_BY_LINK:
        _QUERIES_DONE[run.query](turn, event)
        return

    def told(link: PeerLink) -> None:
        if isinstance(answer, IntelshareError):
            raise answer
        _ASKED_BY_LINK[run.query](turn, link, run.event, answer)

    turn.parts.links.attempt(turn, run.link, told)


def _learned(turn: Turn) -> None:
    """State again at once what was learned of this member's keys, and ask for what they signed: that can be
    handed back now.
    """
    turn.parts.hearing.ask_again()
    turn.parts.housekeeping.renew_now(turn)


def _charge(turn: Turn, run: RunStep, answer: Durable[Any]) -> None:
    """Charge the cost of a step to the peer that caused it, even if its link has ended."""
    if run.step not in (Step.RECEIVE, Step.ACCEPT_HELLO):
        return
    budgets, member = turn.parts.budgets, run.member
    if answer.value.spent:
        budgets.kept(member, answer.value.spent, turn.now.steady)
    acks = answer.value.acks if run.step is Step.RECEIVE else ()
    # A statement that finds no room here is not the peer's fault.
    if rejected := sum([ack.code not in ("", *PASSING) for ack in acks]):
        budgets.charge(member, Passing.CHECKS, REJECTED * rejected, turn.now.steady)


def _of_link(turn: Turn, link: PeerLink, step: Step, answer: Durable[Any] | IntelshareError) -> None:
    """Go on after a step that a message has caused. Raises what ends the link."""
    if step in (Step.RECEIVE, Step.ANSWER_GAP, Step.HAND_BACK, Step.PROVE, Step.JUDGE_DIRECTORY):
        link.worked(turn)
    if isinstance(answer, IntelshareError):
        raise answer
    match step:
        case Step.ACCEPT_HELLO:
            link.is_met(turn, answer)
        case Step.RECEIVE:
            link.taken(turn, answer.value)
            if answer.value.forgotten is not None:
                turn.parts.hearing.forgotten(turn, link, answer.value.forgotten)
        case Step.JUDGE_DIRECTORY:
            link.judged(turn, answer.value.forked)
        case Step.ACKNOWLEDGE:
            link.acknowledged(turn)
        case Step.HAND_BACK:
            link.hand(turn, answer.part(lambda back: back.frames))
            link.queue.more = True
        case Step.ANSWER_GAP if answer.value:
            link.queue.more = True
            turn.parts.sender.wake(turn, [link.member])
    turn.parts.sender.look_at(turn, [link.member])


def _error(done: StepDone) -> IntelshareError | None:
    return done.answer if isinstance(done.answer, IntelshareError) else None


_LEADS: Final = frozenset(
    (
        Step.RECEIVE,
        Step.PROVE,
        Step.JUDGE_DIRECTORY,
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

Those of ACCEPT_HELLO wait for the link, those of CHECKPOINT for the sidecar.
"""

_OF_LINK: Final = frozenset(
    (
        Step.ACCEPT_HELLO,
        Step.RECEIVE,
        Step.ACKNOWLEDGE,
        Step.ANSWER_GAP,
        Step.HAND_BACK,
        Step.PROVE,
        Step.JUDGE_DIRECTORY,
    )
)
"""The steps that a message on a link has caused; ``_of_link`` has a case for each."""

_STEPS_DONE: Final[Mapping[Step, Callable[[Turn, StepDone], None]]] = {
    Step.HANDOVER: lambda turn, done: turn.parts.sender.handed(turn, done.run, done.answer),
    Step.RESEND: lambda turn, done: turn.parts.sender.resent(turn, done.run, done.answer),
    Step.RESEND_BUT_RELEASES: lambda turn, done: turn.parts.sender.resent(turn, done.run, done.answer),
    Step.EXPIRE: lambda turn, done: turn.parts.housekeeping.expired(turn, _error(done)),
    Step.PURGE: lambda turn, done: turn.parts.housekeeping.purged(turn, done.answer),
    Step.REVIEW: lambda turn, done: turn.parts.housekeeping.reviewed(turn, done.answer),
    Step.SIGN_ANEW: lambda turn, done: turn.parts.housekeeping.signed_anew(turn, done.answer),
    Step.CHECKPOINT: lambda turn, done: turn.parts.log_position.signed(turn, done.answer),
    Step.FINISH: lambda turn, done: turn.parts.destruction.signed(turn, _error(done)),
    Step.BACK_SINCE: lambda turn, done: turn.parts.hearing.asked(turn, done),
    Step.HEARD: lambda turn, done: turn.parts.hearing.heard(turn, done),
    Step.MEND: lambda turn, done: turn.parts.mending.mended(turn, done.run, done.answer),
    Step.ARRIVED: lambda turn, done: turn.parts.fetching.arrived(turn, done.run.event[0], _error(done)),
}

_ASKED_BY_LINK: Final[Mapping[Query, Callable[[Turn, PeerLink, tuple[Any, ...], Any], None]]] = {
    Query.GREET: lambda turn, link, _, answer: link.greets(turn, answer),
    Query.STILL_MISSING: lambda turn, link, event, answer: link.still_missing(turn, event[1], answer),
    Query.ACTS_FORGOTTEN: lambda turn, link, _, answer: (
        turn.tell(link.member, Tell(Notice.ACTS_FORGOTTEN, link.node, count=answer)) if answer else None
    ),
    Query.SERVES: lambda turn, link, event, answer: link.serves(turn, event[1], answer),
}

_QUERIES_DONE: Final[Mapping[Query, Callable[[Turn, QueryDone], None]]] = {
    Query.FRESH_FIRST: lambda turn, done: turn.parts.sender.fresh_first(turn, done.run, done.answer),
    Query.QUEUED: lambda turn, done: turn.parts.sender.counted(turn, done.run.event[0], done.answer),
    Query.ANSWER: lambda turn, done: turn.parts.answers.answered(turn, done.run, done.answer),
    Query.ANYTHING_TO_PURGE: lambda turn, done: turn.parts.housekeeping.to_purge(turn, done.answer),
    Query.ANYTHING_OVER: lambda turn, done: turn.parts.housekeeping.over(turn, done.answer),
    Query.SIGNED_AHEAD: lambda turn, done: turn.parts.housekeeping.ahead(turn, done.answer),
    Query.CHECKPOINT_DUE: lambda turn, done: turn.parts.log_position.due(turn, done.answer),
    Query.FIRST_WANTED: lambda turn, done: turn.parts.fetching.found(turn, done.run, done.answer),
    Query.UNHEARD: lambda turn, done: turn.parts.hearing.found(turn, done.answer),
    Query.BROUGHT: lambda turn, done: turn.parts.mending.brought(turn, done.run, done.answer),
    Query.MARKED: lambda turn, done: turn.parts.destruction.found(turn, done.answer),
}
