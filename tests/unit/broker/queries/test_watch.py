"""Whoever watches or searches learns nothing of what it may not see: no title, count, cursor or instant."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import pytest

from builders import NOW, Member, actor, draft, seeded, text, user
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.cursor import open_cursor, seal_cursor
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import BULLETIN, INBOX, LOG, PORTION, UserRow
from intelshare.broker.lifecycle.anew import sign_anew
from intelshare.broker.line.hello import start_incarnation
from intelshare.broker.queries.follow import follow
from intelshare.broker.queries.search import (
    SearchPlace,
    SearchQuery,
    Where,
    place_bytes,
    search,
    search_place_of,
)
from intelshare.broker.queries.watch import (
    Cursor,
    cursor_text,
    end_of_log,
    page_of,
    parse_cursor,
    watch,
)
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import Incarnation
from intelshare.instant import SECOND, Instant
from intelshare.patience import patient
from intelshare.services import watching
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_USA, arrive, hand_over, met, rows, send, stolen
from rotten_view import Rotten
from services_world import MemberBackend
from waits import LIMIT

LOW = actor("USA", "low")


@pytest.fixture
def usa() -> Member:
    """USA holds one bulletin that its user ``low`` is not cleared for."""
    members = met(["FRA", "USA"])
    member: Member = members["USA"]
    row = UserRow(LOW.user, "low", "analyst", "R0", "USA", "*", 0)
    member.do(set_user, SetUserCommand(user("USA", "o"), row))
    _bring(members, "one")
    member.peer = members["FRA"]  # type: ignore[attr-defined]
    return member


def _bring(members: Any, content: str) -> None:
    send(members["FRA"], draft(text(TO_USA, content), to=["USA"]), key=content)
    (frame,) = hand_over(members["FRA"], "USA")
    arrive(members["USA"], members["FRA"], frame.frame)


def test_a_cursor_tells_nothing_and_opens_for_its_user_alone(usa: Member) -> None:
    random = seeded("cursor")
    cursor = Cursor(Incarnation(7), 5)
    first, again = (cursor_text(usa.node, LOW, cursor, random) for _ in range(2))
    assert first != again
    assert parse_cursor(usa.node, LOW, first) == parse_cursor(usa.node, LOW, again) == cursor
    with pytest.raises(DeliveryError) as raised:
        parse_cursor(usa.node, actor("USA", "a"), first)
    assert raised.value.code == "CURSOR_UNKNOWN"
    for bad in ("", "nonsense", "0123456789abcdef.7", "é", first + "AAAA", first[:-4]):
        with pytest.raises(DeliveryError) as raised:
            parse_cursor(usa.node, LOW, bad)
        assert raised.value.code == "INPUT_INVALID"


def test_what_arrives_once_more_under_another_number_is_told_once(usa: Member) -> None:
    """Its sender signs it again after a theft, or has forgotten that it was handed over (seed 5713)."""
    members: Any = {"FRA": usa.peer, "USA": usa}  # type: ignore[attr-defined]
    fra, who = members["FRA"], actor("USA", "a")
    before = usa.ask(watch, who, Cursor(usa.node.incarnation, 0), NOW)
    stolen(members)
    (head,) = fra.do(sign_anew, ()).effects.outbound
    arrive(usa, fra, head.frame)
    (again,) = hand_over(fra, "USA")
    arrive(usa, fra, again.frame)
    after = usa.ask(watch, who, before.after, NOW)
    assert [one.what for one in before.happened] == ["received"]
    assert after.happened == ()
    assert after.after.place > before.after.place
    late = usa.ask(watch, who, Cursor(usa.node.incarnation, 0), NOW)
    assert late.happened == before.happened
    assert len(usa.ask(follow, who, (), Cursor(usa.node.incarnation, 0), NOW).found) == 1


def test_a_watcher_goes_on_into_an_incarnation_that_began_by_an_earlier_clock(usa: Member) -> None:
    """Replicas have clocks of their own, and a clock may be set back a little between two starts."""
    cursor = usa.ask(end_of_log)
    for start in range(1, 4):
        node = replace(usa.node, incarnation=Incarnation(usa.node.incarnation + 1), trees={})
        usa.node = node
        usa.do(start_incarnation, at=Instant(NOW - start * 20 * SECOND))
        page = usa.ask(page_of, cursor, (EntryType.START,))
        while page.more:
            cursor = page.after
            page = usa.ask(page_of, cursor, (EntryType.START,))
        assert page.after == usa.ask(end_of_log)
        cursor = page.after


def test_a_place_in_one_list_is_none_in_another(usa: Member) -> None:
    sealed = seal_cursor(usa.node, LOW.user, "search", b"here", seeded("place"))
    assert open_cursor(usa.node, LOW.user, "search", sealed) == b"here"
    with pytest.raises(DeliveryError):
        open_cursor(usa.node, LOW.user, "backfill", sealed)
    for place in (SearchPlace((-5, 3, 9), bytes(32)), SearchPlace((-1,), b"x" * 32)):
        assert search_place_of(place_bytes(place)) == place


def test_a_search_counts_only_what_its_reader_may_see(usa: Member) -> None:
    for who, count in ((actor("USA", "a"), 1), (LOW, 0)):
        page = usa.ask(search, SearchQuery(who, ("one",), Where.INBOX), NOW)
        assert (len(page.matches), page.looked) == (count, count)


@pytest.mark.parametrize("table", [BULLETIN, PORTION], ids=lambda table: table.name)
def test_a_search_goes_on_without_a_damaged_record_and_names_it(table: Any) -> None:
    fra = met(("FRA", "USA"))["FRA"]
    bad, sound = (send(fra, draft(text(TO_USA, "one"), to=["USA"]), key=key) for key in ("bad", "sound"))
    (key,) = [table.key_of(row) for row in rows(fra, table) if row.md == bad.md]
    page = fra.store.ask_now(
        lambda view: search(
            fra.node,
            Rotten(view, (table, key)),
            SearchQuery(actor("FRA", "a"), ("one",), Where.OUTBOX),
            NOW,
        )
    )
    assert ([one.bulletin for one in page.matches], len(page.damaged)) == ([sound.bulletin], 1)


class Looked(asyncio.Event):
    """What a watch waits for; and who made it come waits until the watch has told all and waits again."""

    def __init__(self) -> None:
        super().__init__()
        self._waits = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self._waits.set()
        return await super().wait()

    async def looked_after_a_commit(self) -> None:
        async with asyncio.timeout(patient(LIMIT)):
            await self._waits.wait()
            self._waits.clear()
            self.set()
            await self._waits.wait()


def test_a_watch_is_silent_about_what_happens_above_its_reader(
    usa: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told where it is by the clock alone: an event for each hidden commit would count them."""
    monkeypatch.setattr(watching, "BEAT", 1_000_000.0)

    async def events(who: Actor) -> list[Any]:
        written = Looked()
        backend = MemberBackend(usa)
        backend.committed = lambda: nullcontext(written)  # type: ignore[method-assign]
        stream = watching.watch_log(backend, who, pb.WatchRequest())
        found: list[Any] = [await anext(stream)]
        before = usa.ask(end_of_log)

        async def collect() -> None:
            async for event in stream:
                found.append(event)

        task = asyncio.create_task(collect())
        for number in range(3):
            _bring({"FRA": usa.peer, "USA": usa}, f"{who.user} {number}")  # type: ignore[attr-defined]
            await written.looked_after_a_commit()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert usa.ask(end_of_log).place > before.place
        return found

    assert [event.what for event in asyncio.run(events(actor("USA", "a")))] == ["", *["received"] * 3]
    assert [event.what for event in asyncio.run(events(LOW))] == [""]


