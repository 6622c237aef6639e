"""The Consents service: the third-party rule, asked and answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    ConsentLine,
    answer_consent,
    ask_consent,
    consents,
)
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.ids import MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.node.authn import UserCaller
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.wire.v1 import user_pb2 as pb


def consent_service(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def request_(caller: UserCaller, asked: pb.ConsentRequest) -> pb.ConsentResponse:
        until = Instant(asked.until or NEVER)
        done = await links.act(
            ask_consent, AskConsentCommand(caller.user, asked.id, MemberCode(asked.recipient), until)
        )
        return _response(done.value.lines, runtime.now())

    async def answer_(caller: UserCaller, said: pb.ConsentAnswer) -> pb.ConsentResponse:
        until = Instant(said.until or NEVER)
        command = AnswerConsentCommand(
            caller.user, said.id, MemberCode(said.recipient), said.grant, until, said.originator
        )
        done = await links.act(answer_consent, command)
        return _response(done.value.lines, runtime.now())

    async def list_(caller: UserCaller, _: pb.ConsentListRequest) -> pb.ConsentResponse:
        now = runtime.now()
        return _response(
            runtime.store.ask_now(lambda view: consents(runtime.node, view, caller.user, now)), now
        )

    return {"Request": request_, "Answer": answer_, "List": list_}


def _response(lines: Iterable[ConsentLine], now: Instant) -> pb.ConsentResponse:
    return pb.ConsentResponse(entries=[_entry(line, now) for line in lines])


def _entry(line: ConsentLine, now: Instant) -> pb.ConsentEntry:
    row = line.row
    state = ConsentState(row.state).name.lower()
    return pb.ConsentEntry(
        bulletin=line.bulletin,
        recipient=row.recipient,
        member=row.member,
        own=bool(row.own),
        state="ended" if row.state == ConsentState.GRANTED and row.until <= now else state,
        portions=len(row.slots),
        until=row.until,
        asked_at=-row.newest,
        changed_at=row.changed,
    )
