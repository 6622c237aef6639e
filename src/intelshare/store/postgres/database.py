"""One schema of PostgreSQL: ``layered`` over it, secrets under keys of the folder, a server that may be away.

A question takes its snapshot when it first needs a row that memory does not have. If rows were moved by then
it is asked again, with a snapshot from the start.

A commit whose answer was lost is in doubt. Only the session that has the lock can tell, because the one
before may still be committing: it reads the number of the last group, and with it whether that was ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg

from intelshare.errors import ConfigError, StoreError
from intelshare.ports import Table
from intelshare.store import journal
from intelshare.store.doubt import InDoubt
from intelshare.store.layered import LayeredDatabase
from intelshare.store.postgres.connection import (
    ANSWER,
    IDLE,
    PostgresAnswer,
    PostgresConnection,
    connect,
    is_full,
    may_repeat,
)
from intelshare.store.postgres.keys import GroupKeys
from intelshare.store.postgres.lease import took
from intelshare.store.postgres.views import PostgresReading, PostgresWriting
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.server import Server
from intelshare.store.sql import Connection
from intelshare.store.views import Reading

A = TypeVar("A")

KEYS: Final = "database-keys"
"""The folder of the groups' keys, in the data folder."""

_LOOK: Final = 0.2
"""Seconds after which whoever waits to look asks whether the server is away."""


class Moved(Exception):
    """Rows were moved since the question began: its layers and the tables of now are no one state."""