class _Rotten:
    """A view in which the rows of one table are not as they were written."""

    def __init__(self, view: Any, table: Any) -> None:
        self._view, self._table = view, table
        self.count = view.count

    def get(self, table: Any, *key: Any) -> Any:
        row = self._view.get(table, *key)
        if row is not None and table is self._table:
            raise RecordError(table.name, key, "a record does not match its digest")
        return row

    def find(self, table: Any, *args: Any, **given: Any) -> Any:
        return [] if table is self._table else self._view.find(table, *args, **given)


@pytest.mark.parametrize("table", [INBOX, LOG], ids=lambda table: table.name)
def test_p13_a_watcher_is_told_where_something_cannot_be_read_and_goes_on(usa: Member, table: Any) -> None:
    reader = actor("USA", "a")
    whole = usa.ask(watch, reader, Cursor(usa.node.incarnation, 0), NOW)
    assert "received" in [one.what for one in whole.happened]
    seen = usa.store.ask_now(
        lambda view: watch(usa.node, _Rotten(view, table), reader, Cursor(usa.node.incarnation, 0), NOW)
    )
    (told,) = seen.happened
    assert (told.what, told.codes, bool(told.text)) == ("damaged", ("RECORD_CORRUPT",), True)
    assert seen.after == whole.after, "it goes on behind it"
