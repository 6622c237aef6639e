"""The lock that decides which session writes: the advisory lock of a schema.

The lock is on the connection that writes, so losing one is losing the other: a holder that is frozen, cut off
or killed cannot commit any more once another has it (decision 64). It does not survive a pooler that gives a
session to several clients; such a one is not to stand between.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.errors import LockNotAvailable

from intelshare.errors import StoreError
from intelshare.store.postgres.connection import (
    ANSWER,
    IDLE,
    IDLE_AT_START,
    PostgresConnection,
    connect,
    opening_failed,
)
from intelshare.store.server import Server

PATIENCE: Final = IDLE + 3.0
"""Seconds for which a start waits for the lock: longer than a session without a holder lives."""

_PAUSE: Final = 0.2
_RETRY: Final = 1.0
"""Seconds between two attempts to reach a server that is away."""

_TURN: Final = "1s"
"""For which a standby waits in the queue for the lock before it looks at the holder."""

_KEY: Final = "hashtextextended('intelshare.' || ?, 0)"
_TURN_KEY: Final = "hashtextextended('intelshare.turn.' || ?, 0)"
_LEAD_KEY: Final = "hashtextextended('intelshare.lead.' || ?, 0)"
_TRY: Final = f"SELECT pg_try_advisory_lock({_KEY})"
_TRY_TOGETHER: Final = f"SELECT pg_try_advisory_lock_shared({_KEY})"
_NO_LONGER_ALONE: Final = f"SELECT pg_advisory_unlock({_KEY})"
_NO_LONGER_TOGETHER: Final = f"SELECT pg_advisory_unlock_shared({_KEY})"
_PART_KEY: Final = "hashtextextended('intelshare.part.' || ?, 0)"
_HELD: Final = f"""\
SELECT k.what, k.member, l.pid FROM (
    SELECT 'part' AS what, '' AS member, {_PART_KEY} AS key
    UNION ALL SELECT 'lead', '', {_LEAD_KEY}
    UNION ALL SELECT w.what, m.member,
        hashtextextended('intelshare.' || w.what || '.' || ? || ' ' || m.member, 0)
    FROM (VALUES ('link'), ('call')) w(what), unnest(string_to_array(?, ' ')) m(member)) k
JOIN pg_locks l ON k.key = (l.classid::bigint << 32 | l.objid::bigint)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608
_HOLD: Final = "SELECT pg_try_advisory_lock(hashtextextended('intelshare.' || ? || '.' || ? || ' ' || ?, 0))"
_GIVE_UP: Final = "SELECT pg_advisory_unlock(hashtextextended('intelshare.' || ? || '.' || ? || ' ' || ?, 0))"
_TRY_TO_LEAD: Final = f"SELECT pg_try_advisory_lock({_LEAD_KEY})"

TURN: Final = f"/* until COMMIT */ SELECT pg_advisory_xact_lock({_TURN_KEY})"
"""Waits, in a transaction of a process that runs together with others, until it has the turn."""

TURN_PATIENCE: Final = "2s"
"""For which it waits before it looks at who has the turn."""

_WAIT: Final = f"SELECT pg_advisory_lock({_KEY})"
_SESSIONS: Final = f"""\
SELECT l.granted, l.granted AND (l.mode = 'ExclusiveLock' OR a.pid IN (
           SELECT h.pid FROM pg_locks h WHERE h.locktype = 'advisory' AND h.granted
           AND h.database = l.database
           AND (h.classid::bigint << 32 | h.objid::bigint) = {_LEAD_KEY} AND h.objsubid = 1)),
       a.application_name, coalesce(host(a.client_addr), ''), a.pid,
       (extract(epoch FROM a.backend_start) * 1000000)::bigint
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = {_KEY} AND l.objsubid = 1
ORDER BY 1 DESC, 2 DESC, a.backend_start"""  # noqa: S608 - nothing of it comes from outside

_STUCK: Final = """\
SELECT pg_terminate_backend(a.pid)
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = {key} AND l.objsubid = 1
  AND a.state = 'active' AND a.wait_event = 'ClientRead' AND a.state_change < now() - ?::interval"""
"""A holder that froze while it sent: no timeout of the server counts there (seen with PostgreSQL 15)."""


@dataclass(frozen=True, slots=True)
class Session:
    """One that writes, or waits for its turn."""

    active: bool
    leads: bool
    """It has the links and the chores: of those that are active together, one."""
    name: str
    """The name that the process gave: ``intelshare REPLICA VERSION``."""
    address: str
    """Where it calls from; empty: this machine."""
    server_pid: int
    """Of the session, on the server."""
    since: int
    """When it connected, in microseconds since 1970."""

    @property
    def replica(self) -> str:
        """The replica's name; ``-`` for a process that runs alone."""
        return (*self.name.split(" "), "-")[1]

    @property
    def version(self) -> str:
        """Of the program; empty: it is another program."""
        return (*self.name.split(" "), "", "")[2]


