"""Views: rows in memory, layer over layer, and below them those of one connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain, islice, repeat
from operator import contains, itemgetter
from typing import Any, Final, TypeVar

from intelshare.errors import RecordError, StoreError
from intelshare.ports import Delete, Plan, Put, Row, Scalar, Table, View
from intelshare.store.chunks import Chunks
from intelshare.store.chunks import Row as ChunkRow
from intelshare.store.damage import Damage
from intelshare.store.layout import Key, stored
from intelshare.store.memory_table import COST, Layer, MemoryRow, MemoryTable, Passed, memory_row
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import UNREADABLE, Connection
from intelshare.store.traces import Filled

R = TypeVar("R", bound=Row)

DAMAGE: Final = (*UNREADABLE, UnicodeDecodeError)
"""The exceptions that reading a damaged page or text raises, before any digest can be checked."""

_ENTRY: Final = itemgetter(0)


Encoded = tuple[Table[Any], Key, MemoryRow | None]
"""A write as memory keeps it: None deletes."""

_PLACE_BITS: Final = 48
"""The bits of a place of which one may have flipped: no table has as many rows."""

_PIECE: Final = 1000
"""The entries that are looked at in one go if all of them are wanted."""


class Reading:
    """The current rows: for each key, the row of the first layer that knows the key, or else SQLite's.

    Every row that comes from SQLite is checked against its digest. One that can be brought back is, and is
    noted as damaged all the same: where it stands it has yet to be written again.
    """

    unbound: View | None = None
    """See ports.View."""

    passed: Passed | None = None
    """Where lists begin that are read from their beginning again and again (``Layer.passed``). Only of the
    view that the one writer fills, whose first layer is the running group: others may see fewer layers.
    """

    sealed: tuple[Kept, ...] = (Kept.CHUNK,)
    """Where the records stand that only the storage key opens."""

    def __init__(
        self,
        connection: Connection,
        tables: Mapping[str, RowTable],
        chunks: Chunks,
        layers: Sequence[Layer],
        filled: Mapping[str, Filled],
        damage: Damage | None = None,
    ) -> None:
        """``tables`` by name; ``layers``, the newest first; ``filled``: those with rows in SQLite.

        ``damage``: takes what is met damaged.
        """
        self._connection = connection
        self._execute = connection.execute
        self._chunks = chunks
        self._tables = tables
        self._layers = layers
        self._filled = filled
        self._damage = damage

    def place_of(self, sql: RowTable, key: Key) -> int:
        """Return the place of a row that has a separate one, or 0 if there is none."""
        for layer in self._layers:
            memory = layer.tables.get(sql.layout.table.name)
            if memory is not None and key in memory.rows:
                held = memory.rows[key]
                return held.place if held is not None else 0
        return int(self._below(sql, key) or 0)

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        sql = self._tables[table.name]
        place = tuple(map(stored, key))
        for layer in self._layers:
            memory = layer.tables.get(table.name)
            if memory is not None and place in memory.rows:
                held = memory.rows[place]
                return None if held is None else self._row(sql, place, held)
        found = self._below(sql, place)
        return None if found is None else self._checked(sql, place, found)

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """See ports.View."""
        return [self.get(table, *key) for key in keys]

    def find(
        self,
        table: Table[R],
        index: str,
        *prefix: Scalar,
        after: Sequence[Scalar] = (),
        limit: int = 1000,
        damaged: list[StoreError] | None = None,
    ) -> list[R]:
        """See ports.View."""
        sql = self._tables[table.name]
        first, beyond = tuple(map(stored, prefix)), tuple(map(stored, after))
        sources = list(self._sources(sql, index, first, beyond, limit))
        chosen = iter(sources[0]) if len(sources) == 1 else merge(*sources, key=_ENTRY)
        found: list[R] = []
        left_out = 0
        while len(found) + left_out < limit:
            piece = list(islice(chosen, limit - len(found) - left_out))
            if not piece:
                break
            for entry, value in self._ahead_of(sql, piece):
                try:
                    found.append(self._found(sql, index, entry, value))
                except RecordError as error:
                    if damaged is not None:
                        damaged.append(error)
                        left_out += 1
        return found

    def _ahead_of(self, sql: RowTable, piece: list[tuple[Key, Any]]) -> Iterable[tuple[Key, Any]]:  # noqa: ARG002
        """Return these entries of a list with their rows, records or places, which are about to be read."""
        return piece

    def _found(self, sql: RowTable, index: str, entry: Key, value: Any) -> Any:
        key = sql.key_in(index)(entry)
        if isinstance(value, MemoryRow):
            return self._row(sql, key, value)
        row = self._checked(sql, key, value)
        if sql.entry_in(index)(row) != entry:
            raise self._corrupt(sql, key)
        return row

    def _corrupt(self, sql: RowTable, key: Sequence[Any]) -> RecordError:
        return self._noted(sql.layout.corrupt(key))

    def _noted(self, error: RecordError) -> RecordError:
        if self._damage is not None:
            self._damage.note(error)
        return error

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        sql = self._tables[table.name]
        first = tuple(map(stored, prefix))
        newer: list[MemoryTable] = []
        found = 0
        for memory in self._memories(table.name):
            entries = _pieces(memory, index, first, (), _PIECE)
            found += sum(1 for _ in self._unshadowed(sql, index, entries, tuple(newer)))
            newer.append(memory)
        if not self._may_be_below(sql, index, first):
            return found
        try:
            return found + self._count_stored(sql, index, first, newer)
        except DAMAGE:
            raise self._noted(sql.layout.unread(first)) from None

    def _count_stored(self, sql: RowTable, index: str, first: Key, newer: Sequence[MemoryTable]) -> int:
        """Count the rows of the table that no layer knows: all of them, less those that one knows."""
        stored = self._number(sql.count(index, len(first)), first)
        keys = set[Key]().union(*(memory.rows for memory in newer)) if stored else ()
        if stored <= len(keys):
            return sum(1 for _ in self._stored(sql, index, first, (), _PIECE, newer))
        known = [key for key in keys if self._may_be_below(sql, "key", key)]
        for start in range(0, len(known), _PIECE):
            stored -= self._count_among(sql, index, first, known[start : start + _PIECE])
        return stored

    def _count_among(self, sql: RowTable, index: str, first: Key, keys: Sequence[Key]) -> int:
        """Count the rows of the table that have these first fields of an index and one of these keys."""
        return self._number(sql.count_among(index, len(first), len(keys)), (*chain(*keys), *first))

    def _number(self, question: str, values: Sequence[Any]) -> int:
        return int(str(self._execute(question, values).fetchall()[0][0]))

    def _sources(
        self, sql: RowTable, index: str, first: Key, beyond: Key, limit: int
    ) -> Iterator[Iterable[tuple[Key, Any]]]:
        """Yield, for each layer and for SQLite, the entries that nothing newer knows, in order; they are read
        in pieces of ``limit``.
        """
        newer: list[MemoryTable] = []
        name = sql.layout.table.name
        for memory in self._memories(name):
            found, rest = memory.find(index, first, beyond, limit)
            if rest is not None:
                yield self._unshadowed(sql, index, _pieces(memory, index, first, beyond, limit), tuple(newer))
            elif found:
                yield self._unshadowed(sql, index, found, tuple(newer))
            newer.append(memory)
        if self._may_be_below(sql, index, first):
            yield self._stored(sql, index, first, beyond, limit, newer)

    def _memories(self, name: str) -> Iterator[MemoryTable]:
        for layer in self._layers:
            memory = layer.tables.get(name)
            if memory is not None:
                yield memory

    @staticmethod
    def _unshadowed(
        sql: RowTable, index: str, found: Iterable[tuple[Key, Any]], newer: Sequence[MemoryTable]
    ) -> Iterable[tuple[Key, Any]]:
        """Return those whose key no newer layer knows."""
        if not newer:
            return found
        key, known = sql.key_in(index), [memory.rows for memory in newer]
        return (one for one in found if not any(map(contains, known, repeat(key(one[0])))))

    def _stored(
        self, sql: RowTable, index: str, first: Key, beyond: Key, limit: int, newer: Sequence[MemoryTable]
    ) -> Iterator[tuple[Key, Any]]:
        """Yield entries of SQLite that no layer knows, with their records or ids; reads only as many as are
        asked for.
        """
        place = sql.layout.table.name, index, first
        passed = self.passed if not beyond else None
        if passed is not None:
            beyond = passed.get(place, ())
        while limit > 0:
            try:
                rows = self._execute(
                    sql.find(index, len(first), len(beyond)), (*first, *beyond, limit)
                ).fetchall()
            except DAMAGE:
                raise self._noted(sql.layout.unread(first)) from None
            entries: list[tuple[Any, Any]] = [(row[:-1], row[-1]) for row in rows]
            yield from self._unshadowed(sql, index, entries, newer)
            if len(rows) < limit:
                return
            if passed is not None:
                # What the running group has written may still be rolled back.
                group = self._layers[0].tables.get(sql.layout.table.name)
                committed = [memory for memory in newer if memory is not group]
                if list(self._unshadowed(sql, index, entries, committed)):
                    passed = None
                else:
                    passed[place] = entries[-1][0][len(first) :]
            beyond = entries[-1][0][len(first) :]
            if not beyond:
                return

    def _row(self, sql: RowTable, key: Key, held: MemoryRow) -> Any:
        if held.row is not None:
            return held.row
        if held.place:
            return self._checked(sql, key, held.place)
        for memory in self._memories(sql.layout.table.name):
            if memory.rows.get(key) is held:
                return memory.made(key, held)
        return sql.layout.row(held.record)

    def all_columns(self, sql: RowTable) -> Iterator[list[Any]]:
        """Yield the columns of all rows that SQLite has, piece by piece."""
        cursor = iter(self._execute(sql.all_columns))
        while piece := list(islice(cursor, _PIECE)):
            yield piece

    def check(self, sql: RowTable, columns: Sequence[Any], found: Any) -> None:
        """Raise StoreError RECORD_CORRUPT for a row of ``RowTable.scrub`` that has changed since it was
        written.
        """
        key = tuple(columns[: len(sql.layout.table.key)])
        if sql.values(self._checked(sql, key, found)) != tuple(columns):
            raise sql.layout.corrupt(key)

    def _may_be_below(self, sql: RowTable, index: str, known: Key) -> bool:
        """Return true if SQLite may have entries that begin with these values."""
        filled = self._filled.get(sql.layout.table.name)
        return filled is not None and filled.may_hold(index, known)

    def _in_chunk(self, place: int) -> ChunkRow | None:
        """The row in this place of a chunk; None: it is missing or damaged."""
        return self._chunks.read(self._connection, place, self._noted)

    def _apart(self, sql: RowTable, key: Key, place: int) -> Any:
        """The record of an erasable row behind its digest; None: there is none."""
        del key
        rows = self._execute(sql.read_at, (place,)).fetchall()
        return rows[0][0] if rows else None

    def _below(self, sql: RowTable, place: Key) -> Any:
        """Return SQLite's record or id for a key, or None if it has none."""
        if not self._may_be_below(sql, "key", place):
            return None
        try:
            found = self._execute(sql.get, place).fetchall()
        except DAMAGE:
            raise self._noted(sql.layout.unread(place)) from None
        return found[0][0] if found else None

    def _checked(self, sql: RowTable, key: Key, found: Any) -> Any:
        """Return the row of a record at rest, or of the place that leads to it. Raises RecordError."""
        record = found
        try:
            if sql.kept is Kept.CHUNK:
                return sql.layout.named(self._in_chunk(found), key)
            if sql.kept is Kept.APART:
                record = self._apart(sql, key, found)
            return sql.layout.checked(record, key)
        except DAMAGE:
            raise self._noted(sql.layout.unread(key)) from None
        except RecordError as error:
            row = sql.layout.restored(record, key)
            if row is None and sql.kept is Kept.APART and (own := self.own_place(sql, key, found)):
                row = sql.layout.restored(self._apart(sql, key, own), key)
            if row is None:
                raise self._noted(error) from None
        self._noted(sql.layout.brought_back(key))
        return row

    def own_place(self, sql: RowTable, key: Key, place: int) -> int:
        """Return the place of an erasable row: the one that was found, unless a flipped bit led there.

        0 if another row is there, and no flipped bit leads to this one: nothing there may be overwritten.
        """
        there = self._key_at(sql, key, place)
        if there == key:
            return place
        near = [place ^ 1 << bit for bit in range(_PLACE_BITS)]
        own = [one for one in near if self._key_at(sql, key, one) == key]
        if len(own) == 1:
            return own[0]
        return place if there is None else 0

    def leads_to_another(self, sql: RowTable, key: Key, place: int) -> bool:
        """Return true if a whole row of another key is in this place of a chunk."""
        found = self._in_chunk(place)
        if found is None:
            return False
        return found[0] != sql.layout.table.name or sql.layout.key_of_record(found[1]) != key

    def _key_at(self, sql: RowTable, key: Key, place: int) -> Key | None:
        """Return the key of the whole record in a place; None if there is none."""
        try:
            return sql.layout.key_at_rest(self._apart(sql, key, place))
        except DAMAGE:
            return None


