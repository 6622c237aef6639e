"""The listener in front of a port: unknown connections are counted, timed and refused here, before TLS and
gRPC.

gRPC listens behind it on a socket in the data folder that only this user can reach. It sees the same bytes,
so certificates and key exchanges are still checked there. The server behind a gate may be replaced while
connections are open: old connections stay with the old server, new ones go to the new one.

Linux only: a call is traced back to its connection through the abstract socket name of the gate's end.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Final, cast

from intelshare.engine import ConnectionLimits, Connections, Reason
from intelshare.errors import ConfigError
from intelshare.instant import SECOND, Instant
from intelshare.private_files import SHORT

RESERVE: Final = 160
"""The descriptors kept back for the store, files, links to peers and the libraries."""

LEAST: Final = 8
"""The connections at each port without which a node does not start."""

_EACH: Final = 3
"""The descriptors of a connection: the caller's, the gate's connection to gRPC, and gRPC's end of that."""

_AT_ONCE: Final = 32
"""The most connections accepted at one wake-up of the loop."""

_PAUSE: Final = 0.5
"""The seconds without accepting after the system ran out of descriptors."""

_BUFFER: Final = 64 * 1024
"""The bytes that may wait for a slow reader before the other end is no longer read."""

_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record that begins a handshake (RFC 8446, 5.1)."""

_PREFIX: Final = "unix-abstract:"
"""The prefix with which gRPC names a caller that connected from an abstract socket name."""


def within_descriptors(wanted: ConnectionLimits) -> ConnectionLimits:
    """Return the limits for each of two ports, as far as the system grants this process descriptors for them.

    Raises ConfigError RESOURCES_SHORT if these are too few to serve anybody.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    room = (hard - RESERVE) // (2 * _EACH)
    if room < LEAST:
        raise ConfigError(
            "RESOURCES_SHORT",
            f"this process may have {hard} open files, but a node needs {RESERVE + 2 * _EACH * LEAST}",
            hint="raise the limit: `ulimit -n 4096`, or LimitNOFILE= in the unit",
        )
    connections = min(wanted.connections, room)
    return replace(wanted, connections=connections, unknown=min(wanted.unknown, max(1, connections // 2)))


class Gate:
    """One listening port. Created and used in the event loop."""

    def __init__(
        self, listener: socket.socket, limits: ConnectionLimits, lacks: Callable[[str], None] = lambda _: None
    ) -> None:
        """``lacks`` is called with RESOURCES_SHORT when no descriptor is left for a connection, and with ""
        when one is again.
        """
        self.connections = Connections(limits)
        self.behind = ""
        """The path of the socket to which new connections go."""
        self._lacks = lacks
        self._short = False
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._name = f"intelshare-{os.getpid()}-{os.urandom(8).hex()}-"
        self._open: dict[int, _Outer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._accepting = False

    @property
    def port(self) -> int:
        """Return the port on which the gate listens."""
        return int(self._listener.getsockname()[1])

    def start(self, behind: str) -> None:
        """Let connections in, to the server that listens at this path."""
        self.behind = behind
        self._accept_again()
        self._look()

    def proved(self, peer: str, who: str) -> None:
        """Record that a call from the gRPC peer ``peer`` had the certificate of ``who``."""
        if peer.startswith(_PREFIX + self._name):
            for number in self.connections.proved(int(peer[len(_PREFIX + self._name) :]), who):
                self._abort(number)

    def stop_accepting(self) -> None:
        """Accept no new connections; open ones stay."""
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener)
        self._listener.close()

    def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        if self._timer is not None:
            self._timer.cancel()
        for number in list(self._open):
            self._abort(number)

    def now(self) -> Instant:
        """Return the monotonic time."""
        return Instant(int(self._loop.time() * SECOND))

    def left(self, number: int) -> None:
        """Record that one end of a connection is gone."""
        self._open.pop(number, None)
        self.connections.end(number)

    async def lead_on(self, outer: _Outer) -> None:
        """Connect to the server behind the gate; a failure ends the connection."""
        inner = socket.socket(socket.AF_UNIX)
        try:
            inner.setblocking(False)
            inner.bind(f"\0{self._name}{outer.number}")
            await self._loop.sock_connect(inner, self.behind)
            await self._loop.create_connection(lambda: _Inner(outer), sock=inner)
        except OSError as error:
            inner.close()
            outer.abort()
            if error.errno in SHORT:
                self.connections.turn_away(Reason.NO_DESCRIPTOR)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0 and not self._accepting:
            self._accepting = True
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._rest()
                return
            self._recovered()
            self._admit(connection, str(address[0]))

    def _rest(self) -> None:
        """Pause accepting: new connections wait in the system's backlog while open ones are served."""
        self.connections.turn_away(Reason.NO_DESCRIPTOR)
        self._short = True
        self._lacks("RESOURCES_SHORT")
        self._accepting = False
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE, self._accept_again)

    def _recovered(self) -> None:
        if self._short:
            self._short = False
            self._lacks("")

    def _admit(self, connection: socket.socket, address: str) -> None:
        answer = self.connections.arrive(ip_address(address.partition("%")[0]), self.now())
        if isinstance(answer, Reason):
            connection.close()
            return
        number, ending = answer
        for other in ending:
            self._abort(other)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        outer = self._open[number] = _Outer(self, number)
        outer.task = self._loop.create_task(self._take(outer, connection))

    async def _take(self, outer: _Outer, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: outer, connection)
        except OSError:
            connection.close()
            self.left(outer.number)
            return
        if outer.number not in self._open:
            outer.abort()  # It was ended before it was accepted.

    def _look(self) -> None:
        """End expired connections, once a second."""
        for number, _ in self.connections.due(self.now()):
            self._abort(number)
        self._timer = self._loop.call_later(1.0, self._look)

    def _abort(self, number: int) -> None:
        outer = self._open.pop(number, None)
        if outer is not None:
            outer.abort()


class _End(asyncio.Protocol):
    """One end of a connection: forwards what it receives to the other end, no faster than that takes it."""

    other: _End | None = None
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_BUFFER)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Outer(_End):
    """The end towards the network."""

    def __init__(self, gate: Gate, number: int) -> None:
        self.number = number
        self.task: asyncio.Task[None] | None = None
        """The task that accepts this end or connects it to gRPC."""
        self.first = b""
        """The bytes that arrived before the connection to gRPC was open."""
        self._gate = gate

    def data_received(self, data: bytes) -> None:
        """Forward nothing before a handshake has begun: a silent caller costs one descriptor."""
        self.heard()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        elif data[0] == _HANDSHAKE and self.transport is not None:
            self.first = data
            self.transport.pause_reading()
            self.task = asyncio.get_running_loop().create_task(self._gate.lead_on(self))
        else:
            self._gate.connections.end(self.number, Reason.NO_TLS)
            self.abort()

    def heard(self) -> None:
        """Record that bytes came from either end."""
        self._gate.connections.heard(self.number, self._gate.now())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._gate.left(self.number)

    def abort(self) -> None:
        """Close both ends at once, even if bytes wait to be written."""
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.abort()


class _Inner(_End):
    """The end towards gRPC."""

    def __init__(self, outer: _Outer) -> None:
        self.other = self._outer = outer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        outer, inner = self._outer, cast(asyncio.Transport, transport)
        if outer.transport is None or outer.transport.is_closing():
            inner.abort()
            return
        outer.other = self
        inner.write(outer.first)
        outer.first = b""
        outer.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        outer = self._outer
        outer.heard()
        if outer.transport is not None:
            outer.transport.write(data)
