"""The Operations service: what operators and auditors ask of their node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from intelshare import __version__
from intelshare.broker.kernel.register import SetUserCommand, admit, revoke_user, set_user, users
from intelshare.broker.kernel.tables import LOG_HEAD, UserRow
from intelshare.broker.queries.lists import queued
from intelshare.crypto.x509 import DEVELOPMENT_LIFETIME, USER_LIFETIME, issue_user, to_pem, validity
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.node.audits import alarm_messages
from intelshare.node.authn import UserCaller
from intelshare.node.authorisation import OVERSEERS
from intelshare.node.links import Links
from intelshare.node.log_reader import verify_logs
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.trust import read_member_file, user_uri, write_member_file
from intelshare.vault import NODE_AUTHORITY, NODE_LEAF, STANDARD, USER_AUTHORITY
from intelshare.wire.v1 import user_pb2 as pb

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
MAX_NAME: Final = 64


def operations(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def status(caller: UserCaller, _: pb.StatusRequest) -> pb.StatusResponse:
        node = runtime.node
        counts = runtime.role_of(caller.user) in OVERSEERS
        own = node.trust.members[node.member]
        head = runtime.store.ask_now(lambda view: view.get(LOG_HEAD, node.incarnation))
        return pb.StatusResponse(
            member=node.member,
            node=node.uri,
            health=runtime.health.word,
            codes=runtime.health.codes,
            incarnation=node.incarnation,
            started_at=runtime.started,
            peers=[
                _peer_status(runtime, links, member, uri.uri, counts=counts)
                for member, held in sorted(node.trust.members.items())
                if member != node.member and held.directory is not None
                for uri in held.directory.nodes
            ],
            log_size=head.size if head is not None and counts else 0,
            steps=runtime.store.steps if counts else 0,
            commits=runtime.store.commits if counts else 0,
            version=__version__,
            alarms=alarm_messages(runtime),
            directory_expires=own.directory.expires if own.directory is not None else 0,
            certificate_expires=validity(runtime.vault.certified(NODE_LEAF).certificate).end,
        )

    async def add_user(caller: UserCaller, request: pb.AddUserRequest) -> pb.AddUserResponse:
        asked = request.user
        uri = _user(runtime, asked.name)
        row = UserRow(
            uri,
            asked.name,
            asked.role,
            asked.clearance,
            asked.nationality,
            " ".join(asked.categories),
            0,
        )
        done = await runtime.step(set_user, SetUserCommand(caller.user, row))
        runtime.register_changed()
        # A development vault makes a development member: its users need not come back every day.
        lifetime = USER_LIFETIME if runtime.vault.stretching.at_least(STANDARD) else DEVELOPMENT_LIFETIME
        issued = issue_user(
            runtime.vault.certified(USER_AUTHORITY), uri, runtime.now(), runtime.random, lifetime=lifetime
        )
        return pb.AddUserResponse(
            user=_user_message(done.value),
            certificate_pem=to_pem((issued.certificate,)),
            private_key_pem=issued.key,
            node_authority_pem=to_pem((runtime.vault.certified(NODE_AUTHORITY).certificate,)),
        )

    async def list_users(_: UserCaller, __: pb.ListUsersRequest) -> pb.ListUsersResponse:
        return pb.ListUsersResponse(users=[_user_message(row) for row in runtime.store.ask_now(users)])

    async def revoke(caller: UserCaller, request: pb.RevokeUserRequest) -> pb.RevokeUserResponse:
        await runtime.step(revoke_user, caller.user, _user(runtime, request.name))
        runtime.register_changed()
        return pb.RevokeUserResponse()

    async def export_member(_: UserCaller, __: pb.ExportMemberRequest) -> pb.ExportMemberResponse:
        held = runtime.node.trust.members[runtime.node.member]
        return pb.ExportMemberResponse(text=write_member_file(held), fingerprint=held.fingerprint)

    async def import_member(_: UserCaller, request: pb.ImportMemberRequest) -> pb.ImportMemberResponse:
        given = read_member_file(request.text.encode(), "member file")
        await runtime.step(admit, given.roots, given.directory, request.fingerprint)
        return pb.ImportMemberResponse(member=given.member, fingerprint=given.fingerprint)

    async def list_members(_: UserCaller, __: pb.ListMembersRequest) -> pb.ListMembersResponse:
        return pb.ListMembersResponse(
            members=[
                pb.MemberEntry(
                    member=member,
                    fingerprint=held.fingerprint,
                    root_version=held.root.version,
                    directory_version=held.directory.version if held.directory else 0,
                    directory_expires=held.directory.expires if held.directory else 0,
                    nodes=[node.uri for node in held.directory.nodes] if held.directory else [],
                    treaties=[row.treaty for row in held.directory.ratified] if held.directory else [],
                )
                for member, held in sorted(runtime.node.trust.members.items())
            ]
        )

    async def audit(_: UserCaller, __: pb.VerifyAuditRequest) -> pb.VerifyAuditResponse:
        found = await asyncio.to_thread(runtime.store.ask_now, lambda view: verify_logs(runtime.node, view))
        return pb.VerifyAuditResponse(
            logs=[
                pb.LogState(incarnation=row.incarnation, size=row.size, root=digest, started_at=row.began)
                for row, digest in found.logs
            ],
            findings=found.findings,
        )

    return {
        "Status": status,
        "AddUser": add_user,
        "ListUsers": list_users,
        "RevokeUser": revoke,
        "ExportMember": export_member,
        "ImportMember": import_member,
        "ListMembers": list_members,
        "VerifyAudit": audit,
    }


def _user(runtime: Runtime, name: str) -> UserUri:
    if not 0 < len(name) <= MAX_NAME or not _NAME.issuperset(name) or name.strip(".-") != name:
        raise DeliveryError(
            "UNSAFE_NAME",
            f"{name[:80]!r} is no user name",
            hint="small letters, digits, dots and hyphens, as in m.durand",
        )
    return user_uri(runtime.node.trust.members[runtime.node.member].root.domain, name)


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


def _peer_status(
    runtime: Runtime, links: Links, member: MemberCode, node: str, *, counts: bool
) -> pb.PeerStatus:
    way = links.state(node)  # type: ignore[arg-type]
    held = runtime.node.trust.members[member]
    waiting, unacknowledged = runtime.store.ask_now(lambda view: queued(view, member)) if counts else (0, 0)
    expires = held.directory.expires if held.directory is not None else Instant(0)
    return pb.PeerStatus(
        member=member,
        node=node,
        state=way.state if held.fresh(runtime.now()) else "expired",
        since=way.since,
        queued=waiting,
        unacknowledged=unacknowledged,
        last_error=way.error,
        directory_expires=expires,
        clock_offset=way.offset,
    )
