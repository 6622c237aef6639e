"""A restored node reports and proves like all else what it knows again from its recipients (P12, P20)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, federation
from export_world import deliver, exported, sent
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.line.hand_back import hand_back
from intelshare.broker.line.hello import start_incarnation
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import why
from intelshare.broker.queries.report import report
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import HOUR, Instant
from intelshare.trust import read_member_file, write_member_file
from intelshare.verifier import check_release
from line_world import ROOM, arrive, met, say_hello

FRA, USA = MemberCode("FRA"), MemberCode("USA")
LATER = Instant(NOW + HOUR)


@pytest.fixture
def members() -> Any:
    return met()


def releases(member: Any, treaty: str = "") -> Any:
    """What a report says of each release, and how much was shared."""
    found = member.ask(report, treaty, Instant(0), LATER, LATER)
    assert found.damaged == []
    said = [(one.statement, one.recipient, one.word, tuple(one.treaties)) for one in found.releases]
    return said, [(one.bulletins, one.portions) for one in found.shared]


def is_put_back(members: Any) -> None:
    """FRA forgets what it did since its first start, and hears of it from USA."""
    before = members["FRA"]
    fra = members["FRA"] = federation(tuple(members), type(before.store))["FRA"]
    fra.node = replace(fra.node, incarnation=before.node.incarnation + 1)
    fra.do(start_incarnation)
    gap = Gap(fra.node.uri, 0, ((NOW, NOW),))
    for said in members["USA"].do(hand_back, FRA, fra.node.uri, gap).frames:
        fra.do(receive, Arrival(USA, members["USA"].node.uri, said.frame))
    say_hello(members["USA"], fra)
    for said in members["USA"].do(resend, FRA, frozenset(), ROOM)[0]:
        arrive(fra, members["USA"], said.frame)


def test_p12_a_release_that_is_known_again_is_reported_with_its_treaty(members: Any) -> None:
    sent(members)
    deliver(members)
    before = releases(members["FRA"])
    ((_, _, _, (treaty,)),) = before[0]
    is_put_back(members)
    assert releases(members["FRA"]) == before
    assert releases(members["FRA"], treaty.split()[0])[0] == before[0]


def test_p20_a_release_that_is_known_again_is_proved(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    is_put_back(members)
    files = [
        read_member_file(write_member_file(members["KEN"].node.trust.members[code]).encode(), code)
        for code in ("FRA", "USA", "KEN")
    ]
    found = check_release(exported(members, "FRA", bulletin, user="r"), "file", files)
    assert (found.sender, found.recipient, found.outcome) == ("FRA", "USA", "accepted")


def test_p12_why_says_that_the_decision_was_forgotten(members: Any) -> None:
    bulletin = sent(members)
    deliver(members)
    is_put_back(members)
    with pytest.raises(DeliveryError, match="STORE_FORGOT"):
        members["FRA"].ask(why, actor("FRA", "r"), bulletin, USA, NOW)