def _pieces(
    memory: MemoryTable, index: str, first: Key, beyond: Key, limit: int
) -> Iterator[tuple[Key, MemoryRow]]:
    rest: Key | None = beyond
    while rest is not None:
        found, rest = memory.find(index, first, rest, limit)
        yield from found


class Writing(Reading):
    """The rows inside a running group of steps: a separate layer over what is committed."""

    def __init__(
        self,
        connection: Connection,
        tables: Mapping[str, RowTable],
        chunks: Chunks,
        layers: Sequence[Layer],
        filled: Mapping[str, Filled],
        group: Layer,
        damage: Damage | None = None,
    ) -> None:
        """``group``: an empty layer, which takes everything that the steps write."""
        super().__init__(connection, tables, chunks, (group, *layers), filled, damage)
        self._group = group
        self.writes = 0
        """The number of writes that were taken."""

    def take(self, plan: Plan[Any]) -> None:
        """Take all writes of a plan, or raise TypeError and take none."""
        self.put(self.encoded(plan.writes))

    def encoded(self, writes: Iterable[Put | Delete]) -> list[Encoded]:
        """Return writes as they are kept. Raises TypeError for a row that cannot be stored."""
        taken: list[Encoded] = []
        for write in writes:
            sql = self._tables[write.table.name]
            layout = sql.layout
            if isinstance(write, Put):
                key, record = layout.record(write.row)
                columns = key if sql.key_alone else sql.values(write.row)
                taken.append((write.table, key, memory_row((record, 0, columns, write.row))))
            elif isinstance(write, Delete):
                taken.append((write.table, layout.check_delete(write.key), None))
        return taken

    def put(self, taken: Sequence[Encoded]) -> None:
        """Take writes that were encoded."""
        group = self._group
        for table, key, one in taken:
            group.table(table).put(key, one)
            group.size += COST + (len(one.record) if one is not None else 0)
        self.writes += len(taken)
