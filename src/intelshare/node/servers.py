"""The two ports: one for peers, one for this node's users, each with separate roots.

In front of each stands a gate (``gate``), behind it a gRPC server with the current certificates. When these
change, a new server takes the new connections, and the old server keeps its connections: credentials that
gRPC asks for at each handshake end the process when many handshakes are cut short (grpcio 1.85.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import grpc

from intelshare.crypto.x509 import CertifiedKey, to_pem
from intelshare.engine import ConnectionLimits, Limits
from intelshare.errors import ConfigError, IntelshareError
from intelshare.ids import MemberCode
from intelshare.node.authn import owner_identity, peer_identity, user_identity
from intelshare.node.backend import NodeBackend
from intelshare.node.dial import KEEPALIVE, SLACK
from intelshare.node.events import Event
from intelshare.node.gate import Gate, within_descriptors
from intelshare.node.leaf import show_certificates
from intelshare.node.links import Links
from intelshare.node.metrics_port import MetricsPort
from intelshare.node.owner import OWNER_SOCKET
from intelshare.node.rpc_gateway import UserGateway, health_handler, peer_handler
from intelshare.node.runtime import Runtime
from intelshare.services import EVERYBODY, SERVICES, PortFacts
from intelshare.wire import FLOW, MAX_MESSAGE
from intelshare.wire.v1 import user_pb2

GRACE: Final = 2.0
"""The seconds that calls have to end at a stop."""

DRAIN: Final = 3600.0
"""The seconds that the links of a server with former certificates may continue; each is authenticated again
anyway.
"""

SETTLE: Final = 10.0
"""Seconds that connections on their way to a server have to begin a call, before it takes no more."""

_FORMER: Final = 4
"""The most servers that may drain at once; beyond that, the oldest is closed within the grace."""

_LINK: Final = "/intelshare.v1.Peer/Link"

_CALLS: Final = 1024
"""The most calls that one connection of a user may have open at once."""

_BACKLOG: Final = 128
"""The connections that wait in the system to be accepted."""

_BOUNDS: Final[tuple[tuple[str, int], ...]] = (
    *KEEPALIVE,
    *FLOW,
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.max_receive_message_length", MAX_MESSAGE + SLACK),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 8 * 1024),
)


Roots = Mapping[MemberCode, tuple[bytes, ...]]
"""The authorities, in DER, whose leaf certificates may call, by member."""


class Sockets:
    """The folder of the sockets behind the gates, reached by a path short enough for any data folder
    (``sun_path``: 107).
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._last = 0

    def path(self, name: str = "") -> str:
        """Return a new path, through the folder's descriptor."""
        self._last += 1
        return f"/proc/self/fd/{self._descriptor}/{name or self._last}"

    def close(self) -> None:
        """Remove the folder. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        shutil.rmtree(self._folder, ignore_errors=True)


class Authorities:
    """Finds the certificates that gRPC's library accepts as roots: it would drop all that follow one it
    cannot read.

    Each is tried alone, once: a member whose authority does not load shuts out itself and nobody else.
    """

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._loads: dict[bytes, bool] = {}

    def sound(self, leaf: CertifiedKey, roots: Roots) -> Roots:
        """Return the authorities that load, in their order."""
        self._loads = {root: self._known(leaf, root) for of_one in roots.values() for root in of_one}
        return {of: tuple(root for root in ders if self._loads[root]) for of, ders in roots.items()}

    def _known(self, leaf: CertifiedKey, root: bytes) -> bool:
        known = self._loads.get(root)
        return self._try(leaf, root) if known is None else known

    def _try(self, leaf: CertifiedKey, root: bytes) -> bool:
        server = grpc.aio.server()
        try:
            return bool(server.add_secure_port(f"unix:{self._sockets.path()}", _credentials(leaf, (root,))))
        except RuntimeError:
            return False


class Port:
    """A gate and the server behind it."""

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        gate: Gate,
        sockets: Sockets,
        roots: Callable[[], Roots],
        calls: int,
        *handlers: grpc.GenericRpcHandler,
    ) -> None:
        """``calls``: how many one connection may have open at once."""
        self.gate = gate
        self.shut_out: tuple[MemberCode, ...] = ()
        """The members of which an authority does not load."""
        self._name = name
        self._runtime = runtime
        self._sockets = sockets
        self._roots = roots
        self._calls = calls
        self._handlers = handlers
        self._authorities = Authorities(sockets)
        self._present: tuple[tuple[bytes, ...], Roots] | None = None
        self._server: grpc.aio.Server | None = None
        self._former: deque[grpc.aio.Server] = deque()
        self._draining: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def follow(self) -> None:
        """Use the current certificates. Raises what the vault raises; then the previous ones stay in use."""
        leaf, chain = self._runtime.certificates.leaf, self._runtime.certificates.chain
        roots = self._roots()
        if (chain, roots) == self._present:
            return
        server = grpc.aio.server(options=[*_BOUNDS, ("grpc.max_concurrent_streams", self._calls)])
        server.add_generic_rpc_handlers(self._handlers)
        path = self._sockets.path()
        sound = self._authorities.sound(leaf, roots)
        ders = tuple(der for of_one in sound.values() for der in of_one)
        server.add_secure_port(f"unix:{path}", _credentials(leaf, ders, chain))
        self.shut_out = tuple(member for member in roots if sound[member] != roots[member])
        await server.start()
        former, self._server, self._present = self._server, server, (chain, roots)
        if former is None:
            self.gate.start(path)
        else:
            self.gate.behind = path
            self._former.append(former)
            self._let_end(former, DRAIN, settle=SETTLE)
            if len(self._former) > _FORMER:
                self._let_end(self._former.popleft(), GRACE)

    def facts(self) -> PortFacts:
        """Return the facts about its connections."""
        connections = self.gate.connections
        return PortFacts(
            self._name,
            self.gate.port,
            connections.open,
            connections.limits.connections,
            connections.unknown,
            connections.limits.unknown,
            {reason.value: count for reason, count in connections.ended.items()},
        )

    async def close(self) -> None:
        """Accept no new calls, and let the running ones end within the grace."""
        self.gate.stop_accepting()
        self._closing.set()
        servers = [*self._former, self._server]
        await asyncio.gather(*(server.stop(GRACE) for server in servers if server is not None))
        await asyncio.gather(*self._draining)
        self.gate.close()

    def _let_end(self, server: grpc.aio.Server, grace: float, *, settle: float = 0) -> None:
        task = asyncio.create_task(self._end(server, grace, settle))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _end(self, server: grpc.aio.Server, grace: float, settle: float) -> None:
        # The gate leads nobody there any more; who is in the middle of a handshake is not cut.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), settle)
        await server.stop(GRACE if self._closing.is_set() else grace)


class Ports:
    """Both ports, and the owner's entry, which is a socket in the data folder."""

    def __init__(
        self,
        runtime: Runtime,
        peers: Port | None,
        users: Port,
        owner: grpc.aio.Server,
        sockets: Sockets,
        metrics: MetricsPort,
    ) -> None:
        """``peers``: None for a replica that does not lead, until ``open_to_peers``."""
        self.peers = peers
        self.users = users
        self.metrics = metrics
        """Closed if node.toml names no address for it, or another replica on this machine has it."""
        self._owner = owner
        self.peer_port = peers.gate.port if peers is not None else 0
        """0: it is closed."""
        self.user_port = users.gate.port
        self._runtime = runtime
        self._sockets = sockets
        self._following = asyncio.Lock()
        self._failed = ""
        self._shown: tuple[tuple[bytes, ...], ...] | None = None
        """The certificates that the folder shows in clear, from the first time on."""
        """The code that health shows because the last certificates could not be used."""

    @property
    def open(self) -> tuple[Port, ...]:
        """Return those that are open."""
        return (self.users,) if self.peers is None else (self.peers, self.users)

    async def open_to_peers(self, links: Links, last: int) -> None:
        """Open the port for peers: this replica leads from now on. ``last``: its number before.

        Raises as ``open_ports``.
        """
        if self.peers is None:
            peers = _peers(self._runtime, links, self._sockets, last)
            try:
                await peers.follow()
            except BaseException:
                await peers.close()  # the next attempt needs its number
                raise
            self.peers, self.peer_port = peers, peers.gate.port
        await self.open_metrics()

    async def open_metrics(self) -> None:
        """Serve metrics if node.toml says where, and they are not served yet. Of replicas on one machine one
        has a port; another one says in its log that it serves none, and tries again when it leads.

        Raises ConfigError PORT_IN_USE (not of a replica), LISTEN_FAILED.
        """
        settings = self._runtime.settings
        if settings.metrics_host and not self.metrics.port:
            try:
                await self.metrics.open(settings.metrics_host, settings.metrics_port)
            except ConfigError as error:
                if not (self._runtime.replica and error.code == "PORT_IN_USE"):
                    raise
                self._runtime.log.warning(Event.NO_METRICS, code=error.code)

    async def follow(self) -> None:
        """Use the current certificates at both ports; health shows if that fails."""
        async with self._following:
            failed = ""
            for following in (self._certificates, *[port.follow for port in self.open]):
                try:
                    await following()
                except Exception as error:
                    failed = error.code if isinstance(error, IntelshareError) else "INTERNAL"
                    self._runtime.health.set(failed)
            if self._failed and self._failed != failed:
                self._runtime.health.clear(self._failed)
            self._failed = failed
            self._show_shut_out()

    async def _certificates(self) -> None:
        runtime, certificates = self._runtime, self._runtime.certificates
        try:
            certificates.follow(runtime.now())
        finally:
            used = (certificates.chain, certificates.user_authorities)
            if self._shown not in (None, used) and runtime.leads:
                show_certificates(runtime)
            self._shown = used

    async def open_owner_door(self) -> None:
        """Let the folder's owner call from now on."""
        await self._owner.start()

    def _show_shut_out(self) -> None:
        runtime = self._runtime
        shut_out = self.peers.shut_out if self.peers is not None else ()
        for member in set(shut_out) - set(runtime.shut_out):
            runtime.log.error(Event.SHUT_OUT, member=member)
        runtime.shut_out = shut_out

    async def close(self) -> None:
        """Accept no new calls, and let the running ones end within the grace."""
        await asyncio.gather(self._owner.stop(GRACE), self.users.close(), self.metrics.close())
        if self.peers is not None:
            await self.peers.close()
        self._sockets.close()


