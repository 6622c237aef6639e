"""The Operations service: the requests of operators and auditors to their node."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare import __version__
from intelshare.broker.kernel import register
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.counters import (
    INBOX_COUNTER,
    LOG_BYTES,
    OUTBOX_COUNTER,
    QUEUE,
    Count,
    count_of,
    queue_of,
)
from intelshare.broker.kernel.kept_rows import kept_by
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import (
    RenewOwnCommand,
    RenewUserCommand,
    SetUserCommand,
    users,
)
from intelshare.broker.kernel.tables import INCOMING, LOG_HEAD, UserRow
from intelshare.broker.lifecycle.attachments import wanted_of
from intelshare.broker.lifecycle.hearing import unheard
from intelshare.broker.lifecycle.streams import is_frozen
from intelshare.broker.queries.lists import queued
from intelshare.broker.queries.queues import Queue, drains, queues
from intelshare.broker.transparency.evidence import losses_settled
from intelshare.broker.transparency.log_reader import verify_logs
from intelshare.broker.treaty.policy_files import files_in_force, law_in_force
from intelshare.delivery import LinkWord
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Figures, View, changed
from intelshare.services.access import ACCESS, user_message
from intelshare.services.audit import alarm_messages
from intelshare.services.backend import Backend, FileFacts, Issued, PortFacts
from intelshare.services.law import policy_state
from intelshare.services.members import exclusion_word
from intelshare.services.metrics import metrics
from intelshare.services.operator_acts import OPERATOR_ACTS, clock_state
from intelshare.services.rpc import EVERYBODY, OPERATORS, OVERSEERS, AsyncCall, CallContext, QueryCall, Rpc
from intelshare.trust import user_uri
from intelshare.wire import precedence_value
from intelshare.wire.v1 import user_pb2 as pb

FOLDER_OWNER: Final = "folder-owner"
"""The name in the log for whoever has the folder and the passphrase and so needs no certificate. No user may
have it.
"""

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
MAX_NAME: Final = 64


async def status_response(backend: Backend, actor: Actor, _: pb.StatusRequest) -> pb.StatusResponse:
    """Return health, links and alarms, and to overseers also the amounts."""
    node, facts = backend.node, backend.facts()
    counts = actor.role in OVERSEERS
    own = node.trust.members[node.member].directory
    alarms, size, waiting, kept = await backend.query(lambda view: _stored(node, view, counts=counts))
    unread = {row.member for row in await backend.query(unheard) if not row.allowed}
    held = await backend.query(lambda view: (law_in_force(view), files_in_force(view)))
    peers = [
        (member, listed.uri)
        for member, known in sorted(node.trust.members.items())
        if member != node.member and known.directory is not None
        for listed in known.directory.nodes
    ]
    settled = await backend.query(lambda view: [losses_settled(node, view, *peer) for peer in peers])
    return pb.StatusResponse(
        member=node.member,
        node=node.uri,
        health=facts.health,
        codes=facts.codes,
        incarnation=node.incarnation,
        started_at=facts.started,
        peers=[
            _peer_status(backend, *peer, waiting.get(peer[0], _UNTOLD), facts.files, unread, done)
            for peer, done in zip(peers, settled, strict=True)
        ],
        log_size=size,
        steps=facts.steps if counts else None,
        commits=facts.commits if counts else None,
        store=_store_figures(facts.store) if counts else None,
        files=_file_room(facts.files) if counts else None,
        ports=[_port_status(port) for port in facts.ports] if counts else (),
        shut_out=facts.shut_out,
        budgets=_budgets(backend) if counts else (),
        version=__version__,
        alarms=alarms,
        directory_expires=own.expires if own is not None else 0,
        certificate_expires=facts.certificate_expires,
        policy=policy_state(node, held, backend.now()),
        clock=clock_state(backend),
        kept=[
            pb.KeptRows(member=member, rows=rows, most=backend.queue_bounds.kept)
            for member, rows in sorted(kept.items())
        ],
        damaged=len(backend.damaged()) if counts else None,
        stores=await backend.query(partial(_stores, node)) if counts else (),
        replica=backend.replica,
    )


def _stores(node: Node, view: View) -> list[pb.KeptKind]:
    """Rows and bytes by kind, with the bounds that there are."""
    bounds = node.queues
    found = [(kind, Count()) for kind in (INBOX_COUNTER, OUTBOX_COUNTER, LOG_BYTES)]
    found += [(QUEUE, Count(bounds.all_rows, bounds.all_size))]
    others = sorted(set(node.trust.members) - {node.member})
    found += [(queue_of(member), Count(bounds.rows, bounds.size)) for member in others]
    return [
        pb.KeptKind(kind=kind, rows=there.rows, bytes=there.size, most_rows=most.rows, most_bytes=most.size)
        for kind, most in found
        if (there := count_of(view, kind)).rows or ":" not in kind
    ]


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


def _file_room(facts: FileFacts) -> pb.FileRoom:
    return pb.FileRoom(held=facts.held, most=facts.total, peer_most=facts.share)


def _port_status(port: PortFacts) -> pb.PortStatus:
    return pb.PortStatus(
        name=port.name,
        port=port.port,
        connections=port.connections,
        most=port.most,
        unknown=port.unknown,
        ended=port.ended,
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The amounts that wait for one peer; None for a caller who is not an overseer."""

    queued: int | None = None
    unacknowledged: int | None = None
    files: int | None = None
    """The files that have not arrived completely."""
    frozen: int | None = None
    """Streams that contradicted themselves."""


