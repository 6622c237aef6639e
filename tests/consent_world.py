"""KEN's portion in a bulletin of FRA for USA, and the questions and answers about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders import NOW, Member, actor, draft, text
from intelshare.broker.exchange.consent import (
    AnswerConsentCommand,
    AskConsentCommand,
    answer_consent,
    ask_consent,
)
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.transaction import ToSay, Transaction
from intelshare.broker.line.submit import SubmitResult
from intelshare.bulletin import Draft
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Consent, Kind
from intelshare.delivery import status_of
from intelshare.ids import MemberCode
from intelshare.instant import HOUR, NEVER, Instant
from intelshare.ports import Plan
from line_world import arrive, codes, hand_over, pair_of, said, send

OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA, USA"
OWN = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"
SOURCES_STAY = """[[forbid]]
id = "FRA-x"
source = "invented"
when = { flags = ["source-identity"], to = ["USA"] }
"""
FRA, USA, KEN = (MemberCode(code) for code in ("FRA", "USA", "KEN"))
LATER = Instant(NOW + HOUR)


def received_from(members: Any, sender: str = "KEN", to: str = "FRA", label: str = OF_KEN) -> str:
    """The id of a bulletin that a member has received; the same one however often this is called."""
    owner = members[sender]
    bulletin: str = send(owner, draft(text(label), to=[to]), f"for {to}").bulletin.hex()
    for frame in hand_over(owner, to):
        arrive(members[to], owner, frame.frame)
    return bulletin


def pass_on(members: Any, given: Draft, key: str = "key", by: str = "FRA") -> SubmitResult:
    """Submit a draft that has KEN's portions, which come from a received bulletin."""
    return send(members[by], replace(given, from_bulletin=received_from(members, to=by)), key)


def ask(fra: Member, bulletin: str, recipient: MemberCode = USA, until: Instant = NEVER) -> Effects:
    effects: Effects = fra.do(
        ask_consent, AskConsentCommand(actor("FRA", "a"), bulletin, recipient, until)
    ).effects
    return effects


def grant(
    ken: Member, bulletin: str, *, grant: bool = True, until: Instant = NEVER, by: str = "r"
) -> Effects:
    effects: Effects = ken.do(
        answer_consent, AnswerConsentCommand(actor("KEN", by), bulletin, USA, grant, until)
    ).effects
    return effects


def carry(members: Any, effects: Effects, sender: str, to: str, at: Instant = NOW) -> list[Any]:
    """What these effects say to one member, said there."""
    return [
        arrive(members[to], members[sender], outbound.frame, at=at)
        for outbound in effects.outbound
        if outbound.peer == to
    ]


def asked(members: Any, label: str = OF_KEN) -> str:
    """FRA has sent a portion of KEN to USA, and has asked; KEN holds the portion and the question."""
    fra = members["FRA"]
    bulletin: str = pass_on(members, draft(text(label), to=["USA"])).bulletin.hex()
    effects = ask(fra, bulletin)
    for frame in hand_over(fra, "KEN"):
        assert said(arrive(members["KEN"], fra, frame.frame)) == [("ACCEPTED", ())]
    (taken,) = carry(members, effects, "FRA", "KEN")
    assert codes(taken) == [""]
    return bulletin


def word(member: Member, recipient: str = "USA") -> str:
    return status_of(facts_of(pair_of(member, recipient)))


def say(member: Member, consent: Consent) -> Any:
    def step(node: Any, view: Any, now: Any, random: Any) -> Plan[Effects]:
        tx = Transaction(node, view, now, random)
        tx.say([ToSay(consent.to, Kind.CONSENT, encode(Consent, consent), 0)])
        return tx.plan(tx.effects())

    return member.do(step).outbound[0].frame
