"""Hand-over and resend: promises P7 and P9, the egress check, numbers, order and bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.audit.records import DecisionKept, EntryType, HandOver
from intelshare.broker.kernel import decide_pair as judging
from intelshare.broker.kernel.decide_pair import PairDecision, loggable
from intelshare.broker.kernel.frame import Ack
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.node import Recent
from intelshare.broker.kernel.pair_rows import facts_of, logged_decision
from intelshare.broker.kernel.tables import BULLETIN, LOG, OUTGOING, PAIR, PENDING, PORTION, STATEMENT
from intelshare.broker.lifecycle.holds import ApproveCommand, approve
from intelshare.broker.line import handover as room
from intelshare.broker.line.handover import MAX_FRAME, entry_of
from intelshare.broker.line.hello import acknowledge, answer_gap
from intelshare.broker.line.read_ahead import handover_ahead, read_ahead
from intelshare.broker.line.resend import resend
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Batch, Kind, Precedence, Release
from intelshare.delivery import Cause, status_of
from intelshare.envelope import MAX_CONTENT, SealedRow, stream_start
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import DAY, Instant
from intelshare.policy import Outcome
from intelshare.ports import Plan, Put, changed
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import MAX_LEAVES, leaf_id
from intelshare.wire import frame_message
from line_world import (
    LATER,
    ROOM,
    TO_BOTH,
    TO_USA,
    arrive,
    codes,
    entries,
    hand_over,
    log_of,
    met,
    pair_of,
    rows,
    said,
    say_hello,
    send,
    with_law,
    world_with,
)

HOLD = '[[hold]]\nid = "source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n'
USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


def words(member: Any) -> list[str]:
    return sorted(status_of(facts_of(row)) for row in rows(member, PAIR))


def releases(frames: Any) -> list[Release]:
    return [decode(Release, carried.data) for outbound in frames for carried in outbound.frame.statements]


def sent_again(member: Any, busy: Any = (), room: int = 1 << 24) -> Any:
    return member.do(resend, USA, busy, room)


def test_p9_what_was_allowed_at_submit_and_is_denied_now_is_withheld_without_a_number(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    fra.node = replace(fra.node, world=world_with(fra.node, without=["gsa-fra-usa", "demo-climate"]))
    assert hand_over(fra, "USA") == ()
    assert words(fra) == ["withheld"]
    assert "NO_TREATY" in pair_of(fra).codes
    assert log_of(fra)[-2:] == [EntryType.DECISION, EntryType.STOP]
    assert not rows(fra, OUTGOING)
    assert not rows(fra, STATEMENT, "number", "USA", Kind.RELEASE)


def test_a_law_made_after_queueing_holds_the_pair_until_a_second_person_approves(fra: Any) -> None:
    answer = send(fra, draft(text(TO_USA, flags=("source-identity",)), to=["USA"]))
    with_law(fra, HOLD)
    assert hand_over(fra, "USA") == ()
    assert words(fra) == ["held"]
    assert hand_over(fra, "USA") == ()
    fra.do(approve, ApproveCommand(actor("FRA", "r"), answer.bulletin.hex(), USA))
    assert len(hand_over(fra, "USA")) == 1
    assert words(fra) == ["sent"]


@pytest.mark.parametrize("field", ["valid_until", "deliver_by"])
def test_what_expired_in_the_queue_does_not_leave(fra: Any, field: str) -> None:
    send(fra, replace(draft(text(TO_USA), to=["USA"]), **{field: LATER}))
    assert hand_over(fra, "USA", at=LATER) == ()
    assert words(fra) == ["expired"]
    assert log_of(fra)[-1] is EntryType.STOP


def test_p19_the_egress_check_stops_what_a_broken_decide_would_leak(
    fra: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = judging.decide

    def allows_everything(world: Any, request: Any) -> Any:
        return replace(real(world, request), outcome=Outcome.ALLOW, reasons=())

    monkeypatch.setattr(judging, "decide", allows_everything)
    send(fra, draft(text(TO_USA), to=["KEN"]))
    assert words(fra) == ["queued"]
    assert hand_over(fra, "KEN") == ()
    assert words(fra) == ["withheld"]
    assert pair_of(fra, "KEN").codes == "POLICY_DENIED"
    assert not rows(fra, OUTGOING)


def test_p19_decide_stops_the_leak_when_the_egress_check_is_gone(
    fra: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "check_egress", lambda *_: None)
    send(fra, draft(text(TO_USA), to=["KEN"]))
    assert hand_over(fra, "KEN") == ()
    assert words(fra) == ["withheld"]


def test_p19_a_withheld_portion_leaves_no_trace_in_the_frame(members: Any) -> None:
    fra, ken = members["FRA"], members["KEN"]
    send(fra, draft(text(TO_USA, "FOR-USA-ONLY"), text(TO_BOTH, "FOR BOTH"), to=["KEN"]))
    (outbound,) = hand_over(fra, "KEN")
    assert len(outbound.frame.statements[0].bodies) == 1
    assert said(arrive(ken, fra, outbound.frame)) == [("ACCEPTED", ())]


def test_numbers_run_from_one_and_each_release_names_the_one_before(fra: Any) -> None:
    made: list[Release] = []
    leaves = []
    for number in range(3):
        for place in range(2):
            send(fra, draft(text(TO_USA, f"{number} {place}"), to=["USA"]), key=f"{number} {place}")
        frames = hand_over(fra, "USA")
        made += releases(frames)
        leaves += [leaf for outbound in frames for leaf in outbound.leaves]
    assert [release.sequence for release in made] == list(range(1, 7))
    start = stream_start(fra.node.uri, fra.node.incarnation, USA)
    assert [release.prev for release in made] == [start, *leaves[:-1]]
    assert rows(fra, OUTGOING)[0].last == 6


def test_a_withheld_pair_between_two_others_uses_no_number(fra: Any) -> None:
    send(fra, draft(text(TO_USA, "1"), to=["USA"]), key="1")
    send(fra, replace(draft(text(TO_USA, "2"), to=["USA"]), valid_until=LATER), key="2")
    send(fra, draft(text(TO_USA, "3"), to=["USA"]), key="3")
    assert [release.sequence for release in releases(hand_over(fra, "USA", at=LATER))] == [1, 2]
    assert words(fra) == ["expired", "sent", "sent"]


def test_p6_flash_is_handed_over_first(fra: Any) -> None:
    order = [Precedence.ROUTINE, Precedence.FLASH, Precedence.PRIORITY, Precedence.IMMEDIATE]
    for place, precedence in enumerate(order):
        given = draft(text(TO_USA, str(place)), to=["USA"], precedence=precedence)
        send(fra, given, key=str(place), at=Instant(NOW + place))
    (outbound,) = hand_over(fra, "USA", at=LATER)
    assert [release.precedence for release in releases([outbound])] == sorted(order, reverse=True)
    assert outbound.rank == 0
    again, _ = sent_again(fra)
    assert [release.precedence for release in releases(again)] == sorted(order, reverse=True)


def test_row_30_without_a_fresh_directory_everything_waits(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    far = Instant(NOW + 400 * DAY)
    assert hand_over(fra, "USA", at=far) == ()
    assert words(fra) == ["queued"]
    assert len(hand_over(fra, "USA")) == 1


def test_nothing_leaves_without_room_or_for_peers_that_were_not_asked_about(fra: Any) -> None:
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    assert hand_over(fra) == ()
    assert hand_over(fra, "USA", room=0) == ()
    assert [outbound.peer for outbound in hand_over(fra, "USA")] == ["USA"]
    assert words(fra) == ["queued", "sent"]


def test_p7_every_retry_is_the_same_bytes_under_the_same_number(fra: Any) -> None:
    for place in range(3):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    first = hand_over(fra, "USA")
    for _ in range(2):
        again, more = sent_again(fra)
        assert not more
        assert [outbound.frame for outbound in again] == [outbound.frame for outbound in first]
        assert [outbound.leaves for outbound in again] == [outbound.leaves for outbound in first]
    assert hand_over(fra, "USA") == ()


def test_what_is_on_the_way_or_acknowledged_is_not_sent_again(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    for place in range(2):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    (outbound,) = hand_over(fra, "USA")
    again, _ = sent_again(fra, busy={outbound.leaves[0]})
    assert [leaf for one in again for leaf in one.leaves] == [outbound.leaves[1]]
    taken = arrive(usa, fra, outbound.frame)
    fra.do(acknowledge, USA, taken.acks[:1])
    fra.do(acknowledge, MemberCode("KEN"), taken.acks[1:])
    assert [row.leaf for row in rows(fra, PENDING)] == [outbound.leaves[1]]


def test_p9_a_stopped_pair_is_not_resent(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    hand_over(fra, "USA")
    row = pair_of(fra)._replace(cause=Cause.WITHHELD)
    fra.store.perform_now(lambda _: _only_put(PAIR, row))
    assert words(fra) == ["in doubt"]
    assert sent_again(fra) == ((), False)


def test_one_signature_covers_all_peers_that_have_room(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    frames = hand_over(fra, "USA", "KEN")
    assert sorted(outbound.peer for outbound in frames) == ["KEN", "USA"]
    assert len({outbound.frame.batch for outbound in frames}) == 1
    assert len({outbound.frame.batch_key for outbound in frames}) == 2
    for outbound in frames:
        assert codes(arrive(members[outbound.peer], fra, outbound.frame)) == [""]


def test_more_than_a_batch_goes_in_several_and_nothing_is_lost(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    for place in range(300):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    numbers: list[int] = []
    while frames := hand_over(fra, "USA", room=1 << 24):
        assert sum(len(outbound.leaves) for outbound in frames) <= 256
        numbers += [release.sequence for release in releases(frames)]
        for outbound in frames:
            assert set(codes(arrive(usa, fra, outbound.frame))) == {""}
    assert numbers == list(range(1, 301))


def test_p18_no_frame_is_over_a_megabyte(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    sizes = [MAX_CONTENT, MAX_CONTENT // 2, MAX_CONTENT // 2, MAX_CONTENT // 3, MAX_CONTENT, 10]
    for place, size in enumerate(sizes):
        send(fra, draft(text(TO_USA, "x" * size), to=["USA"]), key=str(place))
    many = [text(TO_USA, str(place), media="text/" + "f" * 900) for place in range(63)]
    send(fra, draft(*many, text(TO_USA, "x" * (MAX_CONTENT - 1000)), to=["USA"]), key="many")
    frames = hand_over(fra, "USA", room=1 << 24)
    assert sum(len(outbound.leaves) for outbound in frames) == len(sizes) + 1
    for outbound in frames:
        assert len(frame_message(outbound.frame)) <= MAX_FRAME
        assert set(codes(arrive(usa, fra, outbound.frame))) == {""}
    again, _ = sent_again(fra)
    assert all(len(frame_message(outbound.frame)) <= MAX_FRAME for outbound in again)


def test_a_busy_peer_does_not_use_up_the_batch_of_the_others(members: Any) -> None:
    fra = members["FRA"]
    for place in range(260):
        send(fra, draft(text(TO_BOTH, str(place)), to=["KEN"]), key=f"KEN {place}")
    send(fra, draft(text(TO_USA), to=["USA"]), key="USA")
    assert {outbound.peer for outbound in hand_over(fra, "USA", "KEN", room=1 << 24)} == {"USA", "KEN"}


def test_hand_over_logs_each_release_once_and_a_decision_only_if_it_changed(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    logged = len(log_of(fra))
    hand_over(fra, "USA")
    assert log_of(fra)[logged:] == [EntryType.HAND_OVER]
    hand_over(fra, "USA")
    assert len(log_of(fra)) == logged + 1


def test_the_digest_of_a_queued_statement_is_that_of_its_bytes(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    (outbound,) = hand_over(fra, "USA", room=ROOM)
    (carried,) = outbound.frame.statements
    assert leaf_id(Kind(carried.kind), carried.nonce, carried.data) == outbound.leaves[0]
    assert decode(Batch, outbound.frame.batch).key == fra.node.signer.key_id


def test_a_decision_is_logged_as_the_codec_writes_it_and_its_fingerprint_tells_no_time(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), text(TO_USA, "two"), to=["KEN", "USA"]))
    for row in rows(fra, PAIR):
        made = logged_decision(fra.node, fra.store, row)
        pair = PairDecision(row.recipient, (), (), made.portions)
        logged = loggable(fra.node.storage_key, pair, fra.node.member)
        assert made.seed + logged.entry(row.md, NOW) == encode(DecisionKept, made)
        assert made.seed + logged.entry(row.md, LATER) != encode(DecisionKept, made)
        assert logged.fingerprint == row.gist


def test_a_hand_over_is_logged_as_the_codec_writes_it(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), to=["KEN", "USA"]))
    hand_over(fra, "KEN", "USA")
    for row in rows(fra, PAIR):
        release = SealedRow(row.leaf, row.sequence, b"", b"", b"", b"")
        made = HandOver(row.md, row.recipient, row.leaf, row.incarnation, row.sequence, row.decision)
        assert entry_of(row, row.incarnation, release) == encode(HandOver, made)
    logged = entries(fra, EntryType.HAND_OVER, HandOver)
    assert {(one.recipient, one.leaf) for one in logged} == {
        (row.recipient, row.leaf) for row in rows(fra, PAIR)
    }


def forgets(member: Any) -> None:
    """As after a restart: nothing is remembered of what submit has made."""
    member.node = replace(member.node, recent=Recent())


SORTS = [
    draft(text(TO_USA), to=["USA"]),
    draft(text(TO_BOTH), text(TO_USA, "two"), to=["USA", "KEN"]),
    draft(text(TO_USA, flags=("source-identity",)), to=["USA"]),
    draft(text(TO_USA), to=["KEN", "USA"]),
]


def read(member: Any, at: Instant = NOW) -> Any:
    """What another process reads before it hands over."""
    rooms = {USA: ROOM, MemberCode("KEN"): ROOM}
    return member.store.ask_now(lambda view: read_ahead(member.node, view, rooms, MAX_LEAVES, at))


def plan_of(change: str, how: str) -> list[str]:
    """All rows and frames of one hand-over after ``change``."""
    fra = met(suite=FAKE_SUITE)["FRA"]
    first = send(fra, SORTS[0], "0")
    for place, one in enumerate(SORTS[1:]):
        send(fra, replace(one, supersedes=first.bulletin.hex() if place == 2 else ""), f"{place + 1}")
    assert len(fra.node.recent) == len(SORTS)
    ahead = {}
    if how != "remembered":
        forgets(fra)
    if how == "read before":
        ahead = read(fra)
        assert len(ahead) == len(SORTS)
    if change == "law":
        with_law(fra, HOLD)
    if change == "treaty":
        fra.node = replace(fra.node, world=world_with(fra.node, without=["gsa-fra-usa"]))
    at = Instant(NOW + 400 * DAY) if change == "expired" else NOW
    if how == "read after":
        ahead = read(fra, at)
    rooms = {USA: ROOM, MemberCode("KEN"): ROOM}
    plan = fra.store.ask_now(
        lambda view: handover_ahead(fra.node, view, rooms, MAX_LEAVES, ahead, at, seeded("hand-over"))
    )
    opened = [
        entry._replace(salt=b"", leaf=b"")
        for write in plan.writes
        if write.table is LOG
        for entry in open_row(fra.node, write.row)
    ]
    return [*map(repr, opened), *sorted(map(repr, plan.writes)), repr(plan.answer)]


@pytest.mark.parametrize("change", ["none", "law", "treaty", "expired"])
def test_what_submit_has_just_made_changes_nothing_of_what_is_handed_over(change: str) -> None:
    """The same rows and frames whether the node remembers it or reads it back, whatever came between (P9)."""
    assert plan_of(change, "remembered") == plan_of(change, "read back")


def test_what_is_read_ahead_is_not_remembered() -> None:
    """Another replica may have handed it over: no key stays in memory for a pair that does not wait."""
    fra, ken = met(suite=FAKE_SUITE)["FRA"], MemberCode("KEN")
    md = send(fra, draft(text(TO_BOTH), to=["USA", "KEN"])).md
    other, rooms = replace(fra.node, recent=Recent()), {USA: ROOM, ken: ROOM}
    ahead = fra.store.ask_now(lambda view: read_ahead(other, view, rooms, MAX_LEAVES, NOW))
    assert set(ahead[md].made.decided) == {"USA", "KEN"}
    hand_over(fra, "USA")
    plan = fra.store.ask_now(
        lambda view: handover_ahead(other, view, rooms, MAX_LEAVES, ahead, NOW, seeded("rest"))
    )
    assert [frame.peer for frame in plan.answer] == [ken]
    assert other.recent.get(md) is None


@pytest.mark.parametrize("how", ["read before", "read after"])
@pytest.mark.parametrize("change", ["none", "law", "treaty", "expired"])
def test_what_is_read_ahead_changes_nothing_of_what_is_handed_over(change: str, how: str) -> None:
    """Before or after whatever came between (P9)."""
    assert plan_of(change, how) == plan_of(change, "read back")


def test_what_is_read_ahead_has_the_room_of_a_hand_over(members: Any) -> None:
    fra = members["FRA"]
    for place in range(5):
        send(fra, draft(text(TO_USA, "x" * 4000), to=["USA"]), str(place))
    forgets(fra)
    rooms = {USA: 6500}
    found = fra.store.ask_now(lambda view: read_ahead(fra.node, view, rooms, MAX_LEAVES, NOW))
    assert len(found) == 2
    assert len(releases(hand_over(fra, "USA", room=6500))) == len(found)


def test_bulletins_that_are_alike_are_read_ahead_each_with_the_decision_that_was_stored(members: Any) -> None:
    """They share what was decided if their portions are in the same slots, and only then."""
    fra = members["FRA"]
    sent = [send(fra, SORTS[place % 2], str(place)) for place in range(24)]
    forgets(fra)
    for one in sent:
        for recipient, decided in read(fra)[one.md].made.decided.items():
            row = fra.store.get(PAIR, one.md, recipient)
            assert loggable(fra.node.storage_key, decided, fra.node.member).fingerprint == row.gist
            slots = [portion.slot for portion in rows(fra, PORTION, "key", one.md)]
            assert sorted(portion.slot for portion in decided.portions) == slots


def test_what_was_recalled_is_not_read_ahead(members: Any) -> None:
    fra = members["FRA"]
    sent = [send(fra, draft(text(TO_USA, str(place)), to=["USA"]), str(place)) for place in range(3)]
    forgets(fra)
    row = fra.store.get(BULLETIN, sent[0].md)
    fra.do(lambda *_: Plan((Put(BULLETIN, changed(row, recalled=NOW)),), None))
    assert set(read(fra)) == {one.md for one in sent[1:]}


def test_what_was_handed_over_to_everybody_is_not_remembered_any_more(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    hand_over(fra, "USA")
    assert len(fra.node.recent) == 1
    hand_over(fra, "KEN")
    assert len(fra.node.recent) == 0


def test_a_damaged_record_keeps_no_other_number_from_a_peer_that_asks_for_it(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    for place in range(3):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), str(place))
    hand_over(fra, "USA")
    fra.do(acknowledge, USA, [Ack(row.leaf, "", NOW) for row in rows(fra, PENDING)])
    gap, _ = say_hello(fra, usa).gaps
    bad = pair_of(fra).md

    class Damaged:
        """One body does not match its digest."""

        unbound = None

        def __init__(self, view: Any) -> None:
            self.view = view
            self.count = view.count

        def get(self, table: Any, *key: Any) -> Any:
            if table is PORTION and key[:1] == (bad,):
                raise StoreError("RECORD_CORRUPT", "a record of portion does not match its digest")
            return self.view.get(table, *key)

        def get_many(self, table: Any, keys: Any) -> Any:
            return [self.get(table, *key) for key in keys]

        def find(self, table: Any, index: str, *prefix: Any, **how: Any) -> Any:
            found = self.view.find(table, index, *prefix, **how)
            return [row for row in found if table is not PORTION or row.md != bad]

    def step(node: Any, view: Any, *event: Any) -> Any:
        return answer_gap(node, Damaged(view), *event)

    assert fra.do(step, USA, gap)
    assert {fra.store.get(STATEMENT, row.leaf).md for row in rows(fra, PENDING)} == {
        row.md for row in rows(fra, PAIR) if row.md != bad
    }


def _only_put(table: Any, row: Any) -> Any:
    from intelshare.ports import Plan, Put

    return Plan((Put(table, row),), None)
