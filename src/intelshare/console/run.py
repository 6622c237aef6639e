"""The process of a console: it listens on loopback, prints its address, and serves until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from intelshare.client import Client, Profile
from intelshare.console.documents.now import Look
from intelshare.console.feed import Feed
from intelshare.console.guard import Guard, loopback
from intelshare.console.nodes import NodeDesk
from intelshare.console.pages import read_pages
from intelshare.console.web import Web
from intelshare.http_server import Serving, listen, serve

SERVING: Final = Serving(connections=128, grace=1)
"""Streams of events have no end of their own, so a stop does not wait for them."""


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
    listener = listen("console", loopback(host), port)
    name, number = listener.getsockname()[:2]
    guard = Guard(name, number)
    desk = NodeDesk(profiles, connect, refresh)
    try:
        asyncio.run(_serve(guard, desk, listener, lambda: listening(guard.address())))
    finally:
        desk.close()


async def _serve(
    guard: Guard, desk: NodeDesk, listener: socket.socket, listening: Callable[[], object]
) -> None:
    feed = Feed(desk, Look(desk).state)
    loop = asyncio.get_running_loop()

    def ready() -> None:
        listening()
        if sys.stdin is not None and sys.stdin.isatty():
            threading.Thread(target=_ask_again, args=(loop, listening), daemon=True).start()

    feeding = asyncio.create_task(feed.run())
    try:
        await serve(Web(guard, desk, feed, read_pages()), listener, SERVING, ready)
    finally:
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding


def _ask_again(loop: asyncio.AbstractEventLoop, listening: Callable[[], object]) -> None:
    """Print another address after each Enter, because an address opens the console once."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        for _ in sys.stdin:
            loop.call_soon_threadsafe(listening)