class PostgresDatabase(LayeredDatabase):
    """An open schema. ``close`` it."""

    reading = PostgresReading
    writing = PostgresWriting
    errors = (psycopg.Error,)
    _writer: PostgresConnection

    def __init__(
        self,
        server: Server,
        folder: Path,
        name: str,
        tables: Sequence[Table[Any]],
        key: bytes,
        writer: PostgresConnection,
        *,
        accept_loss: bool = False,
    ) -> None:
        """``writer``: a connection that has the lock. As ``LayeredDatabase``."""
        self._server, self._folder, self._name = server, folder, name
        self._first: PostgresConnection | None = writer
        self.recover: Callable[[], None] = lambda: None
        """Called by the writer while the server is away: returns once ``resume`` has, or raises."""
        self.away = False
        """The server was not there when it was last spoken to."""
        self._why = ""
        """The cause on this machine for which it could not try: the file of its password, or descriptors."""
        self._changes = 0
        """Commits that changed rows which a snapshot may show: counted before each."""
        self._promotions = 0
        """The highest timeline that a server had to which this process has written."""
        self._asked = 0
        self._free: list[PostgresConnection] = []
        """Connections of questions that have ended."""
        self._dropping: dict[int, set[int]] = {}
        """Groups whose rows stand elsewhere now, with the questions that may still look at the old ones."""
        super().__init__(tables, key, accept_loss=accept_loss)

    def scrub(self, ended: Callable[[], bool]) -> Iterator[StoreError]:
        """Read every row again, in any thread, until it has ``ended``. Raises StoreError."""
        from intelshare.store.postgres.beside import scrub

        tables = [sql.layout.table for sql in self._tables.values()]
        return scrub(self._server, self._folder, self._name, tables, self._key, ended)

    def _connect(self, *, writes: bool) -> PostgresConnection:
        if writes and self._first is not None:
            first, self._first = self._first, None
            return first
        at = None if writes else self._writer.server
        try:
            made = connect(self._server, self._folder, self._name, writes=writes, at=at)
        except (ConfigError, OSError) as error:
            raise Unavailable(_said_of(error)) from error
        made.wait_for_answers(ANSWER)
        made.keys = self.keys
        return made

    def _begin(self) -> None:
        super()._begin()
        self._open_keys()
        self.keys.drop(self._unused())

    def _open_keys(self) -> None:
        # Two that open at once wait for each other: no snapshot.
        opened = journal.raise_state(self._writer, "opened", "BEGIN TURN")
        self.keys = GroupKeys(self._folder / KEYS, self._key, opened)
        self._writer.keys = self.keys

    # --- questions ----------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Reading], A]) -> A:
        """See ``LayeredDatabase``. Raises StoreError STORE_UNAVAILABLE."""
        try:
            with self.looking(at_once=False) as view:
                return question(view)
        except Moved:
            return super().ask(question)

    @contextlib.contextmanager
    def looking(
        self, *, at_once: bool = True, shown: Callable[[Connection], Reading] | None = None
    ) -> Iterator[Reading]:
        """See ``LayeredDatabase``. Not ``at_once``: it may raise ``Moved`` at any read.

        ``shown`` makes another view of the same.
        """
        with self._shown():
            self._asked += 1
            number, snapshot = self._asked, _Snapshot(self)
            if at_once:
                snapshot.begin()
            self._seen[number] = self._layers
            view = (shown or self._view)(snapshot)
        try:
            yield view
        finally:
            del self._seen[number]
            snapshot.end()

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Hold what is shown, unless the server is away: then a commit may hold it for long."""
        while True:
            if self.away:
                raise self.unavailable()
            if self._showing.acquire(timeout=_LOOK):
                break
        try:
            yield
        finally:
            self._showing.release()

    def begun(self, since: int) -> PostgresConnection:
        """A connection with a snapshot of now, which is that of a question ``since``. Raises Moved."""
        return self._snapshot(since)[0]

    def _snapshot(self, since: int) -> tuple[PostgresConnection, dict[str, int]]:
        """The same, with the state in it."""
        if since != self._changes:
            raise Moved
        connection = self._free.pop() if self._free else self._connect(writes=False)
        try:
            connection.execute("BEGIN")
            state = dict(connection.execute("SELECT name, value FROM store_state").fetchall())
            if state["epoch"] != self._epoch or state["last"] < self._last:
                raise psycopg.OperationalError("this is not the server that has what was committed")
        except BaseException:
            connection.close()
            raise
        return connection, state

    def ended(self, connection: PostgresConnection) -> None:
        """A question is answered."""
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        else:
            self._free.append(connection)

    def unavailable(self) -> StoreError:
        """STORE_UNAVAILABLE: it passes."""
        return Unavailable(self._why)

    def _let_go(self) -> None:
        while self._free:
            self._free.pop().close()

    def close(self, *, failed: bool) -> None:
        """See ``LayeredDatabase``."""
        self._let_go()
        super().close(failed=failed)

    def moved(self) -> None:
        """A question met a row whose key has ended. Only another process ends keys that one may need."""

    @property
    def changes(self) -> int:
        """The number of changes to rows that a snapshot may show."""
        return self._changes

    @contextlib.contextmanager
    def beginning(self) -> Iterator[None]:
        """Nothing is shown meanwhile."""
        with self._shown():
            yield

    # --- commits ------------------------------------------------------------------------------------------

    def _moving(self) -> None:
        with self._showing:
            self._change()

    def _change(self) -> None:
        """Rows that a snapshot may show are about to change. With the lock held."""
        self._changes += 1

    def _finish(self, *, wrote: bool, overwrites: bool) -> None:
        if overwrites:
            self._change()
        try:
            self._writer.execute("COMMIT")
        except StoreError as why:  # it is committed, but not as durably as was promised
            raise InDoubt(why) from why
        except Exception as error:
            if not (wrote and self._writer.is_lost(error)):
                raise
            if not self._was_committed():
                raise

    def _was_committed(self) -> bool:
        """Return true if the group whose answer was lost is there: asked once the server is back, and again
        if it is lost before it answers. Raises InDoubt.
        """
        while True:
            self.away = True
            try:
                self.recover()
                return self._is_there()
            except Exception as why:
                if not self.is_lost(why):
                    raise InDoubt(why) from why

    def _is_there(self) -> bool:
        """Return true if the group whose commit was in doubt is in the journal."""
        return self._state("last") == self._last + 1

    def resume(self) -> bool:
        """Connect again and take the lock; False: not yet. Then ``away`` is over.

        Raises StoreError DATA_LOCKED if another has taken over, STORE_FORGOT if the server knows less than
        it has confirmed; psycopg.Error if it is there, and does not do what it is asked: it lacks a table,
        or took a right away.
        """
        self._writer.close()
        self._let_go()
        try:
            self._writer = self._connect(writes=True)
            if self._timeline() < self._promotions:
                return False  # a former primary that nobody has stopped: it lost nothing, others went on
            if not self._took_again():
                journal.check_epoch(self._writer, self._epoch)
                return False
            journal.check_epoch(self._writer, self._epoch)
            if not self._fits(self._state("last")):
                raise StoreError(
                    "STORE_FORGOT",
                    f"the database at {self._writer.server[0]} lost what it had confirmed: a standby that "
                    "lagged was promoted",
                    hint="start once with --accept-loss: peers then hand over again",
                )
            # Waits until the standbys, if there are any, have all that was committed before.
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("UPDATE store_state SET value = value WHERE name = 'epoch'")
            self._writer.execute("COMMIT")
            self.arm()
        except psycopg.Error as error:
            if not (self._writer.is_lost(error) or may_repeat(error) or is_full(error)):
                raise
            self._writer.close()  # not before it was asked: then it is lost
            self._why = ""
            return False
        except Unavailable as error:
            self._why = error.why
            return False
        self._why = ""
        self.away = False
        return True

    def _took_again(self) -> bool:
        return took(self._writer, self._server.schema)

    def _fits(self, last: int) -> bool:
        """Return true if the journal may end with this group, by what this process knows."""
        return last in (self._last, self._last + 1)

    def arm(self) -> None:
        """From now on the server ends this session if it hears nothing: ``ping`` it."""
        self._promotions = self._timeline()
        values = ("idle_session_timeout", f"{IDLE}s")
        self._writer.execute("SELECT set_config(?, ?, false)", values).fetchall()
        self._writer.wait_for_answers(ANSWER)

    def ping(self) -> None:
        """Say a word. Raises psycopg.Error."""
        self._writer.execute("SELECT 1").fetchall()

    def is_lost(self, error: BaseException) -> bool:
        """Return true if an error says that the writer's session is over."""
        return isinstance(error, psycopg.Error) and self._writer.is_lost(error)

    def _timeline(self) -> int:
        """The number that every promotion of a standby raises."""
        ((name,),) = self._writer.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchall()
        return int(str(name)[:8], 16)

    def _state(self, name: str) -> int:
        return self._one(f"SELECT value FROM store_state WHERE name = '{name}'")  # noqa: S608 - own names

    # --- secrets ------------------------------------------------------------------------------------------

    def _replace_apart(self, sql: RowTable, place: int, record: bytes) -> None:
        name = sql.layout.table.name
        group, sealed = self.keys.sealed(name, place, record)
        self._writer.execute(
            f'INSERT INTO erasing SELECT _group FROM "{name}" WHERE _place = ? ON CONFLICT DO NOTHING',  # noqa: S608
            (place,),
        )
        self._writer.execute(
            f'UPDATE "{name}" SET _group = ?, _record = ? WHERE _place = ?',  # noqa: S608
            (group, sealed, place),
        )

    def _insert_apart(self, sql: RowTable, rows: Sequence[tuple[int, bytes]]) -> None:
        name = sql.layout.table.name
        sealed = [(place, *self.keys.sealed(name, place, record)) for place, record in rows]
        insert = f'INSERT INTO "{name}" (_place, _group, _record) VALUES (?, ?, ?)'  # noqa: S608
        self._writer.executemany(insert, sealed)

    def erase(self) -> bool:
        """Make what was overwritten unreadable wherever it is left; False: a question may still look at it.

        Raises StoreError, psycopg.Error.
        """
        for (group,) in self._writer.execute("SELECT id FROM erasing ORDER BY id").fetchall():
            self._seal_again(group)
        running = set(self._seen)
        gone = [group for group, looking in self._dropping.items() if not looking & running]
        self.keys.drop(gone)
        for group in gone:
            del self._dropping[group]
        return not self._dropping

    def _seal_again(self, group: int) -> None:
        """All rows of a group under another key; then nothing needs the old one."""
        self.keys.end_group()
        with self._transaction():
            for sql in self._apart():
                name = sql.layout.table.name
                find = f'SELECT _place, _record FROM "{name}" WHERE _group = ?'  # noqa: S608
                moved = []
                for place, found in self._writer.execute(find, (group,)).fetchall():
                    record = self.keys.opened(name, place, group, found)
                    if record is None:
                        record = self.keys.restored(name, place, group, found)
                    if record is not None:
                        moved.append((place, *self.keys.sealed(name, place, record)))
                self._writer.executemany(
                    f'INSERT INTO "{name}" (_place, _group, _record) VALUES (?, ?, ?) '  # noqa: S608
                    "ON CONFLICT (_place) DO UPDATE SET _group = excluded._group, _record = excluded._record",
                    moved,
                )
            self._writer.execute("DELETE FROM erasing WHERE id = ?", (group,))
            self._erasing()
            with self._showing:
                self._change()
                self._writer.execute("COMMIT")
                self._dropping[group] = set(self._seen)

    def _erasing(self) -> None:
        """Called before the commit after which the key of a group is to end."""

    def _unused(self) -> list[int]:
        """Keys that no row needs: a process ended between its commit and the end of its keys."""
        unused = set(self.keys.groups())
        for sql in self._apart():
            # By the index, a key at a time: the rows are many, and at a take-over all writers wait.
            there = f'SELECT 1 FROM "{sql.layout.table.name}" WHERE _group = one'  # noqa: S608
            used = f"SELECT one FROM unnest(string_to_array(?, ' ')::bigint[]) one WHERE EXISTS ({there})"  # noqa: S608
            asked = " ".join(map(str, unused))
            unused.difference_update(one for (one,) in self._writer.execute(used, (asked,)).fetchall())
        return sorted(unused)

    def _apart(self) -> list[RowTable]:
        return [sql for sql in self._tables.values() if sql.kept is Kept.APART]


