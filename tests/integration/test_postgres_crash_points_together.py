"""Two stores over one schema, one killed at each exchange with the server, before or after it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_postgres_crash_points import (
    FLUSH,
    SHRED,
    STEPS,
    WRITES,
    Killed,
    answered,
    at_every_exchange,
    everything,
)

from intelshare.errors import StoreError
from intelshare.ports import Plan, Put
from intelshare.store.memory import MemoryStore
from intelshare.store.postgres.connection import PostgresConnection
from intelshare.store.postgres.lease import Joining
from intelshare.store.postgres.pipeline import Pipeline
from intelshare.store.postgres.store import PostgresStore, open_store, open_together
from intelshare.store.server import Server
from store_tables import KEY, TABLES, TALLY, Tally
from waits import LIMIT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]

DIES, STAYS = "dies", "stays"
"""The names of the two processes."""


def own(number: int) -> Put:
    """What the one that stays writes."""
    return Put(TALLY, Tally(STAYS, number))


def joining(server: Server, folder: Path, name: str) -> tuple[PostgresConnection, bool]:
    """A session that is let in, and whether it is the first."""
    wanted = Joining(server, folder, name)
    held = wanted.wait()
    assert held is not None
    return held, wanted.first


def opened(
    server: Server, folder: Path, name: str, held: PostgresConnection, *, first: bool
) -> PostgresStore:
    store = open_together(
        server, folder, TABLES, KEY, name=name, held=held, first=first, steps=STEPS, flush_bytes=FLUSH
    )
    assert store.together is not None
    store.together.share()
    return store


def leads(store: PostgresStore) -> bool:
    return store.together is not None and store.together.leads


async def until_leads(store: PostgresStore) -> None:
    end = time.monotonic() + LIMIT
    while not leads(store):
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def live(store: PostgresStore, other: PostgresStore, killed: Killed) -> None:
    """What the two do in turns, until one is killed; it is the one that shreds if it leads."""
    for number, writes in enumerate(WRITES):
        made: Plan[None] = Plan(tuple(writes), None)
        if await answered(store.perform(lambda _, made=made: made), killed):  # type: ignore[misc]
            killed.answered += 1
        await other.perform(lambda _, n=number: Plan((own(n),), None))  # type: ignore[misc]
        if number == SHRED:
            if leads(store):
                await answered(store.shred(), killed)
            else:
                await until_leads(other)
                await other.shred()


def expected(steps: int) -> list[Any]:
    plans = [Plan(tuple(writes), None) for writes in WRITES[:steps]]
    last = [Plan((own(len(WRITES) - 1), Put(TALLY, Tally("more", 1))), None)]
    return everything(MemoryStore([*plans, *last]))


@pytest.mark.parametrize("leading", [True, False], ids=["it leads", "another leads"])
@pytest.mark.parametrize("sent", [False, True])
async def test_one_of_two_killed_at_any_point_loses_and_halves_nothing_and_the_other_goes_on(
    sent: bool, leading: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Pipeline.run
    for server, folder, killed in at_every_exchange(tmp_path, sent=sent):

        def counted(one: Pipeline, statements: Sequence[Any], killed: Killed = killed) -> Any:
            dies = one._raw.info.parameter_status("application_name") == DIES
            return killed.run(one, statements, run) if dies else run(one, statements)

        with contextlib.ExitStack() as stack:
            places = (DIES, STAYS) if leading else (STAYS, DIES)
            stores: dict[str, PostgresStore] = {}
            patched = stack.enter_context(monkeypatch.context())
            for name in places:
                held, first = joining(server, folder, name)
                if name == DIES:
                    patched.setattr(Pipeline, "run", counted)
                with contextlib.suppress(StoreError):
                    stores[name] = opened(server, folder, name, held, first=first)
                    stack.callback(stores[name].close)
            other = stores[STAYS]
            if DIES in stores:
                await live(stores[DIES], other, killed)
            else:
                await other.perform(lambda _: Plan((own(len(WRITES) - 1),), None))
            killed.spare()
            if killed.left <= 0 and DIES in stores:
                stores[DIES].together.resume = lambda: False  # type: ignore[union-attr,method-assign]
                await until_leads(other)
            await other.perform(lambda _: Plan((Put(TALLY, Tally("more", 1)),), None))
            if leads(other):
                await other.shred()
            found = (await other.perform(lambda view: Plan((), everything(view)))).value
            right = (expected(killed.answered), expected(killed.answered + 1))
            assert found in right, (killed.number, found)
            assert other.ask_now(everything) == found, killed.number
        with contextlib.closing(open_store(server, folder, TABLES, KEY, steps=STEPS)) as again:
            assert again.ask_now(everything) == found, killed.number
