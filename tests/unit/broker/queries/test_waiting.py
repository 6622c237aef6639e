"""What waits for its sender after a loss is counted for those who may see it: no list is silently empty."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from builders import NOW, actor, draft, federation, text, user
from courier_world import carry
from intelshare.broker.kernel.documents import admit
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.hearing import begin_hearing
from intelshare.broker.lifecycle.operator_acts import AllowReadingCommand, allow_reading
from intelshare.broker.queries.lists import InboxQuery, inbox
from intelshare.broker.queries.waiting import waiting_for, waiting_of
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, Instant
from intelshare.services import answer
from intelshare.services.bulletins import BULLETINS
from intelshare.store.memory import MemoryStore
from intelshare.wire.v1 import user_pb2 as pb
from line_world import met, send
from services_world import MemberBackend

KEN = MemberCode("KEN")
ROWS = {row.method: row for row in BULLETINS}
OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA"
AFTER = Instant(NOW + 12 * MINUTE)
"""When FRA meets KEN: long after its loss."""


@pytest.fixture(name="fra")
def _fra() -> Any:
    """FRA loses memory, then meets KEN for the first time, which sends it two bulletins by courier."""
    ken = federation(("FRA", "KEN"), MemoryStore)["KEN"]
    fra = met(("FRA",))["FRA"]
    fra.do(begin_hearing, NOW, at=NOW)
    held = ken.node.trust.members[KEN]
    fra.do(admit, held.roots, held.directory_signed, held.fingerprint, at=AFTER)
    for number in range(2):
        send(ken, draft(text(OF_KEN, f"text {number}"), to=["FRA"]), f"key {number}", at=AFTER)
    assert carry(ken, fra, AFTER).accepted == 2
    return fra


def waits(fra: Any, by: str = "a", **query: Any) -> dict[str, int]:
    return dict(fra.ask(waiting_for, actor("FRA", by), InboxQuery(**query), AFTER))


def test_an_empty_inbox_says_how_much_of_whom_waits(fra: Any) -> None:
    assert fra.ask(inbox, actor("FRA", "a"), InboxQuery(), AFTER) == ([], ())
    assert waits(fra) == {"KEN": 2}
    assert fra.store.ask_now(lambda view: waiting_of(view, KEN, AFTER)) == 2


def test_it_counts_what_the_list_would_have(fra: Any) -> None:
    assert waits(fra, sender="USA") == {}
    assert waits(fra, since=Instant(AFTER + MINUTE)) == {}
    assert waits(fra, category="cyber") == waits(fra, unread=True) == {"KEN": 2}
    assert waits(fra, category="maritime") == {}
    assert waits(fra, limit=1) == {"KEN": 1}


def test_who_may_not_see_a_bulletin_is_not_told_that_it_waits(fra: Any) -> None:
    row = UserRow(user("FRA", "low"), "low", "analyst", "R0", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "operator"), row))
    assert waits(fra, "low") == {}


def test_an_operators_word_ends_it_also_for_later_bundles(fra: Any) -> None:
    command = AllowReadingCommand(user("FRA", "operator"), KEN, "no recall, by telephone")
    fra.do(allow_reading, command, at=AFTER)
    assert waits(fra) == {}
    assert fra.store.ask_now(lambda view: waiting_of(view, KEN, AFTER)) == 0
    assert len(fra.ask(inbox, actor("FRA", "a"), InboxQuery(), AFTER)[0]) == 2


def test_inbox_and_search_say_it_to_the_caller(fra: Any) -> None:
    backend, caller = MemberBackend(fra, AFTER), actor("FRA", "a")
    expected = [pb.ReadingWaits(member="KEN", bulletins=2)]
    listed: Any = asyncio.run(answer(backend, ROWS["Inbox"], caller, pb.InboxRequest(limit=50)))
    assert (list(listed.entries), list(listed.waiting)) == ([], expected)
    listed = asyncio.run(answer(backend, ROWS["Inbox"], caller, pb.InboxRequest(limit=2)))
    assert [one.more for one in listed.waiting] == [True]
    request = pb.SearchRequest(query="anything", where=pb.SEARCH_WHERE_INBOX)
    found: Any = asyncio.run(answer(backend, ROWS["Search"], caller, request))
    assert (list(found.matches), list(found.waiting)) == ([], expected)
    request.where = pb.SEARCH_WHERE_OUTBOX
    found = asyncio.run(answer(backend, ROWS["Search"], caller, request))
    assert not found.waiting
