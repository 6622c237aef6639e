"""Many drafts over one call: packs them into messages, and reads their outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from intelshare.errors import DeliveryError, IntelshareError, Place
from intelshare.wire import MAX_DRAFT_BYTES, MAX_DRAFTS
from intelshare.wire.v1 import user_pb2 as pb

_LOST = frozenset(("NODE_UNREACHABLE", "TLS_REFUSED", "TIMED_OUT"))


@dataclass(frozen=True, slots=True)
class DraftOutcome:
    """The outcome of one draft: it is stored, or it was refused and nothing of it is stored."""

    key: bytes
    """The draft's idempotency key."""
    result: pb.SubmitResponse | IntelshareError

    def stored(self) -> pb.SubmitResponse:
        """Return the node's answer. Raises the error with which it refused the draft."""
        if isinstance(self.result, IntelshareError):
            raise self.result
        return self.result


class _Group:
    """One message under construction."""

    def __init__(self) -> None:
        self._message = pb.SubmitManyRequest()
        self._size = 0

    def is_full(self, following: pb.SubmitRequest) -> bool:
        """Return true if one more draft would be too much."""
        count = len(self._message.drafts)
        return count >= MAX_DRAFTS or (count > 0 and self._size + _size(following) > MAX_DRAFT_BYTES)

    def add(self, request: pb.SubmitRequest) -> None:
        self._message.drafts.append(request)
        self._size += _size(request)

    def take(self) -> Iterator[pb.SubmitManyRequest]:
        """Yield the message unless it is empty, and begin another one."""
        message, self._message, self._size = self._message, pb.SubmitManyRequest(), 0
        if message.drafts:
            yield message


def in_groups(requests: Iterable[pb.SubmitRequest]) -> Iterator[pb.SubmitManyRequest]:
    """Yield the requests in messages as full as possible; raise what ``requests`` raises after the last
    message.
    """
    group = _Group()
    try:
        for request in requests:
            if group.is_full(request):
                yield from group.take()
            group.add(request)
    except Exception:
        yield from group.take()
        raise
    yield from group.take()


class Reading:
    """Messages for gRPC, which loses errors of the iterator it reads: an error ends the messages, and is
    kept.
    """

    def __init__(self, messages: Iterator[pb.SubmitManyRequest]) -> None:
        self._messages = messages
        self._error: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pb.SubmitManyRequest:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise StopIteration from None

    def check(self) -> None:
        """Raise the error that ended the messages."""
        if self._error is not None:
            raise self._error


class AsyncReading:
    """``Reading`` for an event loop."""

    def __init__(self, messages: AsyncIterator[pb.SubmitManyRequest]) -> None:
        self._messages = messages
        self._error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[pb.SubmitManyRequest]:
        try:
            async for message in self._messages:
                yield message
        except Exception as error:
            self._error = error

    def check(self) -> None:
        """Raise the error that ended the messages."""
        if self._error is not None:
            raise self._error


async def in_groups_as_they_come(
    requests: AsyncIterable[pb.SubmitRequest],
) -> AsyncIterator[pb.SubmitManyRequest]:
    """Yield the requests in messages; those at hand go as soon as the next request has to be waited for.

    Raises what ``requests`` raises after the last message.
    """
    group, source = _Group(), aiter(requests)

    async def following() -> pb.SubmitRequest | None:
        return await anext(source, None)

    reading = asyncio.ensure_future(following())
    try:
        while (request := await reading) is not None:
            reading = asyncio.ensure_future(following())
            if group.is_full(request):
                for message in group.take():
                    yield message
            group.add(request)
            # One turn of the loop is enough for a request that is already at hand.
            await asyncio.sleep(0)
            if not reading.done():
                for message in group.take():
                    yield message
    except Exception:
        for message in group.take():
            yield message
        raise
    finally:
        reading.cancel()
    for message in group.take():
        yield message


def outcomes_in(message: pb.SubmitManyResponse) -> Iterator[DraftOutcome]:
    """Yield the outcomes in a message from the node."""
    for outcome in message.outcomes:
        refused = outcome.HasField("refused")
        yield DraftOutcome(outcome.key, _error_of(outcome.refused) if refused else outcome.stored)


def unknown_outcome(error: IntelshareError, address: str) -> DeliveryError | None:
    """Return OUTCOME_UNKNOWN for an error that ended a submission, if it is not the node's answer to it."""
    if error.code not in _LOST:
        return None
    return DeliveryError(
        "OUTCOME_UNKNOWN",
        "the connection broke before the node answered: the bulletin may or may not be stored",
        place=Place(address),
        hint="send the same again with the same key: nothing is stored twice",
    )


def _error_of(refusal: pb.Refusal) -> IntelshareError:
    place = None
    if refusal.HasField("place"):
        at = refusal.place
        place = Place(
            at.source, at.line or None, at.column or None, at.field or None, at.excerpt or None, at.width or 1
        )
    after = refusal.retry_after_seconds or None
    return DeliveryError(
        refusal.code, refusal.message, place=place, hint=refusal.hint or None, retry_after=after
    )


def _size(request: pb.SubmitRequest) -> int:
    # Includes the tag and the length of a draft inside its message.
    return request.ByteSize() + 6
