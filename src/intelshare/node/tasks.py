"""The Tasks service: requests for information and obligations, as they stand."""

from __future__ import annotations

from collections.abc import Mapping

from intelshare.broker.exchange.rfi import RequestLine as Request
from intelshare.broker.exchange.rfi import RequestState, requests
from intelshare.broker.lifecycle.duties import DutyLine as Duty
from intelshare.broker.lifecycle.duties import MeetDutyCommand, duties, meet_duty
from intelshare.instant import Instant
from intelshare.node.authn import UserCaller
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.wire.v1 import user_pb2 as pb


def tasks(runtime: Runtime, _: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def requests_(caller: UserCaller, _: pb.RequestsRequest) -> pb.RequestsResponse:
        now = runtime.now()
        lines = runtime.store.ask_now(lambda view: requests(runtime.node, view, caller.user, now))
        return pb.RequestsResponse(entries=[_request(line, now) for line in lines])

    async def obligations(caller: UserCaller, asked: pb.ObligationsRequest) -> pb.ObligationsResponse:
        now = runtime.now()
        lines = runtime.store.ask_now(lambda view: duties(runtime.node, view, caller.user, asked.all, now))
        return pb.ObligationsResponse(entries=[_duty(line, now) for line in lines])

    async def meet(caller: UserCaller, said: pb.MeetRequest) -> pb.ObligationEntry:
        done = await runtime.step(
            meet_duty, MeetDutyCommand(caller.user, said.id, said.obligation, said.originator)
        )
        now, row = runtime.now(), done.value
        lines = runtime.store.ask_now(lambda view: duties(runtime.node, view, caller.user, True, now))
        return next(_duty(line, now) for line in lines if line.row == row)

    return {"Requests": requests_, "Obligations": obligations, "Meet": meet}


def _request(line: Request, now: Instant) -> pb.RequestEntry:
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


def _duty(line: Duty, now: Instant) -> pb.ObligationEntry:
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
