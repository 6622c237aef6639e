"""The Consents service: requests and answers under the third-party rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    ConsentLine,
    ConsentResult,
    answer_consent,
    ask_consent,
    consents,
)
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.node import Node
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.ids import MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.services.rpc import OFFICERS, WRITERS, CallContext, QueryCall, Rpc, StepCall, asked_time
from intelshare.wire.v1 import user_pb2 as pb


def ask_command(actor: Actor, request: pb.ConsentRequest) -> AskConsentCommand:
    until = asked_time(request.until, without=NEVER)
    return AskConsentCommand(actor, request.id, MemberCode(request.recipient), until)


def answer_command(actor: Actor, request: pb.ConsentAnswer) -> AnswerConsentCommand:
    until = asked_time(request.until, without=NEVER)
    recipient = MemberCode(request.recipient)
    return AnswerConsentCommand(actor, request.id, recipient, request.grant, until, request.originator)


def result_response(result: ConsentResult, _: Node, now: Instant) -> pb.ConsentResponse:
    """Return the state after a question or an answer."""
    return _response(result.lines, now)


def list_response(context: CallContext, _: pb.ConsentListRequest) -> pb.ConsentResponse:
    """Return the questions in both directions, newest first."""
    lines, damaged = consents(context.node, context.view, context.actor, context.now)
    return _response(lines, context.now, damaged)


CONSENTS: Final = (
    Rpc("Request", WRITERS, StepCall(ask_command, ask_consent, result_response)),
    Rpc("Answer", OFFICERS, StepCall(answer_command, answer_consent, result_response)),
    Rpc("List", WRITERS, QueryCall(list_response)),
)


def _response(lines: Iterable[ConsentLine], now: Instant, damaged: Iterable[str] = ()) -> pb.ConsentResponse:
    return pb.ConsentResponse(entries=[_entry(line, now) for line in lines], damaged=damaged)


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