_UNTOLD: Final = _Waiting()


def _stored(
    node: Node, view: View, *, counts: bool
) -> tuple[list[pb.Alarm], int | None, dict[MemberCode, _Waiting], dict[MemberCode, int]]:
    """Return the alarms, the size of the log, and for each peer what waits and how many rows are kept."""
    head = view.get(LOG_HEAD, node.incarnation) if counts else None
    waiting = (
        {
            member: _Waiting(*queued(view, member), wanted_of(view, member), _frozen(view, member))
            for member in node.trust.members
        }
        if counts
        else {}
    )
    kept = kept_by(view, node.trust.members) if counts else {}
    size = (head.size if head is not None else 0) if counts else None
    return alarm_messages(view), size, waiting, kept


def _frozen(view: View, member: MemberCode) -> int:
    return sum(map(is_frozen, view.find(INCOMING, "member", member, limit=EVERY_ROW)))


def _peer_status(
    backend: Backend,
    member: MemberCode,
    node: NodeUri,
    waiting: _Waiting,
    files: FileFacts,
    unread: AbstractSet[MemberCode],
    settled: tuple[bool, bool],
) -> pb.PeerStatus:
    """``settled``: what this node forgot, and what the peer did, an operator has looked at
    (``losses_settled``); a link says it as long as it is open.
    """
    trust = backend.node.trust
    link, held = backend.link(node), trust.members[member]
    return pb.PeerStatus(
        member=member,
        node=node,
        state=exclusion_word(trust, member) or (link.state if held.fresh(backend.now()) else "expired"),
        since=link.since,
        queued=waiting.queued,
        unacknowledged=waiting.unacknowledged,
        last_error=link.error,
        directory_expires=held.directory.expires if held.directory is not None else Instant(0),
        clock_offset=link.offset,
        file_bytes=files.of.get(member, 0) if waiting.files is not None else None,
        files_wanted=waiting.files,
        last_seen=backend.now() if link.state is LinkWord.LINKED else link.seen,
        directory_version=held.directory.version if held.directory is not None else 0,
        frozen_streams=waiting.frozen,
        peer_forgot=0 if settled[1] else link.peer_forgot,
        forgot=0 if settled[0] else link.forgot,
        reading_waits=member in unread,
    )


def queues_response(context: CallContext, _: pb.QueuesRequest) -> pb.QueuesResponse:
    """Return what waits, by recipient and precedence."""
    found = queues(context.view, sorted(context.node.trust.members))
    return pb.QueuesResponse(queues=[_queue(one) for one in found])


def _queue(one: Queue) -> pb.Queue:
    return pb.Queue(
        member=one.member,
        precedence=precedence_value(one.precedence),
        queued=one.queued,
        oldest_queued=one.oldest_queued,
        unacknowledged=one.unacknowledged,
        oldest_unacknowledged=one.oldest_unacknowledged,
        bytes_unacknowledged=one.bytes_unacknowledged,
    )


async def drain(backend: Backend, _: Actor, request: pb.DrainRequest) -> pb.DrainResponse:
    """Stop accepting bulletins, or accept them again; return how much waits now that a drain waits for.

    Of replicas only this one does, and nothing if another one is meant.
    """
    if request.replica in ("", backend.replica):
        await _set_drained(backend, on=not request.undo)
    node = backend.node
    # To a member that was removed nothing goes.
    waiting = await backend.query(lambda view: [drains(node, view, one) for one in node.trust.partners])
    return pb.DrainResponse(
        queued=sum(pairs for pairs, _ in waiting),
        unacknowledged=sum(signed for _, signed in waiting),
        replica=backend.replica,
        others_deliver=backend.others_deliver,
    )


async def _set_drained(backend: Backend, *, on: bool) -> None:
    if on != backend.draining:  # whoever waits asks again and again
        await backend.drain(on=on)


async def add_user(backend: Backend, actor: Actor, request: pb.AddUserRequest) -> pb.UserCredential:
    """Add a new user to the register, with the certificate that was asked for, or a ticket."""
    row = _row(backend.node, request.user)
    issued = _issue(backend, row.user, request.request)
    row = changed(row, certificate=issued.credential.certificate, ticket=issued.credential.ticket)
    command = SetUserCommand(actor.user, row, issued.credential.issued)
    stored = await backend.perform(register.add_user, command, then=backend.register_changed)
    return _credential(stored, issued)


