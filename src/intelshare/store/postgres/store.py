"""The store of a node in PostgreSQL: ``grouped`` over ``PostgresDatabase``, and what waits while it is away.

While it is away nothing is taken: a step is refused with STORE_UNAVAILABLE, which passes. Only steps whose
commit is in doubt wait for the answer. Steps that met another transaction are run again.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg.errors import InFailedSqlTransaction

from intelshare.errors import StoreError
from intelshare.ports import Figures, Table, View
from intelshare.store.doubt import InDoubt, unknown
from intelshare.store.grouped import FLUSH_BYTES, FLUSH_IDLE, GroupedStore, nothing
from intelshare.store.jobs import Job, resolve
from intelshare.store.postgres.ahead import AheadWriting, WritingInTurn
from intelshare.store.postgres.connection import (
    PostgresConnection,
    connect,
    is_full,
    lost,
    may_repeat,
    opening_failed,
    said,
)
from intelshare.store.postgres.database import PostgresDatabase, Unavailable
from intelshare.store.postgres.lease import Session, sessions, take, took_lead
from intelshare.store.postgres.listener import Listener
from intelshare.store.postgres.schema import check_owner, migrate, migrations
from intelshare.store.postgres.together import GIVEN_UP, LOOK, Claim, SharedDatabase
from intelshare.store.server import Server
from intelshare.store.views import Writing

A = TypeVar("A")

PING: Final = 1.0
"""Seconds without a commit after which the server is spoken to: it hears from its writer, and the reverse."""

_PAUSE: Final = 0.25
"""Seconds between two attempts to reach a server that is away."""

_REPEATS: Final = 20
"""Times that a group is run again because of other transactions."""


class PostgresStore(GroupedStore[PostgresDatabase]):
    """One schema. Made by ``open_store``; close it."""

    def __init__(
        self,
        database: PostgresDatabase,
        on_failure: Callable[[StoreError], None],
        flush_bytes: int = FLUSH_BYTES,
    ) -> None:
        """``on_failure`` is called for STORE_UNAVAILABLE too, which passes."""
        self._worked = self._looked = time.monotonic()
        self._repeated = 0
        self._listener: Listener | None = None
        self.heard: Callable[[str], None] = lambda _: None
        """Called, in a thread, with what another process says."""
        self.led: Callable[[], None] = lambda: None
        """Called by the writer when this process leads from now on (``together``)."""
        database.recover = self._recover
        super().__init__(database, on_failure, flush_bytes)

    @property
    def together(self) -> SharedDatabase | None:
        """The rows, if other processes may write them too."""
        return self._database if isinstance(self._database, SharedDatabase) else None

    def figures(self) -> Figures:
        """See ports.Store."""
        figures, together = super().figures(), self.together
        if together is None:
            return figures
        return replace(figures, followed=time.monotonic() - together.followed_at)

    def listen(self, listener: Listener) -> None:
        """Have a thread that calls ``told``; it is closed with the store."""
        self._listener = listener

    def told(self, session: int, what: str) -> None:
        """A session has committed, or says something: this process follows, if it is another one's. In any
        thread.
        """
        together = self.together
        if together is None or session == together.session:
            return
        if what == GIVEN_UP:
            together.division_is_due = True
        elif what:
            self.heard(what)
            return
        self._look_soon(together)

    def claim(self, claim: Claim) -> None:
        """Hold these links from the next look on, which is soon. In any thread."""
        if (together := self.together) is not None:
            together.claimed = claim
            self._look_soon(together)

    def tell(self, what: str) -> None:
        """Say something to the other processes, which ``heard`` it. In any thread."""
        if (together := self.together) is not None:
            together.tells.append(what)
            self._look_soon(together)

    def _look_soon(self, together: SharedDatabase) -> None:
        if not together.behind:
            together.behind = True
            self._jobs.put(_FOLLOW)

    def close(self) -> None:
        """See ports.Store."""
        if self._listener is not None:
            self._listener.close()
        super().close()

    def scrub(self) -> Iterator[StoreError]:
        """See ports.Store: on a connection of its own."""
        return self._database.scrub(self._ends)

    def ask_now(self, question: Callable[[View], A]) -> A:
        """See ports.Store. Raises StoreError STORE_UNAVAILABLE besides."""
        self._check_open()
        try:
            return self._database.ask(question)
        except psycopg.Error as error:
            if lost(error):
                raise self._database.unavailable() from None
            raise self._fail(error) from error

    # --- what an engine says ------------------------------------------------------------------------------

    def _is_full(self, error: BaseException) -> bool:
        return is_full(error)

    def _no_room(self) -> StoreError:
        return StoreError(
            "DISK_FULL", "the disk of the database is full", hint="make room; it goes on by itself"
        )

    def _broken(self, error: BaseException) -> StoreError:
        return StoreError(
            "DISK_ERROR",
            f"the database could not be written or read: {type(error).__name__}: {said(error)}",
            hint="the node stops; look at the server's log, then start it again",
        )

    def _clear(self) -> bool:
        return self._database.erase()

    # --- the writer's thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._may_rest = False
        try:
            self._database.arm()
        except Exception:  # whatever it is, ``resume`` meets it too
            self._database.away = True
        super()._run()

    def _patience(self) -> float | None:
        patience = super()._patience()
        if self._failed is not None:
            return None
        most = PING if self.together is None else LOOK
        return most if patience is None else min(most, patience)

    def _next(self, patience: float | None) -> Job | None:
        job = super()._next(patience)
        while job is _FOLLOW and patience == 0:  # who is about to commit follows first
            job = super()._next(0)
        return None if job is _FOLLOW else job  # ``_tidy`` follows

    def _perform(self, group: list[Job], more: Callable[[], Job | None]) -> None:
        self._worked = time.monotonic()
        if self._database.away and self._failed is None:
            group[0].error = self._database.unavailable()
            return
        together = self.together
        if together is None or self._failed is not None:
            super()._perform(group, more)
        else:
            ahead = [group.pop()]
            try:
                together.run_ahead(partial(self._fill, ahead, more))
            except Exception:  # whatever fails ahead is run again in the turn
                for job in ahead:
                    job.ahead = None
            self._perform_made(group, deque(ahead))
        self._repeated = 0

    def _perform_made(self, group: list[Job], ahead: deque[Job]) -> None:
        """Perform jobs that ran ahead, and put them into ``group``: in one transaction, unless one that runs
        again is now the last of its own.
        """
        while ahead:
            part = [ahead.popleft()]
            super()._perform(part, lambda: ahead.popleft() if ahead else None)
            group += part

    def _undone(self, group: list[Job], error: BaseException) -> None:
        if isinstance(error, InDoubt):
            if not isinstance(error.why, Unavailable):
                self._fail(error.why)
            for job in group:
                job.error = unknown("the database went away while it committed")
        elif self._database.away or self._database.is_lost(error):
            self._went_away()
            for job in group:
                job.error = self._database.unavailable()
        elif may_repeat(error) and self._repeated < _REPEATS:
            self._repeated += 1
            self._run_again(group)
        elif isinstance(error, InFailedSqlTransaction) and (len(group) > 1 or group[0].error is not None):
            if len(group) > 1:  # one of the steps has met a damaged page: its error is its own
                for job in group:
                    job.answer, job.error, job.last = None, None, False
                    self._perform([job], lambda: None)
        else:
            super()._undone(group, error)

    def _run_again(self, group: list[Job]) -> None:
        """The same steps, in the same order."""
        rest = iter(group[1:])
        for job in group:
            job.answer, job.error, job.last = None, None, False
        again = [group[0]]
        super()._perform(again, lambda: next(rest, None))
        for job in rest:  # a step before them was the last of its group this time
            super()._perform([job], lambda: None)

    def _run_step(self, job: Job, view: Writing) -> None:
        if isinstance(view, AheadWriting):
            self._run_ahead(job, view)
            return
        made, job.ahead = job.ahead, None
        if made is None or not isinstance(view, WritingInTurn) or not view.took(made):
            job.answer, job.last = None, False
            super()._run_step(job, view)

    def _run_ahead(self, job: Job, view: AheadWriting) -> None:
        """Run a step ahead; one that fails here is run again in the turn."""
        view.begin()
        job.ahead, job.last = None, False
        with contextlib.suppress(psycopg.Error):
            super()._run_step(job, view)
        job.ahead, job.error = view.made, None

    def _shred(self, job: Job) -> None:
        if self._database.away:
            job.error = self._database.unavailable()
        else:
            super()._shred(job)

    def _tidy(self, *, idle: bool) -> None:
        if self._failed is None and self._database.away and not self._closing:
            self._say_away()
            self._recover()
            return
        super()._tidy(idle=idle and time.monotonic() - self._worked >= FLUSH_IDLE)

    def _look_after(self) -> None:
        now, together = time.monotonic(), self.together
        if together is not None and (together.is_due or now - self._looked >= LOOK):
            self._looked = now
            if together.look():
                self.led()
        elif now - self._worked >= PING:
            self._database.ping()

    def _move(self) -> bool:
        if self._database.away:
            return False
        try:
            self._database.flush_slice()
        except BaseException as error:  # a thread that dies silently would leave every caller waiting
            if not may_repeat(error):
                self._said_of(error)
        else:
            return True
        self._no_room_until = time.monotonic() + PING
        return False

    def _said_of(self, error: BaseException) -> StoreError:
        if self._database.is_lost(error):
            self._went_away()
            return self._database.unavailable()
        return super()._said_of(error)

    def _went_away(self) -> None:
        self._database.away = True

    def _say_away(self) -> None:
        self._on_failure(self._database.unavailable())

    def _recover(self) -> None:
        """Try until the server is back; who comes meanwhile is refused. Raises StoreError."""
        self._say_away()
        while not self._database.resume():
            try:
                job = self._jobs.get(timeout=_PAUSE)
            except queue.Empty:
                continue
            if job is None:
                self._closing = True
                raise self._database.unavailable()
            if job is not _FOLLOW:
                job.error = self._database.unavailable()
                resolve([job])
        if self.together is not None and self.together.leads:
            self.led()  # again


_FOLLOW: Final = Job(nothing, None, None, None)  # type: ignore[arg-type]
"""Wakes the writer: there is something to follow."""


def open_store(
    server: Server,
    folder: Path,
    tables: Sequence[Table[Any]],
    key: bytes,
    on_failure: Callable[[StoreError], None] = lambda _: None,
    *,
    name: str = "intelshare",
    steps: Sequence[str] | None = None,
    held: PostgresConnection | None = None,
    flush_bytes: int = FLUSH_BYTES,
    accept_loss: bool = False,
) -> PostgresStore:
    """Open the schema, made or migrated first; ``key``: the vault's storage key; ``folder``: of the node.

    ``name`` is what the server shows. ``held``: a connection that has the lock already; it is closed if this
    raises. ``accept_loss``: an operator's word that what cannot be read of the journal may be set aside.
    Raises StoreError STORE_UNAVAILABLE, DATA_LOCKED, SCHEMA_NEWER, ID_CONFLICT, RECORD_CORRUPT, DISK_ERROR,
    DISK_FULL.
    """
    try:
        writer = held or connect(server, folder, name, writes=True)
    except psycopg.Error as error:
        raise opening_failed(error) from None
    try:
        if held is None:
            take(writer, server.schema)
        migrate(writer, server.schema, steps)
        check_owner(writer, server.schema, key)
        database = PostgresDatabase(server, folder, name, tables, key, writer, accept_loss=accept_loss)
    except psycopg.Error as error:
        writer.close()
        raise opening_failed(error) from None
    except BaseException:
        writer.close()
        raise
    return PostgresStore(database, on_failure, flush_bytes)


def open_together(
    server: Server,
    folder: Path,
    tables: Sequence[Table[Any]],
    key: bytes,
    on_failure: Callable[[StoreError], None] = lambda _: None,
    *,
    name: str,
    held: PostgresConnection,
    first: bool,
    steps: Sequence[str] | None = None,
    flush_bytes: int = FLUSH_BYTES,
    accept_loss: bool = False,
) -> PostgresStore:
    """Open the schema beside other processes (``together``): parameters and errors as ``open_store``.

    ``held``: a connection that ``wait_to_join`` let in, with its answer in ``first``.
    """
    try:
        steps = migrations() if steps is None else steps
        migrate(held, server.schema, steps, alone=first)
        check_owner(held, server.schema, key)
        how: dict[str, Any] = {"first": first, "version": len(steps), "accept_loss": accept_loss}
        database = SharedDatabase(server, folder, name, tables, key, held, **how)
        database.leads = first and took_lead(held, server.schema)
    except psycopg.Error as error:
        held.close()
        raise opening_failed(error) from None
    except BaseException:
        held.close()
        raise
    store = PostgresStore(database, on_failure, flush_bytes)
    store.listen(Listener(server, folder, name, store.told))
    return store


def sessions_of(server: Server, folder: Path, name: str) -> list[Session]:
    """Return the sessions that write to this schema, or wait. Raises StoreError, ConfigError."""
    try:
        connection = connect(server, folder, name, writes=False)
        try:
            return sessions(connection, server.schema)
        finally:
            connection.close()
    except psycopg.Error as error:
        raise opening_failed(error) from None
