"""The rows of one database: memory over tables, a journal for rows that only memory has, one writer.

It is the same over every SQL engine (decision 62). A commit writes one sealed group of the journal and the
rows that have separate places, then shows them. A flush moves rows from memory into their tables (``flush``).
All methods but ``ask``, ``looking`` and ``waiting`` belong to one thread. The engine's errors are raised as
they are, after the transaction was rolled back.

A question sees the layers that existed when it began, and a snapshot of the tables from the same moment. A
layer that a question sees is never changed: rows committed in the meantime go into a new layer on top, and
the two are merged when nobody looks at them any more. So a long question delays nobody, and never sees half
of a group.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from intelshare.errors import RecordError
from intelshare.ports import CHUNK, JOURNAL, Table
from intelshare.store import journal
from intelshare.store.chunks import LAST, Chunks
from intelshare.store.damage import Damage
from intelshare.store.flush import Flush
from intelshare.store.journal import DamagedGroup
from intelshare.store.layout import Key, stored
from intelshare.store.memory_table import Layer, MemoryRow, MemoryTable, memory_row
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import Connection
from intelshare.store.traces import Filled
from intelshare.store.views import DAMAGE, Reading, Writing

A = TypeVar("A")


LOOSE_BYTES: Final = 4 << 20
"""The bytes of rows that stay in memory although they have places: a step reads what the previous one
wrote.
"""


class LayeredDatabase:
    """An open database. Call ``close`` at the end."""

    reading = Reading
    writing = Writing
    errors: tuple[type[BaseException], ...] = ()
    """The exceptions that the engine raises."""

    def __init__(self, tables: Sequence[Table[Any]], key: bytes, *, accept_loss: bool = False) -> None:
        """Take the database over, and load the journal into memory.

        ``accept_loss``: an operator's word that groups of the journal which cannot be read may be set aside.
        Raises StoreError RECORD_CORRUPT, DISK_ERROR; errors of the engine.
        """
        self._accept_loss, self._lost = accept_loss, False
        self._tables = {table.name: RowTable(table) for table in tables}
        self._key = key
        self.damage = Damage(self._doubt)
        """See ports.Store."""
        self._writer = self._connect(writes=True)
        try:
            self._begin()
            if self._lost:
                self._blank_lost()
        except BaseException:
            self._writer.close()
            raise
        self._showing = threading.Lock()
        """Held while a group is shown, and while a question begins."""
        self._readers: list[Connection] = []
        self._seen: dict[int, tuple[Layer, ...]] = {}
        """The layers that each running question looks at, by the question's number."""
        self._flush: Flush | None = None
        self.commits = self.journalled = self.flushed = 0
        """See ports.Figures."""

    def _connect(self, *, writes: bool) -> Connection:
        raise NotImplementedError

    def _doubt(self) -> None:
        """A page was met that cannot be read, in any thread: what a next opening should know."""

    def _begin(self) -> None:
        self._epoch = self._take_over()
        self._filled: Mapping[str, Filled] = {
            name: Filled(sql, read=True) for name, sql in self._tables.items() if self._one(sql.any)
        }
        self._next = {
            name: self._one(sql.last_place) + 1
            for name, sql in self._tables.items()
            if sql.kept is Kept.APART
        }
        self._at_start = self._filled
        self._chunks = Chunks(self._key, self._one(LAST))
        try:
            layer = self._replayed()
        except DamagedGroup as error:
            if not self._accept_loss:
                raise
            with self._transaction():
                count = journal.set_aside(self._writer, error.number)
                self._writer.execute("COMMIT")
            self._note_group(
                (error.number, "set aside"), f"{error.message}; set aside with all after it: {count}"
            )
            layer = self._replayed()
            self._lost = True
        self._fresh = [layer]
        self._layers: tuple[Layer, ...] = (layer,)
        """All layers, newest first: those of ``_fresh``, then the one that a flush moves."""

    def _replayed(self) -> Layer:
        """Load the journal into a new layer. What its parity repaired is written back, and reported."""
        layer = self._layer()
        self._last, mended = journal.replay(self._writer, self._key, self._tables, layer)
        if mended:
            self._write_back(mended)
        for place, _ in mended:
            self._note_group(
                (place,), f"group {place} of the journal had changed, and its parity repaired it"
            )
        return layer

    def _write_back(self, mended: Iterable[tuple[int, bytes]]) -> None:
        with self._transaction():
            journal.write_back(self._writer, mended)
            self._writer.execute("COMMIT")

    def _note_group(self, key: tuple[int | str, ...], message: str) -> None:
        self.damage.note(RecordError(JOURNAL, key, message))

    def _blank_lost(self) -> None:
        """Overwrite erasable rows to which nothing leads: their keys were in groups that were set aside, and
        nobody could destroy them later.
        """
        with self._transaction():
            for name, sql in self._tables.items():
                if sql.kept is not Kept.APART:
                    continue
                known = {
                    held.place
                    for layer in self._layers
                    for held in (layer.tables[name].rows.values() if name in layer.tables else ())
                    if held is not None
                }
                for place, size in self._writer.execute(sql.unled).fetchall():
                    if place not in known:
                        self._replace_apart(sql, place, bytes(size))
            self._writer.execute("COMMIT")

    def _take_over(self) -> int:
        """Return the epoch in which this opening writes: no earlier opening writes any more."""
        return journal.raise_epoch(self._writer)

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
        """Yield what is committed now, unchanged until the end."""
        with self._showing:
            connection = self._readers.pop() if self._readers else self._connect(writes=False)
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM store_state").fetchall()  # takes the snapshot
            except BaseException:
                connection.close()  # and its transaction, whose state is not known
                raise
            self._seen[id(connection)] = self._layers
            view = self._view(connection)
        try:
            yield view
        finally:
            del self._seen[id(connection)]
            connection.execute("ROLLBACK")
            self._readers.append(connection)

    def learn(self, ended: Callable[[], bool]) -> None:
        """Read which keys the tables have, so that few questions about other keys search their trees. In any
        thread, once; until then every question does. What is damaged stays unread: it is reported to those
        who ask for it.

        ``ended`` is asked after each piece: once it is true, nobody needs to know any more.
        """
        for name, filled in self._at_start.items():
            if ended():
                return
            with contextlib.suppress(*DAMAGE):
                self.ask(partial(_learn, filled, self._tables[name], ended))

    @property
    def waiting(self) -> int:
        """Return the bytes of records in memory that are not in their tables yet."""
        return sum(layer.size for layer in self._layers)

    # --- commits ------------------------------------------------------------------------------------------

    def commit(self, fill: Callable[[Writing], None]) -> None:
        """Commit what ``fill`` takes into the view, in one durable transaction. Raises StoreError
        DATA_LOCKED.
        """
        group = self._layer()
        with self._transaction():
            fill(self._filling(group))
            self._mend_chunks()
            overwrites = self._place(group)
            size = self._append(group) if group.tables else 0
            # A reader must not see an overwritten row beside the old rows that lead to it.
            with self._showing if overwrites else contextlib.nullcontext():
                self._finish(wrote=bool(group.tables), overwrites=overwrites)
                if overwrites:
                    self._show(group)
        if not overwrites:
            with self._showing:
                self._show(group)
        self._last += bool(group.tables)
        self.commits += 1
        self.journalled += size
        self._forget_written(group)

    def _forget_written(self, group: Layer) -> None:
        """A record that was written again or deleted is damaged no longer. Of what the store has brought back
        nobody would be told then: who has it written again says so, and forgets it.
        """
        for error in self.damage.known():
            memory = group.tables.get(error.table)
            if memory is not None and not error.repaired and tuple(map(stored, error.key)) in memory.rows:
                self.damage.forget(error.table, error.key)

    def _mend_chunks(self) -> None:
        """Write again the chunks that were brought back: who mends what is damaged commits a step for it."""
        for error in self.damage.known():
            if error.table == CHUNK:
                self._chunks.mend(self._writer, int(error.key[0]))

    def _filling(self, group: Layer) -> Writing:
        """Return the view that steps fill."""
        view = self.writing(
            self._writer, self._tables, self._chunks, self._layers, self._filled, group, self.damage
        )
        view.passed = self._layers[-1].passed
        return view

    def _append(self, group: Layer) -> int:
        """Write a group into the journal; return its bytes."""
        return len(journal.append(self._writer, self._key, self._last + 1, self._epoch, group))

    def _finish(self, *, wrote: bool, overwrites: bool) -> None:  # noqa: ARG002 - where it may be in doubt
        """Commit a group."""
        self._writer.execute("COMMIT")

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
        """Begin a transaction, which the caller commits. It is rolled back on an error."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            journal.check_epoch(self._writer, self._epoch)
            yield
        except BaseException:
            if self._writer.in_transaction:
                with contextlib.suppress(*self.errors):
                    self._writer.execute("ROLLBACK")
            raise

    def _place(self, group: Layer) -> bool:
        """Write the rows that have separate places; return true if a committed one was changed or removed."""
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
        """Give back the space of bulk rows that are rewritten or deleted; return true if there were any."""
        below = self._view(self._writer)
        places = [
            place
            for sql, key in keys
            if (place := below.place_of(sql, key))
            and not (self.damage.known() and below.leads_to_another(sql, key, place))
        ]
        self._chunks.drop(self._writer, places)
        return bool(places)

    def _place_apart(self, group: Layer, memory: MemoryTable) -> bool:
        below, sql = self._view(self._writer), memory.sql
        name = sql.layout.table.name
        fresh: list[tuple[int, bytes]] = []
        overwrites = False
        for key, one in memory.rows.items():
            place = below.place_of(sql, key)
            if place and self.damage.known():  # otherwise the row was read, and stands there
                place = below.own_place(sql, key, place)
            overwrites = overwrites or place > 0
            if one is None:
                self._writer.execute(sql.delete_at, (place,))
                continue
            record = sql.layout.digested(one.record)
            if place:
                self._replace_apart(sql, place, record)
            else:
                place = self._next[name]
                self._next[name] += 1
                fresh.append((place, record))
            _placed(group, memory, key, one, place)
        self._insert_apart(sql, fresh)
        return overwrites

    def _replace_apart(self, sql: RowTable, place: int, record: bytes) -> None:
        """Overwrite an erasable row in place: otherwise a copy of the old content could stay behind."""
        self._writer.execute(sql.replace_at, (record, place))

    def _insert_apart(self, sql: RowTable, rows: Sequence[tuple[int, bytes]]) -> None:
        """Write new erasable rows."""
        self._writer.executemany(sql.insert_at, rows)

    def _view(self, connection: Connection) -> Reading:
        return self.reading(connection, self._tables, self._chunks, self._layers, self._filled, self.damage)

    def _may_be_below(self, name: str, key: Key) -> bool:
        """Return true if anything under the newest layer can contain this row."""
        filled = self._filled.get(name)
        if filled is not None and filled.may_hold("key", key):
            return True
        below = [layer for layer in self._layers if layer is not self._fresh[0]]
        tables = [layer.tables[name] for layer in below if name in layer.tables]
        return any(key in memory.rows for memory in tables)

    # --- flushes ------------------------------------------------------------------------------------------

    @property
    def flushing(self) -> bool:
        """Return true if rows are being moved."""
        return self._flush is not None

    @property
    def holds_rows(self) -> bool:
        """Return true if there is something in memory that a flush would move."""
        return any(layer.tables for layer in self._layers)

    @property
    def fresh(self) -> int:
        """Return the bytes of records that no flush has begun to move."""
        return sum(layer.size for layer in self._fresh)

    def begin_flush(self) -> None:
        """Begin to move everything that is in memory now. Does nothing if that is empty, or a flush is
        running.
        """
        if self._flush is not None or not any(layer.tables for layer in self._layers):
            return
        layer = self._fresh[0]
        if len(self._fresh) > 1:  # somebody is looking at the older ones
            layer = self._layer()
            for older in reversed(self._fresh):
                layer.absorb(older, lambda _, __: True)
        self._fresh = [self._layer()]
        self._layers = (self._fresh[0], layer)
        filled = {
            name: self._filled.get(name) or Filled(self._tables[name], read=False) for name in layer.tables
        }
        self._flush = Flush(layer, self._tables, filled, self._last)

    def _moving(self) -> None:
        """Called right before a commit that changes tables which a question may look at."""

    def flush_slice(self) -> None:
        """Move some rows. After an error nothing has changed, and the same can be tried again."""
        flush = self._flush
        if flush is None:
            return
        with self._transaction():
            ended = flush.write(self._writer)
            self._moving()
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

    def close(self, *, failed: bool) -> None:  # noqa: ARG002 - only SQLite needs it
        """Release everything. Idempotent."""
        while self._readers:
            self._readers.pop().close()
        with contextlib.suppress(*self.errors):
            self._writer.close()


def _learn(filled: Filled, sql: RowTable, ended: Callable[[], bool], view: Reading) -> None:
    filled.learn(view.all_columns(sql), ended)


def _placed(group: Layer, memory: MemoryTable, key: Key, one: MemoryRow, place: int) -> None:
    """Record that the row is in this place now; it stays in memory for a while."""
    memory.rows[key] = memory_row((b"", place, one.columns, one.row))
    memory.loose.append(key)
    group.loose += len(one.record)
