"""Runs of the simulator, recorded as they were written to its disks, and written again to PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intelshare.broker.kernel.tables import TABLES
from intelshare.ports import Plan, Put, View
from intelshare.sim import machine
from intelshare.sim.disk import Disk
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.run import run
from intelshare.store.memory import MemoryStore
from intelshare.store.postgres.beside import scrub
from intelshare.store.postgres.lease import Joining
from intelshare.store.postgres.store import PostgresStore, open_store, open_together
from intelshare.store.server import Server
from postgres_server import asked, new_schema, server_url
from store_tables import KEY

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

FLUSH = 100_000
"""Bytes in memory after which rows are moved: many times in a run."""

GROUP = 50
"""Plans that wait for the store at once."""


class Recorded(Disk):
    """A disk of the simulator that notes what became durable on it, and when its machine lost its power."""

    made: list[Recorded]

    def __init__(self, rows: MemoryStore) -> None:
        super().__init__(rows)
        first = [Put(table, row) for table in TABLES for row in rows.find(table, "key", limit=1 << 20)]
        self.events: list[Plan[Any] | None] = [Plan(tuple(first), None)]
        """Plans in the order in which they became durable; None: a crash."""
        self._waiting: list[Plan[Any]] = []
        self.made.append(self)

    def apply(self, plan: Plan[Any], effect: Callable[[], None]) -> None:
        """See ``Disk``."""
        super().apply(plan, effect)
        self._waiting.append(plan)

    def sync(self, count: int) -> list[Callable[[], None]]:
        """See ``Disk``."""
        self.events += self._waiting[:count]
        del self._waiting[:count]
        return super().sync(count)

    def crash(self, keep: int) -> None:
        """See ``Disk``."""
        super().crash(keep)
        self.events += [*self._waiting[:keep], None]
        self._waiting = []


def recorded(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[list[Plan[Any]]]:
    """What was written on the busiest disk of a run, from each start of its machine to the next crash."""
    Recorded.made = []
    with monkeypatch.context() as patched:
        patched.setattr(machine, "Disk", Recorded)
        assert run(generate_plan(seed)).violation is None
    lives: list[list[Plan[Any]]] = [[]]
    for event in max(Recorded.made, key=lambda disk: len(disk.events)).events:
        if event is None:
            lives.append([])
        elif event.writes:
            lives[-1].append(event)
    return lives


class Alone:
    """One process over a schema, and the next one after it was killed."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder
        self.stores = [self._opened()]

    def _opened(self) -> PostgresStore:
        return open_store(self._server, self._folder, TABLES, KEY, flush_bytes=FLUSH)

    def killed(self) -> None:
        """The first one is killed, and another one starts."""
        first = self.stores.pop(0)
        database: Any = first._database
        database.resume = lambda: False  # it is never heard of again
        asked(self._server.url, f"SELECT pg_terminate_backend({database._writer.raw.info.backend_pid})")
        self.stores.append(self._opened())
        first.close()

    def close(self) -> None:
        """End all of them in order."""
        for store in self.stores:
            store.close()


class Together(Alone):
    """Two of them run together: first one leads, after its end the other."""

    def __init__(self, server: Server, folder: Path) -> None:
        super().__init__(server, folder)
        self.stores.append(self._opened())

    def _opened(self) -> PostgresStore:
        joining = Joining(self._server, self._folder, "replica")
        held = joining.wait()
        assert held is not None
        store = open_together(
            self._server, self._folder, TABLES, KEY,
            name="replica", held=held, first=joining.first, flush_bytes=FLUSH,
        )  # fmt: skip
        assert store.together is not None
        store.together.share()
        return store


def everything(view: View) -> list[Any]:
    return [view.find(table, "key", limit=1 << 20) for table in TABLES]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("processes", [Alone, Together])
async def test_a_run_of_the_simulator_leaves_the_same_rows_in_postgresql(
    processes: type[Alone], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives, model = recorded(seed, monkeypatch), MemoryStore()
    assert len(lives) > 1
    server = Server(server_url(), new_schema())
    with contextlib.closing(processes(server, tmp_path)) as members:
        for number, plans in enumerate(lives):
            if number:
                members.killed()
            assert members.stores[-1].ask_now(everything) == everything(model)
            store = members.stores[number % len(members.stores)]
            for first in range(0, len(plans), GROUP):
                group = plans[first : first + GROUP]
                for plan in group:
                    model.apply(plan)
                await asyncio.gather(
                    *(store.perform(lambda _, p=plan: Plan(p.writes, None)) for plan in group)
                )  # type: ignore[misc]
        for store in members.stores:
            await store.perform(lambda _: Plan((), None))  # whoever has the turn knows all that was committed
            assert store.ask_now(everything) == everything(model)
    assert list(scrub(server, tmp_path, "scrub", TABLES, KEY)) == []