def sessions(connection: PostgresConnection, schema: str) -> list[Session]:
    """The holder of the lock, then those that wait. Raises psycopg.Error."""
    return [Session(*row) for row in connection.execute(_SESSIONS, (schema, schema)).fetchall()]


def took(connection: PostgresConnection, schema: str) -> bool:
    """Try to take the lock; return true if this session has it now. Raises psycopg.Error."""
    return bool(connection.execute(_TRY, (schema,)).fetchall()[0][0])


def took_together(connection: PostgresConnection, schema: str) -> bool:
    """Try to take the lock together with others; true if this session shares it now. Raises psycopg.Error."""
    return bool(connection.execute(_TRY_TOGETHER, (schema,)).fetchall()[0][0])


def open_to_others(connection: PostgresConnection, schema: str) -> None:
    """From having the lock alone to sharing it, without letting it go. Raises psycopg.Error."""
    if took_together(connection, schema):
        connection.execute(_NO_LONGER_ALONE, (schema,)).fetchall()


def took_lead(connection: PostgresConnection, schema: str) -> bool:
    """Try to become the one of them that leads; true if this session is. Raises psycopg.Error."""
    return bool(connection.execute(_TRY_TO_LEAD, (schema,)).fetchall()[0][0])


@dataclass(frozen=True, slots=True)
class Division:
    """Which links the sessions of a schema hold at a moment (decision 80)."""

    session: int
    """That of this process."""
    leads: int
    """That of the process that leads; 0: none does."""
    sessions: tuple[int, ...]
    """Those that take part."""
    holders: Mapping[str, int]
    """The sessions that have the links with members."""
    called: frozenset[str]
    """The members that the one that leads asks for."""


