"""Retention: what was delivered goes after its grace, what was not never does, all is proved (P16)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from intelshare.broker.kernel.counters import INBOX_COUNTER, OUTBOX_COUNTER, Count, count_of
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.tables import BULLETIN, LOG, OUTGOING, PAIR, PORTION, PURGE, RECEIPT, SECRET
from intelshare.broker.lifecycle.drop import DropCommand, drop
from intelshare.broker.lifecycle.mend import Record
from intelshare.broker.lifecycle.purge import MAX_LOOKED, PurgeResult, anything_to_purge, purge
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.line.hello import answer_gap
from intelshare.broker.queries.export import ExportQuery, export_release
from intelshare.broker.queries.lists import outbox
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.delivery import BestReceipt, Ranges
from intelshare.errors import IntelshareError, StoreError
from intelshare.instant import HOUR, Instant
from intelshare.services.bulletins import outbox_page
from intelshare.services.rpc import CallContext
from intelshare.wire.v1 import user_pb2 as pb
from line_world import LATER, TO_BOTH, TO_USA, arrive, hand_over, met, rows, send
from rotten_view import Rotten

GRACE = 24 * HOUR


@pytest.fixture(name="members")
def _members() -> Any:
    members = met()
    members["FRA"].node = replace(members["FRA"].node, retention=GRACE)
    return members


def deliver(members: Any, to: str = "USA", at: Instant = NOW) -> None:
    """What waits for a member goes there, and its receipt comes back."""
    for outbound in hand_over(members["FRA"], to, at=at):
        for receipt in arrive(members[to], members["FRA"], outbound.frame, at=at).effects.outbound:
            arrive(members["FRA"], members[to], receipt.frame, at=at)


def purged(member: Any, at: int) -> PurgeResult:
    done: PurgeResult = member.do(purge, at=Instant(at))
    return done


def bodies(member: Any) -> list[bytes]:
    return [row.body for row in rows(member, PORTION)]


def count(member: Any, name: str) -> Count:
    found: Count = member.store.ask_now(lambda view: count_of(view, name))
    return found


def test_content_that_is_damaged_waits_and_is_counted_until_it_is_whole_again(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members, at=LATER)
    whole = count(fra, OUTBOX_COUNTER)

    class Damaged:
        """No body matches its digest."""

        unbound = None

        def __init__(self, view: Any) -> None:
            self.view = view
            self.get, self.count = view.get, view.count

        def find(self, table: Any, *args: Any, damaged: Any = None, **how: Any) -> Any:
            if table is not PORTION:
                return self.view.find(table, *args, **how)
            if damaged is not None:
                damaged.append(StoreError("RECORD_CORRUPT", "a record of portion does not match its digest"))
            return []

    at = Instant(LATER + GRACE)
    assert not fra.do(lambda node, view, *event: purge(node, Damaged(view), *event), at=at).purged
    assert count(fra, OUTBOX_COUNTER) == whole
    assert [row.at > at for row in rows(fra, PURGE)] == [True]
    assert purged(fra, at + GRACE).purged == 1


def test_a_damaged_bulletin_keeps_its_content_and_one_that_is_given_up_is_not_counted_off_twice(
    members: Any,
) -> None:
    """The outbox counted less than nothing."""
    fra = members["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members, at=LATER)
    whole, at = count(fra, OUTBOX_COUNTER), Instant(LATER + GRACE)
    (row,) = rows(fra, BULLETIN)
    place = BULLETIN, (row.md,)
    assert not fra.do(lambda node, view, *event: purge(node, Rotten(view, place), *event), at=at).purged
    assert (count(fra, OUTBOX_COUNTER), all(bodies(fra))) == (whole, True)
    command = DropCommand((Record(BULLETIN.name, place[1]),), actor("FRA", "o").user, "a bad disk")
    fra.do(lambda node, view, *event: drop(node, Rotten(view, place), *event), command)
    assert (count(fra, OUTBOX_COUNTER), bodies(fra)) == (Count(0, 0), [])
    assert purged(fra, at + GRACE).purged == 1
    assert (count(fra, OUTBOX_COUNTER), bodies(fra)) == (Count(0, 0), [])


def test_p16_delivered_content_goes_after_its_grace_and_not_before(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members, at=LATER)
    assert count(fra, OUTBOX_COUNTER) == Count(1, len(bodies(fra)[0]))
    assert not fra.store.ask_now(lambda view: anything_to_purge(fra.node, view, Instant(NOW + GRACE - 1)))
    assert purged(fra, NOW + GRACE).purged == 0, "the grace began with the receipt, an hour later"
    assert not fra.store.ask_now(lambda view: anything_to_purge(fra.node, view, Instant(LATER + GRACE - 1)))
    done = purged(fra, LATER + GRACE)
    assert (done.purged, done.more) == (1, False)
    assert (bodies(fra), rows(fra, PURGE)) == ([b""], [])
    assert not any(any(row.sealed) for row in rows(fra, SECRET))
    assert count(fra, OUTBOX_COUNTER) == Count(0, 0)
    assert count(members["USA"], INBOX_COUNTER).rows == 1, "what was received has its own end"


def test_p16_what_was_not_delivered_to_everybody_or_to_nobody_is_never_purged(members: Any) -> None:
    fra = members["FRA"]
    send(fra, draft(text(TO_BOTH), to=["USA", "KEN"]), key="half")
    deliver(members)
    send(fra, draft(text(TO_USA), to=["KEN"]), key="withheld")
    for days in range(1, 5):
        assert purged(fra, NOW + days * GRACE).purged == 0
    assert all(bodies(fra))
    deliver(members, "KEN", at=Instant(NOW + 5 * GRACE))
    assert purged(fra, NOW + 6 * GRACE).purged == 1


def test_p16_digests_receipts_and_log_stay_and_a_third_party_still_gets_proof(members: Any) -> None:
    fra = members["FRA"]
    stored = send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members)
    fra.do(checkpoint, at=NOW)
    digests = [row.body_digest for row in rows(fra, PORTION)]
    before = rows(fra, RECEIPT), rows(fra, LOG), rows(fra, PAIR)
    purged(fra, NOW + GRACE)
    assert (rows(fra, RECEIPT), rows(fra, LOG), rows(fra, PAIR)) == before
    assert [row.body_digest for row in rows(fra, PORTION)] == digests

    def exported(content: bool) -> Any:
        query = ExportQuery(stored.bulletin.hex(), content=content)
        return fra.store.ask_now(
            lambda view: export_release(fra.node, view, actor("FRA", "a"), query, [], Instant(NOW + GRACE))  # type: ignore[arg-type]
        )

    assert exported(content=False).release
    with pytest.raises(IntelshareError, match=r"purged at .* after delivery"):
        exported(content=True)


def test_p16_the_author_is_told_when_it_was_purged(members: Any) -> None:
    fra = members["FRA"]
    stored = send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members)
    at = Instant(NOW + GRACE)
    purged(fra, at)
    with pytest.raises(IntelshareError, match=r"purged at .* after delivery"):
        fra.do(read, ReadCommand(actor("FRA", "a"), stored.bulletin.hex()), at=at)
    (line,), _ = fra.store.ask_now(lambda view: outbox(fra.node, view, actor("FRA", "a"), "", 10, False, at))
    assert (line.purged, line.title, line.pairs[0].status) == (at, "", "accepted")
    (told,) = fra.store.ask_now(
        lambda view: outbox_page(CallContext(fra.node, view, actor("FRA", "a"), at), pb.OutboxRequest())
    ).entries
    assert (told.purged_at, told.title) == (at, ""), "what became of it is no title"


def test_p12_who_lost_what_it_had_signed_for_and_was_purged_since_is_told_that_it_is_cancelled(
    members: Any,
) -> None:
    fra, usa = members["FRA"], members["USA"]
    send(fra, draft(text(TO_USA), to=["USA"]))
    deliver(members)
    purged(fra, NOW + GRACE)
    gap = Gap(fra.node.uri, fra.node.incarnation, ((1, 1),))
    fra.do(answer_gap, usa.node.member, gap, at=Instant(NOW + GRACE))
    (stream,) = [row for row in rows(fra, OUTGOING) if row.recipient == "USA"]
    assert 1 in Ranges.unpack(stream.cancelled)
    assert [row.receipt for row in rows(fra, PAIR)] == [BestReceipt.ACCEPTED]


def test_p18_one_step_looks_at_a_page_and_says_that_there_is_more(members: Any) -> None:
    fra = members["FRA"]
    for n in range(MAX_LOOKED + 2):
        send(fra, draft(text(TO_USA, str(n)), to=["USA"]), key=f"k{n}")
    deliver(members)
    first = purged(fra, NOW + GRACE)
    assert (first.purged <= MAX_LOOKED, first.more) == (True, True)
    while purged(fra, NOW + GRACE).more:
        pass
    assert not anything_left(fra)


def anything_left(member: Any) -> bool:
    """Whether a delivered bulletin still has content."""
    open_ = {row.md for row in rows(member, PAIR) if row.open}
    return any(row.body for row in rows(member, PORTION) if row.md not in open_)


def test_p16_retention_of_nothing_keeps_for_ever(members: Any) -> None:
    fra = members["FRA"]
    fra.node = replace(fra.node, retention=0)
    send(fra, draft(text(TO_USA), to=["USA"]))
    assert not fra.store.ask_now(lambda view: anything_to_purge(fra.node, view, Instant(NOW + 999 * GRACE)))
