"""A member that has forgotten what it sent learns it again from who received it (P12, R12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, federation, text
from intelshare.audit.records import EntryType, HandOver
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.frame import Ack, Gap
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
from intelshare.broker.lifecycle.mend import Brought, BroughtBy, MendCommand, Record, mend
from intelshare.broker.lifecycle.operator_acts import GiveUpCommand, give_up
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.lifecycle.streams import missing
from intelshare.broker.line.hand_back import back_since, hand_back
from intelshare.broker.line.hello import acknowledge, answer_gap, ask_again, start_incarnation
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.resend import resend
from intelshare.crypto.records import Kind
from intelshare.delivery import PairStatus, status_of
from intelshare.delivery.pair import recall_requested
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
    released,
    rows,
    say_hello,
    send,
    stolen,
)
from rotten_view import Rotten

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


def test_a_receipt_for_what_this_node_forgot_says_since_when_to_ask(sent: Any) -> None:
    fra, usa, before, _ = sent
    ((said, *_), _) = usa.do(resend, FRA, frozenset(), ROOM)
    answer = fra.do(receive, Arrival(USA, usa.node.uri, said.frame))
    assert set(codes(answer)) == {"RECEIPT_UNKNOWN"}
    ((_, gap),) = fra.do(back_since, [USA], answer.forgotten).gaps
    for back in returned(usa, fra, gap):
        came_back(fra, usa, back.frame)
    assert before.leaf in {row.leaf for row in rows(fra, PAIR)}
    assert set(codes(came_back(fra, usa, said.frame))) == {""}


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


@pytest.mark.parametrize(("known", "starts"), [(0, 1), (0, 2), (1, 1), (1, 2)])
def test_who_received_more_than_a_node_knows_as_it_starts_again_says_so_with_a_receipt(
    known: int, starts: int
) -> None:
    """The receipts were acknowledged, and forgotten with the releases: nobody would say them again.

    ``starts``: since the disk was put back; the incarnation before the last may be one that peers never met.
    """
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    before = fra.store.copy()
    for number in range(3):
        if number == known:
            before = fra.store.copy()
        send(fra, draft(text(TO_USA, f"number {number}"), to=["USA"]), key=f"key {number}")
        for said in hand_over(fra, "USA"):
            for receipt in arrive(usa, fra, said.frame).effects.outbound:
                arrive(fra, usa, receipt.frame)
                usa.do(acknowledge, FRA, [Ack(leaf, "", NOW) for leaf in receipt.leaves])
    assert usa.do(resend, FRA, frozenset(), ROOM) == ((), False)
    fra.store = before
    for _ in range(starts):
        fra.node = replace(fra.node, incarnation=fra.node.incarnation + 1)
        fra.do(start_incarnation)

    assert say_hello(fra, usa).forgot == 3 - known
    ((said,), _) = usa.do(resend, FRA, frozenset(), ROOM)
    answer = fra.do(receive, Arrival(USA, usa.node.uri, said.frame))
    assert (codes(answer), answer.forgotten) == (["RECEIPT_UNKNOWN"], NOW)
    assert say_hello(fra, usa).forgot == 3 - known
    assert len(usa.do(resend, FRA, frozenset(), ROOM)[0]) == 1


def test_who_starts_again_and_knows_all_that_it_sent_is_told_nothing_again() -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    for receipt in arrive(usa, fra, released(members)).effects.outbound:
        usa.do(acknowledge, FRA, [Ack(leaf, "", NOW) for leaf in receipt.leaves])
    fra.node = replace(fra.node, incarnation=fra.node.incarnation + 1)
    fra.do(start_incarnation)
    assert say_hello(fra, usa).forgot == 0
    assert usa.do(resend, FRA, frozenset(), ROOM) == ((), False)


def test_what_waited_when_the_disk_was_put_back_has_gone_once_it_comes_back() -> None:
    fra, usa, handed_over = put_back_while_queued(lambda _: None)
    assert pair_of(fra)[:1] + pair_of(fra)[-4:-1] == handed_over[:1] + handed_over[-4:-1]
    assert status_of(facts_of(pair_of(fra))) is PairStatus.SENT
    assert hand_over(fra, "USA") == ()
    receipts_come_again(fra, usa)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED


@pytest.mark.parametrize("answered", [True, False])
def test_what_came_back_and_was_lost_by_its_recipient_goes_once_more_as_a_new_release(answered: bool) -> None:
    """What opened the release was forgotten with the disk of its sender, and did not come back."""
    fra, usa, handed_over = put_back_while_queued(lambda _: None)
    say_hello(fra, usa)
    if answered:
        receipts_come_again(fra, usa)
    else:
        assert fra.do(ask_again) == 1
    (bulletin,) = rows(usa, INBOX)
    (gap,) = forgets(usa, bulletin)
    assert fra.do(answer_gap, USA, gap)

    (again,) = hand_over(fra, "USA")
    (head,) = fra.do(resend, USA, frozenset(again.leaves), ROOM)[0]
    assert [one.kind for one in head.frame.statements] == [Kind.STREAM_HEAD]
    assert [codes(arrive(usa, fra, said.frame)) for said in (head, again)] == [[""], [""]]
    assert [row.md for row in rows(usa, INBOX)] == [bulletin.md]
    assert pair_of(fra).leaf not in (handed_over.leaf, b"")
    assert not [row for row in rows(usa, INCOMING) if missing(row).spans]
    receipts_come_again(fra, usa)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED


def test_what_its_sender_and_then_its_recipient_have_lost_is_undeliverable(sent: Any) -> None:
    """The sender knows it again, without its content; its recipient has not signed for it since."""
    fra, usa, before, _ = sent
    for said in returned(usa, fra, asked(fra)):
        came_back(fra, usa, said.frame)
    bulletin = next(row for row in rows(usa, INBOX) if row.md == before.md)
    (gap,) = forgets(usa, bulletin)
    assert fra.do(answer_gap, USA, gap)
    for said in fra.do(resend, USA, frozenset(), ROOM)[0]:
        assert set(codes(arrive(usa, fra, said.frame))) == {""}
        fra.do(acknowledge, USA, [Ack(leaf, "", NOW) for leaf in said.leaves])
    pair = next(row for row in rows(fra, PAIR) if row.md == before.md)
    assert (status_of(facts_of(pair)), pair.codes) == (PairStatus.UNDELIVERABLE, "STORE_FORGOT")
    assert not [row for row in rows(usa, INCOMING) if missing(row).spans]


def forgets(usa: Any, bulletin: Any) -> list[Gap]:
    """USA meets damaged content of a bulletin, forgets it, and asks for it."""
    (key,) = [PORTION.key_of(row) for row in rows(usa, PORTION) if row.md == bulletin.md]
    record = Record(PORTION.name, key)
    brought = {record: Brought(bulletin.md, bulletin.sender, bulletin.leaf)}
    view = Rotten(usa.store, (PORTION, key))
    command = MendCommand((record,), BroughtBy(brought))
    done = usa.store.perform_now(lambda _: mend(usa.node, view, command, NOW, bytes)).value
    return [gap for _, gap in done.effects.gaps]


def test_what_expired_after_the_disk_was_put_back_can_be_recalled_once_it_comes_back() -> None:
    fra, usa, _ = put_back_while_queued(lambda fra: fra.do(expire, at=pair_of(fra).due))
    assert status_of(facts_of(pair_of(fra))) is PairStatus.IN_DOUBT
    receipts_come_again(fra, usa)
    assert status_of(facts_of(pair_of(fra))) is PairStatus.ACCEPTED
    done = fra.do(recall, RecallCommand(actor("FRA", "r"), rows(fra, BULLETIN)[0].bulletin.hex(), "wrong"))
    assert [effect.value for _, effect in done.pairs] == ["asked"]


def is_recalled(fra: Any, effect: str) -> None:
    bulletin = rows(fra, BULLETIN)[0].bulletin.hex()
    answer = fra.do(recall, RecallCommand(actor("FRA", "r"), bulletin, "wrong"))
    assert [done.value for _, done in answer.pairs] == [effect]


def is_destroyed(fra: Any, usa: Any) -> bool:
    """Whether what FRA has to tell USA ends the bulletin there."""
    say_hello(usa, fra)
    frames, _ = fra.do(resend, USA, frozenset(), ROOM)
    for said in frames:
        arrive(usa, fra, said.frame)
    return [row.gone for row in rows(usa, INBOX)] == [Gone.MARKED]


def test_what_was_recalled_after_the_disk_was_put_back_is_destroyed_once_it_comes_back() -> None:
    fra, usa, _ = put_back_while_queued(lambda fra: is_recalled(fra, "stopped"))
    assert is_destroyed(fra, usa)


@pytest.mark.parametrize("recalled", [True, False])
def test_a_recall_is_told_once_to_who_shows_a_bulletin_by_a_release_that_a_stolen_key_has_signed(
    recalled: bool,
) -> None:
    """The release proves nothing, and the pair stays as it was; but the peer has the bulletin."""
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    before = fra.store.copy()
    for said in hand_over(fra, "USA"):
        arrive(usa, fra, said.frame)
    fra.store = before
    fra.node = replace(fra.node, incarnation=fra.node.incarnation + 1)
    fra.do(start_incarnation)
    stolen(members)
    if recalled:
        is_recalled(fra, "stopped")
    ended = pair_of(fra)
    for _ in range(2):
        for said in returned(usa, fra, asked(fra)):
            assert set(codes(came_back(fra, usa, said.frame))) == {"SIGNER_REVOKED"}
    assert pair_of(fra) == ended
    assert [row.peer for row in rows(fra, STATEMENT) if row.kind == Kind.RECALL] == ["USA"] * recalled
    assert is_destroyed(fra, usa) == recalled


def expires(fra: Any) -> None:
    fra.do(expire, at=pair_of(fra).due)


def is_given_up(fra: Any) -> None:
    fra.do(give_up, GiveUpCommand(actor("FRA", "r"), rows(fra, BULLETIN)[0].bulletin.hex(), USA, "gone"))


@pytest.mark.parametrize("ends", [expires, is_given_up])
def test_what_had_ended_before_its_recall_is_destroyed_too_once_it_comes_back(ends: Any) -> None:
    """A recall does not replace what had stopped a pair that waited; its recipient had it all the same."""

    def ends_and_is_recalled(fra: Any) -> None:
        ends(fra)
        is_recalled(fra, "none")

    fra, usa, _ = put_back_while_queued(ends_and_is_recalled)
    assert is_destroyed(fra, usa)
    receipts_come_again(fra, usa)
    assert recall_requested(facts_of(pair_of(fra)))


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
