"""Gathers the drafts of one SubmitMany call as they arrive: while one group is stored, the next fills up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from intelshare.errors import DeliveryError
from intelshare.wire import MAX_DRAFT_BYTES, MAX_DRAFTS
from intelshare.wire.v1 import user_pb2 as pb


class _Arrived:
    """Messages that have arrived but have not been taken yet: at most one group. After that the client has to
    wait.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[int, pb.SubmitManyRequest]] = deque()
        self._changed = asyncio.Condition()
        self._ended = False

    async def fill(self, messages: AsyncIterator[pb.SubmitManyRequest]) -> None:
        """Read until the client ends the stream. Raises what the reading raises, DeliveryError TOO_LARGE."""
        try:
            async for message in messages:
                size = _checked(message)
                async with self._changed:
                    self._messages.append((size, message))
                    self._changed.notify_all()
                    # Messages that are not read stay in gRPC's window, and then with the client.
                    await self._changed.wait_for(self._has_room)
        finally:
            async with self._changed:
                self._ended = True
                self._changed.notify_all()

    async def take(self) -> list[pb.SubmitRequest]:
        """Return what has arrived, up to one group; wait for a first message. Empty if nothing more will
        come.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages or self._ended)
            drafts: list[pb.SubmitRequest] = []
            total = 0
            while self._messages:
                size, message = self._messages[0]
                count = len(drafts) + len(message.drafts)
                if drafts and (count > MAX_DRAFTS or total + size > MAX_DRAFT_BYTES):
                    break
                self._messages.popleft()
                drafts += message.drafts
                total += size
            self._changed.notify_all()
            return drafts

    def _has_room(self) -> bool:
        count = sum(len(message.drafts) for _, message in self._messages)
        return count < MAX_DRAFTS and sum(size for size, _ in self._messages) < MAX_DRAFT_BYTES


async def gathered(messages: AsyncIterator[pb.SubmitManyRequest]) -> AsyncIterator[list[pb.SubmitRequest]]:
    """Yield groups of at most 64 drafts and 1 MiB, in the order of arrival; no message is divided.

    Raises DeliveryError TOO_LARGE for a message beyond these bounds, INPUT_INVALID for an empty one, and what
    the reading raises, after everything that arrived before has been yielded.
    """
    arrived = _Arrived()
    reading = asyncio.create_task(arrived.fill(messages))
    try:
        while drafts := await arrived.take():
            yield drafts
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _checked(message: pb.SubmitManyRequest) -> int:
    size = message.ByteSize()
    if not message.drafts:
        raise DeliveryError("INPUT_INVALID", "a message contains no draft")
    # A single draft may be as large as its own limits allow; these are checked with it.
    if len(message.drafts) > MAX_DRAFTS or (len(message.drafts) > 1 and size > MAX_DRAFT_BYTES):
        raise DeliveryError(
            "TOO_LARGE",
            f"a message may have at most {MAX_DRAFTS} drafts and {MAX_DRAFT_BYTES} bytes",
            hint="send the others in further messages of the same call",
        )
    return size
