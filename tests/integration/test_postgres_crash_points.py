"""The store in PostgreSQL, killed at each exchange with its server: before it is sent, or before its end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.errors import StoreError
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, View
from intelshare.store.memory import MemoryStore
from intelshare.store.postgres.beside import scrub
from intelshare.store.postgres.pipeline import Pipeline
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.server import Server
from postgres_server import asked, make_schema, new_schema, server_url
from store_tables import BODY, KEY, NOTE, SECRET, TABLES, TALLY, THING, Body, Note, Secret, Tally, thing

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

STEPS = [first_schema(TABLES)]
FLUSH = 1
"""Bytes in memory after which rows are moved into their tables: always."""

WRITES: list[list[Any]] = [
    [
        Put(THING, thing("a", due=5)),
        Put(TALLY, Tally("n", 1)),
        Put(SECRET, Secret("s", 1, b"x" * 40)),
        Put(SECRET, Secret("s", 2, b"y" * 40)),
        Put(BODY, Body("b", 1, Instant(1), b"z" * 900)),
        Put(NOTE, Note("m", 1, Instant(2), b"z")),
    ],
    [Put(TALLY, Tally("n", 2)), Put(SECRET, Secret("s", 1, bytes(40))), Delete(NOTE, ("m", 1))],
    [Put(THING, thing("b", due=4)), Delete(THING, ("a", 0)), Put(BODY, Body("b", 2, Instant(3), b"w" * 50))],
]
SHRED = 1
"""The step after which what it has overwritten is to be destroyed."""


class Killed:
    """A process that is killed at its ``number``-th exchange; ``sent``: the server has got that one."""

    def __init__(self, number: int, *, sent: bool) -> None:
        self.number, self.left, self._sent = number, number, sent
        self.answered = 0
        """Steps."""

    def run(self, pipeline: Pipeline, statements: Sequence[Any], run: Callable[..., Any]) -> Any:
        """Instead of ``Pipeline.run``."""
        settings = any("set_config" in text or "current_setting" in text for text, _ in statements)
        self.left -= not settings or self.left <= 0  # nothing is done between those and what follows
        if self.left > 0:
            return run(pipeline, statements)
        if self.left == 0 and self._sent:
            run(pipeline, statements)
            self.left = -1
        pipeline._raw.close()
        raise psycopg.OperationalError("killed")

    def spare(self) -> None:
        """From now on it is not killed, if it was not."""
        if self.left > 0:
            self.left = sys.maxsize


def at_every_exchange(tmp_path: Path, *, sent: bool) -> Iterator[tuple[Server, Path, Killed]]:
    """Yield an empty schema, a folder and a process that is killed at its first exchange, then at its second,
    and so on, until one is not killed. After each, what is stored is whole.
    """
    server = Server(server_url(), new_schema())
    make_schema(server)
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        empty(server)
        killed = Killed(number, sent=sent)
        yield server, folder, killed
        assert list(scrub(server, folder, "scrub", TABLES, KEY)) == []
        if killed.left > 0:
            assert killed.answered == len(WRITES)
            assert number > 21
            return


def opened(server: Server, folder: Path) -> PostgresStore:
    return open_store(server, folder, TABLES, KEY, steps=STEPS, flush_bytes=FLUSH)


async def live(opening: Callable[[], PostgresStore], killed: Killed) -> None:
    """What the process does until it is killed."""
    with contextlib.suppress(StoreError), contextlib.closing(opening()) as store:
        for number, writes in enumerate(WRITES):
            if await answered(store.perform(lambda _, w=writes: Plan(tuple(w), None)), killed):  # type: ignore[misc]
                killed.answered += 1
            if number == SHRED:
                await answered(store.shred(), killed)


async def answered(asked_for: Awaitable[Any], killed: Killed) -> bool:
    """Whether it was answered; a commit in doubt never is."""
    waiting = asyncio.ensure_future(asked_for)
    while not waiting.done() and killed.left > 0:
        await asyncio.wait((waiting,), timeout=0.01)
    return waiting.done() and waiting.exception() is None


def everything(view: View) -> list[Any]:
    return [view.find(table, index) for table in TABLES for index in ("key", *table.indexes)]


def expected(steps: int) -> list[Any]:
    plans = [Plan(tuple(writes), None) for writes in WRITES[:steps]]
    return everything(MemoryStore(plans))


def empty(server: Server) -> None:
    """As it was made: that is faster than to make another."""
    made = f"SELECT tablename FROM pg_tables WHERE schemaname = '{server.schema}'"
    tables = {str(name) for (name,) in asked(server.url, made)} - {"store_state"}
    all_rows = "".join(f'DELETE FROM {server.schema}."{name}";' for name in tables)
    asked(server.url, f"{all_rows} UPDATE {server.schema}.store_state SET value = 0 WHERE name <> 'schema'")


@pytest.mark.parametrize("sent", [False, True])
async def test_killed_at_any_point_it_has_what_it_answered_and_nothing_by_half(
    sent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Pipeline.run
    for server, folder, killed in at_every_exchange(tmp_path, sent=sent):
        with monkeypatch.context() as patched:
            patched.setattr(Pipeline, "run", lambda one, statements, k=killed: k.run(one, statements, run))
            await live(lambda server=server, folder=folder: opened(server, folder), killed)  # type: ignore[misc]
        with contextlib.closing(opened(server, folder)) as again:
            found = again.ask_now(everything)
            right = (expected(killed.answered), expected(killed.answered + 1))
            assert found in right, (killed.number, found)
            await again.perform(lambda _: Plan((Put(TALLY, Tally("more", 1)),), None))
            await again.shred()
