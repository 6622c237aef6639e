"""The Consents service: the third-party rule, asked and answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from intelshare.broker.consent import Answering, Asking, Line, State, answer, consents, request
from intelshare.ids import MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.node.door import Answer, UserCaller
from intelshare.node.links import Links
from intelshare.node.shell import Shell
from intelshare.wire.v1 import user_pb2 as pb


def consent_service(shell: Shell, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def request_(caller: UserCaller, asked: pb.ConsentRequest) -> pb.ConsentResponse:
        until = Instant(asked.until or NEVER)
        done = await links.act(request, Asking(caller.user, asked.id, MemberCode(asked.recipient), until))
        return _response(done.value.lines, shell.now())

    async def answer_(caller: UserCaller, said: pb.ConsentAnswer) -> pb.ConsentResponse:
        until = Instant(said.until or NEVER)
        answering = Answering(caller.user, said.id, MemberCode(said.recipient), said.grant, until)
        done = await links.act(answer, answering)
        return _response(done.value.lines, shell.now())

    async def list_(caller: UserCaller, _: pb.ConsentListRequest) -> pb.ConsentResponse:
        now = shell.now()
        return _response(shell.store.ask_now(lambda view: consents(shell.node, view, caller.user, now)), now)

    return {"Request": request_, "Answer": answer_, "List": list_}


def _response(lines: Iterable[Line], now: Instant) -> pb.ConsentResponse:
    return pb.ConsentResponse(entries=[_entry(line, now) for line in lines])


def _entry(line: Line, now: Instant) -> pb.ConsentEntry:
    row = line.row
    state = State(row.state).name.lower()
    return pb.ConsentEntry(
        bulletin=line.bulletin,
        recipient=row.recipient,
        member=row.member,
        own=bool(row.own),
        state="ended" if row.state == State.GRANTED and row.until <= now else state,
        portions=len(row.slots),
        until=row.until,
        asked_at=-row.newest,
        changed_at=row.changed,
    )
