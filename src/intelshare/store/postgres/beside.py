"""Look at a schema beside the process that writes it, or where none does: nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from intelshare.errors import StoreError
from intelshare.ports import Table, View
from intelshare.store.beside import looking
from intelshare.store.damage import Damage
from intelshare.store.measure import Measured
from intelshare.store.postgres.connection import PostgresConnection, connect, opening_failed
from intelshare.store.postgres.database import KEYS
from intelshare.store.postgres.keys import GroupKeys
from intelshare.store.postgres.views import PostgresReading, unread_here
from intelshare.store.scrub import scrub_rows
from intelshare.store.server import Server

_SIZES: Final = """\
SELECT c.relname::text COLLATE "C", pg_total_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND c.relkind = 'r'"""

# Not those of this session, but those that the next one of this user begins with.
_SETTINGS: Final = "SELECT name, reset_val FROM pg_settings"
_REMARKS: Final = (
    (
        "default_transaction_read_only",
        "on",
        "the server lets this user read only: the node says STORE_UNAVAILABLE",
        "is it the primary? ALTER ROLE or ALTER DATABASE ... RESET default_transaction_read_only",
    ),
    ("fsync", "off", "fsync is off: the node does not start (DISK_ERROR)", "set it on"),
    ("full_page_writes", "off", "full_page_writes is off: the node does not start (DISK_ERROR)", "set it on"),
    (
        "data_checksums",
        "off",
        "the server has no data checksums: it does not notice a page that its disk has changed",
        "pg_checksums --enable, while the server is stopped",
    ),
)
"""Settings that are unsound: name, value, what is unsound, what to do."""
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_APART: Final = 60
"""Seconds by which two clocks may differ."""


def _apart(ahead: int) -> tuple[tuple[str, str], ...]:
    """``ahead``: the microseconds by which the clock of this machine is ahead of the server's."""
    seconds = ahead // 1_000_000
    if abs(seconds) < _APART:
        return ()
    where = "ahead of" if seconds > 0 else "behind"
    what = f"the clock of this machine is {abs(seconds)} s {where} the server's"
    remedy = (
        "a replica decides by its own clock: synchronise both, and restart the replica whose clock was wrong"
    )
    return ((what, remedy),)


@contextmanager
def look(
    server: Server,
    folder: Path,
    name: str,
    tables: Sequence[Table[Any]],
    key: bytes | None,
    damage: Damage | None = None,
) -> Iterator[View | None]:
    """Yield a view of what is committed, unchanged until the end: see ``store.beside``. Raises StoreError."""
    with (
        _connected(server, folder, name, key) as connection,
        _connected(server, folder, name, None) as now,
    ):
        connection.now = now
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM store_state").fetchall()  # takes the snapshot
        yield looking(connection, tables, key, PostgresReading, damage)


def scrub(
    server: Server,
    folder: Path,
    name: str,
    tables: Sequence[Table[Any]],
    key: bytes | None,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[StoreError]:
    """As ``store.scrub``. Pages are the server's affair: data checksums, pg_amcheck."""
    with _connected(server, folder, name, key) as connection:
        connection.now = connection  # without a transaction
        yield from map(unread_here, scrub_rows(connection, tables, key, PostgresReading, ended=ended))


def measure(server: Server, folder: Path, name: str, *, kinds: bool) -> Measured:
    """As ``store.measure``; the log is the server's, for all of its databases. Raises StoreError."""
    with _connected(server, folder, name, None) as connection:
        sizes = {
            str(table): int(size) for table, size in connection.execute(_SIZES, (server.schema,)).fetchall()
        }
        ((groups, journal),) = connection.execute(
            "SELECT count(*), coalesce(sum(length(sealed)), 0)::bigint FROM journal"
        ).fetchall()
        found = dict(connection.execute(_SETTINGS).fetchall())
        remarks = tuple(
            [(what, remedy) for name, value, what, remedy in _REMARKS if found.get(name) == value]
        )
        ((there,),) = connection.execute(_CLOCK).fetchall()
        remarks += _apart(time.time_ns() // 1000 - int(there))
        return Measured(sum(sizes.values()), 0, groups, journal, sizes if kinds else {}, remarks)


@contextmanager
def _connected(server: Server, folder: Path, name: str, key: bytes | None) -> Iterator[PostgresConnection]:
    try:
        connection = connect(server, folder, name, writes=False)
        try:
            if key is not None:
                connection.keys = GroupKeys(folder / KEYS, key, 0)
            yield connection
        finally:
            connection.close()
    except psycopg.Error as error:
        raise opening_failed(error) from None
