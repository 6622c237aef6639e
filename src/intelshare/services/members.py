"""The Operations service, continued: other members, from first contact to the end of dealings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.documents import admit
from intelshare.broker.kernel.tables import EXCLUSION, ExclusionRow
from intelshare.broker.lifecycle.exclude import ExcludeCommand, ExclusionEffect, exclude, exclusion_effect
from intelshare.broker.lifecycle.review import review
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.ports import EVERY_ROW, Scalar
from intelshare.services.backend import Backend
from intelshare.services.rpc import EVERYBODY, OPERATORS, AsyncCall, CallContext, QueryCall, Rpc
from intelshare.trust import (
    Exclusion,
    MemberTrust,
    TrustView,
    left_out,
    read_member_file,
    warnings_about,
    write_member_file,
)
from intelshare.wire.v1 import user_pb2 as pb


def export_member(context: CallContext, request: pb.ExportMemberRequest) -> pb.ExportMemberResponse:
    """Return the member file of this member, or of another as this node knows it, and its fingerprint."""
    member = MemberCode(request.member) or context.node.member
    held = context.node.trust.members.get(member)
    if held is None:
        raise DeliveryError(
            "NOT_FOUND",
            f"{member} is not known here",
            hint="`intelshare member list` shows the members that are",
        )
    return pb.ExportMemberResponse(text=write_member_file(held), fingerprint=held.fingerprint)


async def import_member(
    backend: Backend, actor: Actor, request: pb.ImportMemberRequest
) -> pb.ImportMemberResponse:
    """Admit a member by a fingerprint that two people compared; with ``again``, also one that was removed.

    Without a fingerprint it may be the newer file of a member that is known: its root proves that.
    """
    given = read_member_file(request.text.encode(), "member file")
    known = backend.node.trust.members.get(given.member)
    fingerprint = request.fingerprint or (known.fingerprint if known is not None else "")
    again = request.again
    removed = backend.node.trust.excluded.get(given.member) is Exclusion.REMOVED
    if removed and not again:
        raise left_out(given.member, Exclusion.REMOVED)
    await backend.perform(admit, given.roots, given.directory, fingerprint)
    if removed:
        # Done only now: an invalid file readmits nobody.
        await backend.perform(exclude, ExcludeCommand(actor, given.member, None, again=True))
    return pb.ImportMemberResponse(
        member=given.member,
        fingerprint=given.fingerprint,
        exclusion=exclusion_word(backend.node.trust, given.member),
    )


def list_members(context: CallContext, _: pb.ListMembersRequest) -> pb.ListMembersResponse:
    """Return the members that this node knows."""
    rows = {row.member: row for row in context.view.find(EXCLUSION, "key", limit=EVERY_ROW)}
    members = sorted(context.node.trust.members.items())
    return pb.ListMembersResponse(
        members=[
            _member_entry(held, rows.get(member), warnings_about(context.node.trust, member))
            for member, held in members
        ]
    )


async def suspend_member(
    backend: Backend, actor: Actor, request: pb.SuspendMemberRequest
) -> pb.ExclusionResponse:
    """Stop dealing with a member; what waits for it keeps waiting."""
    return await _exclude(backend, actor, request.member, Exclusion.SUSPENDED)


async def resume_member(
    backend: Backend, actor: Actor, request: pb.ResumeMemberRequest
) -> pb.ExclusionResponse:
    """Resume dealing with a member that was suspended."""
    return await _exclude(backend, actor, request.member, None)


async def remove_member(
    backend: Backend, actor: Actor, request: pb.RemoveMemberRequest
) -> pb.ExclusionResponse:
    """Stop dealing with a member for good, and end whatever waits for it."""
    answer = await _exclude(backend, actor, request.member, Exclusion.REMOVED)
    after: tuple[Scalar, ...] = ()
    while True:
        # If the node is killed here, it continues after its next start: reviews begin there.
        after = (await backend.perform(review, after)).after
        if not after:
            return answer


def effect_of_removal(context: CallContext, request: pb.RemoveMemberRequest) -> pb.ExclusionResponse:
    """Return what would end."""
    member = MemberCode(request.member)
    effect = exclusion_effect(context.node, context.view, member)
    return _response(context.node.trust, member, effect, changed=False)


MEMBERS: Final = (
    Rpc("ExportMember", OPERATORS, QueryCall(export_member)),
    Rpc("ImportMember", OPERATORS, AsyncCall(import_member)),
    Rpc("ListMembers", EVERYBODY, QueryCall(list_members)),
    Rpc("SuspendMember", OPERATORS, AsyncCall(suspend_member)),
    Rpc("ResumeMember", OPERATORS, AsyncCall(resume_member)),
    Rpc("RemoveMember", OPERATORS, AsyncCall(remove_member), preview=effect_of_removal),
)


def exclusion_word(trust: TrustView, member: MemberCode) -> str:
    """Return ``suspended``, ``removed``, or an empty string."""
    how = trust.excluded.get(member)
    return how.name.lower() if how is not None else ""


async def _exclude(backend: Backend, actor: Actor, code: str, how: Exclusion | None) -> pb.ExclusionResponse:
    member = MemberCode(code)
    effect = await backend.query(lambda view: exclusion_effect(backend.node, view, member))
    done = await backend.perform(exclude, ExcludeCommand(actor, member, how))
    return _response(backend.node.trust, member, effect, changed=done.changed)


def _response(
    trust: TrustView, member: MemberCode, effect: ExclusionEffect, *, changed: bool
) -> pb.ExclusionResponse:
    return pb.ExclusionResponse(
        member=member,
        exclusion=exclusion_word(trust, member),
        changed=changed,
        queued=effect.queued,
        unacknowledged=effect.unacknowledged,
    )


def _member_entry(held: MemberTrust, row: ExclusionRow | None, warnings: Sequence[str]) -> pb.MemberEntry:
    directory = held.directory
    return pb.MemberEntry(
        member=held.member,
        fingerprint=held.fingerprint,
        root_version=held.root.version,
        directory_version=directory.version if directory else 0,
        directory_expires=directory.expires if directory else 0,
        nodes=[node.uri for node in directory.nodes] if directory else [],
        treaties=[row.treaty for row in directory.ratified] if directory else [],
        exclusion=Exclusion(row.how).name.lower() if row is not None else "",
        excluded_at=row.since if row is not None else 0,
        excluded_by=row.by if row is not None else "",
        warnings=warnings,
    )
