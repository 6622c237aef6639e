"""The rows of one database file: memory over tables, a journal for what only memory has, one writer.

A commit writes one sealed group of the journal and the rows that have places of their own, then shows them.
A flush moves rows from memory into their tables (``flush``). All methods but ``ask``, ``looking`` and
``waiting`` belong to one thread. Errors of SQLite come out as they are; the transaction is rolled back then.

A question sees the layers that were there when it began, and a snapshot of SQLite of the same moment. A layer
that a question sees is never changed: what is committed meanwhile goes into a new layer on top, and the two
become one when nobody looks at them any more. So a long question holds up nobody and sees no half of a group.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from intelshare.ports import Table
from intelshare.store import journal
from intelshare.store.chunks import Chunks
from intelshare.store.connection import Checkpoints, connect
from intelshare.store.flush import Flush
from intelshare.store.layout import Key
from intelshare.store.memory_table import Layer, MemoryRow, MemoryTable, memory_row
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.traces import Filled
from intelshare.store.views import DAMAGE, Reading, Writing

A = TypeVar("A")


LOOSE_BYTES: Final = 4 << 20
"""Bytes of rows that stay in memory although they have places: a step reads what the one before wrote."""


SPARE_PAGES: Final = 1024
"""Free pages (4 MiB) that stay, or a tenth of all if that is more."""

SHRINK_PAGES: Final = 256
"""Pages (1 MiB) that one slice gives back."""

SHRINK_PATIENCE: Final = 100
"""Milliseconds for which the end of it waits for readers."""


class Database:
    """An open database. ``close`` it."""

    def __init__(self, path: Path, tables: Sequence[Table[Any]], key: bytes, vfs: str | None = None) -> None:
        """Take it over and put back into memory what the journal holds.

        Raises StoreError RECORD_CORRUPT, DISK_ERROR; apsw.Error.
        """
        self._tables = {table.name: RowTable(table) for table in tables}
        self._key = key
        self._path, self._vfs = path, vfs
        self._writer = connect(path, writes=True, vfs=vfs)
        try:
            self._begin()
        except BaseException:
            self._writer.close()
            raise
        self.checkpoints = Checkpoints(self._writer)
        self._showing = threading.Lock()
        """MemoryRow while a group is shown, and while a question begins."""
        self._readers: list[apsw.Connection] = []
        self._seen: dict[int, tuple[Layer, ...]] = {}
        """The layers that each running question looks at, by a number of its own."""
        self._flush: Flush | None = None
        self.commits = self.journalled = self.flushed = 0
        """See ports.Figures."""

    def _begin(self) -> None:
        self._epoch = journal.raise_epoch(self._writer)
        self._filled: Mapping[str, Filled] = {
            name: Filled(sql, read=True) for name, sql in self._tables.items() if self._one(sql.any)
        }
        self._next = {
            name: self._one(sql.last_place) + 1
            for name, sql in self._tables.items()
            if sql.kept is Kept.APART
        }
        self._at_start = self._filled
        self._chunks = Chunks(self._key, self._one("SELECT ifnull(max(id), 0) FROM chunk"))
        layer = self._layer()
        self._last = journal.replay(self._writer, self._key, self._tables, layer)
        self._fresh = [layer]
        self._layers: tuple[Layer, ...] = (layer,)
        """All layers, the newest first: those of ``_fresh``, then the one that a flush moves."""

    def _one(self, sql: str) -> int:
        (found,) = self._writer.execute(sql).fetchall()[0]
        return int(str(found))

    def _layer(self) -> Layer:
        return Layer(lambda table: MemoryTable(self._tables[table.name]))

    # --- questions ----------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Reading], A]) -> A:
        """Answer from what is committed, in any thread."""
        with self.looking() as view:
            return question(view)

    @contextlib.contextmanager
    def looking(self) -> Iterator[Reading]:
        """What is committed now, unchanged until the end."""
        with self._showing:
            connection = self._readers.pop() if self._readers else self._connect()
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM store_state").fetchall()  # takes the snapshot
            except BaseException:
                connection.close()  # and its transaction: what state it is in is not known
                raise
            self._seen[id(connection)] = self._layers
            view = self._view(connection)
        try:
            yield view
        finally:
            del self._seen[id(connection)]
            connection.execute("ROLLBACK")
            self._readers.append(connection)

    def learn(self) -> None:
        """Read which keys the tables have, so that few questions for others go down their trees. In any
        thread, once; until then each does. What is damaged stays unread: it is for those who ask."""
        for name, filled in self._at_start.items():
            with self.looking() as view, contextlib.suppress(*DAMAGE):
                filled.learn(view.all_columns(self._tables[name]))

    def _connect(self) -> apsw.Connection:
        return connect(self._path, writes=False, vfs=self._vfs)

    @property
    def waiting(self) -> int:
        """Bytes of records in memory that are not in their tables yet."""
        return sum(layer.size for layer in self._layers)

    # --- commits ------------------------------------------------------------------------------------------

    def commit(self, fill: Callable[[Writing], None]) -> None:
        """What ``fill`` takes into the view, in one durable transaction. Raises StoreError DATA_LOCKED."""
        group = self._layer()
        with self._transaction():
            fill(Writing(self._writer, self._tables, self._chunks, self._layers, self._filled, group))
            overwrites = self._place(group)
            size = 0
            if group.tables:
                size = journal.append(self._writer, self._key, self._last + 1, self._epoch, group)
            # A reader must not see an overwritten row beside the old rows that lead to it.
            with self._showing if overwrites else contextlib.nullcontext():
                self._writer.execute("COMMIT")
                if overwrites:
                    self._show(group)
        if not overwrites:
            with self._showing:
                self._show(group)
        self._last += bool(group.tables)
        self.commits += 1
        self.journalled += size

    def _show(self, group: Layer) -> None:
        seen = {id(layer) for layers in list(self._seen.values()) for layer in layers}
        fresh = self._fresh
        if id(fresh[0]) in seen:
            fresh.insert(0, group)
        else:
            fresh[0].absorb(group, self._may_be_below)
        if fresh[0].loose > LOOSE_BYTES:
            fresh[0].let_go()
        while len(fresh) > 1 and id(fresh[1]) not in seen:
            fresh[1].absorb(fresh.pop(0), lambda _, __: True)
        self._layers = (*fresh, *self._layers[-1:]) if self._flush is not None else tuple(fresh)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Begin; whoever uses it commits. Rolled back if an error comes out."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            journal.check_epoch(self._writer, self._epoch)
            yield
        except BaseException:
            if self._writer.in_transaction:
                with contextlib.suppress(apsw.Error):
                    self._writer.execute("ROLLBACK")
            raise

    def _place(self, group: Layer) -> bool:
        """Write the rows that have places of their own; whether any that was committed changed or went."""
        changed = False
        for bulk in (False, True):
            chunked = [
                memory
                for memory in group.tables.values()
                if memory.sql.kept is Kept.CHUNK and memory.sql.layout.table.bulk is bulk
            ]
            if bulk and chunked:
                changed = self._drop([(memory.sql, key) for memory in chunked for key in memory.rows])
            rows = [
                (memory.sql.layout.table.name, one.record)
                for memory in chunked
                for one in memory.rows.values()
                if one is not None
            ]
            places = iter(self._chunks.write(self._writer, rows, bulk=bulk))
            for memory in chunked:
                for key, one in memory.rows.items():
                    if one is not None:
                        _placed(group, memory, key, one, next(places))
        apart = [name for name in group.tables if self._tables[name].kept is Kept.APART]
        return sum(self._place_apart(group, group.tables[name]) for name in apart) > 0 or changed

    def _drop(self, keys: Sequence[tuple[RowTable, Key]]) -> bool:
        """Give back what bulk rows took that are written again or deleted; whether there were any."""
        below = self._view(self._writer)
        places = [place for sql, key in keys if (place := below.place_of(sql, key))]
        self._chunks.drop(self._writer, places)
        return bool(places)

    def _place_apart(self, group: Layer, memory: MemoryTable) -> bool:
        below, sql = self._view(self._writer), memory.sql
        name = sql.layout.table.name
        fresh = []
        overwrites = False
        for key, one in memory.rows.items():
            place = below.place_of(sql, key)
            overwrites = overwrites or place > 0
            if one is None:
                self._writer.execute(sql.delete_at, (place,))
                continue
            record = sql.layout.digested(one.record)
            if place:  # in its place: else a copy of what was could stay behind
                self._writer.execute(sql.replace_at, (record, place))
            else:
                place = self._next[name]
                self._next[name] += 1
                fresh.append((place, record))
            _placed(group, memory, key, one, place)
        self._writer.executemany(sql.insert_at, fresh)
        return overwrites

    def _view(self, connection: apsw.Connection) -> Reading:
        return Reading(connection, self._tables, self._chunks, self._layers, self._filled)

    def _may_be_below(self, name: str, key: Key) -> bool:
        """Whether anything under the newest layer can hold this row."""
        filled = self._filled.get(name)
        if filled is not None and filled.may_hold("key", key):
            return True
        below = [layer for layer in self._layers if layer is not self._fresh[0]]
        tables = [layer.tables[name] for layer in below if name in layer.tables]
        return any(key in memory.rows for memory in tables)

    # --- flushes ------------------------------------------------------------------------------------------

    @property
    def flushing(self) -> bool:
        """Rows are being moved."""
        return self._flush is not None

    @property
    def holds_rows(self) -> bool:
        """Something is in memory that a flush would move."""
        return any(layer.tables for layer in self._layers)

    @property
    def fresh(self) -> int:
        """Bytes of records that no flush has begun to move."""
        return sum(layer.size for layer in self._fresh)

    def begin_flush(self) -> None:
        """Begin to move all that is in memory now. Nothing if that is nothing, or a flush runs."""
        if self._flush is not None or not self.holds_rows:
            return
        layer = self._fresh[0]
        if len(self._fresh) > 1:  # somebody looks at the older ones
            layer = self._layer()
            for older in reversed(self._fresh):
                layer.absorb(older, lambda _, __: True)
        self._fresh = [self._layer()]
        self._layers = (self._fresh[0], layer)
        filled = {
            name: self._filled.get(name) or Filled(self._tables[name], read=False) for name in layer.tables
        }
        self._flush = Flush(layer, self._tables, filled, self._last)

    def flush_slice(self) -> None:
        """Move some rows. After an error nothing has changed, and the same can be tried again."""
        flush = self._flush
        if flush is None:
            return
        with self._transaction():
            ended = flush.write(self._writer)
            self._writer.execute("COMMIT")
        self.flushed += flush.written()
        if not ended:
            return
        emptied = {name for name in flush.layer.tables if not self._one(self._tables[name].any)}
        with self._showing:
            self._filled = {
                name: filled
                for name, filled in {**self._filled, **flush.filled}.items()
                if name not in emptied
            }
            self._layers = tuple(self._fresh)
        self._flush = None

    def shrink(self) -> bool:
        """Give free pages at the end of the file back, a slice of them; whether more are worth it.

        Some stay: what comes next needs no new ones. Under a reader the file gets smaller later. Raises what
        ``commit`` raises.
        """
        free, pages = self._one("PRAGMA freelist_count"), self._one("PRAGMA page_count")
        spare = max(SPARE_PAGES, pages // 10)
        if free <= spare:
            return False
        with self._transaction():
            slice_ = min(SHRINK_PAGES, free - spare)
            self._writer.execute(f"PRAGMA incremental_vacuum({slice_})").fetchall()
            self._writer.execute("COMMIT")
        if free - spare > slice_:
            return self._one("PRAGMA freelist_count") < free
        self.checkpoints.truncate(SHRINK_PATIENCE)
        return False

    def close(self, *, failed: bool) -> None:
        """Release everything. Idempotent."""
        while self._readers:
            self._readers.pop().close()
        with contextlib.suppress(apsw.Error):  # what was answered is in the WAL
            if failed:
                # A checkpoint now could seem to succeed, and remove the WAL that holds what was promised.
                self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._writer.close()


def _placed(group: Layer, memory: MemoryTable, key: Key, one: MemoryRow, place: int) -> None:
    """The row stands in this place now; it stays in memory for a while."""
    columns = key if memory.sql.key_alone else memory.sql.values(one.row)
    memory.rows[key] = memory_row((one.row, b"", place, columns))
    memory.loose.append(key)
    group.loose += len(one.record)
