"""A connection to PostgreSQL as the store asks for one: statements as SQLite has them, few round trips.

Statements that give no rows wait until one does, or until COMMIT: then all go to the server at once. What is
written for many rows goes as one statement over arrays.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from intelshare.errors import StoreError
from intelshare.store.postgres.keys import GroupKeys
from intelshare.store.postgres.pipeline import NAMES, Pipeline, Statement, columns, kind_of
from intelshare.store.server import Server
from intelshare.store.sql import Damaged

CONNECT: Final = 5
"""Seconds for which a connection is tried."""

ANSWER: Final = 5.0
"""Seconds without an answer after which a server counts as away: it froze, something between stalls, or its
standby takes nothing. A commit is in doubt then, as after every other loss of a session."""

IDLE: Final = 5
"""Seconds without a word of its holder after which the server ends the connection that writes."""

IDLE_IN_STEP: Final = 10
"""The same inside of a transaction: steps run there."""

IDLE_AT_START: Final = 60
"""The same until the writer's thread runs: a start reads the journal and opens the vault."""

PIECE: Final = 5000
"""Rows that are fetched at once of very many."""

_GONE: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleSessionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
    errors.ReadOnlySqlTransaction,
)
"""The errors of a server that stops, starts, has become a standby, or has ended this session."""

_DURABLE: Final = ("fsync", "full_page_writes")
"""Settings that the server must have on."""

