"""The two ports: one for peers, one for own users, each with its own roots; certificates read anew at
every handshake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc

from intelshare.crypto.x509 import to_pem
from intelshare.engine import Limits
from intelshare.errors import ConfigError
from intelshare.node.authn import peer_identity, user_identity
from intelshare.node.backend import NodeBackend
from intelshare.node.dial import KEEPALIVE, SLACK
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import UserGateway, health_handler, peer_handler
from intelshare.node.runtime import Runtime
from intelshare.services import SERVICES
from intelshare.vault import NODE_LEAF
from intelshare.wire import MAX_MESSAGE
from intelshare.wire.v1 import user_pb2

GRACE: Final = 2.0
"""Seconds that calls have to end at a stop."""

_LINK: Final = "/intelshare.v1.Peer/Link"

_BOUNDS: Final[tuple[tuple[str, int], ...]] = (
    *KEEPALIVE,
    # Two nodes must never share a port without noticing.
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.max_receive_message_length", MAX_MESSAGE + SLACK),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 8 * 1024),
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Both servers and where they listen."""

    peers: grpc.aio.Server
    users: grpc.aio.Server
    peer_port: int
    user_port: int

    async def close(self) -> None:
        """Take no new calls, let the running ones end within the grace."""
        await self.users.stop(GRACE)
        await self.peers.stop(GRACE)


async def open_ports(
    runtime: Runtime,
    links: Links,
    *,
    last_peer_port: int,
    last_user_port: int,
) -> Ports:
    """Bind and start both. Raises ConfigError PORT_IN_USE naming the port and its line in node.toml."""
    peer_identify, user_identify = peer_identity(runtime), user_identity(runtime)
    peers = grpc.aio.server(options=[*_BOUNDS, ("grpc.max_concurrent_streams", Limits().streams)])
    users = grpc.aio.server(options=[*_BOUNDS, ("grpc.max_concurrent_streams", 1024)])
    peers.add_generic_rpc_handlers((peer_handler(runtime, _LINK, links.serve, peer_identify),))
    gateway = UserGateway(runtime, NodeBackend(runtime, links), user_identify)
    services = user_pb2.DESCRIPTOR.services_by_name
    users.add_generic_rpc_handlers(
        tuple(gateway.handler(services[name], rows) for name, rows in SERVICES.items())
    )
    for server, identify in ((peers, peer_identify), (users, user_identify)):
        server.add_generic_rpc_handlers((health_handler(runtime, identify),))
    settings = runtime.settings
    peer_port = _bind(
        peers,
        runtime,
        "peer_port",
        settings.peer_port,
        last_peer_port,
        lambda: runtime.node.trust.all_authorities(),  # noqa: PLW0108 - of the node as it is then
    )
    user_port = _bind(
        users, runtime, "user_port", settings.user_port, last_user_port, lambda: (runtime.user_authority,)
    )
    await peers.start()
    await users.start()
    return Ports(peers, users, peer_port, user_port)


def _bind(server: grpc.aio.Server, runtime: Runtime, name: str, port: int, last: int, roots: Any) -> int:
    credentials = _credentials(runtime, roots)
    host = runtime.settings.host
    shown = f"[{host}]" if ":" in host else host
    for wanted in (port,) if port else (last, 0) if last else (0,):
        try:
            bound: int = server.add_secure_port(f"{shown}:{wanted}", credentials)
        except RuntimeError:
            continue
        if bound:
            return bound
    raise ConfigError(
        "PORT_IN_USE",
        f"the node cannot listen on {shown}:{port}",
        hint=f"choose another {name} in {runtime.folder.settings}, or 0 for any free one",
    )


def _credentials(runtime: Runtime, roots: Any) -> grpc.ServerCredentials:
    """Leaf and roots as they are at each handshake: renewal and new members need no restart."""
    made: dict[tuple[bytes, tuple[bytes, ...]], Any] = {}

    def present() -> Any:
        leaf = runtime.vault.certified(NODE_LEAF)
        key = leaf.certificate, tuple(roots())
        if key not in made:
            made.clear()
            made[key] = grpc.ssl_server_certificate_configuration(
                [(leaf.key, to_pem((leaf.certificate,)))], to_pem(key[1])
            )
        return made[key]

    def fetch() -> Any:
        # gRPC would silently keep the old ones if this raised; so would nobody notice.
        try:
            return present()
        except Exception as error:
            runtime.certificates_failed(error)
            return None

    return grpc.dynamic_ssl_server_credentials(present(), fetch, require_client_authentication=True)
