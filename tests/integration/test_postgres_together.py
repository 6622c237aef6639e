"""Several processes that write one schema of PostgreSQL: steps in turns, followed by all, one that leads."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.errors import StoreError
from intelshare.ports import Delete, Plan, Put, View
from intelshare.store.postgres.connection import connect
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore, open_store, open_together
from intelshare.store.postgres.lease import Joining
from intelshare.store.server import Server
from postgres_server import asked, new_schema, server_url
from store_tables import BODY, KEY, NOTE, SECRET, TABLES, TALLY, THING, Body, Note, Secret, Tally, put, thing
from waits import LIMIT

STEPS = [first_schema(TABLES)]


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema())


def joined(server: Server, folder: Path, name: str = "a", **options: Any) -> PostgresStore:
    joining = Joining(server, folder, name)
    held = joining.wait()
    assert held is not None
    store = open_together(
        server, folder, TABLES, KEY, name=name, held=held, first=joining.first, steps=STEPS, **options
    )
    assert store.together is not None
    store.together.share()
    return store


@contextlib.contextmanager
def together(server: Server, folder: Path, count: int = 3, **options: Any) -> Iterator[list[PostgresStore]]:
    with contextlib.ExitStack() as stack:
        stores = []
        for number in range(count):
            stores.append(joined(server, folder, f"replica-{number}", **options))
            stack.callback(stores[-1].close)
        yield stores


def leading(stores: list[PostgresStore]) -> list[PostgresStore]:
    return [one for one in stores if one.together is not None and one.together.leads]


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def raised(name: str) -> Callable[[View], Plan[int]]:
    """Read a number, write one more."""

    def step(view: View) -> Plan[int]:
        row = view.get(TALLY, name)
        count = 1 if row is None else row.value + 1
        return Plan((Put(TALLY, Tally(name, count)),), count)

    return step


async def test_what_one_commits_the_others_have_at_once_and_steps_are_serial(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path) as stores:

        async def many(store: PostgresStore) -> list[int]:
            return [(await store.perform(raised("n"))).value for _ in range(60)]

        answers = await asyncio.gather(*map(many, stores))
        assert sorted(sum(answers, [])) == list(range(1, 181))
        for store in stores:
            await until(
                lambda store=store: store.ask_now(lambda view: view.get(TALLY, "n")) == Tally("n", 180)
            )


async def test_all_kinds_of_rows_are_the_same_everywhere_while_one_moves_them(
    server: Server, tmp_path: Path
) -> None:
    rng = random.Random(7)  # noqa: S311 - a drawn order of acts
    expected: dict[Any, Any] = {}
    with together(server, tmp_path, flush_bytes=20_000) as stores:
        await until(lambda: len(leading(stores)) == 1)
        for number in range(300):
            key = number % 40
            rows = [
                thing(f"t{key}", due=rng.randrange(9)),
                Tally(f"n{key}", number),
                Secret(f"s{key}", 1, bytes([number % 251]) * 40),
                Body(f"b{key}", 1, 1, bytes(rng.randrange(3000))),  # type: ignore[arg-type]
                Note(f"m{key}", 1, 1, bytes([number % 251])),  # type: ignore[arg-type]
            ]
            writes: list[Any] = [
                Put(table, row) for table, row in zip((THING, TALLY, SECRET, BODY, NOTE), rows, strict=True)
            ]
            for table, row in zip((THING, TALLY, SECRET, BODY, NOTE), rows, strict=True):
                expected[table.name, table.key_of(row)] = row
            if number % 7 == 0:
                gone = (key + 1) % 40
                writes += [Delete(TALLY, (f"n{gone}",)), Delete(BODY, (f"b{gone}", 1))]
                expected.pop((TALLY.name, (f"n{gone}",)), None)
                expected.pop((BODY.name, (f"b{gone}", 1)), None)
            await rng.choice(stores).perform(lambda _, writes=writes: Plan(tuple(writes), None))
            if number % 50 == 49:
                await rng.choice(leading(stores)).shred()

        def everything(view: View) -> dict[Any, Any]:
            return {
                (table.name, table.key_of(row)): row
                for table in (THING, TALLY, SECRET, BODY, NOTE)
                for row in view.find(table, "key")
            }

        for store in stores:
            await until(lambda store=store: store.ask_now(everything) == expected)
            inside = (await store.perform(lambda view: Plan((), everything(view)))).value
            assert inside == expected
            assert not store.damage.known()
        assert leading(stores)[0].figures().flushed > 0
    with contextlib.closing(joined(server, tmp_path)) as later:
        assert later.ask_now(everything) == expected
    with contextlib.closing(open_store(server, tmp_path, TABLES, KEY, steps=STEPS)) as alone:
        assert alone.ask_now(everything) == expected
