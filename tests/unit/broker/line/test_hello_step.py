"""Hello steps and the log: incarnations, entry 0, documents that a peer lacks; every act is one entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from intelshare.audit import EntryType, LogHead, append, root
from intelshare.audit.records import Start
from intelshare.broker.kernel.frame import Ack, Gap
from intelshare.broker.kernel.log import entries_of
from intelshare.broker.kernel.tables import INCOMING, LOG, LOG_HEAD, NODE, OUTGOING, PENDING, STATEMENT
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.line.hello import (
    accept_hello,
    acknowledge,
    answer_gap,
    make_hello,
    start_incarnation,
)
from intelshare.broker.transparency.log_reader import verify_logs
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Kind, StreamHead, Trust
from intelshare.envelope import stream_start
from intelshare.ids import Incarnation, MemberCode, ReleaseNumber
from intelshare.instant import Instant
from intelshare.trust import DocumentVersions, PeerHello
from line_world import (
    LATER,
    TO_USA,
    arrive,
    codes,
    entries,
    hand_over,
    log_of,
    met,
    released,
    rows,
    said,
    say_hello,
    send,
)

USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    return met(("FRA", "USA"))


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


@pytest.fixture(name="usa")
def _usa(members: Any) -> Any:
    return members["USA"]


def restart(member: Any, incarnation: int) -> None:
    member.node = replace(member.node, incarnation=Incarnation(incarnation))
    member.do(start_incarnation, at=Instant(LATER + incarnation))


def test_p12_a_new_incarnation_begins_a_new_log_that_names_the_last_root_of_the_old(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    old = fra.node.incarnation
    (head,) = rows(fra, LOG_HEAD)
    restart(fra, 77)
    start = next(one for one in entries(fra, EntryType.START, Start) if one.previous)
    heads = {row.incarnation: row for row in rows(fra, LOG_HEAD)}
    assert log_of(fra) == [EntryType.START]
    assert (start.previous, start.size) == (old, head.size)
    assert start.root == root(LogHead(old, head.size, head.frontier))
    assert heads[old] == head
    assert fra.ask(verify_logs).findings == ()
    (me,) = rows(fra, NODE)
    assert (me.incarnation, me.previous) == (77, old)


def test_p12_numbers_begin_anew_with_each_incarnation_and_the_peer_takes_both(
    members: Any, fra: Any, usa: Any
) -> None:
    first = released(members)
    restart(fra, 77)
    send(fra, draft(text(TO_USA, "second"), to=["USA"]), key="second")
    (second,) = hand_over(fra, "USA", at=LATER)
    say_hello(fra, usa, at=LATER)
    assert said(arrive(usa, fra, second.frame, at=LATER)) == [("ACCEPTED", ())]
    assert said(arrive(usa, fra, first, at=LATER)) == [("ACCEPTED", ())]
    assert sorted(row.last for row in rows(fra, OUTGOING)) == [1, 1]


def test_the_log_tree_is_over_its_entries_in_order(members: Any, fra: Any, usa: Any) -> None:
    arrive(usa, fra, released(members))
    for member in (fra, usa):
        (head,) = rows(member, LOG_HEAD)
        leaves = [entry.leaf for row in rows(member, LOG) for entry in entries_of(row)]
        again = append(LogHead(head.incarnation, 0, b""), leaves)
        assert (again.size, again.frontier) == (head.size, head.frontier)
        assert member.ask(verify_logs).findings == ()


def test_i7_every_act_is_exactly_one_entry(members: Any, fra: Any, usa: Any) -> None:
    before = len(log_of(fra)), len(log_of(usa))
    answer = send(fra, draft(text(TO_USA), to=["USA"]))
    (outbound,) = hand_over(fra, "USA")
    taken = arrive(usa, fra, outbound.frame)
    arrive(fra, usa, taken.effects.outbound[0].frame)
    usa.do(read, ReadCommand(actor("USA", "a"), answer.bulletin.hex()))
    assert log_of(fra)[before[0] :] == [
        EntryType.SUBMIT,
        EntryType.DECISION,
        EntryType.HAND_OVER,
        EntryType.RECEIPT,
    ]
    assert log_of(usa)[before[1] :] == [EntryType.RECEIVED, EntryType.READ]


def test_a_hello_names_the_present_incarnation_before_anything_was_sent(fra: Any) -> None:
    payload = fra.ask(make_hello, USA, NOW)
    (head,) = payload.heads
    assert (head.to, head.incarnation, head.last) == ("USA", fra.node.incarnation, 0)


def test_a_hello_names_a_bounded_number_of_incarnations_the_newest(
    fra: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.broker.line.hello.MAX_HEADS", 3)
    for number in range(1, 6):
        restart(fra, number)
        send(fra, draft(text(TO_USA, str(number)), to=["USA"]), key=str(number), at=Instant(LATER + number))
        hand_over(fra, "USA", at=Instant(LATER + number))
    heads = fra.ask(make_hello, USA, LATER).heads
    assert {head.incarnation for head in heads} == {3, 4, 5}


def test_a_head_for_another_member_is_not_taken(fra: Any, usa: Any) -> None:
    before = rows(usa, INCOMING)
    payload = fra.ask(make_hello, MemberCode("USA"), NOW)
    head = StreamHead(
        MemberCode("KEN"), Incarnation(5), Incarnation(0), ReleaseNumber(9), payload.heads[0].head, ()
    )
    _meet(usa, fra, replace(payload, heads=(head,)))
    assert rows(usa, INCOMING) == before


@pytest.mark.parametrize("last", [(1 << 20) + 1, (1 << 63) - 1])
def test_a_head_that_points_absurdly_far_ahead_is_not_taken_and_the_link_opens(
    fra: Any, usa: Any, last: int
) -> None:
    payload = fra.ask(make_hello, USA, NOW)
    head = replace(payload.heads[0], last=ReleaseNumber(last))
    assert _meet(usa, fra, replace(payload, heads=(head,))).gaps == (Gap.of_acts(1),)
    assert log_of(usa)[-1] is EntryType.REJECTED


def test_a_peer_gets_the_documents_that_it_says_it_lacks_and_no_others(fra: Any, usa: Any) -> None:
    assert say_hello(usa, fra).effects.outbound == ()
    payload = usa.ask(make_hello, MemberCode("FRA"), NOW)
    old = tuple(
        DocumentVersions(row.member, row.root, 1 if row.member == "FRA" else row.directory)
        for row in payload.documents
    )
    (outbound,) = _meet(fra, usa, replace(payload, documents=old)).effects.outbound
    assert len(outbound.frame.statements) == 1
    signed = fra.node.trust.members[MemberCode("FRA")].directory_signed
    assert outbound.frame.statements[0].data == encode(Trust, signed)


def test_p18_what_one_gap_request_brings_back_is_bounded(
    members: Any, fra: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.broker.line.hello.MAX_FILL", 3)
    for place in range(5):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    hand_over(fra, "USA")
    leaves = [row.leaf for row in rows(fra, PENDING)]
    fra.do(acknowledge, USA, [Ack(leaf, "", NOW) for leaf in leaves])
    gap = Gap(fra.node.uri, fra.node.incarnation, ((0, (1 << 64) - 1), (1, 5)))
    assert fra.do(answer_gap, USA, gap)
    assert len(rows(fra, PENDING)) == 3


def _meet(member: Any, peer: Any, payload: Any) -> Any:
    node = peer.node
    return member.do(accept_hello, PeerHello(node.member, node.uri, node.signer.key_id, payload, 0), (), None)


def test_a_stream_starts_differently_for_each_recipient_and_incarnation(fra: Any) -> None:
    starts = {
        stream_start(fra.node.uri, Incarnation(incarnation), MemberCode(code))
        for incarnation in (1, 2)
        for code in ("USA", "KEN")
    }
    assert len(starts) == 4


def test_a_peer_that_lost_its_memory_is_told_of_more_streams_than_a_hello_has_room_for(fra: Any) -> None:
    """Otherwise what it still lacks of the oldest would be rejected for ever: INCARNATION_UNKNOWN."""
    frames = []
    for start in range(70):
        send(fra, draft(text(TO_USA), to=["USA"]), key=str(start))
        frames.append(hand_over(fra, "USA")[0].frame)
        fra.node = replace(fra.node, incarnation=Incarnation(10_000 + start))
        fra.do(start_incarnation, at=Instant(NOW + 1 + start))
    forgot = met(("FRA", "USA"))["USA"]
    forgot.node = replace(forgot.node, incarnation=Incarnation(77))
    forgot.do(start_incarnation, at=Instant(NOW + 100))
    say_hello(fra, forgot, at=Instant(NOW + 100))
    assert codes(arrive(forgot, fra, frames[1], Instant(NOW + 100))) == ["INCARNATION_UNKNOWN"]
    told = say_hello(forgot, fra, at=Instant(NOW + 100)).effects.outbound
    heads = [one for one in told if one.frame.statements[0].kind == Kind.STREAM_HEAD]
    for one in heads:
        assert set(codes(arrive(forgot, fra, one.frame, Instant(NOW + 101)))) == {""}
    assert "INCARNATION_UNKNOWN" not in codes(arrive(forgot, fra, frames[1], Instant(NOW + 102)))
    signed = len(rows(fra, STATEMENT))
    assert say_hello(forgot, fra, at=Instant(NOW + 103)) is not None
    assert len(rows(fra, STATEMENT)) == signed, "each is signed once"
