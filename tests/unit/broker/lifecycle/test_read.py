"""Read and list: attacks.md rows 51 and 52, what the log and the originator learn of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.records import EntryType
from intelshare.broker.kernel import damage
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import BULLETIN, INBOX, UserRow
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.broker.queries import lists
from intelshare.crypto.records import PortionKind
from intelshare.delivery import status_of
from intelshare.errors import DeliveryError
from intelshare.instant import Instant
from line_world import (
    LATER,
    TO_BOTH,
    TO_USA,
    arrive,
    hand_over,
    log_of,
    met,
    pair_of,
    refused,
    rows,
    send,
    with_law,
)

TITLE = replace(text(TO_USA, "CANARY TITLE"), kind=PortionKind.TITLE)
READ_RECEIPT = (
    '[[oblige]]\nid = "told"\nobligation = "read-receipt"\nwhen = { categories = ["cyber"] }\n'
    'source = "invented"\n'
)


@pytest.fixture(name="members")
def _members() -> Any:
    return met(("FRA", "USA"))


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


@pytest.fixture(name="usa")
def _usa(members: Any) -> Any:
    return members["USA"]


def add(member: Any, name: str, clearance: str, categories: str = "*", nationality: str = "USA") -> Any:
    code = member.node.member
    row = UserRow(user(code, name), name, "analyst", clearance, nationality, categories, 0)
    member.do(set_user, SetUserCommand(user(code, "o"), row))
    return actor(code, name)


def deliver(fra: Any, usa: Any, *portions: Any, key: str = "key", **changes: Any) -> str:
    """To USA's inbox; the bulletin's id."""
    answer = send(fra, replace(draft(*portions, to=["USA"]), **changes), key=key)
    for outbound in hand_over(fra, "USA"):
        for receipt in arrive(usa, fra, outbound.frame).effects.outbound:
            arrive(fra, usa, receipt.frame)
    return answer.bulletin.hex()


def opened(member: Any, who: Any, bulletin: str, at: Instant = NOW) -> Any:
    return member.do(read, ReadCommand(who, bulletin), at=at)


def listed(member: Any, who: Any, at: Instant = NOW, **wanted: Any) -> list[Any]:
    found: list[Any] = member.ask(lists.inbox, who, lists.InboxQuery(**wanted), at)[0]
    return found


def test_a_cleared_reader_sees_what_was_written_and_the_log_says_so(fra: Any, usa: Any) -> None:
    bulletin = deliver(fra, usa, TITLE, text(TO_USA, "the text"))
    logged = len(log_of(usa))
    shown = opened(usa, actor("USA", "a"), bulletin).shown
    assert shown.title == "CANARY TITLE"
    assert [one.portion.content for one in shown.portions] == [b"CANARY TITLE", b"the text"]
    assert log_of(usa)[logged:] == [EntryType.READ]


def test_row_51_a_lower_clearance_sees_no_title_count_or_trace_of_what_is_above(fra: Any, usa: Any) -> None:
    low = add(usa, "low", "R2")
    mixed = deliver(fra, usa, TITLE, text(TO_BOTH, "for all"), key="mixed")
    secret = deliver(fra, usa, text(TO_USA, "above"), key="secret")
    (line,) = listed(usa, low)
    assert line.shown.title == ""
    assert [one.portion.content for one in line.shown.portions] == [b"for all"]
    assert line.shown.banner == "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN, USA"
    assert opened(usa, low, mixed).shown.portions == line.shown.portions
    assert refused(usa, lambda: opened(usa, low, secret)).code == "NOT_FOUND"


def test_row_52_what_may_not_be_seen_and_what_is_not_there_get_the_same_words(fra: Any, usa: Any) -> None:
    low = add(usa, "low", "R2")
    secret = deliver(fra, usa, text(TO_USA))
    absent = "f" * 32
    hidden = refused(usa, lambda: opened(usa, low, secret))
    nothing = refused(usa, lambda: opened(usa, low, absent))
    assert (hidden.code, hidden.hint, hidden.message.replace(secret, absent)) == (
        nothing.code,
        nothing.hint,
        nothing.message,
    )


def test_a_prefix_shared_with_what_is_hidden_is_not_ambiguous(fra: Any, usa: Any) -> None:
    low = add(usa, "low", "R2")
    bulletin = deliver(fra, usa, text(TO_BOTH))
    row = rows(usa, INBOX)[0]
    assert opened(usa, low, bulletin[:4].upper()).shown.row == row
    for given in ("", "f", "zzzz", "0" * 33, "../..", bulletin[:3]):
        assert refused(usa, lambda given=given: opened(usa, low, given)).code == "NOT_FOUND"


def test_need_to_know_and_revocation(fra: Any, usa: Any) -> None:
    bulletin = deliver(fra, usa, text(TO_USA))
    other = add(usa, "other", "R4", "terrorism")
    assert listed(usa, other) == []
    assert refused(usa, lambda: opened(usa, other, bulletin)).code == "NOT_FOUND"
    assert refused(usa, lambda: opened(usa, actor("USA", "nobody"), bulletin)).code == "NOT_AUTHORISED"


def test_what_expired_is_never_shown(fra: Any, usa: Any) -> None:
    bulletin = deliver(fra, usa, text(TO_USA), valid_until=LATER)
    reader = actor("USA", "a")
    assert len(listed(usa, reader)) == 1
    assert listed(usa, reader, at=LATER) == []
    assert refused(usa, lambda: opened(usa, reader, bulletin, at=LATER)).code == "NOT_FOUND"


def test_the_originator_learns_of_a_reading_only_where_it_is_obliged(fra: Any, usa: Any) -> None:
    bulletin = deliver(fra, usa, text(TO_USA))
    assert opened(usa, actor("USA", "a"), bulletin).effects.outbound == ()
    with_law(fra, READ_RECEIPT)
    obliged = deliver(fra, usa, text(TO_USA, "obliged"), key="obliged")
    (outbound,) = opened(usa, actor("USA", "a"), obliged).effects.outbound
    arrive(fra, usa, outbound.frame)
    row = next(row for row in rows(fra, BULLETIN) if row.bulletin.hex() == obliged)
    pair = next(pair_of(fra, number=n) for n in range(2) if pair_of(fra, number=n).md == row.md)
    assert status_of(facts_of(pair)) == "read"
    assert opened(usa, actor("USA", "a"), obliged).effects.outbound == ()
    # One act of reading, one receipt: a second reader makes no second signature (promise P4).
    assert opened(usa, actor("USA", "r"), obliged).effects.outbound == ()


def test_unread_is_each_readers_own(fra: Any, usa: Any) -> None:
    bulletin = deliver(fra, usa, text(TO_USA))
    opened(usa, actor("USA", "a"), bulletin)
    assert listed(usa, actor("USA", "a"), unread=True) == []
    assert len(listed(usa, actor("USA", "r"), unread=True)) == 1


def test_the_lists_skip_nothing_where_many_came_in_one_instant(
    fra: Any, usa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "PAGE", 4)
    for place in range(11):
        deliver(fra, usa, text(TO_USA, str(place)), key=str(place))
    assert len(listed(usa, actor("USA", "a"))) == 11
    assert len(fra.ask(lists.outbox, actor("FRA", "a"), "", 50, False, NOW)[0]) == 11


def test_row_51_the_outbox_hides_what_a_colleague_is_not_cleared_for(fra: Any, usa: Any) -> None:
    low = add(fra, "low", "R1", nationality="FRA")
    bulletin = deliver(fra, usa, TITLE, text(TO_USA, "above"))
    assert len(fra.ask(lists.outbox, actor("FRA", "a"), "", 50, False, NOW)[0]) == 1
    assert fra.ask(lists.outbox, low, "", 50, False, NOW)[0] == []
    for ask in (
        lambda: fra.ask(lists.outbox, low, bulletin, 50, False, NOW),
        lambda: fra.ask(lists.why, low, bulletin, "USA", NOW),
    ):
        with pytest.raises(DeliveryError) as caught:
            ask()
        assert caught.value.code == "NOT_FOUND"
