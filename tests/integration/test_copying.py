"""Rows that are moved to another store: all of them, or none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from intelshare.errors import RecordError
from intelshare.store.copying import copy_rows, copy_view, described
from intelshare.store.memory import MemoryStore
from intelshare.store.migrate import migrate
from intelshare.store.sqlite import SqliteStore
from store_tables import KEY, SCHEMA, TABLES, opened, put, thing

SPOILT = "UPDATE thing SET _record = zeroblob(20) WHERE part = 2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "store.db", [SCHEMA])
    return tmp_path / "store.db"


@pytest.mark.parametrize("parts", [(1, 2, 3), (2,)])
async def test_rows_are_not_moved_without_one_that_cannot_be_read(path: Path, parts: tuple[int, ...]) -> None:
    """It would be gone, and nobody would know that anything was there."""
    with opened(path) as store:
        await store.perform(put(*[thing("a", part) for part in parts]))
    other = apsw.Connection(str(path))
    other.execute(SPOILT)
    other.close()
    with opened(path) as store:
        with pytest.raises(RecordError, match=r"thing.*a, 2"):
            await copy_rows(store, MemoryStore(), TABLES)
        with pytest.raises(RecordError, match=r"thing.*a, 2"):
            described(store.ask_now, TABLES)


async def test_rows_that_were_moved_are_the_same(path: Path) -> None:
    target = MemoryStore()
    with opened(path) as store:
        await store.perform(put(*[thing("a", part) for part in range(3)]))
        await copy_rows(store, target, TABLES)
        assert described(store.ask_now, TABLES) == described(target.ask_now, TABLES)


@pytest.mark.parametrize("parts", [(1, 2, 3), (2,)])
def test_a_copy_for_a_backup_names_the_rows_that_are_not_in_it(
    path: Path, tmp_path: Path, parts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(tmp_path / "copy.db", [SCHEMA])
    monkeypatch.setattr("intelshare.store.copying.open_store", SqliteStore)  # with the schema of these tables
    with opened(path) as store:
        asyncio.run(store.perform(put(*[thing("a", part) for part in parts])))
    other = apsw.Connection(str(path))
    other.execute(SPOILT)
    other.close()
    with opened(path) as store:
        done = store.ask_now(lambda view: copy_view(view, tmp_path / "copy.db", TABLES, KEY, lambda row: row))
    assert [error.code for error in done.left_out] == ["RECORD_CORRUPT"]
    assert "a, 2" in done.left_out[0].message
    with opened(tmp_path / "copy.db") as copy:
        rows = copy.ask_now(lambda view: view.find(TABLES[0], "key"))
    assert [row.part for row in rows] == [part for part in parts if part != 2]
