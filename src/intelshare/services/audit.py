"""The Audit service: the state of the log, what others hold of it, and proofs and evidence for third
parties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.portable import EVIDENCE_SCHEMA, Documents, EvidenceFile, wrap, write
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import CHECKPOINT, LOG_HEAD, EvidenceRow
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.queries.export import ExportQuery, export_release, find_received
from intelshare.broker.queries.report import report
from intelshare.broker.transparency.checkpoint import own, peer_nodes
from intelshare.broker.transparency.evidence import alarms, find_evidence, settle_alarm
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.proving import ProofQuery, prove_entries, show_seen, signed_of_peers
from intelshare.broker.transparency.tlog import LogNote, cosign, entry_hashes, log_note, prove_note
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Checkpoint
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import Incarnation, MemberCode
from intelshare.ports import View
from intelshare.services.backend import Backend
from intelshare.services.rpc import (
    EVERYBODY,
    OPERATORS,
    OVERSEERS,
    AsyncCall,
    CallContext,
    QueryCall,
    Rpc,
    asked_time,
)
from intelshare.trust import documents_of
from intelshare.wire.v1 import user_pb2 as pb

_STATES: Final = {
    CheckpointState.BROKEN: "broken",
    CheckpointState.DOUBTED: "doubted",
    CheckpointState.PROVED: "proved",
    CheckpointState.CLAIMED: "claimed",
}
"""The words for the states of logs held; of each log, the newest checkpoint in each state is shown."""


def log_head(context: CallContext, _: pb.HeadRequest) -> pb.HeadResponse:
    """Return the state of this node's log, and the checkpoints held of others' logs."""
    return _head(context.node, context.view)


async def prove(backend: Backend, _: Actor, request: pb.ProveRequest) -> pb.FileResponse:
    """Return entries of the log with their proofs."""
    # Signed first, so that this second's entries are under a signed checkpoint too.
    await backend.sign_log()
    wanted = ProofQuery(
        Incarnation(request.incarnation or backend.node.incarnation),
        request.index,
        request.bulletin,
        request.statement,
        request.originator,
        request.recipient,
        request.withheld,
    )
    node = backend.node
    file = await backend.query_logs(lambda view: prove_entries(node, view, wanted, _documents(node)))
    return pb.FileResponse(text=write(file))


async def show_log(backend: Backend, _: Actor, request: pb.ShowLogRequest) -> pb.ShowLogResponse:
    """Return a log's checkpoint and hashes."""
    if not request.low:
        await backend.sign_log()
    node, key = backend.node, backend.note_key()
    incarnation = Incarnation(request.incarnation or node.incarnation)

    def shown(view: View) -> tuple[LogNote, bytes]:
        log = log_note(node, view, incarnation, key)
        return log, entry_hashes(node, view, log.head, request.low)

    log, entries = await backend.query_logs(shown)
    return pb.ShowLogResponse(note=log.note, vkey=log.vkey, size=log.head.size, entries=entries)


async def prove_with_note(backend: Backend, _: Actor, request: pb.ProveNoteRequest) -> pb.ProveNoteResponse:
    """Return an entry of the log with a proof of its position."""
    await backend.sign_log()
    node, key = backend.node, backend.note_key()
    incarnation = Incarnation(request.incarnation or node.incarnation)
    found = await backend.query_logs(
        lambda view: prove_note(node, view, incarnation, request.index, request.size, key)
    )
    return pb.ProveNoteResponse(
        note=found.log.note, vkey=found.log.vkey, proof=found.proof, preimage=found.preimage
    )


async def cosign_note(backend: Backend, _: Actor, request: pb.CosignRequest) -> pb.FileResponse:
    """Return a cosignature of another log, as far as this node has seen it."""
    node, key, now = backend.node, backend.note_key(), backend.now()
    return pb.FileResponse(text=await backend.query(lambda view: cosign(node, view, request.note, key, now)))


def list_evidence(context: CallContext, _: pb.ListEvidenceRequest) -> pb.ListEvidenceResponse:
    """Return the contradictions that no operator has settled yet."""
    return pb.ListEvidenceResponse(alarms=alarm_messages(context.view))


