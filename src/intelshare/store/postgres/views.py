"""Views over PostgreSQL: many rows in one question, and erasable rows opened with the keys of the folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

from intelshare.ports import Row, Scalar, Table
from intelshare.store.layout import Key, stored
from intelshare.store.postgres.pipeline import NAMES, columns
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import UNREADABLE
from intelshare.store.views import Reading, Writing

R = TypeVar("R", bound=Row)

_NEAR: Final = 64
"""Places that are read at once."""

_HELD: Final = 4096
"""Places that a view remembers."""

_TRIES: Final = 3
"""Looks at a row whose key is gone: it may change between a look and the reading of the key."""


class PostgresReading(Reading):
    """Rows as they are. Its connection has ``keys`` (``GroupKeys``)."""

    sealed = (Kept.CHUNK, Kept.APART)

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._ahead: dict[str, dict[int, list[tuple[Any, Any]]]] = {}
        """Erasable rows by table and place, as they were found. No step changes them before its commit."""

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """See ports.View: what memory does not have is asked for at once."""
        sql = self._tables[table.name]
        places = [tuple(map(stored, key)) for key in keys]
        below = [place for place in dict.fromkeys(places) if not self._in_memory(table.name, place)]
        below = [place for place in below if self._may_be_below(sql, "key", place)]
        found = self._found_at(sql, below) if len(below) > 1 else {}
        return [
            self._checked(sql, place, found[place])
            if place in found
            else None
            if place in below and len(below) > 1
            else self.get(table, *place)
            for place in places
        ]

    def _in_memory(self, name: str, place: Key) -> bool:
        tables = (layer.tables.get(name) for layer in self._layers)
        return any(memory is not None and place in memory.rows for memory in tables)

    def _found_at(self, sql: RowTable, places: Sequence[Key]) -> dict[Key, Any]:
        try:
            found = self._execute(_many(sql), columns(places)).fetchall()
            return {tuple(row[:-1]): row[-1] for row in found}
        except UNREADABLE:
            raise self._corrupt(sql, places[0]) from None

    def _apart(self, sql: RowTable, key: Key, place: int) -> Any:
        name = sql.layout.table.name
        connection: Any = self._connection
        for group, found in self._near(name, place):
            record = connection.keys.opened(name, place, group, found)
            for _ in range(_TRIES if connection.now is not None else 0):
                if record is not None:
                    break
                # Its key may be gone since the snapshot: then the row is under another one, or destroyed.
                question = f'SELECT _group, _record FROM "{name}" WHERE _place = ?'  # noqa: S608 - own names
                for group_now, found_now in connection.now.execute(question, (place,)).fetchall():
                    record = connection.keys.opened(name, place, group_now, found_now)
            if record is None:
                record = connection.keys.restored(name, place, group, found)
                if record is not None:
                    self._noted(sql.layout.brought_back(key))
                    return record
                connection.moved()
            return record
        return None

    def _near(self, name: str, place: int) -> list[tuple[Any, Any]]:
        """Return what is sealed in a place, and under which key. From the second question on, its neighbours
        are read too: who hands over what another process has stored needs them next.
        """
        ahead = self._ahead.setdefault(name, {})
        if place not in ahead:
            if len(ahead) >= _HELD:
                ahead.clear()
            first = place // _NEAR * _NEAR if ahead else place
            last = first + _NEAR - 1 if ahead else place
            question = f'SELECT _place, _group, _record FROM "{name}" WHERE _place BETWEEN ? AND ?'  # noqa: S608
            ahead[place] = []
            for at, group, found in self._execute(question, (first, last)).fetchall():
                ahead[at] = [(group, found)]
        return ahead[place]


class PostgresWriting(PostgresReading, Writing):
    """Rows as they are inside a running group of steps."""


@cache
def _many(sql: RowTable) -> str:
    """Keys, with record or place: each mark is an array of one field of them."""
    keys = sql.layout.table.key
    arrays = ", ".join(f"?::{NAMES[sql.layout.kinds[name]]}[]" for name in keys)
    head, _, _ = sql.get.partition(" WHERE ")
    listed = ", ".join(f'"{name}"' for name in keys)
    what = head.removeprefix("SELECT ")
    return f"SELECT {listed}, {what} WHERE ({listed}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608
