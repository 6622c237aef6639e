"""A store whose writer runs many steps in one commit: its thread, over the ``LayeredDatabase`` of an engine.

Steps wait in a queue; the writer thread runs all that wait, one after the other, and commits what they wrote
as one sealed group, durably, and only then answers any of them. So public-key work in one step overlaps with
the callers of the next, and all steps that arrived in the meantime share a commit. Between groups it moves
rows from memory into their tables, a slice at a time, so that no step waits for long.

A few methods, which an engine overrides, say what its errors mean and how it erases.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from intelshare.errors import PASSING, StoreError
from intelshare.ports import Durable, Figures, NoMoreStepsError, Plan, View
from intelshare.store.doubt import InDoubt, unknown
from intelshare.store.jobs import MAX_GROUP, MAX_TIME, MAX_WRITES, Job, resolve
from intelshare.store.layered import LayeredDatabase
from intelshare.store.views import Writing

A = TypeVar("A")
D = TypeVar("D", bound=LayeredDatabase)

FLUSH_BYTES: Final = 16 << 20
"""The bytes of rows in memory after which they are moved into their tables: the more rows, the fewer pages
for each. A release writes 16.9 KiB and the process takes 152 MiB; with 24 MiB, 14.0 KiB and 170.
"""

MAX_BYTES: Final = 2 * FLUSH_BYTES
"""The bytes of rows in memory at which nothing more is accepted while the disk has no room to move them."""

FLUSH_IDLE: Final = 10.0
"""The seconds without a step after which the rows in memory are moved as well."""

FLUSH_RETRY: Final = 1.0
"""The seconds until the next attempt to move rows, while the disk is full."""

READERS: Final = 4
"""The questions that are answered at once."""

REST_PAUSE: Final = 0.05
"""The seconds without a step before a slice of ``_rest``, and between two slices."""

SHRED_PATIENCE: Final = 100
"""The milliseconds for which the writer waits for readers before it lets other steps go first."""


class GroupedStore(Generic[D]):
    """One database and its writer. Created by the engine's ``open_store``; close it at the end."""

    def __init__(
        self, database: D, on_failure: Callable[[StoreError], None], flush_bytes: int = FLUSH_BYTES
    ) -> None:
        """``on_failure`` is called, in any thread, once it is unsafe to continue (P17)."""
        self._database = database
        self.damage = database.damage
        """See ports.Store."""
        self._flush_bytes = flush_bytes
        self._no_room_until = 0.0
        self._may_rest = True
        """True if ``_rest`` may have something to do when there is nothing else."""
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
        self._questions.submit(self._database.learn, self._ends)

    # --- what an engine says ------------------------------------------------------------------------------

    def _is_full(self, error: BaseException) -> bool:
        """Return true if an error says that there is no room. Nothing has changed then."""
        raise NotImplementedError

    def _no_room(self) -> StoreError:
        """Return the error to raise when there is no room."""
        raise NotImplementedError

    def _broken(self, error: BaseException) -> StoreError:
        """Return the error to raise after one that makes it unsafe to continue."""
        raise NotImplementedError

    def scrub(self) -> Iterator[StoreError]:
        """See ports.Store."""
        raise NotImplementedError

    def _clear(self) -> bool:
        """Erase what was overwritten; return false if that has to wait for a reader."""
        raise NotImplementedError

    def _rest(self) -> bool:
        """Do a slice of optional work while no step waits; return true if another slice is worthwhile."""
        return False

    def _look_after(self) -> None:
        """Called between two groups."""

    # --- the port -----------------------------------------------------------------------------------------

    async def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """See ports.Store. Raises NoMoreStepsError after ``drain``."""
        return await self._put(step, then)

    async def shred(self) -> None:
        """See ports.Store."""
        while not (await self._put(nothing, shred=True)).value:
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
        except self._database.errors as error:
            raise self._fail(error) from error

    def figures(self) -> Figures:
        """See ports.Store."""
        done = self._database
        return Figures(done.journalled, done.flushed, done.waiting, MAX_BYTES, self._jobs.qsize())

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

    def _ends(self) -> bool:
        """Return true once a stop has begun: what reads all that is stored, which may take minutes, ends."""
        return self._drained

    def _put(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None, *, shred: bool = False
    ) -> asyncio.Future[Durable[A]]:
        self._check_open()
        if self._drained:
            raise NoMoreStepsError("the store accepts no more steps")
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
            try:
                self._tidy(idle=job is None)
            except BaseException as error:  # a thread that dies silently would leave every caller waiting
                self._said_of(error)
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
        if self._may_rest:
            return REST_PAUSE
        return FLUSH_IDLE if self._database.holds_rows else None

    def _perform(self, group: list[Job], more: Callable[[], Job | None]) -> None:
        """Run the job in ``group``, and those that ``more`` returns, in one transaction."""
        if self._failed is not None:
            group[0].error = self._failed
            return
        if self._database.waiting >= MAX_BYTES and time.monotonic() < self._no_room_until:
            group[0].error = self._no_room()
            return

        try:
            self._database.commit(lambda view: self._fill(group, more, view))
            self._follow(group[-1])
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            self._undone(group, error)
        else:
            self.steps += len(group)

    def _fill(self, group: list[Job], more: Callable[[], Job | None], view: Writing) -> None:
        """Run the job in ``group``, and those that ``more`` returns, which are added to it."""
        job: Job | None = group[0]
        until = time.thread_time() + MAX_TIME
        while job is not None:
            self._run_step(job, view)
            full = len(group) >= MAX_GROUP or view.writes >= MAX_WRITES or time.thread_time() >= until
            job = None if full or job.last else more()
            if job is not None:
                group.append(job)

    def _follow(self, last: Job) -> None:
        """Let memory follow the commit. Raises InDoubt: it is wrong to say that nothing was stored."""
        if last.last and last.then is not None:
            try:
                last.then(last.answer)
            except BaseException as error:
                raise InDoubt(self._fail(error)) from error

    def _undone(self, group: list[Job], error: BaseException) -> None:
        """Handle a group of which nothing was committed, or nobody knows. What passes recovers by itself; any
        other error stops the process.
        """
        passing = self._passing(error)
        if isinstance(error, InDoubt):
            self._fail(error.why)
            for job in group:
                job.error = unknown("the node failed while it committed")
        elif passing is None:
            failure = self._fail(error)
            for job in group:
                job.error = failure
        elif len(group) > 1:  # a small group, such as a receipt, may still fit
            for job in group:
                job.answer, job.error, job.last = None, None, False
                self._perform([job], lambda: None)
        else:
            group[0].error = passing

    def _shred(self, job: Job) -> None:
        try:
            job.answer = self._clear()
        except StoreError as error:
            job.error = error
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            job.error = self._said_of(error)

    def _tidy(self, *, idle: bool) -> None:
        """Move rows into their tables, more at a time the more there are."""
        database = self._database
        if self._failed is not None:
            return
        if idle and self._may_rest and not database.flushing:
            self._may_rest = self._rest()
            return
        if idle or database.fresh >= self._flush_bytes:
            database.begin_flush()
        slices = 1 + 8 * database.fresh // self._flush_bytes
        while slices and database.flushing and time.monotonic() >= self._no_room_until and self._move():
            slices -= 1
        self._look_after()

    def _move(self) -> bool:
        """Move one slice; return true if there was room for it."""
        try:
            self._database.flush_slice()
            self._may_rest |= not self._database.flushing
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            self._said_of(error)
            self._no_room_until = time.monotonic() + FLUSH_RETRY
            return False
        return True

    def _passing(self, error: BaseException) -> StoreError | None:
        """Return the error to raise for one that passes by itself: nothing has changed. None: it is unsafe to
        continue.
        """
        if isinstance(error, StoreError):
            return error if error.code in PASSING else None
        return self._no_room() if self._is_full(error) else None

    def _said_of(self, error: BaseException) -> StoreError:
        """Return the error to raise for one that came outside of a group."""
        return self._passing(error) or self._fail(error)

    def _fail(self, error: BaseException) -> StoreError:
        with self._failing:
            first = self._failed is None
            if self._failed is None:
                self._failed = error if isinstance(error, StoreError) else self._broken(error)
            failure = self._failed
        if first:
            self._on_failure(failure)
        return failure

    def _run_step(self, job: Job, view: Writing) -> None:
        try:
            plan = job.step(view)
            view.take(plan)
        except self._database.errors:
            raise
        except Exception as error:
            job.error = error  # the caller's error: nothing of its plan was taken
        else:
            job.answer, job.last = plan.answer, plan.last


def nothing(_: View) -> Plan[bool]:
    """A step that changes nothing; nobody shares its commit."""
    return Plan((), False, last=True)
