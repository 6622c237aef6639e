"""The Bulletins service: the requests of analysts to their node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intelshare.broker.exchange import rfi
from intelshare.broker.exchange.recall import RecallCommand, RecallResult, effect_of_recall, recall
from intelshare.broker.exchange.receipt import Signed, receipts
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import MAX_NAMED
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.lifecycle import duties
from intelshare.broker.lifecycle.attachments import file_of
from intelshare.broker.lifecycle.holds import ApproveCommand, RefuseCommand, approve, refuse
from intelshare.broker.lifecycle.operator_acts import GiveUpCommand, GiveUpResult, give_up
from intelshare.broker.lifecycle.read import ReadCommand, Shown, read
from intelshare.broker.lifecycle.relations import context_of
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.broker.queries import lists
from intelshare.broker.queries.waiting import waiting_for
from intelshare.broker.queries.withheld import WithheldQuery, withheld
from intelshare.delivery import BestReceipt, status_of
from intelshare.errors import code_of_peer
from intelshare.ids import Digest, MemberCode
from intelshare.policy_tools import releasing
from intelshare.services.backend import Backend
from intelshare.services.drafts import dry_run_response, portion_decisions, submit_command, submit_response
from intelshare.services.rpc import (
    EVERYBODY,
    OFFICERS,
    OVERSEERS,
    WRITERS,
    AsyncCall,
    CallContext,
    QueryCall,
    Rpc,
    StepCall,
    StreamCall,
    asked_time,
)
from intelshare.services.shown import read_response, waiting_message
from intelshare.services.submit_many import submit_drafts, to_wake
from intelshare.services.watching import search_bulletins, watch_log
from intelshare.wire import MAX_LISTED, precedence_value
from intelshare.wire.v1 import user_pb2 as pb

DEFAULT_LISTED: Final = 50


def _wakes_submitted(_: SubmitCommand, result: SubmitResult) -> Iterable[MemberCode]:
    return to_wake([result])


def inbox_page(context: CallContext, request: pb.InboxRequest) -> pb.InboxResponse:
    """Return received bulletins, the gaps in streams, and how many tasks are overdue."""
    node, view, actor, now = context.node, context.view, context.actor, context.now
    wanted = lists.InboxQuery(
        unread=request.unread,
        sender=getattr(request, "from"),
        category=request.category,
        since=asked_time(request.since),
        limit=_limit(request.limit),
    )
    lines, damaged = lists.inbox(node, view, actor, wanted, now)
    gaps = lists.holes(view, sorted(node.trust.members))
    waiting = waiting_for(node, view, actor, wanted, now)
    late_requests, of_requests = rfi.overdue_requests(node, view, actor, now)
    late_duties, of_duties = duties.overdue_duties(node, view, actor, now)
    return pb.InboxResponse(
        entries=[_inbox_entry(line) for line in lines],
        holes=[pb.Hole(originator=member, first=first, last=last) for member, first, last in gaps],
        requests_overdue=late_requests,
        obligations_overdue=late_duties,
        # A bulletin that is damaged may be missing in the list and in both counts, and is named once.
        damaged=list(dict.fromkeys((*damaged, *of_requests, *of_duties)))[:MAX_NAMED],
        waiting=waiting_message(waiting, wanted.limit),
    )


async def read_bulletin(backend: Backend, actor: Actor, request: pb.ReadRequest) -> pb.ReadResponse:
    """Open a bulletin, which is logged first, and return it with its context."""
    opened = await backend.perform(read, ReadCommand(actor, request.id, request.originator))
    shown = opened.shown
    originator = shown.row.originator if isinstance(shown, Shown) else backend.node.member
    context, files = await backend.query(
        lambda view: (
            context_of(backend.node, view, shown.row.md, originator, user_row_of(view, actor), backend.now()),
            {one.slot: file_of(view, shown.row.md, one.slot) for one in shown.portions},
        )
    )
    return read_response(shown, originator, context, files)


def outbox_page(context: CallContext, request: pb.OutboxRequest) -> pb.OutboxResponse:
    """Return bulletins that this member has sent, or one of them."""
    lines, damaged = lists.outbox(
        context.node,
        context.view,
        context.actor,
        request.id,
        _limit(request.limit),
        request.held,
        context.now,
    )
    return pb.OutboxResponse(entries=[_outbox_entry(line) for line in lines], damaged=damaged)


def approve_command(actor: Actor, request: pb.ApproveRequest) -> ApproveCommand:
    return ApproveCommand(actor, request.id, MemberCode(request.recipient), Digest(request.log_entry))


def _wakes_approved(command: ApproveCommand, _: str) -> Iterable[MemberCode]:
    return (command.recipient,)


def approve_response(result: str, *_: object) -> pb.ApproveResponse:
    return pb.ApproveResponse(word=result)


def refuse_command(actor: Actor, request: pb.RefuseRequest) -> RefuseCommand:
    return RefuseCommand(actor, request.id, MemberCode(request.recipient), request.reason)


def refuse_response(result: str, *_: object) -> pb.RefuseResponse:
    return pb.RefuseResponse(word=result)


def give_up_command(actor: Actor, request: pb.GiveUpRequest) -> GiveUpCommand:
    return GiveUpCommand(actor, request.id, MemberCode(request.recipient), request.reason)


def give_up_response(result: GiveUpResult, *_: object) -> pb.GiveUpResponse:
    return pb.GiveUpResponse(word=result.status)


def why_response(context: CallContext, request: pb.WhyRequest) -> pb.WhyResponse:
    """Return the decision of one pair, and its position in the log."""
    recipient, asked = MemberCode(request.recipient), request.changes
    found = lists.why(context.node, context.view, context.actor, request.id, recipient, context.now)
    world = context.node.world
    denied = [portion.position for portion in found.decision.portions if portion.decision.value.outcome == 3]
    return pb.WhyResponse(
        changes=[
            pb.ReleasingChange(
                position=position,
                change=turn.change.value,
                to=turn.what,
                basis=turn.decision.basis or "",
                articles=[citation.article for citation in turn.decision.citations],
            )
            for position in (denied if asked else ())
            for turn in releasing(world, found.requests[position])
        ],
        categories=[one.category for one in found.requests],
        decision=pb.PairDecision(
            recipient=recipient,
            word=found.pair.status,
            portions=portion_decisions(found.decision.portions),
            codes=found.pair.codes,
        ),
        decided_at=found.decision.at,
        log_index=found.place,
        log_entry=found.entry,
        marks=found.marks,
    )


def withheld_response(context: CallContext, request: pb.WithheldRequest) -> pb.WithheldResponse:
    """Return counts of what was withheld, by recipient and reason, and cases for those who read."""
    wanted = WithheldQuery(
        asked_time(request.since), request.recipient, request.code, min(request.limit, MAX_LISTED)
    )
    all_counts = context.actor.role in OVERSEERS
    found = withheld(context.node, context.view, context.actor, wanted, context.now, all_counts=all_counts)
    return pb.WithheldResponse(
        counts=[
            pb.WithheldCount(
                recipient=recipient,
                code=code,
                place=place,
                bulletins=counted.bulletins,
                portions=counted.portions,
                newest_at=counted.newest,
            )
            for (recipient, code, place), counted in sorted(found.counts.items())
        ],
        cases=[
            pb.WithheldCase(
                bulletin=case.row.bulletin,
                recipient=case.pair.recipient,
                created_at=case.row.created,
                banner=case.banner,
                title=case.title,
                codes=case.codes,
                granted=case.pair.granted,
                portions=case.pair.portions,
            )
            for case in found.cases
        ],
        damaged=found.damaged,
        looked=found.looked,
        truncated=found.truncated,
    )


def recall_command(actor: Actor, request: pb.RecallRequest) -> RecallCommand:
    return RecallCommand(actor, request.id, request.reason)


def recall_response(result: RecallResult, *_: object) -> pb.RecallResponse:
    return pb.RecallResponse(
        bulletin=result.row.bulletin,
        before=result.before,
        pairs=[
            pb.RecallPair(recipient=row.recipient, word=status_of(facts_of(row)), effect=effect)
            for row, effect in result.pairs
        ],
        damaged=result.damaged,
    )


def recall_preview(context: CallContext, request: pb.RecallRequest) -> pb.RecallResponse:
    """Return what a recall would do."""
    command = recall_command(context.actor, request)
    return recall_response(effect_of_recall(context.node, context.view, command, context.now))


def receipts_response(context: CallContext, request: pb.ReceiptsRequest) -> pb.ReceiptsResponse:
    """Return every signed receipt for a bulletin of this member."""
    row, found, damaged = receipts(context.node, context.view, context.actor, request.id, context.now)
    return pb.ReceiptsResponse(
        bulletin=row.bulletin, receipts=[_signed(one) for one in found], damaged=damaged
    )


def who_am_i(context: CallContext, _: pb.WhoAmIRequest) -> pb.WhoAmIResponse:
    """Return the user as which the node knows the caller."""
    row = user_row_of(context.view, context.actor)
    return pb.WhoAmIResponse(
        user=row.user,
        member=context.node.member,
        role=row.role,
        clearance=row.clearance,
        nationality=row.nationality,
        categories=row.categories.split(),
        node=context.node.uri,
    )


BULLETINS: Final = (
    Rpc("Submit", WRITERS, StepCall(submit_command, submit, submit_response, _wakes_submitted), adds=True),
    Rpc("SubmitMany", WRITERS, StreamCall(submit_drafts), adds=True),
    Rpc("DryRun", WRITERS, QueryCall(dry_run_response)),
    Rpc("Inbox", WRITERS, QueryCall(inbox_page)),
    Rpc("Read", WRITERS, AsyncCall(read_bulletin)),
    Rpc("Outbox", WRITERS, QueryCall(outbox_page)),
    Rpc("Approve", OFFICERS, StepCall(approve_command, approve, approve_response, _wakes_approved)),
    Rpc("Refuse", OFFICERS, StepCall(refuse_command, refuse, refuse_response)),
    Rpc("GiveUp", WRITERS, StepCall(give_up_command, give_up, give_up_response)),
    Rpc("Why", WRITERS, QueryCall(why_response)),
    Rpc("Withheld", WRITERS | OVERSEERS, QueryCall(withheld_response, slow=True)),
    Rpc("Recall", WRITERS, StepCall(recall_command, recall, recall_response), preview=recall_preview),
    Rpc("Receipts", WRITERS, QueryCall(receipts_response)),
    Rpc("WhoAmI", EVERYBODY, QueryCall(who_am_i)),
    Rpc("Watch", WRITERS, StreamCall(watch_log)),
    Rpc("Search", WRITERS, AsyncCall(search_bulletins)),
)


def _inbox_entry(line: lists.InboxLine) -> pb.InboxEntry:
    row, shown = line.row, line.shown
    return pb.InboxEntry(
        bulletin=row.bulletin,
        originator=row.originator,
        sequence=row.sequence,
        precedence=precedence_value(row.precedence),
        received_at=row.received,
        created_at=row.created,
        banner=shown.banner if shown is not None else "",
        title=shown.title if shown is not None else "",
        portions=len(shown.portions) if shown is not None else 0,
        read=line.read,
        destroyed=row.cause,
        destroyed_at=row.due if row.cause else 0,
        supersedes=line.context.supersedes,
        superseded_by=line.context.superseded_by,
        reply_to=line.context.reply_to,
        reason=line.reason,
    )


def _outbox_entry(line: lists.OutboxLine) -> pb.OutboxEntry:
    row = line.row
    return pb.OutboxEntry(
        bulletin=row.bulletin,
        precedence=precedence_value(row.precedence),
        created_at=row.created,
        banner=line.banner,
        title=line.title,
        author=row.author,
        recalled_at=row.recalled,
        purged_at=line.purged,
        supersedes=line.context.supersedes,
        superseded_by=line.context.superseded_by,
        reply_to=line.context.reply_to,
        damaged=line.damaged,
        pairs=[
            pb.OutboxPair(
                recipient=pair.row.recipient,
                word=pair.status,
                changed_at=pair.row.changed,
                codes=pair.codes,
                granted=pair.row.granted,
                portions=pair.row.portions,
                basis=pair.row.basis,
                sequence=pair.row.sequence,
                took=_took(pair),
                recall_requested=pair.recall_requested,
                reason=pair.refusal.reason if pair.refusal is not None else "",
                refused_by=pair.refusal.user if pair.refusal is not None else "",
            )
            for pair in line.pairs
        ],
    )


def _took(pair: lists.PairLine) -> int:
    if pair.row.receipt == BestReceipt.NONE:
        return 0
    return max(1, pair.row.changed - pair.row.created)


def _limit(asked: int) -> int:
    return min(asked or DEFAULT_LISTED, MAX_LISTED)


def _signed(one: Signed) -> pb.SignedReceipt:
    return pb.SignedReceipt(
        recipient=one.member,
        status=one.receipt.status.name,
        codes=map(code_of_peer, one.receipt.codes),
        decided_at=one.receipt.decided_at,
        received_at=one.row.at,
        digest=one.row.leaf,
        release=one.receipt.leaf,
        flaw=one.flaw,
    )
