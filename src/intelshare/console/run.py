"""The process of a console: it listens on loopback, prints its address, and serves until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from intelshare.client import Client, Profile
from intelshare.console.documents.now import Look
from intelshare.console.feed import Feed
from intelshare.console.guard import Guard, loopback
from intelshare.console.nodes import NodeDesk
from intelshare.console.pages import read_pages
from intelshare.console.web import Web
from intelshare.errors import ConfigError, Place

MAX_HEAD = 16 * 1024
"""Bytes of the head of a request."""
MAX_CONNECTIONS = 128


class _Server(uvicorn.Server):
    """Ended by ``should_exit`` alone: uvicorn would raise the signal again after it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    profiles: Sequence[Profile],
    *,
    host: str,
    port: int,
    connect: Callable[[Profile], Client],
    refresh: Callable[[Profile], object],
    listening: Callable[[str], object],
) -> None:
    """Serve until SIGINT or SIGTERM. ``listening`` gets the address, and another one after each Enter.

    Raises ConfigError ADDRESS_FORBIDDEN for a host that is not loopback, PORT_IN_USE.
    """
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    listener = _listener(loopback(host), port)
    name, number = listener.getsockname()[:2]
    guard = Guard(name, number)
    desk = NodeDesk(profiles, connect, refresh)
    try:
        asyncio.run(_serve(guard, desk, listener, lambda: listening(guard.address())))
    finally:
        desk.close()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        place = Place(f"{host}:{port}")
        message = f"the console cannot listen here: {error.strerror}"
        raise ConfigError("PORT_IN_USE", message, place=place, hint="choose another port, or none") from None


async def _serve(
    guard: Guard, desk: NodeDesk, listener: socket.socket, listening: Callable[[], object]
) -> None:
    feed = Feed(desk, Look(desk).state)
    server = _Server(
        uvicorn.Config(
            Web(guard, desk, feed, read_pages()),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=30,
            # Streams of events have no end of their own.
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    listening()
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_ask_again, args=(loop, listening), daemon=True).start()
    feeding = asyncio.create_task(feed.run())
    try:
        await server.serve(sockets=[listener])
    finally:
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding


def _ask_again(loop: asyncio.AbstractEventLoop, listening: Callable[[], object]) -> None:
    """Print another address after each Enter, because an address opens the console once."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        for _ in sys.stdin:
            loop.call_soon_threadsafe(listening)
