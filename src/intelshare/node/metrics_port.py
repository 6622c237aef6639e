"""Serves metrics over HTTP to a collector on this machine: ``GET /metrics``, and nothing else.

Off unless node.toml names a loopback address. A connection is for one request; there may be ``MOST`` at once,
each with ``PATIENCE`` seconds and ``LONGEST`` bytes. Results are reused for a while (``Collector``), so that
a busy collector takes at most a twentieth of one processor.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from intelshare.errors import ConfigError, IntelshareError
from intelshare.metrics import Metric, Sample, render

LEAST: Final = 1.0
"""The seconds for which a result is reused, at least."""

REST: Final = 20
"""The multiple of its computing time for which a result is reused, in addition."""

MOST: Final = 8
"""The most connections at once; further ones are closed."""

PATIENCE: Final = 5.0
"""The seconds for a request and its answer."""

LONGEST: Final = 8192
"""The most bytes of a request's head."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Collector:
    """Computes the samples when they are due, whoever asks. One for each node, used in its event loop."""

    def __init__(self, compute: Callable[[], Awaitable[Sequence[Sample]]]) -> None:
        self._compute = compute
        self._computing = asyncio.Lock()
        self._last: Sequence[Sample] = ()
        self._until = 0.0

    async def samples(self) -> Sequence[Sample]:
        """Return the current samples, or those of a little while ago. Raises StoreError."""
        async with self._computing:
            began = time.monotonic()
            if began >= self._until:
                found = await self._compute()
                cost = time.monotonic() - began
                self._last = (*found, Sample(Metric.COST, (), cost))
                self._until = began + cost + max(LEAST, REST * cost)
            return self._last


class MetricsPort:
    """A listening port. Created and used in the event loop; call ``close`` at the end."""

    def __init__(self, samples: Callable[[], Awaitable[Sequence[Sample]]]) -> None:
        self.port = 0
        self.samples = samples
        """Returns all measurements."""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError PORT_IN_USE, LISTEN_FAILED."""
        try:
            self._server = await asyncio.start_server(self._take, host, port, limit=LONGEST, backlog=MOST)
        except OSError as error:
            raise ConfigError(
                "PORT_IN_USE" if error.errno == errno.EADDRINUSE else "LISTEN_FAILED",
                f"metrics cannot be served at {host}:{port}: {error.strerror or error}",
                hint="choose another `listen` under [metrics] in node.toml, or remove it",
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close everything. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(await self._answer(reader))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), PATIENCE)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", "only /metrics is served here\n")
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "GET\n")
        try:
            text = render(await self.samples())
        except IntelshareError as error:
            return _response("503 Service Unavailable", f"{error.code}\n")
        return _response("200 OK", text, head_only=method == b"HEAD")


def _response(status: str, text: str, *, head_only: bool = False) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {_TEXT}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
