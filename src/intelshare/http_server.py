"""Serves one web application over HTTP/1.1 until a signal tells the process to stop: gateway and console."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from intelshare.errors import ConfigError, Place

MAX_HEAD: Final = 16 * 1024
"""The most bytes of a request's head."""

KEEP_ALIVE: Final = 30
"""The seconds for which a connection may be idle between two requests."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The bounds and the certificate with which an application is served."""

    connections: int
    """The connections at once; one more is answered with 503."""
    grace: int
    """The seconds that open requests have once the process is told to stop."""
    certificate: Path | None = None
    """With ``key``: PEM files, and HTTPS instead of HTTP."""
    key: Path | None = None


class _Server(uvicorn.Server):
    """A server that only ``should_exit`` stops: uvicorn would raise the signal again afterwards."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(what: str, host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 chooses one. ``what`` is named in the error.

    Raises ConfigError PORT_IN_USE for an address that is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            "PORT_IN_USE",
            f"the {what} cannot listen here: {error.strerror}",
            place=Place(f"{host}:{port}"),
            hint="choose another port",
        ) from None


async def serve(
    app: Any, listener: socket.socket, how: Serving, listening: Callable[[], object] = lambda: None
) -> None:
    """Serve until SIGINT or SIGTERM. ``listening`` is called once requests can come."""
    tls: dict[str, Any] = {}
    if how.certificate is not None and how.key is not None:
        tls = {"ssl_certfile": str(how.certificate), "ssl_keyfile": str(how.key)}
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
            limit_concurrency=how.connections,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=how.grace,
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
