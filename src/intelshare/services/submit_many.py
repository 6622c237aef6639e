"""SubmitMany: drafts that have arrived are stored together, and each is answered once it is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand, submit_many
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.services.backend import Backend
from intelshare.services.drafts import KEY_LENGTH, submit_command, submit_response
from intelshare.services.gather import gathered
from intelshare.wire.v1 import user_pb2 as pb

MAX_CALLS: Final = 8
"""Open calls of one user."""

MAX_ANSWER: Final = 1 << 20
"""Bytes after which the outcomes of a group go on in a further message."""

METHOD: Final = "Bulletins/SubmitMany"

Outcome = SubmitResult | IntelshareError
"""What became of a draft."""


async def submit_drafts(
    backend: Backend, actor: Actor, messages: AsyncIterator[pb.SubmitManyRequest]
) -> AsyncIterator[pb.SubmitManyResponse]:
    """The outcome of every draft, in the order in which they come: each group is one step and one commit.

    What is wrong with a draft refuses this draft alone.
    """
    with backend.open_call(METHOD, actor.user, MAX_CALLS):
        async for drafts in gathered(messages):
            outcomes = await _stored(backend, [_read(actor, draft) for draft in drafts])
            for error in [one for one in outcomes if isinstance(one, IntelshareError)]:
                backend.refused(METHOD, actor.user, error)
            for message in _in_messages([draft.key for draft in drafts], outcomes):
                yield message


async def _stored(backend: Backend, given: Sequence[SubmitCommand | IntelshareError]) -> list[Outcome]:
    """What is refused already stays so; all others in one step."""
    commands = [one for one in given if isinstance(one, SubmitCommand)]

    def wake(stored: Sequence[Outcome]) -> None:
        backend.wake(to_wake([one for one in stored if isinstance(one, SubmitResult)]))

    stored: Sequence[Outcome] = ()
    if commands:
        # All calls at once in one commit would go round in step: nobody else works while one part does.
        async with backend.large_steps:
            stored = await backend.perform(submit_many, commands, then=wake)
    results = iter(stored)
    return [next(results) if isinstance(one, SubmitCommand) else one for one in given]


def to_wake(results: Sequence[SubmitResult]) -> frozenset[MemberCode]:
    """Recipients for which something is ready now."""
    return frozenset(pair.recipient for one in results for pair in one.pairs if pair.word == "queued")


def _read(actor: Actor, draft: pb.SubmitRequest) -> SubmitCommand | IntelshareError:
    try:
        return submit_command(actor, draft)
    except IntelshareError as error:
        return error


def _in_messages(keys: Sequence[bytes], outcomes: Sequence[Outcome]) -> Iterator[pb.SubmitManyResponse]:
    """The outcomes in messages that a client takes, in their order."""
    message, total = pb.SubmitManyResponse(), 0
    known: dict[int, tuple[pb.SubmitOutcome, int]] = {}
    for key, outcome in zip(keys, outcomes, strict=True):
        # What drafts that are alike have in common is made once. Objects are told apart by id: all of them
        # live as long as ``outcomes``.
        alike = id(outcome.pairs if isinstance(outcome, SubmitResult) else outcome)
        shown, size = known.get(alike) or known.setdefault(alike, _shown(outcome))
        if message.outcomes and total + size > MAX_ANSWER:
            yield message
            message, total = pb.SubmitManyResponse(), 0
        one = message.outcomes.add()
        one.CopyFrom(shown)
        one.key = key
        if isinstance(outcome, SubmitResult):
            one.stored.bulletin = outcome.bulletin
        total += size
    if message.outcomes:
        yield message


def _shown(outcome: Outcome) -> tuple[pb.SubmitOutcome, int]:
    """What became of a draft, and about how many bytes that takes."""
    if isinstance(outcome, SubmitResult):
        shown = pb.SubmitOutcome(stored=submit_response(outcome))
    else:
        shown = pb.SubmitOutcome(refused=refusal_message(outcome))
    return shown, shown.ByteSize() + KEY_LENGTH + 2


def refusal_message(error: IntelshareError) -> pb.Refusal:
    """What the caller is told of a refused draft."""
    refusal = pb.Refusal(code=error.code, message=error.message[:2000], hint=error.hint or "")
    refusal.retry_after_seconds = error.retry_after or 0
    place = error.place
    if place is not None:
        refusal.place.source = place.source
        refusal.place.line, refusal.place.column = place.line or 0, place.column or 0
        refusal.place.field, refusal.place.excerpt = place.field or "", place.excerpt or ""
        refusal.place.width = place.width
    return refusal
