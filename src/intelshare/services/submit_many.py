"""SubmitMany: drafts that have arrived are stored together, and each is answered once it is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand, submit_many
from intelshare.delivery import PairStatus
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.services.backend import Backend
from intelshare.services.drafts import KEY_LENGTH, submit_command, submit_response
from intelshare.services.gather import gathered
from intelshare.services.rpc import check_not_drained
from intelshare.wire.v1 import user_pb2 as pb

MAX_CALLS: Final = 8
"""The most open calls of one user."""

MAX_ANSWER: Final = 1 << 20
"""The bytes after which the outcomes of a group continue in a further message."""

METHOD: Final = "Bulletins/SubmitMany"

Outcome = SubmitResult | IntelshareError
"""The outcome of a draft."""


async def submit_drafts(
    backend: Backend, actor: Actor, messages: AsyncIterator[pb.SubmitManyRequest]
) -> AsyncIterator[pb.SubmitManyResponse]:
    """Yield the outcome of every draft, in order of arrival: each group is one step and one commit.

    A faulty draft refuses only itself. Raises DeliveryError DRAINING once the node is being drained.
    """
    with backend.open_call(METHOD, actor.user, MAX_CALLS):
        async for drafts in gathered(messages):
            check_not_drained(backend)
            outcomes = await _stored(backend, [_read(actor, draft) for draft in drafts])
            for error in [one for one in outcomes if isinstance(one, IntelshareError)]:
                backend.refused(METHOD, actor.user, error)
            for message in _in_messages([draft.key for draft in drafts], outcomes):
                yield message


async def _stored(backend: Backend, given: Sequence[SubmitCommand | IntelshareError]) -> list[Outcome]:
    """Store in one step all drafts that have not been refused yet."""
    commands = [one for one in given if isinstance(one, SubmitCommand)]

    def wake(stored: Sequence[Outcome]) -> None:
        backend.wake(to_wake([one for one in stored if isinstance(one, SubmitResult)]))

    stored: Sequence[Outcome] = ()
    if commands:
        # If the parts of all calls went into one commit, the calls would run in lockstep, and nobody else
        # would work during a part.
        async with backend.large_steps:
            stored = await backend.perform(submit_many, commands, then=wake)
    results = iter(stored)
    return [next(results) if isinstance(one, SubmitCommand) else one for one in given]


def to_wake(results: Sequence[SubmitResult]) -> frozenset[MemberCode]:
    """Return the recipients for which something is ready now."""
    return frozenset(
        pair.recipient for one in results for pair in one.pairs if pair.word is PairStatus.QUEUED
    )


def _read(actor: Actor, draft: pb.SubmitRequest) -> SubmitCommand | IntelshareError:
    try:
        return submit_command(actor, draft)
    except IntelshareError as error:
        return error


def _in_messages(keys: Sequence[bytes], outcomes: Sequence[Outcome]) -> Iterator[pb.SubmitManyResponse]:
    """Yield the outcomes, in order, in messages of a size that a client accepts."""
    message, total = pb.SubmitManyResponse(), 0
    known: dict[int, tuple[pb.SubmitOutcome, int]] = {}
    for key, outcome in zip(keys, outcomes, strict=True):
        # The common part of similar drafts is built once. Objects are distinguished by id: all of them live
        # as long as ``outcomes``.
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
    """Return the outcome of a draft as a message, with its approximate size in bytes."""
    if isinstance(outcome, SubmitResult):
        shown = pb.SubmitOutcome(stored=submit_response(outcome))
    else:
        shown = pb.SubmitOutcome(refused=refusal_message(outcome))
    return shown, shown.ByteSize() + KEY_LENGTH + 2


def refusal_message(error: IntelshareError) -> pb.Refusal:
    """Return what the caller is told about a refused draft."""
    refusal = pb.Refusal(code=error.code, message=error.message[:2000], hint=error.hint or "")
    refusal.retry_after_seconds = error.retry_after or 0
    place = error.place
    if place is not None:
        refusal.place.source = place.source
        refusal.place.line, refusal.place.column = place.line or 0, place.column or 0
        refusal.place.field, refusal.place.excerpt = place.field or "", place.excerpt or ""
        refusal.place.width = place.width
    return refusal
