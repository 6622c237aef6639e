"""Backpressure: what finds no room is refused, ROUTINE first and FLASH last; nothing is dropped (P3, P14)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.counters import QUEUE, Count, count_of, queue_of
from intelshare.broker.kernel.queue_bounds import SHARES, QueueBounds
from intelshare.broker.kernel.tables import PAIR
from intelshare.broker.lifecycle.stop import expire
from intelshare.broker.line.submit import SubmitCommand, submit_many
from intelshare.crypto.records import Precedence
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import HOUR, Instant
from line_world import TO_BOTH, TO_USA, arrive, hand_over, met, refused, rows, send, with_law

USA, KEN = MemberCode("USA"), MemberCode("KEN")
LOW_TO_HIGH = tuple(Precedence)
HOLD = '[[hold]]\nid = "source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n'


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


def bounded(member: Any, **bounds: int) -> None:
    member.node = replace(member.node, queues=QueueBounds(**bounds))


def fill(member: Any, count: int, precedence: Precedence = Precedence.FLASH, first: int = 0) -> None:
    for n in range(first, first + count):
        send(member, replace(draft(text(TO_USA, str(n)), to=["USA"]), precedence=precedence), key=f"fill{n}")


def waits(member: Any, name: str = QUEUE) -> Count:
    found: Count = member.store.ask_now(lambda view: count_of(view, name))
    return found


def recount(member: Any) -> dict[str, Count]:
    """What the counters must say, from the pairs themselves."""
    pairs = [row for row in rows(member, PAIR) if row.open]
    by_name: dict[str, list[int]] = {name: [] for name in (QUEUE, queue_of(USA), queue_of(KEN))}
    for row in pairs:
        by_name[QUEUE].append(row.size)
        by_name[queue_of(row.recipient)].append(row.size)
    return {name: Count(len(sizes), sum(sizes)) for name, sizes in by_name.items()}


@pytest.mark.parametrize("precedence", LOW_TO_HIGH)
def test_p14_each_precedence_fills_its_share_and_not_one_bulletin_more(
    fra: Any, precedence: Precedence
) -> None:
    bounded(fra, rows=10)
    most = SHARES[precedence].percent // 10
    fill(fra, most, precedence)
    no = refused(fra, lambda: fill(fra, 1, precedence, first=most))
    assert (no.code, no.retry_after) == ("QUEUE_FULL", SHARES[precedence].retry_after)
    assert f"{most} bulletins are waiting for USA" in no.message


def test_p14_routine_is_refused_first_and_flash_last() -> None:
    percents = [SHARES[precedence].percent for precedence in LOW_TO_HIGH]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert [SHARES[p].retry_after for p in LOW_TO_HIGH] == sorted(
        (SHARES[p].retry_after for p in LOW_TO_HIGH), reverse=True
    )


def test_p14_bytes_are_bounded_too_and_all_recipients_together(fra: Any) -> None:
    bounded(fra, size=100_000)
    fill(fra, 1)
    with pytest.raises(IntelshareError, match=r"QUEUE_FULL: \d+ bytes are waiting for USA"):
        send(fra, draft(text(TO_USA, "x" * 90_000), to=["USA"]))
    bounded(fra, all_rows=3)
    flash = replace(draft(text(TO_BOTH), to=["USA", "KEN"]), precedence=Precedence.FLASH)
    send(fra, flash, key="two")
    with pytest.raises(IntelshareError, match="3 bulletins are waiting for all recipients together"):
        send(fra, replace(flash, to=flash.to[:1]), key="one")


def test_p3_one_full_recipient_refuses_the_whole_bulletin_and_others_are_served(fra: Any) -> None:
    bounded(fra, rows=3)
    fill(fra, 3)
    both = replace(draft(text(TO_BOTH), to=["USA", "KEN"]), precedence=Precedence.FLASH)
    assert refused(fra, lambda: send(fra, both)).code == "QUEUE_FULL"
    assert waits(fra, queue_of(KEN)) == Count()
    assert send(fra, replace(both, to=(KEN,))).pairs[0].word == "queued"


def test_p2_what_was_stored_under_a_key_is_answered_as_before_also_when_the_queue_is_full(fra: Any) -> None:
    first = send(fra, draft(text(TO_USA), to=["USA"]))
    bounded(fra, rows=1)
    assert send(fra, draft(text(TO_USA), to=["USA"])) == first


def test_p14_of_many_drafts_each_finds_room_or_not_by_itself(fra: Any) -> None:
    bounded(fra, rows=4)
    kinds = [Precedence.ROUTINE] * 3 + [Precedence.FLASH] * 3
    given = [
        SubmitCommand(
            actor("FRA", "a"),
            f"{n}".encode().ljust(16, b"."),
            replace(draft(text(TO_USA), to=["USA"]), precedence=precedence),
        )
        for n, precedence in enumerate(kinds)
    ]
    answers = fra.do(submit_many, given, at=NOW)
    assert [getattr(one, "code", "") for one in answers] == ["", "", "QUEUE_FULL", "", "", "QUEUE_FULL"]
    assert waits(fra).rows == 4


def test_p14_room_comes_back_with_a_receipt_a_recall_and_an_end(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    bounded(fra, rows=3)
    fill(fra, 3)
    assert waits(fra, queue_of(USA)) == waits(fra) == recount(fra)[QUEUE]
    (frame,) = hand_over(fra, "USA", room=2000)
    assert waits(fra).rows == 3, "what is on the way waits still"
    (receipt,) = arrive(usa, fra, frame.frame).effects.outbound
    arrive(fra, usa, receipt.frame)
    assert waits(fra).rows == 3 - len(frame.leaves)
    ends = replace(draft(text(TO_USA), to=["USA"]), valid_until=Instant(NOW + HOUR))
    send(fra, replace(ends, precedence=Precedence.FLASH), key="k")
    fra.do(expire, at=Instant(NOW + 2 * HOUR))
    assert {name: waits(fra, name) for name in recount(fra)} == recount(fra)
    assert waits(fra).size > 0


def test_p14_a_held_pair_counts_and_one_that_is_withheld_does_not(fra: Any) -> None:
    with_law(fra, HOLD)
    send(fra, draft(text(TO_USA, flags=("source-identity",)), to=["USA"]), key="held")
    send(fra, draft(text(TO_USA), to=["KEN"]), key="withheld")
    assert Counter(row.recipient for row in rows(fra, PAIR) if row.open) == {USA: 1}
    assert (waits(fra, queue_of(USA)).rows, waits(fra, queue_of(KEN)).rows) == (1, 0)


def test_p14_a_full_node_still_recalls(fra: Any) -> None:
    bounded(fra, rows=1)
    stored = send(fra, replace(draft(text(TO_USA), to=["USA"]), precedence=Precedence.FLASH))
    fra.do(recall, RecallCommand(actor("FRA", "a"), stored.bulletin.hex(), "test"), at=NOW)
    assert waits(fra) == Count()
