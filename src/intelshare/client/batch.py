"""Many drafts over one call: how they are packed into messages, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from intelshare.errors import DeliveryError, IntelshareError, Place
from intelshare.wire.v1 import user_pb2 as pb

MAX_DRAFTS = 64
"""Drafts of one message: the node stores those of one message in one transaction."""

MAX_BYTES = 1 << 20
"""Their bytes, if there is more than one."""

_LOST = frozenset(("NODE_UNREACHABLE", "TLS_REFUSED", "TIMED_OUT"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one draft: it is stored, or it was refused and nothing of it is."""

    key: bytes
    """The draft's idempotency key."""
    result: pb.SubmitResponse | IntelshareError

    def stored(self) -> pb.SubmitResponse:
        """The node's answer. Raises the error with which it refused the draft."""
        if isinstance(self.result, IntelshareError):
            raise self.result
        return self.result


class _Group:
    """One message in the making."""

    def __init__(self) -> None:
        self._message = pb.SubmitManyRequest()
        self._size = 0

    def is_full(self, following: pb.SubmitRequest) -> bool:
        """Whether one more draft is too much."""
        count = len(self._message.drafts)
        return count >= MAX_DRAFTS or (count > 0 and self._size + _size(following) > MAX_BYTES)

    def add(self, request: pb.SubmitRequest) -> None:
        self._message.drafts.append(request)
        self._size += _size(request)

    def take(self) -> Iterator[pb.SubmitManyRequest]:
        """The message, unless it is empty; afterwards another one begins."""
        message, self._message, self._size = self._message, pb.SubmitManyRequest(), 0
        if message.drafts:
            yield message


def in_groups(requests: Iterable[pb.SubmitRequest]) -> Iterator[pb.SubmitManyRequest]:
    """The requests in messages as full as they may be; what ``requests`` raises comes after the last."""
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
    """Messages for gRPC, which reads them where nobody hears an error: that ends them, and is kept."""

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
        """Raise what ended the messages."""
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
        """Raise what ended the messages."""
        if self._error is not None:
            raise self._error


async def in_groups_as_they_come(
    requests: AsyncIterable[pb.SubmitRequest],
) -> AsyncIterator[pb.SubmitManyRequest]:
    """The requests in messages; what is there goes as soon as the next request has to be waited for.

    What ``requests`` raises comes after the last.
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
            # One turn of the loop: enough for a request that need not be waited for.
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


def outcomes_in(message: pb.SubmitManyResponse) -> Iterator[Outcome]:
    """What a message of the node says."""
    for outcome in message.outcomes:
        refused = outcome.HasField("refused")
        yield Outcome(outcome.key, _error_of(outcome.refused) if refused else outcome.stored)


def unknown_outcome(error: IntelshareError, address: str) -> DeliveryError | None:
    """For an error that ended a submission: OUTCOME_UNKNOWN, if the node itself has not answered."""
    if error.code not in _LOST:
        return None
    return DeliveryError(
        "OUTCOME_UNKNOWN",
        "the connection broke before the node answered: the bulletin may be stored, or not",
        place=Place(address),
        hint="send the same again under the same key: nothing is stored twice",
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
    # With the tag and the length that a draft has inside its message.
    return request.ByteSize() + 6