async def open_ports(
    runtime: Runtime,
    links: Links,
    *,
    last_peer_port: int,
    last_user_port: int,
) -> Ports:
    """Bind and start both ports, or that of users alone for a replica that does not lead.

    Raises ConfigError PORT_IN_USE, LISTEN_FAILED, naming the port; VaultError.
    """
    settings = runtime.settings
    limits = within_descriptors(settings.connections)
    sockets = Sockets(runtime.folder.sockets(runtime.replica))
    peers = _peers(runtime, links, sockets, last_peer_port) if runtime.leads else None
    users = _gate(runtime, limits, "user_port", settings.user_port, last_user_port)
    identify_user = user_identity(runtime, users.proved)
    backend = NodeBackend(
        runtime,
        links,
        lambda: [port.facts() for port in ports.open],
        lambda: ports.follow(),  # noqa: PLW0108 - the ports are made below
    )
    gateway = UserGateway(runtime, backend, identify_user)
    services = user_pb2.DESCRIPTOR.services_by_name
    ports = Ports(
        runtime,
        peers,
        Port(
            runtime,
            "user_port",
            users,
            sockets,
            lambda: {runtime.node.member: runtime.certificates.user_authorities},
            _CALLS,
            *(gateway.handler(services[name], rows) for name, rows in SERVICES.items()),
            health_handler(runtime, identify_user),
        ),
        _owner_door(runtime, backend, sockets),
        sockets,
        MetricsPort(backend.samples),
    )
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(ports.close)
        for port in ports.open:
            await port.follow()
        await ports.open_owner_door()
        await ports.open_metrics()
        undo.pop_all()
    return ports


