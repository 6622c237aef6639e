"""The store of a node: SQLite through apsw, durable at every commit, one writer, many steps a commit.

Steps wait in a queue; the writer thread runs all that wait, one after the other, inside one transaction,
commits with fsync (WAL, synchronous=FULL), and only then answers any of them. So public-key work in one step
overlaps with the callers of the next, and an fsync is shared by all that came meanwhile. What a group wrote
waits in memory (``views.Writing``) until something has to search for it or the group ends: rows that many
steps replace, such as the head of the log, are written once.

SQLite checkpoints by itself inside COMMIT, and ignores the errors of that. After a failed fsync a second one
"succeeds" (facts.md), so this store checkpoints by itself, after the answers are out, and stops at an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from intelshare.errors import StoreError
from intelshare.ports import Durable, Plan, Table, View, durable_after_commit
from intelshare.store.migrate import migrate, opening
from intelshare.store.scrub import scrub
from intelshare.store.statements import Statements
from intelshare.store.views import Reading, Writing

A = TypeVar("A")

MAX_GROUP: Final = 256
"""Steps that share one commit."""

MAX_WRITES: Final = 4096
"""Writes after which a group ends, so that a commit stays short and its memory bounded."""

CHECKPOINT_PAGES: Final = 4000
"""Pages of the WAL (16 MiB) after which they are copied into the database."""

BUSY: Final = 10_000
"""Milliseconds for which a connection waits for another."""

WRITER_CACHE: Final = 32 << 10
READER_CACHE: Final = 4 << 10
"""KiB of pages that a connection keeps in memory."""

SHRED_PATIENCE: Final = 100
"""Milliseconds for which the writer waits for readers before it lets other steps go first."""


@dataclass(slots=True)
class _Job:
    step: Callable[[View], Plan[Any]]
    then: Callable[[Any], None] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Durable[Any]]
    shred: bool = False
    """Clear the WAL after the commit; answered with whether it could be cleared."""
    last: bool = False
    """Its plan ends the group (ports.Plan)."""
    answer: Any = None
    error: BaseException | None = None


class SqliteStore:
    """One database file. Made by ``open_store``; close it."""

    def __init__(
        self, path: Path, tables: Sequence[Table[Any]], on_failure: Callable[[StoreError], None]
    ) -> None:
        """``on_failure`` is called, in any thread, once an I/O error makes going on unsafe (P17)."""
        self._path, self._tables = path, tables
        self._statements = {table.name: Statements(table) for table in tables}
        self._view = Writing(_connect(path, WRITER_CACHE), self._statements)
        self._writer = self._view.connection
        self._writer.set_wal_hook(self._committed)
        self._wal_pages, self._checkpoint_at = 0, CHECKPOINT_PAGES
        self._readers: list[Reading] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._failed: StoreError | None = None
        self._failing = threading.Lock()
        self._on_failure = on_failure
        self._closing = self._drained = self._closed = False
        self.commits = self.steps = 0
        """See ports.Store."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """See ports.Store. Raises RuntimeError after ``drain``."""
        return await self._put(step, then)

    async def shred(self) -> None:
        """See ports.Store: it was overwritten in its page; this writes the page back and clears the WAL."""
        while not (await self._put(_nothing, shred=True)).value:
            await asyncio.sleep(SHRED_PATIENCE / 1000)

    def _put(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None, *, shred: bool = False
    ) -> asyncio.Future[Durable[A]]:
        if self._failed is not None:
            raise self._failed
        if self._drained:
            raise RuntimeError("the store takes no more steps")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Durable[A]] = loop.create_future()
        self._jobs.put(_Job(step, then, loop, future, shred))
        return future

    def query(self, question: Callable[[View], A]) -> A:
        """See ports.Store. One snapshot for the whole question; long ones do not hold up others."""
        if self._failed is not None:
            raise self._failed
        if self._closed:
            raise RuntimeError("the store is closed")
        try:
            reading = self._readers.pop()
        except IndexError:
            reading = self._new_reading()
        try:
            reading.connection.execute("BEGIN")
            try:
                return question(reading)
            finally:
                reading.connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise self._fail(error) from error
        finally:
            self._readers.append(reading)

    def scrub(self) -> Iterator[StoreError]:
        """Read all rows anew: ``store.scrub``."""
        return scrub(self._path, self._tables)

    def drain(self) -> None:
        """See ports.Store."""
        self._drained = True
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def close(self) -> None:
        """See ports.Store."""
        self.drain()
        self._closed = True
        while self._readers:
            self._readers.pop().connection.close()
        with contextlib.suppress(apsw.Error):  # what was answered is in the WAL
            if self._failed is not None:
                # A checkpoint now could seem to succeed, and remove the WAL that holds what was promised.
                self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._writer.close()

    def _new_reading(self) -> Reading:
        connection = _connect(self._path, READER_CACHE)
        connection.pragma("query_only", True)
        return Reading(connection, self._statements)

    def _run(self) -> None:
        while not self._closing:
            job = self._jobs.get()
            if job is None:
                return
            group = [job]
            self._perform(group, self._next)
            if group[-1].shred and group[-1].error is None:
                self._clear_wal(group[-1])
            _resolve(group)
            self._checkpoint()

    def _next(self) -> _Job | None:
        """A job that waits already."""
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        self._closing = job is None
        return job

    def _perform(self, group: list[_Job], more: Callable[[], _Job | None]) -> None:
        """Run the job in ``group``, and those that ``more`` gives, in one transaction."""
        if self._failed is not None:
            group[0].error = self._failed
            return
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            job: _Job | None = group[0]
            while job is not None:
                self._run_step(job)
                full = len(group) >= MAX_GROUP or self._view.writes >= MAX_WRITES
                job = None if full or job.last else more()
                if job is not None:
                    group.append(job)
            self._view.tell()
            self._writer.execute("COMMIT")
            self.commits += 1
            self.steps += len(group)
            last = group[-1]
            if last.last and last.then is not None:
                last.then(last.answer)
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            self._undo(group, error)

    def _run_step(self, job: _Job) -> None:
        try:
            plan = job.step(self._view)
            self._view.take(plan)
        except apsw.Error:
            raise
        except Exception as error:
            job.error = error  # the caller's own: nothing of its plan was taken
        else:
            job.answer, job.last = plan.answer, plan.last

    def _undo(self, group: list[_Job], error: BaseException) -> None:
        """Nothing of the group happened. A full disk recovers by itself; after all else the process stops."""
        self._view.forget()
        if self._writer.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._writer.execute("ROLLBACK")
        if not _is_full(error):
            failure = self._fail(error)
            for job in group:
                job.error = failure
        elif len(group) > 1:  # what is small, such as a receipt, may still fit
            for job in group:
                job.answer, job.error, job.last = None, None, False
                self._perform([job], lambda: None)
        else:
            group[0].error = self._full()

    def _full(self) -> StoreError:
        return StoreError(
            "DISK_FULL", f"the disk of {self._path.parent} is full", hint="make room; it goes on by itself"
        )

    def _fail(self, error: BaseException) -> StoreError:
        with self._failing:
            first = self._failed is None
            failure = self._failed = self._failed or StoreError(
                "DISK_ERROR",
                f"{self._path.name} could not be written or read: {error!r}",
                hint="the node stops; check the disk, then start it again",
            )
        if first:
            self._on_failure(failure)
        return failure

    def _committed(self, _: apsw.Connection, __: str, pages: int) -> int:
        if pages < self._wal_pages:  # the WAL began anew
            self._checkpoint_at = CHECKPOINT_PAGES
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _clear_wal(self, job: _Job) -> None:
        self._writer.set_busy_timeout(SHRED_PATIENCE)
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            job.answer = False
        except apsw.Error as error:
            job.error = self._full() if _is_full(error) else self._fail(error)
        else:
            job.answer = True
        finally:
            self._writer.set_busy_timeout(BUSY)

    def _checkpoint(self) -> None:
        if self._wal_pages < self._checkpoint_at or self._failed is not None:
            return
        self._checkpoint_at = self._wal_pages + CHECKPOINT_PAGES
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if not _is_full(error) and not isinstance(error, apsw.BusyError):
                self._fail(error)


def open_store(
    path: Path, tables: Sequence[Table[Any]], on_failure: Callable[[StoreError], None] = lambda _: None
) -> SqliteStore:
    """Open the database, made or migrated first.

    Raises StoreError SCHEMA_NEWER, RECORD_CORRUPT (no database of ours), DISK_FULL, DISK_ERROR.
    """
    migrate(path)
    with opening(path):
        return SqliteStore(path, tables, on_failure)


def _connect(path: Path, cache: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=256)
    connection.set_busy_timeout(BUSY)
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", "FULL")
    connection.pragma("secure_delete", True)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("journal_size_limit", 64 << 20)
    connection.pragma("cache_size", -cache)
    return connection


def _nothing(_: View) -> Plan[bool]:
    return Plan((), False, last=True)


def _is_full(error: BaseException) -> bool:
    """No room: also what SQLite says when the WAL's index cannot grow, which touches no written data."""
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )


def _resolve(group: Sequence[_Job]) -> None:
    """Wake the callers, with one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(durable_after_commit(job.answer))
