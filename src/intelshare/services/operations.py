"""The Operations service: what operators and auditors ask of their node."""

from __future__ import annotations

from typing import Final

from intelshare import __version__
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import SetUserCommand, revoke_user, set_user, users
from intelshare.broker.kernel.tables import LOG_HEAD, UserRow
from intelshare.broker.queries.lists import queued
from intelshare.broker.transparency.log_reader import verify_logs
from intelshare.broker.treaty.policy_files import files_in_force, law_in_force
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.ports import Figures, View
from intelshare.services.audit import alarm_messages
from intelshare.services.backend import Backend, PortFacts
from intelshare.services.law import policy_state
from intelshare.services.members import exclusion_word
from intelshare.services.rpc import EVERYBODY, OPERATORS, OVERSEERS, AsyncCall, CallContext, QueryCall, Rpc
from intelshare.trust import user_uri
from intelshare.wire.v1 import user_pb2 as pb

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
MAX_NAME: Final = 64


async def status_response(backend: Backend, actor: Actor, _: pb.StatusRequest) -> pb.StatusResponse:
    """Health, links and alarms; how much there is, for those who oversee."""
    node, facts = backend.node, backend.facts()
    counts = actor.role in OVERSEERS
    own = node.trust.members[node.member].directory
    alarms, size, waiting = await backend.query(lambda view: _stored(node, view, counts=counts))
    held = await backend.query(lambda view: (law_in_force(view), files_in_force(view)))
    return pb.StatusResponse(
        member=node.member,
        node=node.uri,
        health=facts.health,
        codes=facts.codes,
        incarnation=node.incarnation,
        started_at=facts.started,
        peers=[
            _peer_status(backend, member, listed.uri, waiting.get(member, (0, 0)))
            for member, held in sorted(node.trust.members.items())
            if member != node.member and held.directory is not None
            for listed in held.directory.nodes
        ],
        log_size=size,
        steps=facts.steps if counts else 0,
        commits=facts.commits if counts else 0,
        store=_store_figures(facts.store) if counts else None,
        ports=[_port_status(port) for port in facts.ports] if counts else (),
        shut_out=facts.shut_out,
        version=__version__,
        alarms=alarms,
        directory_expires=own.expires if own is not None else 0,
        certificate_expires=facts.certificate_expires,
        policy=policy_state(node, held, backend.now()),
    )


def _store_figures(figures: Figures) -> pb.StoreFigures:
    return pb.StoreFigures(
        bytes_journalled=figures.journalled, rows_moved=figures.flushed, bytes_waiting=figures.waiting
    )


def _port_status(port: PortFacts) -> pb.PortStatus:
    return pb.PortStatus(
        name=port.name,
        port=port.port,
        connections=port.connections,
        most=port.most,
        unknown=port.unknown,
        ended=port.ended,
    )


def _stored(
    node: Node, view: View, *, counts: bool
) -> tuple[list[pb.Alarm], int, dict[MemberCode, tuple[int, int]]]:
    """Alarms; the size of the log; for each peer what is queued and what is unacknowledged."""
    head = view.get(LOG_HEAD, node.incarnation) if counts else None
    waiting = {member: queued(view, member) for member in node.trust.members} if counts else {}
    return alarm_messages(view), head.size if head is not None else 0, waiting


def _peer_status(
    backend: Backend, member: MemberCode, node: NodeUri, waiting: tuple[int, int]
) -> pb.PeerStatus:
    trust = backend.node.trust
    link, held = backend.link(node), trust.members[member]
    return pb.PeerStatus(
        member=member,
        node=node,
        state=exclusion_word(trust, member) or (link.state if held.fresh(backend.now()) else "expired"),
        since=link.since,
        queued=waiting[0],
        unacknowledged=waiting[1],
        last_error=link.error,
        directory_expires=held.directory.expires if held.directory is not None else Instant(0),
        clock_offset=link.offset,
    )


async def add_user(backend: Backend, actor: Actor, request: pb.AddUserRequest) -> pb.AddUserResponse:
    """Write the user into the register, then issue a certificate with a new key."""
    asked = request.user
    uri = _user(backend.node, asked.name)
    categories = " ".join(asked.categories)
    row = UserRow(uri, asked.name, asked.role, asked.clearance, asked.nationality, categories, 0)
    command = SetUserCommand(actor.user, row)
    stored = await backend.perform(set_user, command, then=backend.register_changed)
    issued = backend.issue_user(uri)
    return pb.AddUserResponse(
        user=_user_message(stored),
        certificate_pem=issued.certificate,
        private_key_pem=issued.key,
        node_authority_pem=issued.node_authority,
    )


def list_users(context: CallContext, _: pb.ListUsersRequest) -> pb.ListUsersResponse:
    """All users of the register."""
    return pb.ListUsersResponse(users=[_user_message(row) for row in users(context.view)])


async def revoke(backend: Backend, actor: Actor, request: pb.RevokeUserRequest) -> pb.RevokeUserResponse:
    """Take a user's access away, at once."""
    user = _user(backend.node, request.name)
    await backend.perform(revoke_user, actor.user, user, then=backend.register_changed)
    return pb.RevokeUserResponse()


def verify_audit(context: CallContext, _: pb.VerifyAuditRequest) -> pb.VerifyAuditResponse:
    """Every log read again, and its tree recomputed."""
    found = verify_logs(context.node, context.view)
    return pb.VerifyAuditResponse(
        logs=[
            pb.LogState(incarnation=row.incarnation, size=row.size, root=digest, started_at=row.began)
            for row, digest in found.logs
        ],
        findings=found.findings,
    )


OPERATIONS: Final = (
    Rpc("Status", EVERYBODY, AsyncCall(status_response)),
    Rpc("AddUser", OPERATORS, AsyncCall(add_user)),
    Rpc("ListUsers", OVERSEERS, QueryCall(list_users)),
    Rpc("RevokeUser", OPERATORS, AsyncCall(revoke)),
    Rpc("VerifyAudit", OVERSEERS, QueryCall(verify_audit, slow=True)),
)


def _user(node: Node, name: str) -> UserUri:
    if not 0 < len(name) <= MAX_NAME or not _NAME.issuperset(name) or name.strip(".-") != name:
        raise DeliveryError(
            "UNSAFE_NAME",
            f"{name[:80]!r} is not a valid user name",
            hint="small letters, digits, dots and hyphens, as in m.durand",
        )
    return user_uri(node.trust.members[node.member].root.domain, name)


def _user_message(row: UserRow) -> pb.User:
    return pb.User(
        name=row.name,
        uri=row.user,
        role=row.role,
        clearance=row.clearance,
        nationality=row.nationality,
        categories=row.categories.split(),
        revoked=bool(row.revoked),
    )
