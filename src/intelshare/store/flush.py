"""Moves rows from memory into their tables, in slices, each one transaction.

Rows go in the order of their keys, so that a page is written once for all rows that belong to it. Until the
last slice, which also deletes the groups of the journal that held them, the rows stay in memory as well, so
it does not matter when the process ends, or who reads in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from intelshare.store.journal import forget
from intelshare.store.layout import Key
from intelshare.store.memory_table import Layer, MemoryRow
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import Connection
from intelshare.store.traces import Filled

SLICE: Final = 1024
"""The rows of one slice: some 10 ms, for which an urgent step may have to wait."""


class _Batch(NamedTuple):
    sql: str
    rows: list[tuple[Any, ...]]
    filled: Filled | None
    """The ``Filled`` of the table that gets the rows; None if rows are deleted."""


class Flush:
    """One layer on its way to the disk. Each slice can be tried again, with the same result."""

    def __init__(
        self, layer: Layer, tables: Mapping[str, RowTable], filled: Mapping[str, Filled], upto: int
    ) -> None:
        """``filled``: by table of the layer. ``upto``: the last group of the journal that the layer
        contains.
        """
        self.layer = layer
        self.filled = filled
        self.upto = self.delete = upto
        """The last group that it makes good, and the last one that it deletes."""
        self._batches = _batches(layer, tables, filled)
        self._next: _Batch | None = next(self._batches, None)

    def write(self, connection: Connection) -> bool:
        """Write one slice inside a running transaction; return true if it was the last. Then call
        ``written``.
        """
        if self._next is not None:
            if self._next.filled is not None:
                self._next.filled.add(self._next.rows)
            connection.executemany(self._next.sql, self._next.rows)
            return False
        forget(connection, self.upto, self.delete)
        return True

    def learn(self) -> None:
        """Note that another process has written all of it."""
        for name, memory in self.layer.tables.items():
            filled = self.filled[name]
            held = [one for one in memory.rows.values() if one is not None]
            filled.add([one.columns for one in held])

    def written(self) -> int:
        """Record that the slice is committed; return how many rows it had."""
        count = len(self._next.rows) if self._next is not None else 0
        self._next = next(self._batches, None)
        return count


def _batches(layer: Layer, tables: Mapping[str, RowTable], filled: Mapping[str, Filled]) -> Iterator[_Batch]:
    for name, memory in layer.tables.items():
        sql = tables[name]
        put = sorted((key, held) for key, held in memory.rows.items() if held is not None)
        yield from _cut(sql.put, _rows(sql, put), filled[name])
        yield from _cut(sql.delete, iter(sorted(memory.gone())), None)


def _rows(sql: RowTable, put: list[tuple[Key, MemoryRow]]) -> Iterator[tuple[Any, ...]]:
    if sql.kept is not Kept.IN_TABLE:
        return ((*held.columns, held.place) for _, held in put)
    digested = sql.layout.digested
    return ((*held.columns, digested(held.record)) for _, held in put)


def _cut(sql: str, rows: Iterator[tuple[Any, ...]], filled: Filled | None) -> Iterator[_Batch]:
    while batch := list(islice(rows, SLICE)):
        yield _Batch(sql, batch, filled)