async def change_user(backend: Backend, actor: Actor, request: pb.ChangeUserRequest) -> pb.User:
    """Change a user's rights in the register."""
    command = SetUserCommand(actor.user, _row(backend.node, request.user))
    stored = await backend.perform(register.change_user, command, then=backend.register_changed)
    return user_message(stored)


async def renew_user(backend: Backend, actor: Actor, request: pb.RenewUserRequest) -> pb.UserCredential:
    """Give a user a new credential, and invalidate all earlier ones."""
    user = _user(backend.node, request.name)
    issued = _issue(backend, user, request.request)
    command = RenewUserCommand(actor.user, user, issued.credential, request.restore)
    stored = await backend.perform(register.renew_user, command, then=backend.register_changed)
    return _credential(stored, issued)


async def renew(backend: Backend, actor: Actor, request: pb.RenewRequest) -> pb.UserCredential:
    """Return a certificate for the caller, who used the previous one or a ticket."""
    issued = backend.sign_user(actor.user, request.request)
    command = RenewOwnCommand(actor.user, actor.certificate, issued.credential)
    stored = await backend.perform(register.renew_own, command, then=backend.register_changed)
    return _credential(stored, issued)


def list_users(context: CallContext, _: pb.ListUsersRequest) -> pb.ListUsersResponse:
    """Return all users in the register."""
    return pb.ListUsersResponse(users=[user_message(row) for row in users(context.view)])


async def revoke(backend: Backend, actor: Actor, request: pb.RevokeUserRequest) -> pb.RevokeUserResponse:
    """Revoke a user's access at once."""
    user = _user(backend.node, request.name)
    await backend.perform(register.revoke_user, actor.user, user, then=backend.register_changed)
    return pb.RevokeUserResponse()


async def renew_node(backend: Backend, actor: Actor, __: pb.RenewNodeRequest) -> pb.RenewNodeResponse:
    """Make a new certificate for the node at once."""
    await backend.renew_node(actor.user)
    return pb.RenewNodeResponse(expires=backend.facts().certificate_expires)


def verify_audit(context: CallContext, _: pb.VerifyAuditRequest) -> pb.VerifyAuditResponse:
    """Read every log again, and recompute its tree."""
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
    Rpc("ChangeUser", OPERATORS, AsyncCall(change_user)),
    Rpc("RenewUser", OPERATORS, AsyncCall(renew_user)),
    Rpc("Renew", EVERYBODY, AsyncCall(renew), by_ticket=True),
    Rpc("ListUsers", OVERSEERS, QueryCall(list_users)),
    Rpc("RevokeUser", OPERATORS, AsyncCall(revoke)),
    Rpc("RenewNode", OPERATORS, AsyncCall(renew_node)),
    Rpc("Queues", OVERSEERS, QueryCall(queues_response, slow=True)),
    Rpc("Drain", OPERATORS, AsyncCall(drain)),
    Rpc("Metrics", OVERSEERS, AsyncCall(metrics)),
    *OPERATOR_ACTS,
    *ACCESS,
    Rpc("VerifyAudit", OVERSEERS, QueryCall(verify_audit, slow=True)),
)


def _row(node: Node, asked: pb.NewUser) -> UserRow:
    """Return the requested row, without the user's credential."""
    categories = " ".join(asked.categories)
    uri = _user(node, asked.name)
    return UserRow(
        uri,
        asked.name,
        asked.role,
        asked.clearance,
        asked.nationality,
        categories,
        0,
        subject=asked.subject,
        person=asked.person,
    )


def _issue(backend: Backend, user: UserUri, request: bytes) -> Issued:
    return backend.sign_user(user, request) if request else backend.make_ticket(user)


def _credential(row: UserRow, issued: Issued) -> pb.UserCredential:
    ticket = bool(issued.credential.ticket)
    return pb.UserCredential(
        user=user_message(row),
        certificate_pem=b"" if ticket else issued.pem,
        ticket_pem=issued.pem if ticket else b"",
        node_authority_pem=issued.node_authority,
        server_name=issued.server_name,
        expires=issued.expires,
    )


def _user(node: Node, name: str) -> UserUri:
    fitting = 0 < len(name) <= MAX_NAME and _NAME.issuperset(name) and name.strip(".-") == name
    if not fitting or name == FOLDER_OWNER:
        raise DeliveryError(
            "UNSAFE_NAME",
            f"{name[:80]!r} is not a valid user name",
            hint="use small letters, digits, dots and hyphens, as in m.durand",
        )
    return user_uri(node.trust.members[node.member].root.domain, name)
