"""A store over a primary and a standby: whom it asks, what it says meanwhile, and what a fail-over leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from integration.test_postgres_store import STEPS, names, taken
from intelshare.errors import StoreError
from intelshare.patience import patient
from intelshare.ports import Plan, Put, View
from intelshare.store.postgres.connection import ANSWER
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.server import Server
from postgres_line import Line
from postgres_pair import Pair, new_pair
from postgres_server import asked, new_schema
from store_tables import KEY, TABLES, TALLY, THING, Tally, put, thing
from waits import LIMIT

pytestmark = [pytest.mark.timeout(120), pytest.mark.soak]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return new_pair()


@pytest.fixture
def line(pair: Pair) -> Iterator[Line]:
    with TemporaryDirectory(prefix="line-") as folder:  # the path of a socket is short
        made = Line(Path(folder), pair.primary.root)
        yield made
        made.close()


@contextmanager
def opened(
    pair: Pair, folder: Path, told: Callable[[StoreError], None] = lambda _: None, **options: Any
) -> Iterator[PostgresStore]:
    store = open_store(Server(pair.url, new_schema()), folder, TABLES, KEY, told, steps=STEPS, **options)
    try:
        yield store
    finally:
        store.close()


async def test_a_question_goes_to_the_server_that_takes_the_writes(pair: Pair, tmp_path: Path) -> None:
    """A standby lacks what it has not replayed: its rows would be missing beside what memory let go."""
    with opened(pair, tmp_path, flush_bytes=1) as store:
        await store.perform(put(thing("a")))
        pair.wait_for_standby()
        asked(pair.standby.url, "SELECT pg_wal_replay_pause()")
        try:
            for name in "bcdefgh":
                await store.perform(put(thing(name)))
                assert names(store)[-1] == f"{name}0"
            assert len(names(store)) == 8
        finally:
            asked(pair.standby.url, "SELECT pg_wal_replay_resume()")


async def test_a_standby_that_is_silent_is_said_within_seconds_and_nothing_is_lost(
    pair: Pair, tmp_path: Path
) -> None:
    told: list[str] = []
    with opened(pair, tmp_path, lambda error: told.append(error.code)) as store:
        await store.perform(put(thing("a")))
        with pair.silent_standby():
            in_doubt = asyncio.ensure_future(store.perform(put(thing("b"))))
            await noticed(told)
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await store.perform(put(thing("c")))
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                names(store)
            assert not in_doubt.done()
        await asyncio.wait_for(in_doubt, LIMIT)
        await taken(store, put(thing("d")))
        assert names(store) == ["a0", "b0", "d0"]


def count(view: View) -> Plan[int]:
    """A step that would count twice what is done twice."""
    row = view.get(TALLY, "n")
    value = row.value + 1 if row is not None else 1
    return Plan((Put(TALLY, Tally("n", value)), Put(THING, thing("t", value))), value)


@asynccontextmanager
async def counting(store: PostgresStore, confirmed: list[int]) -> AsyncIterator[None]:
    """Steps all the time, four at once, as long as the block lasts; ``confirmed``: the answers."""
    ended = asyncio.Event()

    async def go_on() -> None:
        while not ended.is_set():
            confirmed.append(await taken(store, count))

    async with asyncio.TaskGroup() as working:
        for _ in range(4):
            working.create_task(go_on())
        yield
        ended.set()


async def noticed(told: list[str]) -> None:
    """Wait until the store has said that the server is away, within seconds."""
    end = time.monotonic() + ANSWER + patient(3)
    while "STORE_UNAVAILABLE" not in told:
        assert time.monotonic() < end, "nothing was said"
        await asyncio.sleep(0.01)


async def more(confirmed: list[int], number: int) -> None:
    """Wait until so many more were answered."""
    enough, end = len(confirmed) + number, time.monotonic() + LIMIT
    while len(confirmed) < enough:
        assert time.monotonic() < end, "nothing is answered any more"
        await asyncio.sleep(0.01)


WAYS = [{}, {"there": False}, {"back": False}]


@pytest.mark.parametrize("ways", WAYS, ids=["both", "only back", "only there"])
async def test_a_line_that_stalls_is_left_and_nothing_is_lost_or_done_twice(
    pair: Pair, tmp_path: Path, line: Line, ways: dict[str, bool]
) -> None:
    told: list[str] = []
    confirmed: list[int] = []
    server = Server(line.url, new_schema())
    store = open_store(server, tmp_path, TABLES, KEY, lambda error: told.append(error.code), steps=STEPS)
    try:
        async with counting(store, confirmed):
            await more(confirmed, 20)
            with line.stalled(**ways):
                await noticed(told)
            await more(confirmed, 20)
            line.cut()
            await more(confirmed, 20)
        total = store.ask_now(lambda view: view.get(TALLY, "n"))
        assert total is not None
        assert sorted(confirmed) == list(range(1, total.value + 1))
        assert store.ask_now(lambda view: view.count(THING, "key")) == total.value
    finally:
        store.close()
    assert set(told) == {"STORE_UNAVAILABLE"}


async def test_a_promoted_synchronous_standby_has_all_that_was_answered(tmp_path: Path) -> None:
    pair = new_pair()
    confirmed: list[int] = []
    with opened(pair, tmp_path) as store:
        async with counting(store, confirmed):
            await more(confirmed, 20)
            await asyncio.to_thread(pair.lost_primary)
            await more(confirmed, 20)
        total = store.ask_now(lambda view: view.get(TALLY, "n"))
        assert total is not None
        assert sorted(confirmed) == list(range(1, total.value + 1))


async def test_a_promoted_standby_that_lagged_ends_the_store(tmp_path: Path) -> None:
    pair = new_pair(synchronous=False)
    failed: list[str] = []
    with opened(pair, tmp_path, lambda error: failed.append(error.code)) as store:
        await store.perform(put(thing("a")))
        pair.wait_for_standby()
        pair.leave_behind()
        await store.perform(put(thing("b")))
        await asyncio.to_thread(pair.lost_primary)
        with pytest.raises(StoreError, match="STORE_FORGOT"):
            await taken(store, put(thing("c")))
        assert "STORE_FORGOT" in failed


async def test_a_former_primary_that_nobody_stopped_is_not_written_to(tmp_path: Path) -> None:
    """It has less than was confirmed, and yet nothing is lost: no operator has to accept a loss."""
    pair = new_pair(synchronous=False)
    told: list[str] = []
    with opened(pair, tmp_path, lambda error: told.append(error.code)) as store:
        await store.perform(put(thing("a")))
        pair.wait_for_standby()
        await asyncio.to_thread(pair.lost_primary)
        await taken(store, put(thing("b")))
        pair.primary.start()
        told.clear()
        pair.standby.stop("immediate")
        with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
            await store.perform(put(thing("c")))
        await asyncio.sleep(1)
        assert set(told) == {"STORE_UNAVAILABLE"}
        pair.standby.start()
        await taken(store, put(thing("d")))
        assert names(store) == ["a0", "b0", "d0"]
    there = f"SELECT count(*) FROM {store._database._server.schema}.journal"
    assert asked(pair.primary.url, there) == [(1,)]
