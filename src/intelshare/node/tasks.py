"""The Tasks service: requests for information and obligations, as they stand."""

from __future__ import annotations

from collections.abc import Mapping

from intelshare.broker.duties import Line as Duty
from intelshare.broker.duties import Meeting, duties, meet_duty
from intelshare.broker.rfi import Line as Request
from intelshare.broker.rfi import State, requests
from intelshare.instant import Instant
from intelshare.node.door import Answer, UserCaller
from intelshare.node.links import Links
from intelshare.node.shell import Shell
from intelshare.wire.v1 import user_pb2 as pb


def tasks(shell: Shell, _: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def requests_(caller: UserCaller, _: pb.RequestsRequest) -> pb.RequestsResponse:
        now = shell.now()
        lines = shell.store.ask_now(lambda view: requests(shell.node, view, caller.user, now))
        return pb.RequestsResponse(entries=[_request(line, now) for line in lines])

    async def obligations(caller: UserCaller, asked: pb.ObligationsRequest) -> pb.ObligationsResponse:
        now = shell.now()
        lines = shell.store.ask_now(lambda view: duties(shell.node, view, caller.user, asked.all, now))
        return pb.ObligationsResponse(entries=[_duty(line, now) for line in lines])

    async def meet(caller: UserCaller, said: pb.MeetRequest) -> pb.ObligationEntry:
        done = await shell.step(meet_duty, Meeting(caller.user, said.id, said.obligation))
        now, row = shell.now(), done.value
        lines = shell.store.ask_now(lambda view: duties(shell.node, view, caller.user, True, now))
        return next(_duty(line, now) for line in lines if line.row == row)

    return {"Requests": requests_, "Obligations": obligations, "Meet": meet}


def _request(line: Request, now: Instant) -> pb.RequestEntry:
    row = line.row
    return pb.RequestEntry(
        bulletin=line.bulletin,
        member=row.member,
        own=bool(row.own),
        state=State(row.state).name.lower(),
        due=row.due,
        overdue=row.state == State.OPEN and row.due <= now,
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
