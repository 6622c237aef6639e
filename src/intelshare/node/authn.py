"""Who is calling: a user of this member on the user port, a node of a member on the peer port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from intelshare.broker.kernel.actor import NO_DIGEST, proofs, superseded
from intelshare.broker.kernel.tables import UserRow
from intelshare.crypto import x509
from intelshare.errors import TrustError
from intelshare.ids import Digest, MemberCode, NodeUri, UserUri
from intelshare.node.owner import OWNER_KEY, OWNER_LIFETIME
from intelshare.node.runtime import Runtime
from intelshare.roles import Role
from intelshare.services import FOLDER_OWNER
from intelshare.trust import user_uri
from intelshare.vault import USER_AUTHORITY

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
    certificate: Digest
    """SHA-256 of the certificate that the call came with."""
    pending: bool = False
    """It was issued last and is used for the first time."""
    ticket: bool = False
    """It is the ticket of an enrolment."""


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
Proved = Callable[[str, str], object]
"""Told gRPC's name of a connection, and who has just called on it with a certificate that counts."""


def peer_identity(runtime: Runtime, proved: Proved) -> Identify:
    """Who calls on the peer port: TLS floor, exact look-up, the member's own authority, revocation."""

    def identify(context: Context) -> Caller:
        certificate = x509.from_pem(_pem(context))
        peer = runtime.node.trust.identify(certificate, runtime.clock.now())
        proved(context.peer(), peer.node.uri)
        return PeerCaller(peer.member, peer.node.uri, certificate, peer.leaf.digest)

    return identify


def user_identity(runtime: Runtime, proved: Proved) -> Identify:
    """Who calls on the user port: TLS floor, own user authority, a certificate that the register names."""
    checked: dict[bytes, tuple[x509.Leaf, x509.Validity]] = {}

    def identify(context: Context) -> Caller:
        pem = _pem(context)
        now = runtime.clock.now()
        known = checked.get(pem)
        if known is None or not known[1].holds(now):
            certificate = x509.from_pem(pem)
            leaf = x509.inspect(certificate)
            known = leaf, x509.check_issued(certificate, (runtime.user_authority,), now)
            if len(checked) >= _MAX_LEAVES:
                checked.clear()
            checked[pem] = known
        caller = _user(runtime.user_row(UserUri(known[0].uri)), known[0].digest)
        proved(context.peer(), caller.user)
        return caller

    return identify


def owner_identity(runtime: Runtime) -> Identify:
    """Who calls on the socket in the data folder: whoever has just opened the vault, as a certificate proves
    that its user authority has signed for these minutes."""

    def identify(context: Context) -> Caller:
        metadata = dict(context.invocation_metadata() or ())
        certificate = metadata.get(OWNER_KEY, b"")
        now = runtime.clock.now()
        leaf = x509.inspect(certificate if isinstance(certificate, bytes) else b"")
        authority = runtime.vault.certified(USER_AUTHORITY).certificate
        valid = x509.check_issued(certificate, (authority,), now)
        domain = runtime.node.trust.members[runtime.node.member].root.domain
        if leaf.uri != user_uri(domain, FOLDER_OWNER) or valid.end - now > OWNER_LIFETIME:
            raise TrustError("NOT_AUTHORISED", "this is no certificate of the folder's owner for now")
        return UserCaller(UserUri(leaf.uri), Role.OPERATOR, NO_DIGEST)

    return identify


def _user(row: UserRow, certificate: Digest) -> UserCaller:
    """The caller, if the row names this certificate. Raises DeliveryError NOT_AUTHORISED."""
    if certificate not in proofs(row):
        raise superseded()
    return UserCaller(
        row.user,
        row.role,
        certificate,
        pending=certificate == row.pending,
        ticket=certificate == row.ticket,
    )


def _pem(context: Context) -> bytes:
    """The caller's certificate, if the connection has the floor that both ports have."""
    tls = context.auth_context()
    version = tls.get("ssl_tls_version", [b""])[0]
    group = tls.get("ssl_negotiated_key_exchange_group", [b""])[0]
    if version != _FLOOR_VERSION or group != _FLOOR_GROUP:
        raise TrustError(
            "TRANSPORT_FLOOR",
            "this port needs TLS 1.3 with X25519MLKEM768",
            hint="call with the gRPC library that intelshare's lock file names, or a newer one",
        )
    pem = tls.get("x509_pem_cert")
    if not pem:
        raise TrustError("PEER_IDENTITY_INVALID", "there is no client certificate")
    found: bytes = pem[0]
    return found
