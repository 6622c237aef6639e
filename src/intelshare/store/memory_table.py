"""Rows in memory that shadow those of a table below: the newest row of each key, and sorted orders made on
demand.

A key maps to its row, or to None if the row is deleted. An order is a sorted list of (index fields, key
fields). It is made on first use and updated at each question, so that a row which is added and removed
between two questions costs no comparison.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from intelshare.ports import Table
from intelshare.store.layout import Key
from intelshare.store.row_tables import RowTable

FEW: Final = 32
"""The ratio of new entries up to which each is inserted in its place; above it, the whole list is sorted
again.
"""


COST: Final = 200
"""The approximate bytes that a row costs in memory besides its record."""


class MemoryRow(NamedTuple):
    """The in-memory form of a row. All but the row itself stands in a group of the journal too."""

    record: bytes
    """The record without its digest; empty once the row has a separate place on the disk."""
    place: int
    """The row's separate place on the disk, or 0 if it has none."""
    columns: tuple[Any, ...]
    """The columns of its table besides the place, its key first (RowTable.columns)."""
    row: Any = None
    """None until somebody asks for it."""


memory_row = partial(tuple.__new__, MemoryRow)
"""Makes a ``MemoryRow`` of its parts, in half the time."""


class Top:
    """A value that sorts after every other."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


TOP: Final[Any] = Top()


class _Order:
    """One index of one table: its sorted entries, and the keys written since it was sorted."""

    __slots__ = ("_at", "_index", "_sql", "entries", "key", "waiting")

    def __init__(self, sql: RowTable, index: str, keys: Iterable[Key]) -> None:
        self.entries: list[Key] = []
        self.waiting = list(keys)
        self.key = sql.key_in(index)
        """Returns the key of an entry."""
        self._at: dict[Key, Key] = {}
        self._sql, self._index = sql, index

    def sort(self, rows: Mapping[Key, MemoryRow | None]) -> None:
        """Bring the entries up to date."""
        entries, fresh = self.entries, []
        for key in dict.fromkeys(self.waiting):
            held = rows.get(key)
            new = None if held is None else entry_of(self._sql, self._index, key, held)
            old = self._at.get(key)
            if new == old:
                continue
            if old is not None:
                del entries[bisect_left(entries, old)]
            if new is None:
                del self._at[key]
            else:
                self._at[key] = new
                fresh.append(new)
        self.waiting.clear()
        if len(fresh) * FEW < len(entries):
            for entry in fresh:
                insort(entries, entry)
        else:
            entries += fresh
            entries.sort()


def entry_of(sql: RowTable, index: str, key: Key, held: MemoryRow) -> Key | None:
    """Return a row's entry in an index; None: it has none there."""
    if index == "key":
        return key
    flag = sql.flags.get(index)
    return None if flag is not None and held.columns[flag] != 1 else sql.entry_of_columns(index)(held.columns)


class MemoryTable:
    """One table. Anybody may read ``rows``."""

    __slots__ = ("_lock", "_orders", "loose", "rows", "sql")

    def __init__(self, sql: RowTable) -> None:
        self.sql = sql
        self.rows: dict[Key, MemoryRow | None] = {}
        self.loose: list[Key] = []
        """The rows that are here although they have separate places."""
        self._orders: dict[str, _Order] = {}
        self._lock = threading.Lock()

    def put(self, key: Key, held: MemoryRow | None) -> None:
        """Insert, replace, or (None) delete."""
        self.rows[key] = held
        for order in self._orders.values():
            order.waiting.append(key)

    def put_all(self, many: Sequence[MemoryRow]) -> None:
        """Insert or replace many."""
        size = len(self.sql.layout.table.key)
        keys = [held.columns[:size] for held in many]
        self.rows.update(zip(keys, many, strict=True))
        for order in self._orders.values():
            order.waiting.extend(keys)

    def made(self, key: Key, held: MemoryRow) -> Any:
        """Return the row of a record, and keep it if the record is here: others will ask for it too."""
        row = self.sql.layout.row(held.record)
        if self.rows.get(key) is held:
            self.rows[key] = memory_row((held.record, held.place, held.columns, row))
        return row

    def update(self, newer: MemoryTable) -> None:
        """Apply everything in another table."""
        self.rows.update(newer.rows)
        self.loose += newer.loose
        for order in self._orders.values():
            order.waiting.extend(newer.rows)

    def gone(self) -> list[Key]:
        """Return the keys of all deleted rows."""
        return [key for key, held in self.rows.items() if held is None]

    def let_go(self) -> None:
        """Keep only the place of rows that have a separate one."""
        for key in self.loose:
            one = self.rows.get(key)
            if one is not None:
                self.rows[key] = memory_row((b"", one.place, one.columns, None))
        self.loose.clear()

    def forget(self, key: Key) -> None:
        """Remove the entry of a key, so that the row below shows again."""
        self.put(key, None)
        del self.rows[key]

    def find(
        self, index: str, prefix: Key, after: Key, limit: int
    ) -> tuple[list[tuple[Key, MemoryRow]], Key | None]:
        """Return the entries with these first fields and their rows, in order: see ports.View.find.

        Looks at no more than ``limit`` entries; if there may be more, also returns the next ``after``.
        """
        if index == "key" and len(prefix) == len(self.sql.layout.table.key):
            one = self.rows.get(prefix)
            return ([(prefix, one)] if one is not None else []), None
        with self._lock:
            order = self._orders.get(index)
            if order is None:
                order = self._orders[index] = _Order(self.sql, index, self.rows)
            if order.waiting:
                order.sort(self.rows)
            entries = order.entries
            low = bisect_right(entries, (*prefix, *after, TOP)) if after else bisect_left(entries, prefix)
            span = entries[low : min(low + limit, bisect_right(entries, (*prefix, TOP)))]
        found = [(entry, held) for entry in span if (held := self.rows[order.key(entry)]) is not None]
        return found, span[-1][len(prefix) :] if span and len(span) == limit else None


Passed = dict[tuple[str, str, Key], Key]
"""By table, index and first fields: up to this entry all rows of the table are shadowed by layers."""


class Layer:
    """Rows of many tables in memory, in front of what is below."""

    __slots__ = ("_make", "loose", "passed", "size", "tables")

    def __init__(self, make: Callable[[Table[Any]], MemoryTable]) -> None:
        """``make`` returns an empty memory table."""
        self.tables: dict[str, MemoryTable] = {}
        self.size = 0
        """The approximate bytes that everything taken costs in memory, including rows that were replaced."""
        self.loose = 0
        """Of these, the bytes of records of rows that have separate places."""
        self.passed: Passed = {}
        """Of the oldest layer: which rows of the tables below no newer ones have left visible."""
        self._make = make

    def table(self, table: Table[Any]) -> MemoryTable:
        """Return the rows of a table, which is empty if it is new."""
        found = self.tables.get(table.name)
        if found is None:
            found = self.tables[table.name] = self._make(table)
        return found

    def let_go(self) -> None:
        """Drop rows that can be read from their places."""
        for memory in self.tables.values():
            memory.let_go()
        self.size -= self.loose
        self.loose = 0

    def absorb(self, newer: Layer, below: Callable[[str, Key], bool]) -> None:
        """Take everything in another layer. A deletion is kept only if the row may be ``below``."""
        for name, memory in newer.tables.items():
            mine = self.table(memory.sql.layout.table)
            mine.update(memory)
            for key in memory.gone():
                if not below(name, key):
                    mine.forget(key)
        self.size += newer.size
        self.loose += newer.loose
