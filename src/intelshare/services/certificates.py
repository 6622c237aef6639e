"""The Operations service, continued: the certificates of this member, and the authorities that issue them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.certificates import certificate_row
from intelshare.broker.kernel.register import users
from intelshare.broker.kernel.tables import CertificateRow, UserRow
from intelshare.broker.lifecycle.certificates import (
    RevokeCertificateCommand,
    all_certificates,
    find_certificate,
    revoke_certificate,
    unknown_certificate,
)
from intelshare.crypto.x509 import subject_of
from intelshare.errors import DeliveryError
from intelshare.ids import Digest
from intelshare.instant import Instant
from intelshare.ports import View
from intelshare.services.backend import Backend, OwnCertificate
from intelshare.services.rpc import OPERATORS, OVERSEERS, AsyncCall, Rpc, need_clock
from intelshare.wire.v1 import user_pb2 as pb

_ENDED: Final = "ended"
_COUNT: Final = frozenset(("issues", "believed", "elsewhere", "shown", "counts", "next", "enrols", "valid"))
"""Words of those that let somebody in, or are about to."""


async def list_certificates(
    backend: Backend, _: Actor, request: pb.ListCertificatesRequest
) -> pb.ListCertificatesResponse:
    """The authorities, the node's own, and those of users that count; on request all that are noted."""
    everything = request.all
    entries = await _entries(backend)
    shown = [entry for entry in entries if everything or entry.state in _COUNT]
    return pb.ListCertificatesResponse(certificates=shown)


async def issue(
    backend: Backend, actor: Actor, request: pb.IssueCertificateRequest
) -> pb.IssueCertificateResponse:
    """A certificate of this node for another process of it."""
    made, chain = await backend.sign_leaf(request.request, actor.user)
    row = certificate_row(made, backend.node.uri)
    return pb.IssueCertificateResponse(certificate=_entry(row, "process", "valid"), chain_pem=chain)


async def revoke(
    backend: Backend, actor: Actor, request: pb.RevokeCertificateRequest
) -> pb.RevokeCertificateResponse:
    """A certificate counts no more, wherever it is."""
    row = await backend.query(lambda view: _wanted(view, request))
    if not request.dry_run:
        command = RevokeCertificateCommand(actor.user, row.certificate, request.reason)
        user = await backend.perform(
            revoke_certificate,
            command,
            then=lambda after: backend.register_changed(after) if after is not None else None,
        )
        if user is None and row.holder == backend.node.uri:
            await backend.revoke_leaf(row.certificate, actor.user)
    found = [entry for entry in await _entries(backend) if entry.id == row.certificate]
    return pb.RevokeCertificateResponse(certificate=found[0])


async def rotate(
    backend: Backend, actor: Actor, request: pb.RotateAuthoritiesRequest
) -> pb.RotateAuthoritiesResponse:
    """A successor of the authorities; or, at the end of the overlap, the former ones believed no longer."""
    if not request.dry_run:
        if not request.finish:
            need_clock(backend, "an authority")
        step = backend.end_former_authorities if request.finish else backend.succeed_authorities
        await step(actor.user)
    present = {one.use: one for one in backend.own_certificates() if one.state == "issues"}
    left = await backend.query(lambda view: _left(view, present.get("user authority"), backend.now()))
    entries = [entry for entry in await _entries(backend) if entry.use.endswith("authority")]
    return pb.RotateAuthoritiesResponse(certificates=entries, users_left=left)


CERTIFICATES: Final = (
    Rpc("ListCertificates", OVERSEERS, AsyncCall(list_certificates)),
    Rpc("IssueCertificate", OPERATORS, AsyncCall(issue)),
    Rpc("RevokeCertificate", OPERATORS, AsyncCall(revoke)),
    Rpc("RotateAuthorities", OPERATORS, AsyncCall(rotate)),
)


def _wanted(view: View, request: pb.RevokeCertificateRequest) -> CertificateRow:
    """The certificate of that serial number, or the one that counts for that user."""
    if bool(request.serial) is bool(request.user):
        raise DeliveryError("INPUT_INVALID", "name a serial number or a user")
    if request.serial:
        return find_certificate(view, request.serial)
    rows = {row.certificate: row for row in all_certificates(view)}
    for user in users(view):
        for digest in (user.certificate, user.pending, user.ticket):
            if user.name == request.user and digest in rows:
                return rows[digest]
    raise unknown_certificate()


def _left(view: View, authority: OwnCertificate | None, now: Instant) -> list[str]:
    """Users whose certificate the former authority issued: without it they come in no more."""
    if authority is None:
        return []
    since = certificate_row(authority.certificate, "").start
    old = {row.certificate for row in all_certificates(view) if row.start < since and now < row.end}
    return [user.name for user in users(view) if user.certificate in old and not user.revoked]


async def _entries(backend: Backend) -> list[pb.CertificateEntry]:
    """Of all that are noted: authorities and the node first, then users by name; the newest first."""
    own = [_own_entry(one, backend.node.uri) for one in backend.own_certificates()]
    known = {entry.id for entry in own}
    now = backend.now()

    def stored(view: View) -> list[pb.CertificateEntry]:
        counting = _counting(users(view))
        rows = sorted(all_certificates(view), key=lambda row: (row.holder, -row.start))
        return [
            _entry(row, *_use_and_state(row, counting, backend.node.uri, now))
            for row in rows
            if row.certificate not in known
        ]

    return [*own, *await backend.query(stored)]


def _counting(rows: list[UserRow]) -> Mapping[Digest, tuple[str, str]]:
    found: dict[Digest, tuple[str, str]] = {}
    for row in rows:
        found |= {row.ticket: ("ticket", "enrols"), row.pending: ("user", "next")}
        found[row.certificate] = ("user", "counts")
    return found


def _use_and_state(
    row: CertificateRow, counting: Mapping[Digest, tuple[str, str]], node: str, now: Instant
) -> tuple[str, str]:
    use, state = counting.get(row.certificate, ("user", "superseded"))
    if row.holder == node:
        use, state = "process", "valid"
    if row.revoked:
        return use, "revoked"
    return use, state if now < row.end else _ENDED


def _own_entry(own: OwnCertificate, node: str) -> pb.CertificateEntry:
    row = certificate_row(own.certificate, node if own.use == "node" else subject_of(own.certificate))
    entry = _entry(row, own.use, own.state)
    entry.believed_until = own.until
    return entry


def _entry(row: CertificateRow, use: str, state: str) -> pb.CertificateEntry:
    return pb.CertificateEntry(
        id=row.certificate,
        serial=row.serial,
        use=use,
        holder=row.holder,
        valid_from=row.start,
        valid_until=row.end,
        state=state,
        revoked_at=row.revoked,
        reason=row.reason,
    )