def _peers(runtime: Runtime, links: Links, sockets: Sockets, last: int) -> Port:
    settings = runtime.settings
    gate = _gate(runtime, within_descriptors(settings.connections), "peer_port", settings.peer_port, last)
    identify = peer_identity(runtime, gate.proved)
    return Port(
        runtime,
        "peer_port",
        gate,
        sockets,
        lambda: runtime.node.trust.all_authorities(),  # noqa: PLW0108 - of the node as it is at that time
        Limits().streams,
        peer_handler(runtime, _LINK, links.serve, identify),
        health_handler(runtime, identify),
    )


_OF_OWNERS: Final = ("Operations", "Audit", "Courier")
"""The services of operators: what is done for the node, and not by a person. Beside them, what everybody may
read of treaties; acts are made by persons.
"""


def _owner_door(runtime: Runtime, backend: NodeBackend, sockets: Sockets) -> grpc.aio.Server:
    """Return a server without TLS on a socket that only the folder's owner can reach: no expired certificate,
    not even the node's, stands between an owner and the repair.
    """
    server = grpc.aio.server(options=_BOUNDS)
    gateway = UserGateway(runtime, backend, owner_identity(runtime), owner_identity(runtime, begun=True))
    services = user_pb2.DESCRIPTOR.services_by_name
    read = {name: row for name, row in SERVICES["Treaties"].items() if row.roles is EVERYBODY}
    server.add_generic_rpc_handlers(
        (
            *(gateway.handler(services[name], SERVICES[name]) for name in _OF_OWNERS),
            gateway.handler(services["Treaties"], read),
        )
    )
    server.add_insecure_port(f"unix:{sockets.path(OWNER_SOCKET)}")
    return server


def _gate(runtime: Runtime, limits: ConnectionLimits, name: str, port: int, last: int) -> Gate:
    settings = runtime.settings
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    failed = OSError()
    for wanted in (port,) if port else (last, 0) if last else (0,):
        try:
            # Two nodes must never share a port unnoticed.
            listener = socket.create_server(
                (settings.host, wanted), family=family, backlog=_BACKLOG, reuse_port=False
            )
        except OSError as error:
            failed = error
            continue
        listener.setblocking(False)
        return Gate(listener, limits, lambda code: runtime.lacks(f"connections of {name}", code))
    raise ConfigError(
        "PORT_IN_USE" if failed.errno == errno.EADDRINUSE else "LISTEN_FAILED",
        f"the node cannot listen on {settings.host}:{port}: {failed.strerror}",
        hint=f"choose another {name} in {runtime.folder.settings}, or 0 for any free one"
        if failed.errno == errno.EADDRINUSE
        else f"host in {runtime.folder.settings} must be an address of this machine, and the port must be "
        f"allowed",
    )


def _credentials(
    leaf: CertifiedKey, roots: tuple[bytes, ...], chain: tuple[bytes, ...] = ()
) -> grpc.ServerCredentials:
    pair = leaf.key, to_pem(chain or (leaf.certificate,))
    return grpc.ssl_server_credentials([pair], to_pem(roots), require_client_auth=True)
