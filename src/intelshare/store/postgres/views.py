"""Views over PostgreSQL: many rows in one question, and erasable rows opened with the keys of the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final, TypeVar

from intelshare.errors import RecordError, StoreError
from intelshare.ports import Row, Scalar, Table
from intelshare.store.layout import Key, stored
from intelshare.store.memory_table import MemoryRow
from intelshare.store.postgres.pipeline import NAMES, Array, columns
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import UNREADABLE
from intelshare.store.views import Reading, Writing

R = TypeVar("R", bound=Row)

_TOGETHER: Final = 64
"""The rows of a list that are read at once: 2 MiB, if each is in a chunk of its own."""

_SEVERAL: Final = 2

_CHUNKS: Final = "SELECT id, sealed FROM chunk WHERE id = ANY(?::int8[])"

_TRIES: Final = 3
"""Looks at a row whose key is gone: it may change between a look and the reading of the key."""


E = TypeVar("E", bound=StoreError)

UNREAD: Final = (
    "no start of the node mends it: `REINDEX SCHEMA` at the server does, if it is a page of an index; if it "
    "stays, promote a standby, or restore the folder from a backup: "
    "intelshare node restore BACKUP FOLDER --replace"
)
"""The hint of a page of PostgreSQL that cannot be read."""


def unread_here(error: E) -> E:
    """Return it, for a page with what helps here: no start looks for a byte in the files of a server."""
    if error.page:
        error.hint = UNREAD
    return error


class PostgresReading(Reading):
    """Rows as they are. Its connection has ``keys`` (``GroupKeys``)."""

    sealed = (Kept.CHUNK, Kept.APART)

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._ahead: dict[str, dict[int, tuple[Any, Any]]] = {}
        """Erasable rows by table and place, read at once. No step changes them before its commit."""

    def _noted(self, error: RecordError) -> RecordError:
        return super()._noted(unread_here(error))

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """See ports.View: what memory does not have is asked for at once."""
        sql = self._tables[table.name]
        wanted: list[Key] = [tuple(key) if sql.layout.narrow else tuple(map(stored, key)) for key in keys]
        found: dict[Key, Any] = {}
        places: dict[Key, int] = {}
        below = self._in_memory(sql, wanted, found, places)
        there = self._found_at(sql, below) if below else {}
        if sql.kept is Kept.IN_TABLE:
            found |= {key: self._checked(sql, key, record) for key, record in there.items()}
        else:
            places |= there
        self._look_ahead(sql, list(places.values()))
        found |= {key: self._checked(sql, key, place) for key, place in places.items()}
        return [found.get(key) for key in wanted]

    def _in_memory(
        self, sql: RowTable, wanted: Sequence[Key], found: dict[Key, Any], places: dict[Key, int]
    ) -> list[Key]:
        """Look for rows in memory, and note those that are here and where others stand; return the keys of
        those that may be below.
        """
        layers = [memory.rows for memory in self._memories(sql.layout.table.name)]
        below: list[Key] = []
        for key in dict.fromkeys(wanted):
            for rows in layers:
                if key in rows:
                    held = rows[key]
                    if held is not None and held.row is None and held.place:
                        places[key] = held.place
                    elif held is not None:
                        found[key] = held.row if held.row is not None else self._row(sql, key, held)
                    break
            else:
                if self._may_be_below(sql, "key", key):
                    below.append(key)
        return below

    def _ahead_of(self, sql: RowTable, piece: list[tuple[Key, Any]]) -> Iterator[tuple[Key, Any]]:
        for start in range(0, len(piece), _TOGETHER):
            part = piece[start : start + _TOGETHER]
            if sql.kept is not Kept.IN_TABLE:
                held = [value for _, value in part]
                where = [one.place * (one.row is None) if isinstance(one, MemoryRow) else one for one in held]
                self._look_ahead(sql, [place for place in where if place])
            yield from part

    def _look_ahead(self, sql: RowTable, places: list[int]) -> None:
        """Ask at once for what stands in these places, if there are several. What stands on a page that has
        rotted is asked for alone later.
        """
        connection: Any = self._connection
        question, asked = _CHUNKS, places
        if sql.kept is Kept.APART:
            name = sql.layout.table.name
            question = f'SELECT _place, _group, _record FROM "{name}" WHERE _place = ANY(?::int8[])'  # noqa: S608
        elif connection.is_snapshot:  # otherwise it may be rolled back, and its numbers given again
            asked = self._chunks.unknown(places)
        else:
            return
        if len(asked) < _SEVERAL:
            return
        connection.execute("SAVEPOINT ahead")
        try:
            found = connection.execute(question, (Array(asked),)).fetchall()
        except UNREADABLE:
            connection.execute("ROLLBACK TO SAVEPOINT ahead")
            return
        connection.execute("RELEASE SAVEPOINT ahead")
        if sql.kept is Kept.APART:
            self._ahead[name] = {place: (group, record) for place, group, record in found}
        else:
            self._chunks.learn(found)

    def _found_at(self, sql: RowTable, places: Sequence[Key]) -> dict[Key, Any]:
        try:
            found = self._execute(_many(sql), columns(places)).fetchall()
            return {tuple(row[:-1]): row[-1] for row in found}
        except UNREADABLE:
            raise self._corrupt(sql, places[0]) from None

    def _count_among(self, sql: RowTable, index: str, first: Key, keys: Sequence[Key]) -> int:
        count = sql.count(index, len(first))
        also = "AND" if " WHERE " in count else "WHERE"
        return self._number(f"{count} {also} {_among(sql)}", (*first, *columns(keys)))

    def _apart(self, sql: RowTable, key: Key, place: int) -> Any:
        name = sql.layout.table.name
        connection: Any = self._connection
        for group, found in self._at(name, place):
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

    def _at(self, name: str, place: int) -> list[tuple[Any, Any]]:
        """Return what is sealed in a place, and under which key."""
        known = self._ahead.get(name, {}).get(place)
        if known is not None:
            return [known]
        question = f'SELECT _group, _record FROM "{name}" WHERE _place = ?'  # noqa: S608 - own names
        return self._execute(question, (place,)).fetchall()


class PostgresWriting(PostgresReading, Writing):
    """Rows as they are inside a running group of steps."""


@cache
def _many(sql: RowTable) -> str:
    """The SQL for rows with these keys, with record or place."""
    head, _, _ = sql.get.partition(" WHERE ")
    listed, what = _listed(sql), head.removeprefix("SELECT ")
    return f"SELECT {listed}, {what} WHERE {_among(sql)}"


@cache
def _among(sql: RowTable) -> str:
    """The condition that a row has one of these keys: each mark is an array of one field of them."""
    kinds = sql.layout.kinds
    arrays = ", ".join(f"?::{NAMES[kinds[name]]}[]" for name in sql.layout.table.key)
    return f"({_listed(sql)}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608


def _listed(sql: RowTable) -> str:
    return ", ".join(f'"{name}"' for name in sql.layout.table.key)
