"""The store of a node: SQLite through apsw, durable at every commit, one writer, many steps per commit.

Steps wait in a queue; the writer thread runs all that wait, one after the other, and commits what they wrote
as one sealed group, with fsync (WAL, synchronous=FULL), and only then answers any of them. So public-key work
in one step overlaps with the callers of the next, and all steps that arrived in the meantime share an fsync.
Between groups it moves rows from memory into their tables, a slice at a time, so that no step waits for long.

By default, SQLite checkpoints inside COMMIT and ignores errors there. After a failed fsync a second one
"succeeds" (facts.md), so this store runs checkpoints itself, after the answers are out, and stops at an
error.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from intelshare.errors import StoreError
from intelshare.ports import Durable, Figures, Plan, Table, View
from intelshare.store.connection import broken, is_full, no_room
from intelshare.store.damage import Damage
from intelshare.store.database import Database
from intelshare.store.jobs import MAX_GROUP, MAX_WRITES, Job, resolve
from intelshare.store.migrate import migrate, opening
from intelshare.store.scrub import scrub
from intelshare.store.views import Writing

A = TypeVar("A")

FLUSH_BYTES: Final = 24 << 20
"""The bytes of rows in memory after which they are moved into their tables: the more rows, the fewer pages
for each.
"""

MAX_BYTES: Final = 2 * FLUSH_BYTES
"""The bytes of rows in memory at which nothing more is accepted while the disk has no room to move them."""

FLUSH_IDLE: Final = 10.0
"""The seconds without a step after which the rows in memory are moved as well."""

FLUSH_RETRY: Final = 1.0
"""The seconds until the next attempt to move rows, while the disk is full."""

READERS: Final = 4
"""The questions that are answered at once."""

SHRINK_PAUSE: Final = 0.05
"""The seconds without a step before a slice of free pages is given back, and between two slices."""

SHRED_PATIENCE: Final = 100
"""The milliseconds for which the writer waits for readers before it lets other steps go first."""


class SqliteStore:
    """One database file. Created by ``open_store``; close it at the end."""

    def __init__(
        self,
        path: Path,
        tables: Sequence[Table[Any]],
        key: bytes,
        on_failure: Callable[[StoreError], None] = lambda _: None,
        *,
        flush_bytes: int = FLUSH_BYTES,
        vfs: str | None = None,
    ) -> None:
        """``key``: 32 bytes, with which the journal is sealed. ``vfs``: a VFS of SQLite, for tests.

        ``on_failure`` is called, in any thread, once an I/O error makes it unsafe to continue (P17). Raises
        as ``open_store``.
        """
        self._path, self._tables, self._key = path, tables, key
        self._flush_bytes = flush_bytes
        self.damage = Damage()
        """See ports.Store."""
        with opening(path):
            self._database = Database(path, tables, key, vfs, self.damage)
        self._no_room_until = 0.0
        self._may_shrink = True
        """True if free pages should be looked for when there is nothing else to do."""
        self._questions = ThreadPoolExecutor(READERS, "store-reader")
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._failed: StoreError | None = None
        self._failing = threading.Lock()
        self._on_failure = on_failure
        self._closing = self._drained = self._closed = False
        self.steps = 0
        """See ports.Store."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()
        self._questions.submit(self._database.learn)

    async def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """See ports.Store. Raises RuntimeError after ``drain``."""
        return await self._put(step, then)

    async def shred(self) -> None:
        """See ports.Store: the row was overwritten in its page; this writes the page back and clears
        the WAL.
        """
        while not (await self._put(_nothing, shred=True)).value:
            await asyncio.sleep(SHRED_PATIENCE / 1000)

    async def query(self, question: Callable[[View], A]) -> A:
        """See ports.Store."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._questions, self.ask_now, question)

    def ask_now(self, question: Callable[[View], A]) -> A:
        """See ports.Store."""
        self._check_open()
        try:
            return self._database.ask(question)
        except apsw.Error as error:
            raise self._fail(error) from error

    def scrub(self) -> Iterator[StoreError]:
        """Read all rows again: see ``store.scrub``."""
        return scrub(self._path, self._tables, self._key)

    def figures(self) -> Figures:
        """See ports.Store."""
        done = self._database
        return Figures(done.journalled, done.flushed, done.waiting)

    @property
    def commits(self) -> int:
        """See ports.Store."""
        return self._database.commits

    def drain(self) -> None:
        """See ports.Store: at the end all rows are moved into their tables, if there is room."""
        self._drained = True
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def close(self) -> None:
        """See ports.Store."""
        self.drain()
        self._closed = True
        self._questions.shutdown()
        self._database.close(failed=self._failed is not None)

    def _put(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None, *, shred: bool = False
    ) -> asyncio.Future[Durable[A]]:
        self._check_open()
        if self._drained:
            raise RuntimeError("the store accepts no more steps")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Durable[A]] = loop.create_future()
        self._jobs.put(Job(step, then, loop, future, shred))
        return future

    def _check_open(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._closed:
            raise RuntimeError("the store is closed")

    # --- the writer's thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            job = self._next(self._patience())
            if job is not None:
                group = [job]
                self._perform(group, lambda: self._next(0))
                if group[-1].shred and group[-1].error is None:
                    self._shred(group[-1])
                resolve(group)
            self._tidy(idle=job is None)
        while self._failed is None and self._database.holds_rows:
            self._database.begin_flush()
            if not self._move():
                return

    def _next(self, patience: float | None) -> Job | None:
        """Return a job that is waiting or arrives within so many seconds (None: for ever)."""
        try:
            job = self._jobs.get(timeout=patience) if patience != 0 else self._jobs.get_nowait()
        except queue.Empty:
            return None
        self._closing = job is None
        return job

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do even if no job arrives."""
        if self._failed is not None:
            return None
        if self._database.flushing:
            return max(0.0, self._no_room_until - time.monotonic())
        if self._database.fresh >= self._flush_bytes:
            return 0.0
        if self._may_shrink:
            return SHRINK_PAUSE
        return FLUSH_IDLE if self._database.holds_rows else None

    def _perform(self, group: list[Job], more: Callable[[], Job | None]) -> None:
        """Run the job in ``group``, and those that ``more`` returns, in one transaction."""
        if self._failed is not None:
            group[0].error = self._failed
            return
        if self._database.waiting >= MAX_BYTES and time.monotonic() < self._no_room_until:
            group[0].error = no_room(self._path)
            return

        def fill(view: Writing) -> None:
            job: Job | None = group[0]
            while job is not None:
                _run_step(job, view)
                full = len(group) >= MAX_GROUP or view.writes >= MAX_WRITES
                job = None if full or job.last else more()
                if job is not None:
                    group.append(job)

        try:
            self._database.commit(fill)
            last = group[-1]
            if last.last and last.then is not None:
                last.then(last.answer)
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            self._undone(group, error)
        else:
            self.steps += len(group)

    def _undone(self, group: list[Job], error: BaseException) -> None:
        """Handle a group of which nothing was committed. A full disk recovers by itself; any other error
        stops the process.
        """
        if not is_full(error):
            failure = self._fail(error)
            for job in group:
                job.error = failure
        elif len(group) > 1:  # a small group, such as a receipt, may still fit
            for job in group:
                job.answer, job.error, job.last = None, None, False
                self._perform([job], lambda: None)
        else:
            group[0].error = no_room(self._path)

    def _shred(self, job: Job) -> None:
        try:
            job.answer = self._database.checkpoints.truncate(SHRED_PATIENCE)
        except apsw.Error as error:
            job.error = no_room(self._path) if is_full(error) else self._fail(error)

    def _tidy(self, *, idle: bool) -> None:
        """Move rows into their tables, more at a time the more there are, and copy the WAL when it
        has grown.
        """
        database = self._database
        if self._failed is not None:
            return
        if idle and self._may_shrink and not database.flushing:
            self._shrink()
            return
        if idle or database.fresh >= self._flush_bytes:
            database.begin_flush()
        slices = 1 + 8 * database.fresh // self._flush_bytes
        while slices and database.flushing and time.monotonic() >= self._no_room_until and self._move():
            slices -= 1
        try:
            database.checkpoints.run()
        except apsw.Error as error:
            self._fail(error)

    def _shrink(self) -> None:
        """Give a slice of free pages back. Without room for that, it waits for the next flush."""
        try:
            self._may_shrink = self._database.shrink()
        except BaseException as error:
            self._may_shrink = False
            if not is_full(error):
                self._fail(error)

    def _move(self) -> bool:
        """Move one slice; return true if there was room for it."""
        try:
            self._database.flush_slice()
            self._may_shrink |= not self._database.flushing
        except BaseException as error:
            if is_full(error):
                self._no_room_until = time.monotonic() + FLUSH_RETRY
            else:
                self._fail(error)
            return False
        return True

    def _fail(self, error: BaseException) -> StoreError:
        with self._failing:
            first = self._failed is None
            if self._failed is None:
                self._failed = error if isinstance(error, StoreError) else broken(self._path, error)
            failure = self._failed
        if first:
            self._on_failure(failure)
        return failure


def open_store(
    path: Path,
    tables: Sequence[Table[Any]],
    key: bytes,
    on_failure: Callable[[StoreError], None] = lambda _: None,
) -> SqliteStore:
    """Open the database, which is created or migrated first; ``key``: the vault's storage key.

    Raises StoreError SCHEMA_NEWER, SCHEMA_OLDER, RECORD_CORRUPT (not a database of ours, or a damaged
    journal), DISK_FULL, DISK_ERROR.
    """
    migrate(path)
    return SqliteStore(path, tables, key, on_failure)


def _run_step(job: Job, view: Writing) -> None:
    try:
        plan = job.step(view)
        view.take(plan)
    except apsw.Error:
        raise
    except Exception as error:
        job.error = error  # the caller's error: nothing of its plan was taken
    else:
        job.answer, job.last = plan.answer, plan.last


def _nothing(_: View) -> Plan[bool]:
    return Plan((), False, last=True)
