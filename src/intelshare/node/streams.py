"""One gRPC stream to a peer node: bytes in, bytes out. The engine decides what they mean and when they are
sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from intelshare.crypto.pae import sha256
from intelshare.engine import LinkId
from intelshare.engine.actions import Sendable
from intelshare.engine.events import Event, MessageWritten, Received, Unreadable
from intelshare.errors import EnvelopeError, IntelshareError
from intelshare.instant import Instant
from intelshare.wire import link_message, read_message

_OVER: Final = (asyncio.InvalidStateError, grpc.aio.BaseError)
"""The exceptions, besides RpcError, that gRPC raises on reading or writing a call that is over."""


class Call(Protocol):
    """Either end of a gRPC stream of bytes."""

    async def read(self) -> Any:
        """Return the next message, or ``grpc.aio.EOF``."""

    async def write(self, message: bytes) -> None:
        """Send one message; return when gRPC has taken it."""


class Stream:
    """The stream of one link of the engine, from the dial or the peer's call on."""

    def __init__(self, link: LinkId, feed: Callable[[Event], None]) -> None:
        self.link = link
        self.dial: asyncio.Task[None] | None = None
        """The task that opens the stream, until it is open."""
        self._feed = feed
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._ended: asyncio.Future[IntelshareError | None] = asyncio.get_running_loop().create_future()

    def send(self, message: Sendable, now: Instant) -> None:
        """Write one message; the event ``Written`` follows."""
        self._outgoing.put_nowait(link_message(message, now))

    def set_reading(self, on: bool) -> None:
        """Continue reading, or stop after the message that is being read."""
        (self._may_read.set if on else self._may_read.clear)()

    def end(self, error: IntelshareError | None = None) -> None:
        """End the stream, with the reason that the peer is told."""
        if not self._ended.done():
            self._ended.set_result(error)
        if self.dial is not None:
            self.dial.cancel()

    async def run(self, call: Call) -> None:
        """Run until either side ends it. Raises the error with which this side ended it, AioRpcError,
        OSError.
        """
        self.dial = None
        tasks = [asyncio.create_task(self._read(call)), asyncio.create_task(self._write(call))]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done() and (error := self._ended.result()) is not None:
                raise error
            for task in tasks:
                if task.done() and (failed := task.exception()) is not None and not self._ended.done():
                    if isinstance(failed, _OVER):
                        raise ConnectionResetError("the peer ended the call") from failed
                    raise failed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, call: Call) -> None:
        while True:
            await self._may_read.wait()
            raw = await call.read()
            if raw is grpc.aio.EOF:
                return
            try:
                event: Event = Received(self.link, read_message(raw), len(raw))
            except EnvelopeError as error:
                event = Unreadable(self.link, sha256(raw), error.code, len(raw))
            self._feed(event)

    async def _write(self, call: Call) -> None:
        while True:
            await call.write(await self._outgoing.get())
            self._feed(MessageWritten(self.link))
