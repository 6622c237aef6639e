"""What a step has read ahead of its turn to write is compared with what others have written since."""

from __future__ import annotations

from typing import Any

import pytest

from intelshare.store.layout import Key
from intelshare.store.memory_table import Layer, MemoryRow, MemoryTable, memory_row
from intelshare.store.postgres import ahead
from intelshare.store.postgres.ahead import Reads, Since
from intelshare.store.row_tables import RowTable
from store_tables import TABLES, THING, thing

MANY = 100


def test_each_row_that_was_written_is_looked_at_once_however_many_lists_a_step_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is done in the turn to write, and a step for many bulletins reads some lists for each of them."""
    tables = {table.name: RowTable(table) for table in TABLES}
    layer = Layer(lambda table: MemoryTable(tables[table.name]))
    for number in range(MANY):
        key, record = tables["thing"].layout.record(row := thing(f"n{number}", rank=number))
        layer.table(THING).put(key, memory_row((record, 0, tables["thing"].values(row), row)))
    looked: list[Key] = []
    entry_of = ahead.entry_of

    def counting(sql: RowTable, index: str, key: Key, held: MemoryRow) -> Key | None:
        looked.append(key)
        return entry_of(sql, index, key, held)

    monkeypatch.setattr(ahead, "entry_of", counting)
    since, reads = Since(tables), Reads()
    since.note_others(layer)
    reads.lists = [_list(MANY + number) for number in range(MANY)]
    assert since.lets_stand(reads)
    assert len(looked) == MANY
    reads.lists.append(_list(MANY - 1))
    assert not since.lets_stand(reads)


def _list(rank: int) -> Any:
    return ahead._List(THING, "due", (rank,), [])
