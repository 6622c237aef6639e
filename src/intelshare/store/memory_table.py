"""Rows in memory that shadow those of a table below: the newest of each key, and orders made on demand.

A key maps to what is held for it, or to None where the row is deleted. An order is a sorted list of (index
fields, key fields). It is made when somebody first asks for it and then brought up to date at each question,
so that a row which comes and goes between two questions costs no comparison.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from intelshare.ports import Table
from intelshare.store.layout import Key, getter
from intelshare.store.row_tables import RowTable

FEW: Final = 32
"""Below one new entry in so many, each is put into its place; above, the whole list is sorted again."""


COST: Final = 200
"""Bytes that a row costs in memory besides its record, roughly."""


class MemoryRow(NamedTuple):
    """What memory holds of a row."""

    row: Any
    """None if it was read back from the journal, or has a place of its own and was not asked for lately."""
    record: bytes
    """Without digest; empty once the row has a place of its own on the disk."""
    place: int
    """Where the row stands on the disk, if it has a place of its own; else 0."""
    columns: Key
    """What its table has besides the place, if it has one (RowTable.columns); else empty."""


memory_row = partial(tuple.__new__, MemoryRow)
"""Makes a ``MemoryRow`` of its parts, in half the time."""


class Top:
    """Sorts after every value."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


TOP: Final[Any] = Top()


class _Order:
    """One index of one table: its sorted entries, and the keys that were written since it was sorted."""

    __slots__ = ("_at", "_flag", "_index", "_sql", "entries", "key", "waiting")

    def __init__(self, sql: RowTable, index: str, keys: Iterable[Key]) -> None:
        self.entries: list[Key] = []
        self.waiting = list(keys)
        self.key = sql.key_in(index)
        """The key of an entry."""
        self._at: dict[Key, Key] = {}
        self._sql, self._index = sql, index
        flag = sql.layout.table.only.get(index)
        self._flag = getter((flag,)) if flag else None

    def sort(self, rows: Mapping[Key, MemoryRow | None]) -> None:
        """Bring the entries up to date."""
        entries, fresh = self.entries, []
        for key in dict.fromkeys(self.waiting):
            held = rows.get(key)
            new = None if held is None else key if self._index == "key" else self._of(held)
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

    def _of(self, held: MemoryRow) -> Key | None:
        if held.columns:
            return self._sql.entry_of_columns(self._index)(held.columns)
        row = held.row if held.row is not None else self._sql.layout.row(held.record)
        if self._flag is not None and self._flag(row) != (1,):
            return None
        return self._sql.entry_in(self._index)(row)


class MemoryTable:
    """One table. ``rows`` may be read by anyone."""

    __slots__ = ("_lock", "_orders", "loose", "rows", "sql")

    def __init__(self, sql: RowTable) -> None:
        self.sql = sql
        self.rows: dict[Key, MemoryRow | None] = {}
        self.loose: list[Key] = []
        """Rows that are here although they have a place of their own."""
        self._orders: dict[str, _Order] = {}
        self._lock = threading.Lock()

    def put(self, key: Key, held: MemoryRow | None) -> None:
        """Insert, replace, or (None) delete."""
        self.rows[key] = held
        for order in self._orders.values():
            order.waiting.append(key)

    def update(self, newer: MemoryTable) -> None:
        """Put all that another one holds."""
        self.rows.update(newer.rows)
        self.loose += newer.loose
        for order in self._orders.values():
            order.waiting.extend(newer.rows)

    def gone(self) -> list[Key]:
        """The keys of all that is deleted."""
        return [key for key, held in self.rows.items() if held is None]

    def let_go(self) -> None:
        """Keep of rows that have a place of their own no more than the way to it."""
        for key in self.loose:
            one = self.rows.get(key)
            if one is not None:
                self.rows[key] = memory_row((None, b"", one.place, one.columns))
        self.loose.clear()

    def forget(self, key: Key) -> None:
        """Take out what is held for a key, so that what is below shows."""
        self.put(key, None)
        del self.rows[key]

    def find(
        self, index: str, prefix: Key, after: Key, limit: int
    ) -> tuple[list[tuple[Key, MemoryRow]], Key | None]:
        """Entries with these first fields and what is held for them, in order: see ports.View.find.

        Looks at no more than ``limit``; if there may be more, also what to ask for ``after``.
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


class Layer:
    """Rows of many tables in memory, in front of what stands below."""

    __slots__ = ("_make", "loose", "size", "tables")

    def __init__(self, make: Callable[[Table[Any]], MemoryTable]) -> None:
        """``make`` gives an empty memory table."""
        self.tables: dict[str, MemoryTable] = {}
        self.size = 0
        """Bytes that what it has taken costs in memory, roughly; what was replaced counts too."""
        self.loose = 0
        """Of these, records of rows that have a place of their own."""
        self._make = make

    def table(self, table: Table[Any]) -> MemoryTable:
        """The rows of a table; empty when it is new."""
        found = self.tables.get(table.name)
        if found is None:
            found = self.tables[table.name] = self._make(table)
        return found

    def let_go(self) -> None:
        """Forget rows that can be read from their places."""
        for memory in self.tables.values():
            memory.let_go()
        self.size -= self.loose
        self.loose = 0

    def absorb(self, newer: Layer, below: Callable[[str, Key], bool]) -> None:
        """Take all that another layer holds. A deletion is kept only of what may stand ``below``."""
        for name, memory in newer.tables.items():
            mine = self.table(memory.sql.layout.table)
            mine.update(memory)
            for key in memory.gone():
                if not below(name, key):
                    mine.forget(key)
        self.size += newer.size
        self.loose += newer.loose
