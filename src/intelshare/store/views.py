"""Views over a SQLite connection: of what is committed, and of that and what a running transaction adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import apsw

from intelshare.ports import Delete, Plan, Put, Scalar, Table
from intelshare.store.layout import stored
from intelshare.store.statements import Statements

R = TypeVar("R")

DAMAGE: Final = (apsw.CorruptError, UnicodeDecodeError)
"""What reading a damaged page or text raises, before any digest can be looked at."""


class Reading:
    """The rows that one connection sees; every one is checked against its digest."""

    def __init__(self, connection: apsw.Connection, tables: Mapping[str, Statements]) -> None:
        """``tables`` by name."""
        self.connection = connection
        self._execute = connection.execute
        self._tables = tables

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        sql = self._tables[table.name]
        try:
            found = self._execute(sql.get, tuple(map(stored, key))).fetchall()
        except DAMAGE:
            raise sql.layout.corrupt(key) from None
        return sql.layout.decode(found[0]) if found else None

    def find(
        self, table: Table[R], index: str, *prefix: Scalar, after: Sequence[Scalar] = (), limit: int = 1000
    ) -> list[R]:
        """See ports.View."""
        sql = self._tables[table.name]
        values = (*map(stored, prefix), *map(stored, after), limit)
        try:
            found = self._execute(sql.find(index, len(prefix), len(after)), values).fetchall()
        except DAMAGE:
            raise sql.layout.corrupt(prefix) from None
        return list(map(sql.layout.decode, found))

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        sql = self._tables[table.name]
        try:
            found = self._execute(sql.count(index, len(prefix)), tuple(map(stored, prefix))).fetchall()
        except DAMAGE:
            raise sql.layout.corrupt(prefix) from None
        return int(found[0][0])  # type: ignore[arg-type]


class Writing(Reading):
    """Rows as they are inside the running transaction, and what it has not yet told SQLite."""

    def __init__(self, connection: apsw.Connection, tables: Mapping[str, Statements]) -> None:
        """``tables`` by name."""
        super().__init__(connection, tables)
        self._waiting: dict[str, dict[tuple[Scalar, ...], tuple[Any, tuple[Any, ...]] | None]] = {
            name: {} for name in tables
        }
        """By table and key as stored: the row and its values, or None where it is deleted."""
        self.writes = 0
        """How many were taken since all was told."""

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        waiting = self._waiting[table.name]
        if waiting:
            place = tuple(map(stored, key))
            if place in waiting:
                found = waiting[place]
                return found[0] if found is not None else None
        return super().get(table, *key)

    def find(
        self, table: Table[R], index: str, *prefix: Scalar, after: Sequence[Scalar] = (), limit: int = 1000
    ) -> list[R]:
        """See ports.View."""
        self._tell(table.name)
        return super().find(table, index, *prefix, after=after, limit=limit)

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        self._tell(table.name)
        return super().count(table, index, *prefix)

    def take(self, plan: Plan[Any]) -> None:
        """Take all writes of a plan, or raise TypeError and take none."""
        taken: list[tuple[str, tuple[Scalar, ...], tuple[Any, tuple[Any, ...]] | None]] = []
        for write in plan.writes:
            layout = self._tables[write.table.name].layout
            if isinstance(write, Put):
                values = layout.encode(write.row)
                taken.append((write.table.name, layout.key(values), (write.row, values)))
            elif isinstance(write, Delete):
                taken.append((write.table.name, layout.check_key(write.key), None))
        for name, key, entry in taken:
            self._waiting[name][key] = entry
        self.writes += len(taken)

    def tell(self) -> None:
        """Hand everything to SQLite."""
        for name in self._waiting:
            self._tell(name)
        self.writes = 0

    def forget(self) -> None:
        """Drop what waits: the transaction is rolled back."""
        for waiting in self._waiting.values():
            waiting.clear()
        self.writes = 0

    def _tell(self, name: str) -> None:
        waiting = self._waiting[name]
        if not waiting:
            return
        sql = self._tables[name]
        put = [entry[1] for entry in waiting.values() if entry is not None]
        gone = [key for key, entry in waiting.items() if entry is None]
        if put:
            self.connection.executemany(sql.put, put)
        if gone:
            self.connection.executemany(sql.delete, gone)
        waiting.clear()
