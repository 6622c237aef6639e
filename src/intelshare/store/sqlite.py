"""The store of a node: SQLite through apsw, durable at every commit, one writer, many steps a commit.

Steps wait in a queue; the writer thread takes all that wait, runs them one after the other inside one
transaction, commits with fsync (WAL, synchronous=FULL), and only then answers any of them. So public-key
work in one step overlaps with the callers of the next, and an fsync is shared by all that came meanwhile.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from intelshare.errors import StoreError
from intelshare.ports import Delete, Durable, Plan, Put, Scalar, Table, View, durable_after_commit
from intelshare.store.layout import Layout, layout, stored
from intelshare.store.migrate import migrate

R = TypeVar("R")
A = TypeVar("A")

MAX_GROUP: Final = 256
"""Steps that share one commit."""


@dataclass(slots=True)
class _Job:
    step: Callable[[View], Plan[Any]]
    then: Callable[[Any], None] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Durable[Any]]
    answer: Any = None
    error: BaseException | None = None


class _Sql:
    """The statements of one table."""

    def __init__(self, table: Table[Any]) -> None:
        self.layout: Layout = layout(table)
        self.columns = ", ".join(f'"{name}"' for name in (*self.layout.columns, "digest"))
        marks = ", ".join("?" * (len(self.layout.columns) + 1))
        self.put = f"INSERT OR REPLACE INTO {table.name} ({self.columns}) VALUES ({marks})"  # noqa: S608
        where = " AND ".join(f'"{name}" = ?' for name in table.key)
        self.get = f"SELECT {self.columns} FROM {table.name} WHERE {where}"  # noqa: S608
        self.delete = f"DELETE FROM {table.name} WHERE {where}"  # noqa: S608
        self._finds: dict[tuple[str, int, int], str] = {}

    def where(self, index: str, prefix: int, after: int) -> str:
        order = self.layout.order(index)
        terms = [f'"{name}" = ?' for name in order[:prefix]]
        if after:
            names = ", ".join(f'"{name}"' for name in order[prefix : prefix + after])
            terms.append(f"({names}) > ({', '.join('?' * after)})")
        return f" WHERE {' AND '.join(terms)}" if terms else ""

    def find(self, index: str, prefix: int, after: int) -> str:
        sql = self._finds.get((index, prefix, after))
        if sql is None:
            order = ", ".join(f'"{name}"' for name in self.layout.order(index)[prefix:])
            sql = f"SELECT {self.columns} FROM {self.layout.table.name}{self.where(index, prefix, after)}"  # noqa: S608
            sql += f" ORDER BY {order} LIMIT ?" if order else " LIMIT ?"
            self._finds[index, prefix, after] = sql
        return sql


class _View:
    """Rows over one connection; every one is checked against its digest."""

    def __init__(self, connection: apsw.Connection, sql: Mapping[str, _Sql]) -> None:
        self._execute = connection.execute
        self._sql = sql

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        sql = self._sql[table.name]
        for row in self._execute(sql.get, tuple(map(stored, key))):
            return self._checked(sql.layout, row)  # type: ignore[no-any-return]
        return None

    def find(
        self, table: Table[R], index: str, *prefix: Scalar, after: Sequence[Scalar] = (), limit: int = 1000
    ) -> list[R]:
        sql = self._sql[table.name]
        values = (*map(stored, prefix), *map(stored, after), limit)
        rows = self._execute(sql.find(index, len(prefix), len(after)), values)
        return [self._checked(sql.layout, row) for row in rows]

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        sql = self._sql[table.name]
        where = sql.where(index, len(prefix), 0)
        found = self._execute(f"SELECT count(*) FROM {table.name}{where}", tuple(map(stored, prefix)))  # noqa: S608
        return int(next(found)[0])

    def _checked(self, of: Layout, row: tuple[Any, ...]) -> Any:
        values = row[:-1]
        if of.digest(values) != row[-1]:
            raise of.corrupt([values[of.columns.index(name)] for name in of.table.key])
        return of.make(values)


class SqliteStore:
    """One database file. Made by ``open_store``; close it."""

    def __init__(
        self, path: Path, tables: Sequence[Table[Any]], on_failure: Callable[[StoreError], None]
    ) -> None:
        """``on_failure`` is called from the writer once an I/O error makes going on unsafe (P17)."""
        self._sql = {table.name: _Sql(table) for table in tables}
        self._writer = _connect(path)
        self._reader = _connect(path)
        self._reader.pragma("query_only", True)
        self._view = _View(self._writer, self._sql)
        self._query_view = _View(self._reader, self._sql)
        self._reading = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._failed: StoreError | None = None
        self._on_failure = on_failure
        self.commits = 0
        """Transactions committed, to see how many steps share one."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """See ports.Store."""
        if self._failed is not None:
            raise self._failed
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Durable[A]] = loop.create_future()
        self._jobs.put(_Job(step, then, loop, future))
        return await future

    def query(self, question: Callable[[View], A]) -> A:
        """See ports.Store."""
        with self._reading:
            return question(self._query_view)

    def scrub(self) -> Iterator[StoreError]:
        """Walk all rows; one RECORD_CORRUPT for each that does not match its digest."""
        with self._reading:
            for sql in self._sql.values():
                of = sql.layout
                for row in self._reader.execute(f"SELECT {sql.columns} FROM {of.table.name}"):  # noqa: S608
                    if of.digest(row[:-1]) != row[-1]:
                        yield of.corrupt([row[of.columns.index(name)] for name in of.table.key])

    def close(self) -> None:
        """See ports.Store."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        self._reader.close()
        self._writer.close()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            group = [job]
            last = False
            while len(group) < MAX_GROUP and group[-1].then is None:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                    break
                group.append(following)
            self._perform(group)
            _resolve(group)
            if last:
                return

    def _perform(self, group: Sequence[_Job]) -> None:
        if self._failed is not None:
            for job in group:
                job.error = self._failed
            return
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for job in group:
                try:
                    plan = job.step(self._view)
                except Exception as error:  # the caller's own, and nothing was written
                    job.error = error
                    continue
                self._apply(plan)
                job.answer = plan.answer
            self._writer.execute("COMMIT")
            self.commits += 1
        except apsw.Error as error:
            self._undo(group, error)
            return
        for job in group:
            if job.then is not None and job.error is None:
                job.then(job.answer)

    def _apply(self, plan: Plan[Any]) -> None:
        execute = self._writer.execute
        for write in plan.writes:
            sql = self._sql[write.table.name]
            if isinstance(write, Put):
                values = sql.layout.values(write.row)
                execute(sql.put, (*values, sql.layout.digest(values)))
            elif isinstance(write, Delete):
                execute(sql.delete, tuple(map(stored, write.key)))

    def _undo(self, group: Sequence[_Job], error: apsw.Error) -> None:
        """Nothing of the group happened. A full disk recovers by itself; after all else the process stops."""
        if not self._writer.get_autocommit():
            self._writer.execute("ROLLBACK")
        if isinstance(error, apsw.FullError):
            failure = StoreError(
                "DISK_FULL", "the disk of the data folder is full", hint="make room; it goes on by itself"
            )
        else:
            failure = StoreError(
                "DISK_ERROR",
                f"the database could not be written: {error}",
                hint="the node stops; check the disk, then start it again",
            )
            self._failed = failure
            self._on_failure(failure)
        for job in group:
            job.error = failure


def open_store(
    path: Path, tables: Sequence[Table[Any]], on_failure: Callable[[StoreError], None] = lambda _: None
) -> SqliteStore:
    """Open the database, made or migrated first.

    Raises StoreError SCHEMA_NEWER, RECORD_CORRUPT (no database of ours), DISK_FULL.
    """
    migrate(path)
    return SqliteStore(path, tables, on_failure)


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=256)
    connection.set_busy_timeout(10_000)
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.pragma("secure_delete", True)
    connection.pragma("wal_autocheckpoint", 4000)
    connection.pragma("cache_size", -32_768)
    return connection


def _resolve(group: Sequence[_Job]) -> None:
    """Wake the callers, with one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, jobs)
        except RuntimeError:
            continue  # the loop was closed: nobody waits any more


def _settle(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(durable_after_commit(job.answer))
