"""Who is calling: a user of this member on the user port, a node of a member on the peer port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intelshare.crypto import x509
from intelshare.errors import TrustError
from intelshare.ids import MemberCode, NodeUri, UserUri
from intelshare.node.runtime import Runtime

Context = Any
"""``grpc.aio.ServicerContext``: grpcio has no types."""

_FLOOR_VERSION: Final = b"TLSv1.3"
_FLOOR_GROUP: Final = b"X25519MLKEM768"
_MAX_LEAVES: Final = 1024


@dataclass(frozen=True, slots=True)
class UserCaller:
    """An own user, as the register has it now."""

    user: UserUri
    role: str


@dataclass(frozen=True, slots=True)
class PeerCaller:
    """A node of a member, by its TLS leaf."""

    member: MemberCode
    node: NodeUri
    certificate: bytes
    """DER: asked about again at every message."""
    leaf: bytes
    """SHA-256 of it: what Hello is bound to."""


Caller = UserCaller | PeerCaller
Identify = Callable[[Context], Caller]


def peer_identity(runtime: Runtime) -> Identify:
    """Who calls on the peer port: TLS floor, exact look-up, the member's own authority, revocation."""

    def identify(context: Context) -> Caller:
        tls = context.auth_context()
        version = tls.get("ssl_tls_version", [b""])[0]
        group = tls.get("ssl_negotiated_key_exchange_group", [b""])[0]
        if version != _FLOOR_VERSION or group != _FLOOR_GROUP:
            raise TrustError("TRANSPORT_FLOOR", "the peer port needs TLS 1.3 with X25519MLKEM768")
        certificate = x509.from_pem(_pem(tls))
        peer = runtime.node.trust.identify(certificate, runtime.clock.now())
        return PeerCaller(peer.member, peer.node.uri, certificate, peer.leaf.digest)

    return identify


def user_identity(runtime: Runtime) -> Identify:
    """Who calls on the user port: a leaf of the own user authority that names a user of the register."""
    checked: dict[bytes, tuple[UserUri, x509.Validity]] = {}

    def identify(context: Context) -> Caller:
        pem = _pem(context.auth_context())
        now = runtime.clock.now()
        known = checked.get(pem)
        if known is None or not known[1].holds(now):
            certificate = x509.from_pem(pem)
            leaf = x509.inspect(certificate)
            known = UserUri(leaf.uri), x509.check_issued(certificate, (runtime.user_authority,), now)
            if len(checked) >= _MAX_LEAVES:
                checked.clear()
            checked[pem] = known
        return UserCaller(known[0], runtime.role_of(known[0]))

    return identify


def _pem(tls: Mapping[str, Any]) -> bytes:
    pem = tls.get("x509_pem_cert")
    if not pem:
        raise TrustError("PEER_IDENTITY_INVALID", "there is no client certificate")
    found: bytes = pem[0]
    return found