async def export_evidence(backend: Backend, _: Actor, request: pb.ExportEvidenceRequest) -> pb.FileResponse:
    """Return one contradiction, with when this node saw it, as a file that anybody can check."""
    node, row = backend.node, await backend.query(lambda view: find_evidence(view, request.id))
    exhibit = decode(Exhibit, row.exhibit)
    await backend.sign_log()
    seen = await backend.query_logs(lambda view: show_seen(node, view, exhibit))
    file = EvidenceFile(
        EVIDENCE_SCHEMA,
        row.code,
        row.member,
        node.member,
        row.first,
        _what(row),
        wrap(Exhibit, exhibit),
        seen,
        _documents(node, None if seen else _signers(node, row.member, exhibit)),
    )
    return pb.FileResponse(text=write(file))


async def release_file(backend: Backend, actor: Actor, request: pb.ExportReleaseRequest) -> pb.FileResponse:
    """Return a release with everything that was signed and logged about it, as a file for others.

    Exporting the content of a received bulletin is reading it: it is logged, and the originator is told if an
    obligation requires it. An overseer of the log can export any release, but no content. Raises
    DeliveryError NOT_AUTHORISED.
    """
    wanted = ExportQuery(
        request.bulletin,
        request.recipient,
        request.content,
        tuple(request.slots),
        request.originator,
        actor.role in OVERSEERS,
    )
    if wanted.content and wanted.overseen:
        raise DeliveryError(
            "NOT_AUTHORISED",
            f"the role {actor.role} exports proofs without content",
            hint="omit --content and --slot; analysts can export the content that they may read",
        )
    node, now = backend.node, backend.now()
    if wanted.content:
        got = await backend.query(
            lambda view: find_received(node, view, user_row_of(view, actor), wanted, now)
        )
        if got is not None:
            await backend.perform(read, ReadCommand(actor, wanted.bulletin, got[0].originator))
    await backend.sign_log()
    file = await backend.query_logs(
        lambda view: export_release(node, view, actor, wanted, _documents(node), now)
    )
    return pb.FileResponse(text=write(file))


async def settle_evidence(
    backend: Backend, actor: Actor, request: pb.SettleEvidenceRequest
) -> pb.SettleEvidenceResponse:
    """End an alarm; the evidence stays."""
    return pb.SettleEvidenceResponse(
        alarm=_alarm(await backend.perform(settle_alarm, actor.user, request.id))
    )


def report_file(context: CallContext, request: pb.ReportRequest) -> pb.FileResponse:
    """Return the report of who shared which kind of information with whom under which article."""
    since, until = asked_time(request.since), asked_time(request.until, without=context.now)
    made = report(context.node, context.view, request.treaty, since, until, context.now)
    return pb.FileResponse(text=write(made))


AUDIT: Final = (
    Rpc("Head", OVERSEERS, QueryCall(log_head)),
    Rpc("Prove", OVERSEERS, AsyncCall(prove)),
    Rpc("ShowLog", OVERSEERS, AsyncCall(show_log)),
    Rpc("ProveNote", OVERSEERS, AsyncCall(prove_with_note)),
    Rpc("Cosign", OPERATORS, AsyncCall(cosign_note)),
    Rpc("ListEvidence", OVERSEERS, QueryCall(list_evidence)),
    Rpc("ExportEvidence", OVERSEERS, AsyncCall(export_evidence)),
    Rpc("SettleEvidence", OPERATORS, AsyncCall(settle_evidence)),
    Rpc("ExportRelease", EVERYBODY, AsyncCall(release_file)),
    Rpc("Report", OVERSEERS, QueryCall(report_file, slow=True)),
)


def alarm_messages(view: View) -> list[pb.Alarm]:
    """Return the contradictions found, the oldest first."""
    return [_alarm(row) for row in alarms(view)]


def _alarm(row: EvidenceRow) -> pb.Alarm:
    return pb.Alarm(
        member=row.member, code=row.code, what=_what(row), first_at=row.first, evidence=row.evidence
    )


def _what(row: EvidenceRow) -> str:
    try:
        return describe(row.code, decode(Exhibit, row.exhibit))
    except IntelshareError:
        return "statements that contradict each other"


def _head(node: Node, view: View) -> pb.HeadResponse:
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


def _signers(node: Node, member: MemberCode, exhibit: Exhibit) -> Sequence[MemberCode]:
    """Return the members whose documents are needed to check the statements."""
    found = {member}
    for signed in exhibit.statements:
        record = node.trust.key_record(decode(Batch, signed.batch).key)
        if record is not None:
            found.add(record.member)
    return sorted(found)


def _documents(node: Node, members: Sequence[MemberCode] | None = None) -> Documents:
    held = node.trust.members
    return {member: documents_of(held[member]) for member in (members or sorted(held)) if member in held}
