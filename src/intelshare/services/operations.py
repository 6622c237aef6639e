"""The Operations service: what operators and auditors ask of their node."""

from __future__ import annotations

from typing import Final

from intelshare import __version__
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import SetUserCommand, admit, revoke_user, set_user, users
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
from intelshare.services.rpc import EVERYBODY, OPERATORS, OVERSEERS, AsyncCall, CallContext, QueryCall, Rpc
from intelshare.trust import MemberTrust, read_member_file, user_uri, write_member_file
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
        budgets=_budgets(backend) if counts else (),
        version=__version__,
        alarms=alarms,
        directory_expires=own.expires if own is not None else 0,
        certificate_expires=facts.certificate_expires,
        policy=policy_state(node, held, backend.now()),
    )


def _budgets(backend: Backend) -> list[pb.SpentBudget]:
    return [
        pb.SpentBudget(member=member, name=one.name, refused=one.refused, again=one.again)
        for member in sorted(backend.node.trust.members)
        for one in backend.spent(member)
    ]


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
    link, held = backend.link(node), backend.node.trust.members[member]
    return pb.PeerStatus(
        member=member,
        node=node,
        state=link.state if held.fresh(backend.now()) else "expired",
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


def export_member(context: CallContext, _: pb.ExportMemberRequest) -> pb.ExportMemberResponse:
    """The own member file, and its fingerprint."""
    held = context.node.trust.members[context.node.member]
    return pb.ExportMemberResponse(text=write_member_file(held), fingerprint=held.fingerprint)


async def import_member(
    backend: Backend, _: Actor, request: pb.ImportMemberRequest
) -> pb.ImportMemberResponse:
    """First contact, by a fingerprint that two people compared."""
    given = read_member_file(request.text.encode(), "member file")
    await backend.perform(admit, given.roots, given.directory, request.fingerprint)
    return pb.ImportMemberResponse(member=given.member, fingerprint=given.fingerprint)


def list_members(context: CallContext, _: pb.ListMembersRequest) -> pb.ListMembersResponse:
    """The members that this node knows."""
    members = sorted(context.node.trust.members.items())
    return pb.ListMembersResponse(members=[_member_entry(member, held) for member, held in members])


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
    Rpc("ExportMember", OPERATORS, QueryCall(export_member)),
    Rpc("ImportMember", OPERATORS, AsyncCall(import_member)),
    Rpc("ListMembers", EVERYBODY, QueryCall(list_members)),
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


def _member_entry(member: MemberCode, held: MemberTrust) -> pb.MemberEntry:
    directory = held.directory
    return pb.MemberEntry(
        member=member,
        fingerprint=held.fingerprint,
        root_version=held.root.version,
        directory_version=directory.version if directory else 0,
        directory_expires=directory.expires if directory else 0,
        nodes=[node.uri for node in directory.nodes] if directory else [],
        treaties=[row.treaty for row in directory.ratified] if directory else [],
    )


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
