"""The writer's thread of a store lives as long as the store, whatever it meets between two steps."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from intelshare.errors import StoreError
from intelshare.store.migrate import migrate
from intelshare.store.sqlite import SqliteStore
from store_tables import KEY, SCHEMA, TABLES, put, thing
from together_stores import until
from waits import LIMIT


async def test_p17_what_nobody_has_thought_of_ends_the_store_and_leaves_no_caller_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    migrate(tmp_path / "rows.db", [SCHEMA])
    store = SqliteStore(tmp_path / "rows.db", TABLES, KEY, lambda error: told.append(error.code))
    try:
        monkeypatch.setattr(store, "_look_after", lambda: 1 / 0)
        await asyncio.wait_for(store.perform(put(thing("a"))), LIMIT)
        await until(lambda: bool(told))
        with pytest.raises(StoreError, match=r"DISK_ERROR.*ZeroDivisionError"):
            await asyncio.wait_for(store.perform(put(thing("b"))), LIMIT)
        assert told == ["DISK_ERROR"]
    finally:
        store.close()


async def test_p17_a_destruction_that_fails_in_a_way_nobody_has_thought_of_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> bool:
        raise OSError(errno.EIO, "I/O error")

    told: list[str] = []
    migrate(tmp_path / "rows.db", [SCHEMA])
    store = SqliteStore(tmp_path / "rows.db", TABLES, KEY, lambda error: told.append(error.code))
    try:
        monkeypatch.setattr(store, "_clear", fails)
        with pytest.raises(StoreError, match="DISK_ERROR"):
            await asyncio.wait_for(store.shred(), LIMIT)
        assert told == ["DISK_ERROR"]
    finally:
        store.close()
