"""The store in PostgreSQL, killed at every exchange with its server: before it was sent, or before the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.errors import StoreError
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, View
from intelshare.store.memory import MemoryStore
from intelshare.store.postgres.beside import scrub
from intelshare.store.postgres.lease import Joining
from intelshare.store.postgres.pipeline import Pipeline
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore, open_store, open_together
from intelshare.store.server import Server
from postgres_server import make_schema, new_schema, server_url
from store_tables import BODY, KEY, NOTE, SECRET, TABLES, TALLY, THING, Body, Note, Secret, Tally, thing

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
        self.left, self._sent = number, sent
        self.answered = 0
        """Steps."""

    def run(self, pipeline: Pipeline, statements: Sequence[Any], run: Callable[..., Any]) -> Any:
        """Instead of ``Pipeline.run``."""
        self.left -= 1
        if self.left > 0:
            return run(pipeline, statements)
        if self.left == 0 and self._sent:
            run(pipeline, statements)
        pipeline._raw.close()
        raise psycopg.OperationalError("killed")


def alone(server: Server, folder: Path) -> PostgresStore:
    return open_store(server, folder, TABLES, KEY, steps=STEPS, flush_bytes=FLUSH)


def together(server: Server, folder: Path) -> PostgresStore:
    joining = Joining(server, folder, "a")
    held = joining.wait()
    assert held is not None
    store = open_together(
        server, folder, TABLES, KEY, name="a", held=held, first=joining.first, steps=STEPS, flush_bytes=FLUSH
    )
    assert store.together is not None
    store.together.share()
    return store


async def live(opening: Callable[[], PostgresStore], killed: Killed) -> None:
    """What the process does until it is killed."""
    with contextlib.suppress(StoreError), contextlib.closing(opening()) as store:
        for number, writes in enumerate(WRITES):
            await store.perform(lambda _, writes=writes: Plan(tuple(writes), None))  # type: ignore[misc]
            killed.answered += 1
            if number == SHRED:
                await store.shred()
            while store.figures().waiting and killed.left > 0:
                await asyncio.sleep(0.001)


def everything(view: View) -> list[Any]:
    return [view.find(table, index) for table in TABLES for index in ("key", *table.indexes)]


def expected(steps: int) -> list[Any]:
    plans = [Plan(tuple(writes), None) for writes in WRITES[:steps]]
    return everything(MemoryStore(plans))


def lives() -> Iterator[tuple[str, bool]]:
    for how in ("alone", "together"):
        for sent in (False, True):
            yield how, sent


@pytest.mark.parametrize(("how", "sent"), list(lives()))
async def test_killed_at_any_point_it_has_what_it_answered_and_nothing_by_half(
    how: str, sent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"alone": alone, "together": together}[how]
    run, number, points = Pipeline.run, 0, 0
    while True:
        number += 1
        server, folder = Server(server_url(), new_schema()), tmp_path / str(number)
        folder.mkdir()
        make_schema(server)
        killed = Killed(number, sent=sent)
        with monkeypatch.context() as patched:
            patched.setattr(Pipeline, "run", lambda one, statements, k=killed: k.run(one, statements, run))
            await live(lambda server=server, folder=folder: opened(server, folder), killed)  # type: ignore[misc]
        points += killed.left <= 0
        with contextlib.closing(opened(server, folder)) as again:
            found = again.ask_now(everything)
            assert found in (expected(killed.answered), expected(killed.answered + 1)), (number, found)
            await again.perform(lambda _: Plan((Put(TALLY, Tally("more", 1)),), None))
            await again.shred()
        assert list(scrub(server, folder, "scrub", TABLES, KEY)) == []
        if killed.left > 0:
            break
    assert killed.answered == len(WRITES)
    assert points > 20
