"""Look at a schema beside the process that writes it, or where none does: nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from intelshare.errors import StoreError
from intelshare.ports import Table, View
from intelshare.store.beside import looking
from intelshare.store.measure import Measured
from intelshare.store.postgres.connection import PostgresConnection, connect
from intelshare.store.postgres.database import KEYS
from intelshare.store.postgres.keys import GroupKeys
from intelshare.store.postgres.store import opening_failed
from intelshare.store.postgres.views import PostgresReading
from intelshare.store.scrub import scrub_rows
from intelshare.store.server import Server

_SIZES: Final = """\
SELECT c.relname::text COLLATE "C", pg_total_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND c.relkind = 'r'"""


@contextmanager
def look(
    server: Server, folder: Path, name: str, tables: Sequence[Table[Any]], key: bytes | None
) -> Iterator[View | None]:
    """Yield a view of what is committed, unchanged until the end: see ``store.beside``. Raises StoreError."""
    with (
        _connected(server, folder, name, key) as connection,
        _connected(server, folder, name, None) as now,
    ):
        connection.now = now
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM store_state").fetchall()  # takes the snapshot
        yield looking(connection, tables, key, PostgresReading)


def scrub(
    server: Server, folder: Path, name: str, tables: Sequence[Table[Any]], key: bytes | None
) -> Iterator[StoreError]:
    """As ``store.scrub``. Pages are the server's affair: data checksums, pg_amcheck."""
    with _connected(server, folder, name, key) as connection:
        connection.now = connection  # without a transaction
        yield from scrub_rows(connection, tables, key, PostgresReading)


def measure(server: Server, folder: Path, name: str, *, kinds: bool) -> Measured:
    """As ``store.measure``; the log is the server's, for all of its databases. Raises StoreError."""
    with _connected(server, folder, name, None) as connection:
        sizes = {
            str(table): int(size) for table, size in connection.execute(_SIZES, (server.schema,)).fetchall()
        }
        ((groups, journal),) = connection.execute(
            "SELECT count(*), coalesce(sum(length(sealed)), 0)::bigint FROM journal"
        ).fetchall()
        return Measured(sum(sizes.values()), 0, groups, journal, sizes if kinds else {})


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
