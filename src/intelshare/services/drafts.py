"""Drafts and decisions as messages, for Submit, SubmitMany, DryRun and Why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intelshare.audit.records import LoggedPortion
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand, dry_run
from intelshare.bulletin import MAX_RECIPIENTS, Draft
from intelshare.crypto.records import Portion, PortionKind, Precedence
from intelshare.envelope import MAX_PORTIONS
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import NEVER
from intelshare.services.rpc import CallContext, asked_time
from intelshare.wire.v1 import user_pb2 as pb

KEY_LENGTH: Final = 16

_OUTCOMES: Final = {1: "allow", 2: "hold", 3: "deny"}


def submit_command(actor: Actor, request: pb.SubmitRequest) -> SubmitCommand:
    """Return the draft as the step's command. Raises DeliveryError TOO_LARGE, INPUT_INVALID."""
    # Checked before anything is built from them: one request can carry 10^5 empty portions.
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
    portions = [
        Portion(kind, p.label, p.category, tuple(p.flags), p.grade, p.media, p.content)
        for kind, p in zip(kinds, request.portions, strict=True)
    ]
    draft = Draft(
        tuple([MemberCode(code) for code in request.to]),
        precedence,
        asked_time(request.valid_until, without=NEVER),
        asked_time(request.deliver_by, without=NEVER),
        tuple(portions),
        request.supersedes.lower(),
        request.in_reply_to.lower(),
        request.in_reply_to_from,
        request.from_bulletin.lower(),
    )
    return SubmitCommand(actor, request.key, draft)


def submit_response(result: SubmitResult, *_: object) -> pb.SubmitResponse:
    """Return what was stored."""
    return pb.SubmitResponse(
        bulletin=result.bulletin,
        banner=result.banner,
        pairs=[
            pb.PairDecision(
                recipient=pair.recipient, word=pair.word, portions=portion_decisions(pair.portions)
            )
            for pair in result.pairs
        ],
        portion_banners=result.marks,
    )


def dry_run_response(context: CallContext, request: pb.SubmitRequest) -> pb.SubmitResponse:
    """Return what would be stored; it has no id."""
    command = submit_command(context.actor, request)
    response = submit_response(dry_run(context.node, context.view, command, context.now))
    response.bulletin = b""
    return response


def portion_decisions(portions: Iterable[LoggedPortion]) -> list[pb.PortionDecision]:
    """Return the decision of each portion for one recipient."""
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
