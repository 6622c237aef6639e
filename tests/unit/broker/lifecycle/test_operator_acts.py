"""What people decide where a node must not decide by itself: a frozen stream, a pair that is given up."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.tables import INBOX, INCOMING, PAIR
from intelshare.broker.lifecycle.operator_acts import (
    GiveUpCommand,
    ReleaseStreamCommand,
    give_up,
    release_stream,
)
from intelshare.broker.lifecycle.streams import is_frozen
from intelshare.delivery import Cause, PairStatus
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from line_world import TO_USA, Forger, arrive, codes, entries, hand_over, met, pair_of, rows, said, send

FRA, USA = MemberCode("FRA"), MemberCode("USA")


def release(usa: Any, reason: str = "restored a disk; cleared by phone") -> Any:
    return usa.do(release_stream, ReleaseStreamCommand(user("USA", "operator"), FRA, reason))


def test_a_frozen_stream_goes_on_as_its_node_goes_on_with_it_and_freezes_again() -> None:
    members = met(("FRA", "USA"))
    usa = members["USA"]
    one, other = Forger(members), Forger(members)
    assert codes(arrive(usa, members["FRA"], one.frame(seed="a"))) == [""]
    assert codes(arrive(usa, members["FRA"], one.frame(seed="b"))) == [""]
    # The other chain: another content for number 1, and what follows it.
    again = other.frame(seed="c")
    assert codes(arrive(usa, members["FRA"], again)) == ["SEQUENCE_FORK"]
    assert is_frozen(rows(usa, INCOMING)[0])
    second, third = other.frame(seed="d"), other.frame(seed="e")
    assert codes(arrive(usa, members["FRA"], second)) == ["SEQUENCE_FORK"]

    assert release(usa).streams == 1
    (noted,) = entries(usa, EntryType.OPERATED, Operated)
    assert (noted.act, noted.user) == (OperatorAct.STREAM_RELEASED, user("USA", "operator"))
    for frame in (again, second, third):
        assert codes(arrive(usa, members["FRA"], frame)) == [""]
    assert len(rows(usa, INBOX)) == 5
    # From there on a contradiction freezes it once more.
    assert codes(arrive(usa, members["FRA"], one.frame(seed="f"))) == ["SEQUENCE_FORK"]
    assert is_frozen(rows(usa, INCOMING)[0])


def test_a_stream_that_is_not_frozen_or_without_a_reason_is_not_released() -> None:
    members = met(("FRA", "USA"))
    with pytest.raises(DeliveryError, match="no stream of FRA is frozen"):
        release(members["USA"])
    with pytest.raises(DeliveryError, match="a reason"):
        release(members["USA"], " ")


def give(fra: Any, bulletin: str, by: str = "a", reason: str = "sent by fax") -> Any:
    return fra.do(give_up, GiveUpCommand(actor("FRA", by), bulletin, USA, reason))


def test_a_pair_that_waits_is_given_up_and_ends_undeliverable() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    bulletin = send(fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
    assert give(fra, bulletin).status is PairStatus.UNDELIVERABLE
    row = pair_of(fra)
    assert (row.cause, row.codes, row.open) == (Cause.UNDELIVERABLE, "GIVEN_UP", 0)
    (noted,) = entries(fra, EntryType.OPERATED, Operated)
    assert (noted.act, noted.reason) == (OperatorAct.GIVEN_UP, "sent by fax")
    assert hand_over(fra, "USA") == ()
    with pytest.raises(DeliveryError, match="the pair has ended: it is undeliverable"):
        give(fra, bulletin)


def test_what_was_handed_over_is_in_doubt_until_the_recipient_has_heard_and_its_number_is_void() -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    bulletin = send(fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
    (left,) = hand_over(fra, "USA")
    given = give(fra, bulletin, by="r")
    assert given.status is PairStatus.IN_DOUBT
    for outbound in given.effects.outbound:
        arrive(usa, fra, outbound.frame)
    assert said(arrive(usa, fra, left.frame)) == [("REFUSED", ("VOIDED",))]
    assert rows(usa, INBOX) == []


def test_only_the_author_and_releasing_officers_give_up_and_say_why() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    bulletin = send(fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
    with pytest.raises(DeliveryError, match=r"NOT_AUTHORISED|NOT_FOUND"):
        give(fra, bulletin, by="b")
    with pytest.raises(DeliveryError, match="a reason"):
        give(fra, bulletin, reason="")
    assert rows(fra, PAIR)[0].open
    assert NOW
