"""The Bulletins service: what analysts ask of their node, as steps and questions of the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial

from intelshare.audit.records import LoggedPortion
from intelshare.broker.exchange import rfi
from intelshare.broker.kernel.register import need_user
from intelshare.broker.lifecycle import duties
from intelshare.broker.lifecycle.read import ReadCommand, Shown, read
from intelshare.broker.lifecycle.relations import Context, context_of
from intelshare.broker.line.submit import (
    ApproveCommand,
    SubmitCommand,
    SubmitResult,
    approve,
    dry_run,
    submit,
)
from intelshare.broker.queries import lists
from intelshare.bulletin.draft import MAX_RECIPIENTS, Draft
from intelshare.crypto.records import Portion, PortionKind, Precedence
from intelshare.delivery import BestReceipt
from intelshare.envelope import MAX_PORTIONS
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.node.authn import UserCaller
from intelshare.node.backend import NodeBackend
from intelshare.node.links import Links
from intelshare.node.recalls import recalls
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.node.watching import watching
from intelshare.ports import View
from intelshare.services.open_calls import OpenCalls
from intelshare.services.submit_many import MAX_CALLS, answer_drafts, to_wake
from intelshare.wire.v1 import user_pb2 as pb

KEY_LENGTH = 16
MAX_LISTED = 500
DEFAULT_LISTED = 50

_OUTCOMES = {1: "allow", 2: "hold", 3: "deny"}


def bulletins(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def submit_(caller: UserCaller, request: pb.SubmitRequest) -> pb.SubmitResponse:
        done = await runtime.step(submit, _submission(caller, request))
        NodeBackend(runtime, links).wake(to_wake([done.value]))
        return _submitted(done.value)

    open_batches = OpenCalls(MAX_CALLS, "calls of SubmitMany")

    async def submit_many_(
        caller: UserCaller, messages: AsyncIterator[pb.SubmitManyRequest]
    ) -> AsyncIterator[pb.SubmitManyResponse]:
        with open_batches.one_of(caller.user):
            backend, read = NodeBackend(runtime, links), partial(_submission, caller)
            async for message in answer_drafts(backend, caller.user, messages, read, _submitted):
                yield message

    async def dry_run_(caller: UserCaller, request: pb.SubmitRequest) -> pb.SubmitResponse:
        submission = _submission(caller, request)
        answer = runtime.store.ask_now(lambda view: dry_run(runtime.node, view, submission, runtime.now()))
        response = _submitted(answer)
        response.bulletin = b""
        return response

    async def inbox(caller: UserCaller, request: pb.InboxRequest) -> pb.InboxResponse:
        wanted = lists.InboxQuery(
            unread=request.unread,
            sender=getattr(request, "from"),
            category=request.category,
            since=Instant(request.since),
            limit=_limit(request.limit),
        )
        lines = runtime.store.ask_now(
            lambda view: lists.inbox(runtime.node, view, caller.user, wanted, runtime.now())
        )
        members = sorted(runtime.node.trust.members)
        holes = runtime.store.ask_now(lambda view: lists.holes(view, members))
        return pb.InboxResponse(
            entries=[_inbox_entry(line) for line in lines],
            holes=[pb.Hole(originator=member, first=first, last=last) for member, first, last in holes],
            requests_overdue=runtime.store.ask_now(_overdue(rfi.overdue, caller)),
            obligations_overdue=runtime.store.ask_now(_overdue(duties.overdue, caller)),
        )

    def _overdue(count: Callable[..., int], caller: UserCaller) -> Callable[[View], int]:
        return lambda view: count(runtime.node, view, caller.user, runtime.now())

    async def read_(caller: UserCaller, request: pb.ReadRequest) -> pb.ReadResponse:
        shown = (await links.act(read, ReadCommand(caller.user, request.id, request.originator))).value.shown
        row = shown.row

        def around(view: View) -> Context:
            user = need_user(view, caller.user)
            return context_of(runtime.node, view, row.md, row.originator, user, runtime.now())

        return _read(shown, runtime.store.ask_now(around))

    async def outbox(caller: UserCaller, request: pb.OutboxRequest) -> pb.OutboxResponse:
        limit = _limit(request.limit)
        lines = runtime.store.ask_now(
            lambda view: lists.outbox(
                runtime.node, view, caller.user, request.id, limit, request.held, runtime.now()
            )
        )
        return pb.OutboxResponse(entries=[_outbox_entry(line) for line in lines])

    async def approve_(caller: UserCaller, request: pb.ApproveRequest) -> pb.ApproveResponse:
        recipient = MemberCode(request.recipient)
        done = await runtime.step(approve, ApproveCommand(caller.user, request.id, recipient))
        links.wake(recipient)
        return pb.ApproveResponse(word=done.value)

    async def why(caller: UserCaller, request: pb.WhyRequest) -> pb.WhyResponse:
        recipient = MemberCode(request.recipient)
        answer = runtime.store.ask_now(
            lambda view: lists.why(runtime.node, view, caller.user, request.id, recipient, runtime.now())
        )
        return pb.WhyResponse(
            decision=pb.PairDecision(
                recipient=recipient, word=answer.pair.word, portions=_portions(answer.decision.portions)
            ),
            decided_at=answer.decision.at,
            log_index=answer.place,
            log_entry=answer.entry,
            marks=answer.marks,
        )

    async def who_am_i(caller: UserCaller, _: pb.WhoAmIRequest) -> pb.WhoAmIResponse:
        row = runtime.store.ask_now(lambda view: need_user(view, caller.user))
        return pb.WhoAmIResponse(
            user=row.user,
            member=runtime.node.member,
            role=row.role,
            clearance=row.clearance,
            nationality=row.nationality,
            categories=row.categories.split(),
            node=runtime.node.uri,
        )

    return {
        "Submit": submit_,
        "SubmitMany": submit_many_,
        "DryRun": dry_run_,
        "Inbox": inbox,
        "Read": read_,
        "Outbox": outbox,
        "Approve": approve_,
        "Why": why,
        "WhoAmI": who_am_i,
        **recalls(runtime, links),
        **watching(runtime),
    }


def _submission(caller: UserCaller, request: pb.SubmitRequest) -> SubmitCommand:
    # Before anything is made of them: 10^5 empty portions fit into the bytes of one request.
    if len(request.portions) > MAX_PORTIONS or len(request.to) > MAX_RECIPIENTS:
        raise DeliveryError(
            "TOO_LARGE",
            f"a bulletin has at most {MAX_PORTIONS} portions and {MAX_RECIPIENTS} recipients",
            hint="split it into several bulletins",
        )
    if len(request.key) != KEY_LENGTH:
        raise DeliveryError("INPUT_INVALID", f"the idempotency key has {len(request.key)} bytes, not 16")
    try:
        precedence = Precedence(request.precedence)
        kinds = [PortionKind(portion.kind) for portion in request.portions]
    except ValueError as error:
        raise DeliveryError("INPUT_INVALID", str(error)) from None
    return SubmitCommand(
        caller.user,
        request.key,
        Draft(
            tuple([MemberCode(code) for code in request.to]),
            precedence,
            Instant(request.valid_until or NEVER),
            Instant(request.deliver_by or NEVER),
            tuple(
                [
                    Portion(kind, p.label, p.category, tuple(p.flags), p.grade, p.media, p.content)
                    for kind, p in zip(kinds, request.portions, strict=True)
                ]
            ),
            request.supersedes.lower(),
            request.in_reply_to.lower(),
            request.in_reply_to_from,
        ),
    )


def _submitted(answer: SubmitResult) -> pb.SubmitResponse:
    return pb.SubmitResponse(
        bulletin=answer.bulletin,
        banner=answer.banner,
        pairs=[
            pb.PairDecision(recipient=pair.recipient, word=pair.word, portions=_portions(pair.portions))
            for pair in answer.pairs
        ],
        portion_banners=answer.marks,
    )


def _portions(portions: Iterable[LoggedPortion]) -> list[pb.PortionDecision]:
    return [
        pb.PortionDecision(
            position=portion.position,
            outcome=_OUTCOMES[decision.outcome],
            basis=decision.basis,
            articles=[citation.article for citation in decision.citations],
            obligations=decision.obligations,
            reasons=[
                pb.Reason(code=reason.code, detail=reason.detail, place=reason.place)
                for reason in decision.reasons
            ],
            holds=decision.holds,
        )
        for portion in portions
        for decision in (portion.decision.value,)
    ]


def _inbox_entry(line: lists.InboxLine) -> pb.InboxEntry:
    row, shown = line.row, line.shown
    return pb.InboxEntry(
        bulletin=row.bulletin,
        originator=row.originator,
        sequence=row.sequence,
        precedence=row.precedence,
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


def _read(shown: Shown, context: Context) -> pb.ReadResponse:
    row = shown.row
    return pb.ReadResponse(
        bulletin=row.bulletin,
        originator=row.originator,
        precedence=row.precedence,
        created_at=row.created,
        received_at=row.received,
        valid_until=row.expires,
        banner=shown.banner,
        portions=[
            pb.ReadPortion(
                portion=_portion(one.portion), mark=one.mark, basis=one.basis, obligations=one.obligations
            )
            for one in shown.portions
        ],
        release=row.leaf,
        sequence=row.sequence,
        supersedes=context.supersedes,
        superseded_by=context.superseded_by,
        reply_to=context.reply_to,
    )


def _portion(portion: Portion) -> pb.Portion:
    return pb.Portion(
        kind=portion.kind,
        label=portion.label,
        category=portion.category,
        flags=portion.flags,
        grade=portion.grade,
        media=portion.media,
        content=portion.content,
    )


def _outbox_entry(line: lists.OutboxLine) -> pb.OutboxEntry:
    row = line.row
    return pb.OutboxEntry(
        bulletin=row.bulletin,
        precedence=row.precedence,
        created_at=row.created,
        banner=line.banner,
        title=line.title,
        author=row.author,
        recalled_at=row.recalled,
        supersedes=line.context.supersedes,
        superseded_by=line.context.superseded_by,
        reply_to=line.context.reply_to,
        pairs=[
            pb.OutboxPair(
                recipient=pair.row.recipient,
                word=pair.word,
                changed_at=pair.row.changed,
                codes=pair.row.codes.split(),
                granted=pair.row.granted,
                portions=pair.row.portions,
                basis=pair.row.basis,
                sequence=pair.row.sequence,
                took=_took(pair),
                recall_requested=pair.recall_requested,
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
