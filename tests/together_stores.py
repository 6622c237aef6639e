"""Several stores over one schema of PostgreSQL, as replicas that run together have them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from intelshare.errors import StoreError
from intelshare.ports import Table
from intelshare.store.postgres.connection import connect
from intelshare.store.postgres.lease import TURN, Joining
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore, open_together
from intelshare.store.server import Server
from postgres_server import asked
from store_tables import KEY, TABLES
from waits import LIMIT

STEPS = [first_schema(TABLES)]


def joined(
    server: Server,
    folder: Path,
    name: str = "a",
    steps: list[str] = STEPS,
    tables: Sequence[Table[Any]] = TABLES,
    **options: Any,
) -> PostgresStore:
    joining = Joining(server, folder, name)
    held = joining.wait()
    assert held is not None
    store = open_together(
        server, folder, tables, KEY, name=name, held=held, first=joining.first, steps=steps, **options
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
    while True:
        with contextlib.suppress(StoreError):  # the database may be away for a moment
            if true():
                return
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def turn_held(server: Server, folder: Path) -> AsyncIterator[Callable[[PostgresStore], Any]]:
    """Somebody else has the turn to write; yields what waits until a store waits for it."""
    slow = connect(server, folder, "slow", writes=True)
    slow.execute("BEGIN TURN")
    slow.execute(TURN, (server.schema,))
    slow.execute("SELECT 1").fetchall()

    async def waits(store: PostgresStore) -> None:
        assert store.together is not None
        sql = f"SELECT wait_event FROM pg_stat_activity WHERE pid = {store.together.session}"
        await until(lambda: asked(server.url, sql) == [("advisory",)])

    try:
        yield waits
    finally:
        slow.close()