class Links:
    """The members that a session holds, by locks of it; ``schema``: of its node."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._held: set[tuple[str, str]] = set()
        self._part = False

    @property
    def held(self) -> frozenset[str]:
        """The members whose links this session has."""
        return frozenset(member for what, member in self._held if what == "link")

    def claim(
        self, connection: PostgresConnection, hold: frozenset[str], call: frozenset[str], *, part: bool
    ) -> bool:
        """Hold these and call for those, as far as nobody else does, and give up all others; true if one was
        given up. Raises psycopg.Error.
        """
        wanted = {*[("link", one) for one in hold], *[("call", one) for one in call]}
        gone = sorted(self._held - wanted)
        for what, member in gone:
            connection.execute(_GIVE_UP, (what, self._schema, member)).fetchall()
            self._held.discard((what, member))
        if part != self._part:
            verb = "lock" if part else "unlock"
            sql = f"SELECT pg_advisory_{verb}_shared({_PART_KEY})"
            connection.execute(sql, (self._schema,)).fetchall()
            self._part = part
        self._held |= {one for one in sorted(wanted - self._held) if self._took(connection, *one)}
        return bool(gone)

    def _took(self, connection: PostgresConnection, what: str, member: str) -> bool:
        return bool(connection.execute(_HOLD, (what, self._schema, member)).fetchall()[0][0])

    def take_again(self, connection: PostgresConnection) -> None:
        """Take what a former session of this process held, and nobody has now. Raises psycopg.Error."""
        hold = self.held
        call = frozenset(member for what, member in self._held if what == "call")
        part, self._part, self._held = self._part, False, set()
        self.claim(connection, hold, call, part=part)

    def division(self, connection: PostgresConnection, members: Collection[str]) -> Division:
        """Return who holds which of these members. Raises psycopg.Error."""
        names = self._schema, self._schema, self._schema, " ".join(members)
        rows = connection.execute(_HELD, names).fetchall()
        return Division(
            connection.raw.info.backend_pid,
            max([pid for what, _, pid in rows if what == "lead"], default=0),
            tuple(sorted(pid for what, _, pid in rows if what == "part")),
            {member: pid for what, member, pid in rows if what == "link"},
            frozenset(member for what, member, _ in rows if what == "call"),
        )


def begin_turn(connection: PostgresConnection, schema: str, first: Callable[[], object]) -> None:
    """Begin a transaction that has the turn to write, after whoever has it.

    ``first`` asks the first question in it, with which all is sent. Raises psycopg.Error, and what it raises.
    """
    while True:
        connection.execute("BEGIN TURN")
        connection.execute(f"SET LOCAL lock_timeout = '{TURN_PATIENCE}'")
        connection.execute(TURN, (schema,))
        connection.execute("SET LOCAL lock_timeout = 0")
        try:
            first()
        except LockNotAvailable:
            connection.execute("ROLLBACK")
            end_stuck(connection, schema)
        else:
            return


def end_stuck(connection: PostgresConnection, schema: str) -> None:
    """End a session that froze while it had the turn to write. Raises psycopg.Error."""
    connection.execute(_STUCK.format(key=_TURN_KEY), (schema, f"{IDLE}s")).fetchall()


def take(connection: PostgresConnection, schema: str, patience: float = PATIENCE) -> None:
    """Take the lock. Raises StoreError DATA_LOCKED naming the holder; psycopg.Error."""
    end = time.monotonic() + patience
    while not took(connection, schema):
        if time.monotonic() > end:
            held = [one for one in sessions(connection, schema) if one.active]
            who = f"{held[0].name} ({held[0].address or 'this machine'})" if held else "another process"
            raise StoreError(
                "DATA_LOCKED",
                f"{who} writes to this database",
                hint="stop it; or run as a standby of it: `intelshare node run --replica NAME`",
            )
        time.sleep(_PAUSE)


@dataclass(frozen=True, slots=True)
class Waits:
    """Something for which a process waits, and that need not come by itself."""

    error: StoreError
    since: int
    """Microseconds since 1970."""
    others: str = ""
    """The replicas for which it waits, if it knows any."""


class Standby:
    """Waits for the lock in a thread of its own choosing, for as long as it takes."""

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        self._server, self._folder, self._name = server, folder, name
        self._stopped = threading.Event()
        self.waits: Waits | None = None
        """Why its turn does not come; None: it is waited there, as is usual."""

    def wait(self) -> PostgresConnection | None:
        """The connection that has the lock; None after ``stop``. Raises StoreError, ConfigError.

        A server that is away is waited for as well.
        """
        while not self._stopped.is_set():
            connection = None
            try:
                connection = connect(self._server, self._folder, self._name, writes=True)
                self._says(None)
                if self._waited(connection):
                    return connection
            except psycopg.Error as error:
                self._says(opening_failed(error))
                self._stopped.wait(_RETRY)
            if connection is not None:
                connection.close()
        return None

    def _waited(self, connection: PostgresConnection) -> bool:
        """Wait in the queue, a turn after the other; False after ``stop``. Raises psycopg.Error."""
        schema = self._server.schema
        _set(connection, "lock_timeout", _TURN)
        connection.wait_for_answers(ANSWER)
        while not self._stopped.is_set():
            try:
                connection.execute(_WAIT, (schema,)).fetchall()
            except LockNotAvailable:
                connection.execute(_STUCK.format(key=_KEY), (schema, f"{IDLE}s")).fetchall()
            else:
                _set(connection, "lock_timeout", "0")
                connection.wait_for_answers(IDLE_AT_START)
                return True
        return False

    def _says(self, error: StoreError | None, since: float = 0.0, others: str = "") -> None:
        """Say what it waits for, ``since`` so many seconds."""
        before = self.waits
        if error is None:
            self.waits = None
        elif before is not None and before.error.code == error.code:
            self.waits = Waits(error, before.since, others)
        else:
            self.waits = Waits(error, time.time_ns() // 1000 - int(since * 1_000_000), others)

    def stop(self) -> None:
        """Give up waiting, within a turn; in any thread."""
        self._stopped.set()


class Joining(Standby):
    """Waits until this process may write together with others of which one leads, or as the first of them.

    Who starts, or leads next, needs seconds; after ``PATIENCE`` it says for whom it waits.
    """

    first = False
    """Nobody else shares the lock yet: it is held alone until ``open_to_others``."""

    def _waited(self, connection: PostgresConnection) -> bool:
        schema, began = self._server.schema, time.monotonic()
        while not self._stopped.is_set():
            self.first = took(connection, schema)
            if self.first:
                return True
            shares = took_together(connection, schema)
            if shares:
                if any(one.leads for one in sessions(connection, schema)):
                    return True
                # Whoever had it alone has let it go in between. Several may have come in so, and one of them
                # has to be the first.
                connection.execute(_NO_LONGER_TOGETHER, (schema,)).fetchall()
            self._look(connection, time.monotonic() - began, shares=shares)
            connection.execute(_STUCK.format(key=_KEY), (schema, f"{IDLE}s")).fetchall()
            self._stopped.wait(_PAUSE * (0.5 + os.urandom(1)[0] / 256))
        return False

    def _look(self, connection: PostgresConnection, waited: float, *, shares: bool) -> None:
        """Find out for whom it waits, once it has waited long. Raises psycopg.Error."""
        if waited < PATIENCE:
            return
        own = connection.raw.info.backend_pid
        found = [one for one in sessions(connection, self._server.schema) if one.server_pid != own]
        others = ", ".join(one.replica for one in found if one.active)
        if not others:
            self._says(None)
        elif shares:
            hint = (
                "one that can, leads within a second: look at the log of each, and start them again "
                "(`kill -9` one that is frozen); this one goes on by itself then"
            )
            error = StoreError("NOBODY_LEADS", f"none of the replicas that run leads: {others}", hint=hint)
            self._says(error, waited, others)
        else:
            hint = (
                "it starts, or was not started with --together: `intelshare node replicas` shows it; this "
                "one goes on by itself once it shares, or has ended"
            )
            what = f"a process has the database alone: {others}"
            self._says(StoreError("DATA_LOCKED", what, hint=hint), waited, others)


def _set(connection: PostgresConnection, name: str, value: str) -> None:
    connection.execute("SELECT set_config(?, ?, false)", (name, value)).fetchall()
