"""The Audit service: where the log stands, what others hold of it, proofs and evidence for third parties."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.portable import EVIDENCE_SCHEMA, Documents, EvidenceFile, wrap, write
from intelshare.broker.checkpoint import own, peer_nodes
from intelshare.broker.evidence import alarms, find_evidence, settle
from intelshare.broker.held import Held
from intelshare.broker.proving import Wanted, prove_entries, signed_of_peers
from intelshare.broker.report import report
from intelshare.broker.tables import CHECKPOINT, LOG_HEAD, EvidenceRow
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Checkpoint
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation, MemberCode
from intelshare.instant import Instant
from intelshare.node.door import Answer, UserCaller
from intelshare.node.links import Links
from intelshare.node.shell import Shell
from intelshare.ports import View
from intelshare.trust import documents_of
from intelshare.wire.v1 import user_pb2 as pb

_STATES: Final = {Held.PROVED: "proved", Held.CLAIMED: "claimed", Held.BROKEN: "broken", Held.HEARD: "heard"}


def audits(shell: Shell, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def head(_: UserCaller, __: pb.HeadRequest) -> pb.HeadResponse:
        return shell.store.ask_now(lambda view: _head(shell, view))

    async def prove(_: UserCaller, request: pb.ProveRequest) -> pb.FileResponse:
        # So that the entries of this second are under a signed checkpoint too.
        await links.say_log()
        wanted = Wanted(
            Incarnation(request.incarnation or shell.incarnation),
            request.index,
            request.bulletin,
            request.statement,
        )
        file = await links.over_logs(lambda view: prove_entries(shell.node, view, wanted, _documents(shell)))
        return pb.FileResponse(text=write(file))

    async def list_evidence(_: UserCaller, __: pb.ListEvidenceRequest) -> pb.ListEvidenceResponse:
        return pb.ListEvidenceResponse(alarms=alarm_messages(shell))

    async def export(_: UserCaller, request: pb.ExportEvidenceRequest) -> pb.FileResponse:
        row = shell.store.ask_now(lambda view: find_evidence(view, request.id))
        exhibit = decode(Exhibit, row.exhibit)
        file = EvidenceFile(
            EVIDENCE_SCHEMA,
            row.code,
            row.member,
            shell.node.member,
            row.first,
            _what(row),
            wrap(Exhibit, exhibit),
            _documents(shell, _signers(shell, row.member, exhibit)),
        )
        return pb.FileResponse(text=write(file))

    async def tell(_: UserCaller, request: pb.ReportRequest) -> pb.FileResponse:
        since, until = Instant(request.since), Instant(request.until or shell.now())
        made = await asyncio.to_thread(
            shell.store.ask_now,
            lambda view: report(shell.node, view, request.treaty, since, until, shell.now()),
        )
        return pb.FileResponse(text=write(made))

    async def settle_(caller: UserCaller, request: pb.SettleEvidenceRequest) -> pb.SettleEvidenceResponse:
        done = await shell.step(settle, caller.user, request.id)
        return pb.SettleEvidenceResponse(alarm=_alarm(done.value))

    return {
        "SettleEvidence": settle_,
        "Report": tell,
        "Head": head,
        "Prove": prove,
        "ListEvidence": list_evidence,
        "ExportEvidence": export,
    }


def alarm_messages(shell: Shell) -> list[pb.Alarm]:
    """What contradicts itself, the oldest first."""
    return [_alarm(row) for row in shell.store.ask_now(alarms)]


def _alarm(row: EvidenceRow) -> pb.Alarm:
    return pb.Alarm(
        member=row.member, code=row.code, what=_what(row), first_at=row.first, evidence=row.evidence
    )


def _what(row: EvidenceRow) -> str:
    try:
        return describe(row.code, decode(Exhibit, row.exhibit))
    except IntelshareError:
        return "statements that do not go together"


def _head(shell: Shell, view: View) -> pb.HeadResponse:
    node = shell.node
    log, last = view.get(LOG_HEAD, node.incarnation), own(node, view)
    held = [
        (row, Held(row.state))
        for uri in peer_nodes(node)
        for state in (Held.BROKEN, Held.PROVED, Held.CLAIMED)
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


def _signers(shell: Shell, member: MemberCode, exhibit: Exhibit) -> Sequence[MemberCode]:
    """Whose documents are needed to check the statements."""
    found = {member}
    for signed in exhibit.statements:
        record = shell.node.trust.key_record(decode(Batch, signed.batch).key)
        if record is not None:
            found.add(record.member)
    return sorted(found)


def _documents(shell: Shell, members: Sequence[MemberCode] | None = None) -> Documents:
    held = shell.node.trust.members
    return {member: documents_of(held[member]) for member in (members or sorted(held)) if member in held}
