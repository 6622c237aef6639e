"""The Audit service: where the log stands, what others hold of it, proofs and evidence for third parties."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.portable import EVIDENCE_SCHEMA, Documents, EvidenceFile, wrap, write
from intelshare.broker.kernel.tables import CHECKPOINT, LOG_HEAD, EvidenceRow
from intelshare.broker.queries.export import ExportQuery, export_release
from intelshare.broker.queries.report import report
from intelshare.broker.transparency.checkpoint import own, peer_nodes
from intelshare.broker.transparency.evidence import alarms, find_evidence, settle
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.proving import ProofQuery, prove_entries, show_seen, signed_of_peers
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Checkpoint
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation, MemberCode
from intelshare.instant import Instant
from intelshare.node.authn import UserCaller
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.ports import View
from intelshare.trust import documents_of
from intelshare.wire.v1 import user_pb2 as pb

_STATES: Final = {
    CheckpointState.BROKEN: "broken",
    CheckpointState.DOUBTED: "doubted",
    CheckpointState.PROVED: "proved",
    CheckpointState.CLAIMED: "claimed",
}
"""What is shown of each log held: the newest of each state."""


def audits(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def head(_: UserCaller, __: pb.HeadRequest) -> pb.HeadResponse:
        return runtime.store.ask_now(lambda view: _head(runtime, view))

    async def prove(_: UserCaller, request: pb.ProveRequest) -> pb.FileResponse:
        # So that the entries of this second are under a signed checkpoint too.
        await links.say_log()
        wanted = ProofQuery(
            Incarnation(request.incarnation or runtime.incarnation),
            request.index,
            request.bulletin,
            request.statement,
            request.originator,
        )
        file = await links.over_logs(
            lambda view: prove_entries(runtime.node, view, wanted, _documents(runtime))
        )
        return pb.FileResponse(text=write(file))

    async def list_evidence(_: UserCaller, __: pb.ListEvidenceRequest) -> pb.ListEvidenceResponse:
        return pb.ListEvidenceResponse(alarms=alarm_messages(runtime))

    async def export(_: UserCaller, request: pb.ExportEvidenceRequest) -> pb.FileResponse:
        row = runtime.store.ask_now(lambda view: find_evidence(view, request.id))
        exhibit = decode(Exhibit, row.exhibit)
        await links.say_log()
        seen = await links.over_logs(lambda view: show_seen(runtime.node, view, exhibit))
        file = EvidenceFile(
            EVIDENCE_SCHEMA,
            row.code,
            row.member,
            runtime.node.member,
            row.first,
            _what(row),
            wrap(Exhibit, exhibit),
            seen,
            _documents(runtime, None if seen else _signers(runtime, row.member, exhibit)),
        )
        return pb.FileResponse(text=write(file))

    async def export_release_(caller: UserCaller, request: pb.ExportReleaseRequest) -> pb.FileResponse:
        await links.say_log()
        wanted = ExportQuery(
            caller.user, request.bulletin, request.recipient, request.content, tuple(request.slots)
        )
        file = await links.over_logs(
            lambda view: export_release(runtime.node, view, wanted, _documents(runtime), runtime.now())
        )
        return pb.FileResponse(text=write(file))

    async def tell(_: UserCaller, request: pb.ReportRequest) -> pb.FileResponse:
        since, until = Instant(request.since), Instant(request.until or runtime.now())
        made = await asyncio.to_thread(
            runtime.store.ask_now,
            lambda view: report(runtime.node, view, request.treaty, since, until, runtime.now()),
        )
        return pb.FileResponse(text=write(made))

    async def settle_(caller: UserCaller, request: pb.SettleEvidenceRequest) -> pb.SettleEvidenceResponse:
        done = await runtime.step(settle, caller.user, request.id)
        return pb.SettleEvidenceResponse(alarm=_alarm(done.value))

    return {
        "SettleEvidence": settle_,
        "Report": tell,
        "Head": head,
        "Prove": prove,
        "ListEvidence": list_evidence,
        "ExportEvidence": export,
        "ExportRelease": export_release_,
    }


def alarm_messages(runtime: Runtime) -> list[pb.Alarm]:
    """What contradicts itself, the oldest first."""
    return [_alarm(row) for row in runtime.store.ask_now(alarms)]


def _alarm(row: EvidenceRow) -> pb.Alarm:
    return pb.Alarm(
        member=row.member, code=row.code, what=_what(row), first_at=row.first, evidence=row.evidence
    )


def _what(row: EvidenceRow) -> str:
    try:
        return describe(row.code, decode(Exhibit, row.exhibit))
    except IntelshareError:
        return "statements that do not go together"


def _head(runtime: Runtime, view: View) -> pb.HeadResponse:
    node = runtime.node
    log, last = view.get(LOG_HEAD, node.incarnation), own(node, view)
    held = [
        (row, CheckpointState(row.state))
        for uri in peer_nodes(node)
        for state in _STATES
        for row in view.find(CHECKPOINT, "state", uri, state, limit=1)
    ]
    return pb.HeadResponse(
        node=node.uri,
        incarnation=node.incarnation,
        entries=log.size if log is not None else 0,
        size=last.size if last is not None else 0,
        root=last.root if last is not None else b"",
        signed_at=last.at if last is not None else 0,
        witnesses=[
            pb.Witness(
                member=row.member,
                node=row.origin,
                size=seen.size,
                signed_at=decode(Batch, signed.batch).signed_at,
            )
            for row, signed in signed_of_peers(node, view)
            for seen in decode(Checkpoint, signed.data).cosigned
            if seen.origin == node.uri and seen.incarnation == node.incarnation
        ],
        held=[
            pb.HeldCheckpoint(
                member=row.member,
                node=row.origin,
                incarnation=row.incarnation,
                size=row.size,
                root=row.root,
                received_at=row.at,
                state=_STATES[state],
            )
            for row, state in held
        ],
    )


def _signers(runtime: Runtime, member: MemberCode, exhibit: Exhibit) -> Sequence[MemberCode]:
    """Whose documents are needed to check the statements."""
    found = {member}
    for signed in exhibit.statements:
        record = runtime.node.trust.key_record(decode(Batch, signed.batch).key)
        if record is not None:
            found.add(record.member)
    return sorted(found)


def _documents(runtime: Runtime, members: Sequence[MemberCode] | None = None) -> Documents:
    held = runtime.node.trust.members
    return {member: documents_of(held[member]) for member in (members or sorted(held)) if member in held}