class _Snapshot:
    """The connection of one question: begun when it is first needed. See ``store.sql.Connection``."""

    is_snapshot = True
    now = None
    """No key of a row goes that a question of this process may look at."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._since = database.changes
        self._connection: PostgresConnection | None = None

    @property
    def in_transaction(self) -> bool:
        return self._connection is not None

    @property
    def keys(self) -> GroupKeys:
        return self._database.keys

    def begin(self) -> PostgresConnection:
        """With the lock held. Raises Moved, psycopg.Error."""
        self._connection = self._database.begun(self._since)
        return self._connection

    def moved(self) -> None:
        """A key that this question needs has ended: the row is elsewhere by now."""
        self._database.moved()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> PostgresAnswer:
        if self._connection is None:
            with self._database.beginning():
                self.begin()
        assert self._connection is not None  # noqa: S101 - begun above
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Any, /) -> None:
        raise NotImplementedError

    def end(self) -> None:
        if self._connection is not None:
            self._database.ended(self._connection)

    def close(self) -> None:
        self.end()


def _said_of(error: ConfigError | OSError) -> str:
    """Return what kept this machine from trying, without the folder in which it was."""
    if isinstance(error, ConfigError):
        return f"{Path(error.place.source).name}: {error.message}" if error.place else error.message
    return error.strerror or repr(error)


class Unavailable(StoreError):
    """STORE_UNAVAILABLE: it passes."""

    def __init__(self, why: str = "") -> None:
        """``why``: the cause, if it is on this machine."""
        super().__init__(
            "STORE_UNAVAILABLE",
            f"the database cannot be reached: {why}" if why else "the database cannot be reached",
            hint="nothing changed; the node goes on by itself once it is back",
            retry_after=1,
        )
        self.why = why
