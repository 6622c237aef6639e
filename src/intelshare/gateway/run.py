"""Runs one gateway process: follows its node and serves its consumers until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from intelshare.client import Client
from intelshare.errors import ConfigError, Place
from intelshare.gateway.config import GatewaySettings
from intelshare.gateway.dates import Dates
from intelshare.gateway.stock import Follower, Stock
from intelshare.gateway.web import Web
from intelshare.labels import Registry

MAX_HEAD = 16 * 1024
"""The most bytes of a request's head."""


class _Server(uvicorn.Server):
    """A server that only ``should_exit`` stops: uvicorn would raise the signal again afterwards."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    settings: GatewaySettings,
    client: Client,
    registry: Callable[[], Registry],
    refresh: Callable[[], object],
    listening: Callable[[str], object],
) -> None:
    """Serve until SIGINT or SIGTERM. ``listening`` is called with the address.

    Raises ConfigError PORT_IN_USE for a port that is not available.
    """
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    listener = _listener(settings)
    scheme = "https" if settings.tls is not None else "http"
    host, port = listener.getsockname()[:2]
    url = settings.url or f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    dates = Dates(settings.state)
    stock = Stock(client, settings.consumers, dates)
    follower = Follower(client, stock, settings.consumers, registry, refresh)
    follower.start()
    try:
        asyncio.run(_serve(settings, Web(settings, stock, url), listener, lambda: listening(url)))
    finally:
        follower.end()
        follower.join(5)
        dates.close()


def _listener(settings: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        place = Place(f"{settings.host}:{settings.port}")
        message = f"the gateway cannot listen here: {error.strerror}"
        raise ConfigError("PORT_IN_USE", message, place=place, hint="choose another port") from None


async def _serve(
    settings: GatewaySettings, app: Any, listener: socket.socket, listening: Callable[[], object]
) -> None:
    tls: dict[str, Any] = {}
    if settings.tls is not None:
        tls = {"ssl_certfile": str(settings.tls.certificate), "ssl_keyfile": str(settings.tls.key)}
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=settings.limits.connections,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=MAX_HEAD,
            **tls,
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    listening()
    await server.serve(sockets=[listener])