_BEGIN: Final = {
    "BEGIN IMMEDIATE": "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "BEGIN TURN": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
_VALUES: Final = re.compile(r"VALUES \([?, ]+\)")
_DELETE: Final = re.compile(r"WHERE (.*)$", re.DOTALL)


class PostgresConnection:
    """One session. See ``store.sql.Connection``; used by one thread at a time."""

    is_snapshot = False
    """It may show what is not committed."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw
        self.keys: GroupKeys | None = None
        """The keys that open erasable rows."""
        self.now: PostgresConnection | None = None
        """Where another process may change the keys meanwhile: a session that sees what is committed now."""
        self._pipeline = Pipeline(raw, ANSWER)
        self._waiting: list[Statement] = []
        self._streams: set[int] = set()
        """The cursors of this transaction."""
        self._warned = False
        raw.add_notice_handler(self._noticed)

    @property
    def server(self) -> tuple[str, int]:
        """The host, or the folder of its socket, and the port to which this session leads."""
        return self.raw.info.host, self.raw.info.port

    def wait_for_answers(self, seconds: float) -> None:
        """Take a server for lost that says nothing for so long. Usually ``ANSWER``."""
        self._pipeline.patience = seconds

    @property
    def in_transaction(self) -> bool:
        """See ``store.sql.Connection``."""
        return bool(self._waiting) or self.raw.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> PostgresAnswer:
        """See ``store.sql.Connection``. A SELECT is sent once its rows are asked for."""
        text = marked(sql)
        answer = PostgresAnswer(self, text, values)
        if sql.startswith("SELECT"):
            return answer
        if sql == "ROLLBACK":
            self._waiting.clear()
            if self.raw.info.transaction_status != TransactionStatus.IDLE:
                self._send(text, values)
        elif sql == "COMMIT":
            self._commit()
        else:
            if text.startswith("BEGIN"):
                self._streams = set()
            self._waiting.append((text, values))
        return answer

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """See ``store.sql.Connection``: one statement over an array of each column."""
        rows = list(rows)
        if rows:
            types = tuple(NAMES[kind_of(value)] for value in rows[0])
            self._waiting.append((_over_arrays(sql, types), columns(rows)))

    def rows(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Send a statement, behind those that wait; its rows. Raises psycopg.Error, Damaged."""
        try:
            return self._send(text, values)[0]
        except (errors.DataCorrupted, errors.IndexCorrupted) as error:
            raise Damaged(str(error)) from None

    def stream(self, text: str, values: Sequence[Any]) -> Iterator[Any]:
        """The same for very many rows: they come piece by piece, if a transaction was begun."""
        self._flush()
        if self.raw.info.transaction_status != TransactionStatus.INTRANS:
            yield from self.rows(text, values)
            return
        streams = self._streams
        number = next(one for one in count() if one not in streams)
        streams.add(number)
        try:
            self._send(f"DECLARE stream_{number} NO SCROLL CURSOR FOR {text}", values)
            while piece := self.rows(f"FETCH FORWARD {PIECE} FROM stream_{number}", ()):
                yield from piece
        finally:
            streams.discard(number)
            if streams is self._streams and self.raw.info.transaction_status == TransactionStatus.INTRANS:
                self._send(f"CLOSE stream_{number}", ())

    def moved(self) -> None:
        """A row does not open: here nothing but damage can be why."""

    def close(self) -> None:
        """See ``store.sql.Connection``."""
        with contextlib.suppress(psycopg.Error):
            self.raw.close()

    def is_lost(self, error: BaseException) -> bool:
        """Return true if an error says only that this session is over."""
        return lost(error) or self.raw.closed

    def _commit(self) -> None:
        self._warned = False
        _, tag = self._send("COMMIT", ())
        if tag != "COMMIT":
            raise errors.InFailedSqlTransaction("the transaction was rolled back")
        if self._warned:
            # Someone has cancelled the wait for a standby: it is on one disk alone.
            raise StoreError(
                "DISK_ERROR",
                "the database was told not to wait for its standby",
                hint="what was written may be lost with its disk; start again once the standby is back",
            )

    def _flush(self) -> None:
        if self._waiting:
            self._send("SELECT 1", ())

    def _send(self, text: str, values: Sequence[Any]) -> tuple[list[Any], str]:
        waiting, self._waiting = self._waiting, []
        return self._pipeline.run([*waiting, (text, values)])

    def _noticed(self, said: errors.Diagnostic) -> None:
        # A server that crashes right after the answer warns too, by a code of another class.
        warned = said.severity_nonlocalized == "WARNING" and (said.sqlstate or "01").startswith("01")
        self._warned = self._warned or warned


class PostgresAnswer:
    """The rows of a statement. See ``store.sql.Answer``."""

    def __init__(self, connection: PostgresConnection, text: str, values: Sequence[Any]) -> None:
        self._connection, self._text, self._values = connection, text, values

    def fetchall(self) -> list[Any]:
        """See ``store.sql.Answer``."""
        return self._connection.rows(self._text, self._values) if self._text.startswith("SELECT") else []

    def __iter__(self) -> Iterator[Any]:
        """See ``store.sql.Answer``."""
        return self._connection.stream(self._text, self._values)


def connect(
    server: Server, folder: Path, name: str, *, writes: bool, at: tuple[str, int] | None = None
) -> PostgresConnection:
    """Open a session for one schema, at the one of its hosts that takes writes.

    A standby has less than the primary has confirmed, so questions do not go there either. ``at``: the host
    and port of another session; while a former primary still runs, the URL may lead to that.
    Raises StoreError DISK_ERROR if what is written would not be durable there; ConfigError; psycopg.Error.
    """
    place: dict[str, Any] = {} if at is None else {"host": at[0], "port": at[1]}
    raw = psycopg.connect(
        server.url,
        **place,
        autocommit=True,
        prepare_threshold=None,
        password=server.password(folder),
        application_name=name,
        connect_timeout=CONNECT,
        sslmode=server.tls(),
        gssencmode="disable",
        target_session_attrs="read-write" if writes else "primary",
        keepalives_idle=CONNECT,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=CONNECT * 1000,
        client_encoding="UTF8",
    )
    try:
        connection = PostgresConnection(raw)
        if writes:
            connection.wait_for_answers(IDLE_AT_START)
            check_durable(connection)
        settings = {
            "search_path": f"{server.schema}, pg_catalog",
            "tcp_keepalives_idle": CONNECT,
            "tcp_keepalives_interval": 1,
            "tcp_keepalives_count": 3,
            "tcp_user_timeout": CONNECT * 1000,
            "idle_session_timeout": IDLE_AT_START * 1000 if writes else 0,
            "idle_in_transaction_session_timeout": (IDLE_IN_STEP if writes else 600) * 1000,
            "default_transaction_read_only": "off" if writes else "on",
            "client_min_messages": "warning",
            # What is usual for users of a database: here it would end a wait for the turn, or a backup.
            "statement_timeout": 0,
            "lock_timeout": 0,
            "transaction_timeout": 0,
        }
        wanted = ", ".join(["(?::text, ?::text)"] * len(settings))
        connection.execute(
            f"SELECT set_config(s.name, v.value, false) FROM (VALUES {wanted}) v (name, value) "  # noqa: S608
            "JOIN pg_settings s USING (name)",  # not every version knows all
            [text for name, value in settings.items() for text in (name, str(value))],
        ).fetchall()
    except BaseException:
        raw.close()
        raise
    return connection


def check_durable(connection: PostgresConnection) -> None:
    """Read what an answer's durability rests on, and hold to it. Raises StoreError DISK_ERROR."""
    for name in _DURABLE:
        ((found,),) = connection.execute("SELECT current_setting(?)", (name,)).fetchall()
        if found != "on":
            raise StoreError(
                "DISK_ERROR",
                f"the database does not write durably: {name} is {found}, not on",
                hint=f"set {name} = on on the server, and start again",
            )
    # Of this each session has its own: whatever the server has for others, or is told meanwhile.
    connection.execute(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
        "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    ).fetchall()


def lost(error: BaseException) -> bool:
    """Return true if an error says only that a session, or the server, is not there."""
    if isinstance(error, _GONE):
        return True
    return isinstance(error, psycopg.InterfaceError) or (
        isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    )


def said(error: BaseException) -> str:
    """Return what the server says, without the values that it repeats."""
    return error.diag.message_primary or "no word" if isinstance(error, psycopg.Error) else str(error)


def is_full(error: BaseException) -> bool:
    """Return true if the server says that its disk is full. Nothing was changed then."""
    return isinstance(error, errors.DiskFull)


def may_repeat(error: BaseException) -> bool:
    """Return true if two transactions conflicted, so that the same may be tried again."""
    return isinstance(error, errors.SerializationFailure | errors.DeadlockDetected)


def opening_failed(error: psycopg.Error) -> StoreError:
    """Return the error that a start raises for an error of the server."""
    if lost(error):
        return StoreError(
            "STORE_UNAVAILABLE",
            f"the database cannot be reached: {str(error).strip().splitlines()[0]}",
            hint="start the server, let this user in, give it more connections, or mend [store] in node.toml",
        )
    if is_full(error):
        return StoreError("DISK_FULL", "the disk of the database is full", hint="make room, then start again")
    return StoreError(
        "DISK_ERROR",
        f"the database cannot be opened: {said(error)}",
        hint="look at the server's log and at the rights of this user",
    )


@cache
def marked(sql: str) -> str:
    """A statement as PostgreSQL has it: numbered marks, and which isolation a transaction has."""
    parts = _BEGIN.get(sql, sql).split("?")
    return parts[0] + "".join(f"${place}{part}" for place, part in enumerate(parts[1:], 1))


@cache
def _over_arrays(sql: str, types: tuple[str, ...]) -> str:
    """An INSERT or DELETE of one row as one of many: each mark is an array of this type."""
    arrays = ", ".join(f"${place}::{one}[]" for place, one in enumerate(types, 1))
    rows = f"SELECT * FROM unnest({arrays})"  # noqa: S608 - of numbers and types
    if sql.startswith("DELETE"):
        names = [part.rsplit(maxsplit=1)[-1].strip('"') for part in sql.split(" = ?")[:-1]]
        return _DELETE.sub(lambda _: f"WHERE ({', '.join(map(_quoted, names))}) IN ({rows})", sql)
    return _VALUES.sub(lambda _: rows, sql)


def _quoted(name: str) -> str:
    return f'"{name}"'
