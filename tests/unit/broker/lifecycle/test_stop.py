"""Pairs end by themselves when their time is over, and a number that was cancelled stays void."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import NOW, Member, actor, draft, text
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.lifecycle.stop import anything_over, expire
from intelshare.broker.line.handover import handover
from intelshare.broker.line.hello import acknowledge
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.broker.queries.lists import outbox
from intelshare.ids import MemberCode
from intelshare.instant import HOUR, Instant
from intelshare.statement import MAX_LEAVES
from line_world import TO_USA, met

END = Instant(NOW + HOUR)
USA = MemberCode("USA")


def sent(members: dict[str, Member], *, over: bool = True) -> tuple[Outbound, ...]:
    fra = members["FRA"]
    item = replace(draft(text(TO_USA), to=["USA"]), deliver_by=END)
    fra.do(submit, SubmitCommand(actor("FRA", "a"), b"k" * 16, item))
    return fra.do(handover, {USA: 1 << 20}, MAX_LEAVES) if over else ()


def shown(fra: Member) -> str:
    (line,) = fra.ask(outbox, actor("FRA", "a"), "", 10, False, END)[0]
    return line.pairs[0].status


def arrives(members: dict[str, Member], said: tuple[Outbound, ...], to: str, by: str) -> object:
    (frame,) = said
    sender = members[by].node
    return members[to].do(receive, Arrival(sender.member, sender.uri, frame.frame), at=END)


def test_a_queued_pair_is_expired_at_its_instant_although_no_link_asks_for_it() -> None:
    members = met(["FRA", "USA"])
    fra = members["FRA"]
    sent(members, over=False)
    assert not fra.store.ask_now(lambda view: anything_over(view, Instant(END - 1)))
    assert fra.store.ask_now(lambda view: anything_over(view, END))
    fra.do(expire, at=END)
    assert shown(fra) == "expired"
    assert fra.do(handover, {USA: 1 << 20}, MAX_LEAVES, at=END) == ()


def test_a_pair_on_the_way_is_not_sent_again_and_in_doubt_until_the_head_is_acknowledged() -> None:
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    (lost,) = sent(members)
    ended = fra.do(expire, at=END)
    assert ended.ended == ((USA, lost.leaves[0]),)
    assert shown(fra) == "in doubt"
    again, _ = fra.do(resend, USA, frozenset(), 1 << 20, at=END)
    assert [frame.leaves for frame in again] == [frame.leaves for frame in ended.outbound]
    taken = arrives(members, ended.outbound, "USA", "FRA")
    fra.do(acknowledge, USA, taken.acks, at=END)  # type: ignore[attr-defined]
    assert shown(fra) == "expired"
    # The copy that was lost comes after all: refused as void, and the sender's word stays.
    late = usa.do(receive, Arrival(fra.node.member, fra.node.uri, lost.frame), at=END)
    assert late.accepted == 0
    back = arrives(members, late.effects.outbound, "FRA", "USA")
    assert [ack.code for ack in back.acks] == [""]  # type: ignore[attr-defined]
    assert shown(fra) == "expired"


def test_a_receipt_that_comes_after_the_end_beats_the_senders_guess() -> None:
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    (frame,) = sent(members)
    taken = usa.do(receive, Arrival(fra.node.member, fra.node.uri, frame.frame))
    fra.do(expire, at=END)
    arrives(members, taken.effects.outbound, "FRA", "USA")
    assert shown(fra) == "accepted"


def test_nothing_ends_twice_and_what_has_a_receipt_does_not_end() -> None:
    members = met(["FRA", "USA"])
    fra, usa = members["FRA"], members["USA"]
    (frame,) = sent(members)
    taken = usa.do(receive, Arrival(fra.node.member, fra.node.uri, frame.frame))
    fra.do(receive, Arrival(usa.node.member, usa.node.uri, taken.effects.outbound[0].frame))
    assert not fra.store.ask_now(lambda view: anything_over(view, Instant(END + HOUR)))


def test_what_was_cancelled_is_settled_however_many_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelshare.broker.lifecycle.stop.PAGE", 2)
    members = met(["FRA", "USA"])
    fra = members["FRA"]
    for number in range(5):
        item = replace(draft(text(TO_USA), to=["USA"]), deliver_by=END)
        fra.do(submit, SubmitCommand(actor("FRA", "a"), bytes([number]) * 16, item))
    assert fra.do(handover, {USA: 1 << 20}, MAX_LEAVES)
    taken = arrives(members, fra.do(expire, at=END).outbound, "USA", "FRA")
    fra.do(acknowledge, USA, taken.acks, at=END)  # type: ignore[attr-defined]
    lines = fra.ask(outbox, actor("FRA", "a"), "", 10, False, END)[0]
    assert [line.pairs[0].status for line in lines] == ["expired"] * 5
