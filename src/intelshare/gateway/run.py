"""Runs one gateway process: follows its node and serves its consumers until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Final

from intelshare.client import Client
from intelshare.gateway.config import GatewaySettings
from intelshare.gateway.dates import Dates
from intelshare.gateway.stock import Follower, Stock
from intelshare.gateway.web import Web
from intelshare.http_server import Serving, listen, serve
from intelshare.labels import Registry

GRACE: Final = 5
"""The seconds that open requests have once the gateway is told to stop."""


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
    listener = listen("gateway", settings.host, settings.port)
    scheme = "https" if settings.tls is not None else "http"
    host, port = listener.getsockname()[:2]
    url = settings.url or f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    dates = Dates(settings.state)
    stock = Stock(client, settings.consumers, dates)
    follower = Follower(client, stock, settings.consumers, registry, refresh)
    follower.start()
    try:
        asyncio.run(serve(Web(settings, stock, url), listener, _serving(settings), lambda: listening(url)))
    finally:
        follower.end()
        follower.join(5)
        dates.close()


def _serving(settings: GatewaySettings) -> Serving:
    connections = settings.limits.connections
    if settings.tls is None:
        return Serving(connections, GRACE)
    return Serving(connections, GRACE, settings.tls.certificate, settings.tls.key)
