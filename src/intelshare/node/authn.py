"""Identifies callers: users of this member on the user port, nodes of members on the peer port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from intelshare.broker.kernel.actor import NO_DIGEST, Proof, proofs, superseded
from intelshare.broker.kernel.tables import UserRow
from intelshare.crypto import x509
from intelshare.errors import TrustError
from intelshare.ids import Digest, MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.node.owner import LONGEST_OWNER, OWNER_KEY
from intelshare.node.runtime import Runtime
from intelshare.roles import Role
from intelshare.services import FOLDER_OWNER
from intelshare.trust import user_uri
from intelshare.vault import USER_AUTHORITY

Context = Any
"""A ``grpc.aio.ServicerContext``: grpcio has no types."""

_FLOOR_VERSION: Final = b"TLSv1.3"
_FLOOR_GROUP: Final = b"X25519MLKEM768"
_MAX_CHECKED: Final = 1024


_NEVER_ISSUED: Final = Instant(0)


@dataclass(frozen=True, slots=True)
class UserCaller:
    """A user of this member, as the register has it now."""

    user: UserUri
    role: str
    certificate: Digest
    """The SHA-256 of the certificate with which the call came."""
    pending: bool = False
    """True if the certificate was issued last and is being used for the first time."""
    issued: Instant = _NEVER_ISSUED
    """For a certificate of another authority: when its validity starts."""
    ticket: bool = False
    """True if the certificate is the ticket of an enrolment."""


@dataclass(frozen=True, slots=True)
class PeerCaller:
    """A node of a member, identified by its TLS leaf certificate."""

    member: MemberCode
    node: NodeUri
    certificate: bytes
    """The certificate in DER; it is checked again at every message."""
    between: tuple[bytes, ...]
    """The DER of the certificates that came with it: the bridge to a new authority."""
    leaf: bytes
    """The SHA-256 of the certificate, to which the hello is bound."""


Caller = UserCaller | PeerCaller
Identify = Callable[[Context], Caller]
Proved = Callable[[str, str], object]
"""Called with gRPC's name of a connection and the identity of whoever has just called on it with a valid
certificate.
"""


def peer_identity(runtime: Runtime, proved: Proved) -> Identify:
    """Return a function that identifies callers on the peer port: TLS floor, exact look-up, the member's
    authority, revocation.
    """

    def identify(context: Context) -> Caller:
        certificate = x509.from_pem(_pem(context))
        between = _between(context, certificate)
        peer = runtime.node.trust.identify(certificate, runtime.clock.now(), between)
        proved(context.peer(), peer.node.uri)
        return PeerCaller(peer.member, peer.node.uri, certificate, between, peer.leaf.digest)

    return identify


def user_identity(runtime: Runtime, proved: Proved) -> Identify:
    """Return a function that identifies callers on the user port: TLS floor, user authority, a registered
    certificate.
    """
    checked: dict[bytes, _Checked] = {}

    def identify(context: Context) -> Caller:
        pem = _pem(context)
        now = runtime.clock.now()
        known, authorities = checked.get(pem), runtime.certificates.user_authorities
        if known is None or known.authorities is not authorities or not known.valid.holds(now):
            known = _check(runtime, x509.from_pem(pem), now)
            if len(checked) >= _MAX_CHECKED:
                checked.clear()
            checked[pem] = known
        if runtime.certificates.users_elsewhere:
            caller = _foreign(runtime.user_named(known.names), known)
        else:
            caller = _user(runtime.user_row(UserUri(known.uri)), known.digest)
        proved(context.peer(), caller.user)
        return caller

    return identify


@dataclass(frozen=True, slots=True)
class _Checked:
    """A certificate that a user authority has issued."""

    digest: Digest
    valid: x509.Validity
    authorities: tuple[bytes, ...]
    uri: str = ""
    names: frozenset[str] = frozenset()
    """The names in a certificate of another authority, which does not know our URIs."""


def _check(runtime: Runtime, certificate: bytes, now: Instant) -> _Checked:
    authorities = runtime.certificates.user_authorities
    if runtime.certificates.users_elsewhere:
        names = x509.names_of(certificate)
        valid = x509.check_issued(certificate, authorities, now)
        start = x509.validity(certificate).start
        valid = x509.Validity(start, valid.end)
        return _Checked(x509.digest_of(certificate), valid, authorities, names=names)
    leaf = x509.inspect(certificate)
    valid = x509.check_issued(certificate, authorities, now)
    return _Checked(leaf.digest, valid, authorities, uri=leaf.uri)


def _foreign(row: UserRow, known: _Checked) -> UserCaller:
    """Return the caller, if no later certificate has been used for the row. Raises DeliveryError
    NOT_AUTHORISED.
    """
    pending = known.digest != row.certificate
    if pending and known.valid.start <= row.issued:
        raise superseded()
    return UserCaller(row.user, row.role, known.digest, pending=pending, issued=known.valid.start)


def owner_identity(runtime: Runtime, *, begun: bool = False) -> Identify:
    """Return a function that identifies callers on the socket in the data folder: they have just opened the
    vault, as a certificate proves that the vault's user authority has signed for the next few minutes.

    ``begun``: of calls that go on. A bundle may take longer than those minutes; the vault was open when its
    call began.
    """

    def identify(context: Context) -> Caller:
        metadata = dict(context.invocation_metadata() or ())
        certificate = metadata.get(OWNER_KEY, b"")
        leaf = x509.inspect(certificate if isinstance(certificate, bytes) else b"")
        valid = x509.validity(certificate)
        authority = runtime.vault.certified(USER_AUTHORITY).certificate
        x509.check_issued(certificate, (authority,), valid.start if begun else runtime.clock.now())
        domain = runtime.node.trust.members[runtime.node.member].root.domain
        if leaf.uri != user_uri(domain, FOLDER_OWNER) or valid.end - valid.start > LONGEST_OWNER:
            raise TrustError("NOT_AUTHORISED", "this is not a current certificate of the folder's owner")
        return UserCaller(UserUri(leaf.uri), Role.OPERATOR, NO_DIGEST)

    return identify


def _user(row: UserRow, certificate: Digest) -> UserCaller:
    """Return the caller, if the row names this certificate. Raises DeliveryError NOT_AUTHORISED."""
    proof = proofs(row).get(certificate)
    if proof is None:
        raise superseded()
    pending, ticket = proof is Proof.PENDING, proof is Proof.TICKET
    return UserCaller(row.user, row.role, certificate, pending=pending, ticket=ticket)


def _between(context: Context, leaf: bytes) -> tuple[bytes, ...]:
    """Return the certificates that came with the caller's leaf, as many as are looked at."""
    shown = context.auth_context().get("x509_pem_cert_chain")
    if not shown:
        return ()
    chain = x509.all_from_pem(shown[0][: (x509.MAX_BETWEEN + 1) * 2 * x509.MAX_CERTIFICATE])
    return tuple(der for der in chain if der != leaf)[: x509.MAX_BETWEEN]


def _pem(context: Context) -> bytes:
    """Return the caller's certificate, if the connection meets the floor of both ports."""
    tls = context.auth_context()
    version = tls.get("ssl_tls_version", [b""])[0]
    group = tls.get("ssl_negotiated_key_exchange_group", [b""])[0]
    if version != _FLOOR_VERSION or group != _FLOOR_GROUP:
        raise TrustError(
            "TRANSPORT_FLOOR",
            "this port needs TLS 1.3 with X25519MLKEM768",
            hint="use the version of gRPC in intelshare's lock file, or a newer one",
        )
    pem = tls.get("x509_pem_cert")
    if not pem:
        raise TrustError("PEER_IDENTITY_INVALID", "the client sent no certificate")
    found: bytes = pem[0]
    return found
