"""A store over a primary and a standby: whom it asks, what it says meanwhile, and what a fail-over leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.test_postgres_store import STEPS, names, taken
from intelshare.errors import StoreError
from intelshare.store.postgres.connection import ANSWER
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.server import Server
from postgres_pair import Pair, new_pair
from postgres_server import asked, new_schema
from store_tables import KEY, TABLES, put, thing
from waits import LIMIT

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return new_pair()


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
            began = time.monotonic()
            in_doubt = asyncio.ensure_future(store.perform(put(thing("b"))))
            while "STORE_UNAVAILABLE" not in told:
                await asyncio.sleep(0.01)
                assert time.monotonic() < began + ANSWER + 3
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await store.perform(put(thing("c")))
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                names(store)
            assert not in_doubt.done()
        await asyncio.wait_for(in_doubt, LIMIT)
        await taken(store, put(thing("d")))
        assert names(store) == ["a0", "b0", "d0"]
