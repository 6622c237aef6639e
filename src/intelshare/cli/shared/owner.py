"""Asks the running node of a data folder on behalf of somebody who has the folder and the passphrase."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from intelshare.client import Client, Profile
from intelshare.crypto.x509 import validity
from intelshare.errors import ConfigError, Place
from intelshare.instant import MINUTE, Instant
from intelshare.node.folder import Folder
from intelshare.node.owner import OWNER_KEY, OWNER_SOCKET, owner_certificate
from intelshare.node.running import read_running


@contextmanager
def owner_client(root: Path, passphrase: Callable[[], bytes], replica: str = "") -> Iterator[Client]:
    """Yield a client that needs no certificate, of this replica or of whoever leads.

    Raises ConfigError NODE_UNREACHABLE, VaultError.
    """
    running = read_running(Folder(root))
    sockets = Folder(root).sockets(replica or (running.replica if running is not None else ""))
    try:
        # Reached through a descriptor, because the name of a socket may have at most 107 bytes.
        holder = os.open(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise ConfigError(
            "NODE_UNREACHABLE", "no node is running in this folder", place=Place(str(root))
        ) from None
    try:
        # Only now, so that nobody is asked for the passphrase of a node that is not running.
        proving = _Proving(lambda now: owner_certificate(root, passphrase, now, os.urandom))
        channel = grpc.insecure_channel(f"unix:/proc/self/fd/{holder}/{OWNER_SOCKET}")
        proved = grpc.intercept_channel(channel, proving)
        profile = Profile(root, "", "", "", str(root), "")
        with channel, Client(profile, channel=proved) as client:
            yield client
    finally:
        os.close(holder)


class _Proving(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Sends a certificate with every call, whichever side of it streams; a new one, if the last one may end
    before the call is heard: between two calls somebody may have been asked.
    """

    def __init__(self, make: Callable[[Instant], bytes]) -> None:
        """``make`` returns a certificate for this moment. Raises what it raises."""
        self._make = make
        self._certificate = make(_now())

    def _current(self) -> bytes:
        if validity(self._certificate).end < _now() + MINUTE:
            self._certificate = self._make(_now())
        return self._certificate

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """See ``grpc.UnaryUnaryClientInterceptor``; the other kinds have the same arguments."""
        metadata = [*(details.metadata or ()), (OWNER_KEY, self._current())]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_stream = intercept_unary_unary
    intercept_stream_stream = intercept_unary_unary


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)
