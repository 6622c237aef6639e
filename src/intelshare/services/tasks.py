"""The Tasks service: the current state of requests for information and of obligations."""

from __future__ import annotations

from typing import Final

from intelshare.broker.exchange.rfi import RequestLine, RequestState, requests
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.node import Node
from intelshare.broker.lifecycle.duties import DutyLine, MeetDutyCommand, duties, meet_duty
from intelshare.instant import Instant
from intelshare.services.rpc import WRITERS, CallContext, QueryCall, Rpc, StepCall
from intelshare.wire.v1 import user_pb2 as pb


def requests_response(context: CallContext, _: pb.RequestsRequest) -> pb.RequestsResponse:
    """Return requests for information in both directions, newest first."""
    lines, damaged = requests(context.node, context.view, context.actor, context.now)
    return pb.RequestsResponse(entries=[_request(line, context.now) for line in lines], damaged=damaged)


def obligations_response(context: CallContext, request: pb.ObligationsRequest) -> pb.ObligationsResponse:
    """Return obligations to report, the earliest due first."""
    lines, damaged = duties(context.node, context.view, context.actor, request.all, context.now)
    return pb.ObligationsResponse(entries=[_duty(line, context.now) for line in lines], damaged=damaged)


def meet_command(actor: Actor, request: pb.MeetRequest) -> MeetDutyCommand:
    return MeetDutyCommand(actor, request.id, request.obligation, request.originator)


def meet_response(line: DutyLine, _: Node, now: Instant) -> pb.ObligationEntry:
    return _duty(line, now)


TASKS: Final = (
    Rpc("Requests", WRITERS, QueryCall(requests_response)),
    Rpc("Obligations", WRITERS, QueryCall(obligations_response)),
    Rpc("Meet", WRITERS, StepCall(meet_command, meet_duty, meet_response)),
)


def _request(line: RequestLine, now: Instant) -> pb.RequestEntry:
    row = line.row
    return pb.RequestEntry(
        bulletin=line.bulletin,
        member=row.member,
        own=bool(row.own),
        state=RequestState(row.state).name.lower(),
        due=row.due,
        overdue=row.state == RequestState.OPEN and row.due <= now,
        title=line.title,
        category=line.category,
        reply=line.reply,
        asked_at=-row.newest,
        changed_at=row.changed,
    )


def _duty(line: DutyLine, now: Instant) -> pb.ObligationEntry:
    row = line.row
    return pb.ObligationEntry(
        bulletin=line.inbox.bulletin,
        originator=line.inbox.originator,
        obligation=row.obligation,
        due=row.due,
        overdue=not row.done and row.due <= now,
        done_at=row.done,
        done_by=row.user,
        title=line.title,
    )
