"""The Operations service, continued: who comes in, after a loss of memory too."""

from __future__ import annotations

from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.access import (
    AccessResult,
    ConfirmAccessCommand,
    access_waiting,
    confirm_access,
)
from intelshare.broker.lifecycle.hearing import unheard
from intelshare.services.backend import Backend
from intelshare.services.rpc import OPERATORS, AsyncCall, CallContext, Rpc
from intelshare.wire.v1 import user_pb2 as pb


def waiting(context: CallContext, _: pb.ConfirmAccessRequest) -> pb.ConfirmAccessResponse:
    """Return who waits, and since when this node does not remember."""
    users, members = access_waiting(context.node, context.view)
    return pb.ConfirmAccessResponse(
        users=[user_message(row) for row in users],
        members=members,
        since=min((row.since for row in unheard(context.view)), default=0),
    )


async def confirm(
    backend: Backend, actor: Actor, request: pb.ConfirmAccessRequest
) -> pb.ConfirmAccessResponse:
    """Let users and members in again."""

    def follow(done: AccessResult) -> None:
        for row in done.users:
            backend.register_changed(row)

    command = ConfirmAccessCommand(
        actor.user, frozenset(request.users), frozenset(request.members), request.reason
    )
    done = await backend.perform(confirm_access, command, then=follow)
    return pb.ConfirmAccessResponse(users=[user_message(row) for row in done.users], members=done.members)


def user_message(row: UserRow) -> pb.User:
    """Return a user as the register has it."""
    return pb.User(
        name=row.name,
        uri=row.user,
        role=row.role,
        clearance=row.clearance,
        nationality=row.nationality,
        categories=row.categories.split(),
        revoked=bool(row.revoked),
        certificate=row.certificate,
        enrolling=bool(row.ticket),
        subject=row.subject,
        person=row.person,
        waits=bool(row.waits),
    )


ACCESS: Final = (Rpc("ConfirmAccess", OPERATORS, AsyncCall(confirm), preview=waiting),)
