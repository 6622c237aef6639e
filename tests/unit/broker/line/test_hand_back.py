"""A member that has forgotten what it sent learns it again from who received it (P12, R12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, federation, text
from intelshare.audit.records import EntryType, HandOver
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import (
    BULLETIN,
    COUNTER,
    INBOX,
    INCOMING,
    OUTGOING,
    PAIR,
    PORTION,
    STATEMENT,
)
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.line.hand_back import back_since, hand_back
from intelshare.broker.line.hello import start_incarnation
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.delivery import PairStatus, status_of
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.wire import link_message, read_message
from line_world import (
    ROOM,
    TO_BOTH,
    TO_USA,
    arrive,
    codes,
    entries,
    hand_over,
    met,
    only,
    pair_of,
    rows,
    say_hello,
    send,
)

FRA, USA, KEN = MemberCode("FRA"), MemberCode("USA"), MemberCode("KEN")


@pytest.fixture(name="sent")
def _sent() -> Any:
    """USA has accepted two bulletins of FRA, and FRA was put back to before both."""
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    for number in range(2):
        send(fra, draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
    for said in hand_over(fra, "USA"):
        arrive(usa, fra, said.frame)
    before = pair_of(fra)
    forgotten = federation(("FRA", "USA"), type(fra.store))["FRA"]
    forgotten.node = replace(forgotten.node, incarnation=fra.node.incarnation + 1)
    forgotten.do(start_incarnation)
    return forgotten, usa, before, rows(fra, BULLETIN)


def returned(usa: Any, fra: Any, gap: Gap) -> Any:
    """What USA hands back."""
    return usa.do(hand_back, FRA, fra.node.uri, gap).frames


def came_back(fra: Any, usa: Any, frame: Any) -> Any:
    """What FRA says to a frame that USA hands back. (Its draft is sealed anew each time: not compared.)"""
    return fra.do(receive, Arrival(usa.node.member, usa.node.uri, frame))


def asked(fra: Any) -> Gap:
    ((member, gap),) = fra.do(back_since, [USA], NOW).gaps
    assert member == USA
    gap_: Gap = gap
    return gap_


def test_a_mark_that_is_ahead_of_the_clock_makes_a_range_that_peers_can_read() -> None:
    """The clock was ahead before the disk was put back: since then is later than now."""
    fra = met()["FRA"]
    ((_, gap),) = fra.do(back_since, [USA], Instant(NOW + 600 * SECOND)).gaps
    ((first, last),) = gap.missing
    assert 1 <= first <= last
    assert read_message(link_message(gap, NOW)) == gap


def test_a_restored_sender_learns_what_it_had_sent_and_recalls_it(sent: Any) -> None:
    fra, usa, before, bulletins = sent
    assert rows(fra, BULLETIN) == []
    for said in returned(usa, fra, asked(fra)):
        assert set(codes(came_back(fra, usa, said.frame))) == {""}
    assert {row.bulletin for row in rows(fra, BULLETIN)} == {row.bulletin for row in bulletins}
    again = next(row for row in rows(fra, PAIR) if row.md == before.md)
    assert (again.leaf, again.incarnation, again.sequence) == (
        before.leaf,
        before.incarnation,
        before.sequence,
    )
    assert status_of(facts_of(again)) is PairStatus.SENT
    assert len(entries(fra, EntryType.HAND_OVER, HandOver)) == 2
    assert rows(fra, OUTGOING)[0].last == 2

    # The receipts come again, and settle the pairs.
    say_hello(usa, fra)
    frames, _ = usa.do(resend, FRA, frozenset(), ROOM)
    for said in frames:
        arrive(fra, usa, said.frame)
    assert {status_of(facts_of(row)) for row in rows(fra, PAIR)} == {PairStatus.ACCEPTED}
    assert {row.name: row.rows for row in rows(fra, COUNTER)}["queue"] == 0
    bulletin = rows(fra, BULLETIN)[0].bulletin.hex()
    done = fra.do(recall, RecallCommand(actor("FRA", "r"), bulletin, "put back"))
    assert [effect.value for _, effect in done.pairs] == ["asked"]


def test_a_recall_made_before_a_recipient_was_known_again_is_told_to_it() -> None:
    codes_ = ("FRA", "USA", "KEN")
    members = met(codes_)
    fra, usa, ken = (members[code] for code in codes_)
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]))
    for said in hand_over(fra, "USA", "KEN"):
        arrive(members[said.peer], fra, said.frame)
    forgotten = federation(codes_, type(fra.store))["FRA"]
    forgotten.node = replace(forgotten.node, incarnation=fra.node.incarnation + 1)
    forgotten.do(start_incarnation)
    fra, gap = forgotten, asked(forgotten)

    (from_usa,) = returned(usa, fra, gap)
    came_back(fra, usa, from_usa.frame)
    fra.do(recall, RecallCommand(actor("FRA", "r"), rows(fra, BULLETIN)[0].bulletin.hex(), "wrong"))
    (from_ken,) = returned(ken, fra, gap)
    came_back(fra, ken, from_ken.frame)
    assert status_of(facts_of(pair_of(fra, "KEN"))) is PairStatus.IN_DOUBT
    for one in fra.do(resend, KEN, frozenset(), ROOM)[0]:
        arrive(ken, fra, one.frame)
    assert [row.gone for row in rows(ken, INBOX)] == [Gone.MARKED]
    receipts_come_again(fra, ken)
    assert status_of(facts_of(pair_of(fra, "KEN"))) is PairStatus.ACCEPTED


def put_back_while_queued(stop: Any) -> Any:
    """USA has accepted a bulletin of FRA, which was put back to where it waited, and has ended it since."""
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    item = draft(text(TO_USA, "as of this hour"), to=["USA"])
    send(fra, replace(item, deliver_by=Instant(NOW + SECOND)))
    before = fra.store.copy()
    for said in hand_over(fra, "USA"):
        arrive(usa, fra, said.frame)
    handed_over = pair_of(fra)
    fra.store = before
    fra.node = replace(fra.node, incarnation=fra.node.incarnation + 1)
    fra.do(start_incarnation)
    stop(fra)
    for said in returned(usa, fra, asked(fra)):
        assert set(codes(came_back(fra, usa, said.frame))) == {""}
    return fra, usa, handed_over


def receipts_come_again(fra: Any, usa: Any) -> None:
    say_hello(usa, fra)
    frames, _ = usa.do(resend, FRA, frozenset(), ROOM)
    for said in frames:
        arrive(fra, usa, said.frame)


def test_what_waited_when_the_disk_was_put_back_has_gone_once_it_comes_back() -> None:
    fra, usa, handed_over = put_back_while_queued(lambda _: None)
    assert pair_of(fra)[:1] + pair_of(fra)[-4:-1] == handed_over[:1] + handed_over[-4:-1]
    assert status_of(facts_of(pair_of(fra))) is PairStatus.SENT
    assert hand_over(fra, "USA") == ()
    receipts_come_again(fra, usa)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED


def test_what_expired_after_the_disk_was_put_back_can_be_recalled_once_it_comes_back() -> None:
    fra, usa, _ = put_back_while_queued(lambda fra: fra.do(expire, at=pair_of(fra).due))
    assert status_of(facts_of(pair_of(fra))) is PairStatus.IN_DOUBT
    receipts_come_again(fra, usa)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED
    done = fra.do(recall, RecallCommand(actor("FRA", "r"), rows(fra, BULLETIN)[0].bulletin.hex(), "wrong"))
    assert [effect.value for _, effect in done.pairs] == ["asked"]


def test_what_was_recalled_after_the_disk_was_put_back_is_destroyed_once_it_comes_back() -> None:
    def is_recalled(fra: Any) -> None:
        bulletin = rows(fra, BULLETIN)[0].bulletin.hex()
        done = fra.do(recall, RecallCommand(actor("FRA", "r"), bulletin, "wrong"))
        assert [effect.value for _, effect in done.pairs] == ["stopped"]

    fra, usa, _ = put_back_while_queued(is_recalled)
    say_hello(fra, usa)
    frames, _ = fra.do(resend, USA, frozenset(), ROOM)
    for said in frames:
        arrive(usa, fra, said.frame)
    assert [row.gone for row in rows(usa, INBOX)] == [Gone.MARKED]


def test_a_second_time_changes_nothing(sent: Any) -> None:
    fra, usa, _, _ = sent
    frames = returned(usa, fra, asked(fra))
    for said in (*frames, *frames):
        came_back(fra, usa, said.frame)
    assert (len(rows(fra, PAIR)), len(rows(fra, STATEMENT))) == (2, 2)


def test_what_comes_back_with_other_claims_or_from_another_member_is_rejected(sent: Any) -> None:
    fra, usa, _, _ = sent
    stream = next(row for row in rows(usa, INCOMING) if row.last)
    (said,) = returned(usa, fra, Gap(fra.node.uri, stream.incarnation, ((1, 1),)))
    (carried,) = said.frame.statements
    wrong = only(said.frame, grant=carried.grant[:40] + b"x" + carried.grant[41:])
    assert codes(arrive(fra, usa, wrong)) == ["COMMITMENT_MISMATCH"]
    assert rows(fra, BULLETIN) == []
    members = met(("FRA", "USA", "KEN"))
    assert codes(arrive(members["FRA"], members["KEN"], said.frame)) == ["WRONG_RECIPIENT"]


def test_nothing_goes_back_that_was_not_received_from_the_asker(sent: Any) -> None:
    fra, usa, _, _ = sent
    assert returned(usa, fra, Gap("intelshare://ken.intelshare.internal/node/one", 7, ((1, 9),))) == ()
    assert usa.do(hand_back, MemberCode("USA"), fra.node.uri, asked(fra)).frames == ()


def test_damaged_content_of_a_sender_is_that_of_its_recipient_again() -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA, "still there"), to=["USA"]))
    for said in hand_over(fra, "USA"):
        arrive(usa, fra, said.frame)
    whole = rows(fra, PORTION)[0]
    pair = pair_of(fra)
    (back,) = returned(usa, fra, Gap(fra.node.uri, pair.incarnation, ((pair.sequence, pair.sequence),)))
    assert back.frame.statements[0].bodies == (whole.body,)
