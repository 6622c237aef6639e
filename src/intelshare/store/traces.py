"""Tells which values a table in SQLite certainly does not contain, without searching its trees.

Most keys that a step asks for are new: that of a draft, of a statement that has just arrived, of a secret.
Each such question searched a tree that no longer fits the cache (docs/performance.md). Here one bit stands
for each value of a column, chosen by its first four bytes: the columns are digests and random ids. If the bit
is not set, there is no such value; if it is, there may be one, and SQLite is asked. Whoever chooses values
whose bits are taken only makes their look-ups as slow as all look-ups were before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from intelshare.store.layout import Key
from intelshare.store.row_tables import RowTable

SPREAD: Final = 32
"""The bits for each value: at most one new value in this many meets a bit that is taken."""

SMALLEST: Final = 16 << 10
LARGEST: Final = 1 << 20
"""The bytes of the first part, and of the last one, which takes all further values."""


class Traces:
    """The traces of the values of one column. One thread adds, any thread may ask."""

    __slots__ = ("_parts", "_room")

    def __init__(self) -> None:
        self._parts: list[bytearray] = []
        self._room = 0

    def add(self, values: Iterable[bytes]) -> None:
        """Add values that may be in the table from now on."""
        for value in values:
            if not self._room:
                self._grow()
            self._room -= 1
            part = self._parts[-1]
            at = int.from_bytes(value[:4], "big") & (len(part) * 8 - 1)
            part[at >> 3] |= 1 << (at & 7)

    def may_hold(self, value: bytes) -> bool:
        """Return false if no such value was added."""
        number = int.from_bytes(value[:4], "big")
        for part in self._parts:
            at = number & (len(part) * 8 - 1)
            if part[at >> 3] >> (at & 7) & 1:
                return True
        return False

    def _grow(self) -> None:
        size = min(4 * len(self._parts[-1]), LARGEST) if self._parts else SMALLEST
        if not self._parts or size > len(self._parts[-1]):
            self._parts.append(bytearray(size))
        self._room = size * 8 // SPREAD


class Filled:
    """A table that has rows in SQLite: the traces of its columns. The writer adds, any thread may ask."""

    __slots__ = ("_new", "_old", "_sql")

    def __init__(self, sql: RowTable, *, read: bool) -> None:
        """``read``: the table already has rows. Until ``learn`` has read them, it may contain anything."""
        self._sql = sql
        self._new = _empty(sql)
        self._old: dict[str, Traces] | None = None if read else {}

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows that are about to be written, columns first. Call this before the commit."""
        _take(self._sql, self._new, rows)

    def learn(self, rows: Iterable[Sequence[tuple[Any, ...]]], ended: Callable[[], bool]) -> None:
        """Add the columns of all rows that existed when this was created, piece by piece, unless it has
        ``ended`` before.
        """
        old = _empty(self._sql)
        for piece in rows:
            if ended():
                return
            _take(self._sql, old, piece)
        self._old = old

    def may_hold(self, index: str, known: Key) -> bool:
        """Return true if an entry of this index may begin with these values."""
        trace = self._sql.traces.get(index)
        if trace is None or trace[0] >= len(known) or self._old is None:
            return True
        place, column = trace
        value: Any = known[place]
        if self._new[column].may_hold(value):
            return True
        old = self._old.get(column)
        return old is not None and old.may_hold(value)


def _empty(sql: RowTable) -> dict[str, Traces]:
    return {column: Traces() for column in sql.traced}


def _take(sql: RowTable, traces: dict[str, Traces], rows: Sequence[tuple[Any, ...]]) -> None:
    for column, place in sql.traced.items():
        traces[column].add(map(itemgetter(place), rows))
