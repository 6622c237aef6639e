"""Reads a database beside the process that writes it, or without one: nothing is changed.

Rows that the writer has committed but not yet moved into tables are in the journal, sealed: they are loaded
into memory here as at a start, with the storage key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from intelshare.ports import Table, View
from intelshare.store import journal
from intelshare.store.chunks import Chunks
from intelshare.store.connection import BUSY
from intelshare.store.damage import Damage
from intelshare.store.memory_table import Layer, MemoryTable
from intelshare.store.migrate import opening
from intelshare.store.row_tables import RowTable
from intelshare.store.sql import Connection
from intelshare.store.traces import Filled
from intelshare.store.views import Reading


@contextmanager
def snapshot(path: Path) -> Iterator[apsw.Connection]:
    """Yield a connection that sees the database as it is now, unchanged until the end.

    Raises StoreError RECORD_CORRUPT, DISK_ERROR.
    """
    with opening(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        with opening(path):
            connection.set_busy_timeout(BUSY)
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM store_state").fetchall()  # takes the snapshot
        yield connection
    finally:
        connection.close()


def looking(
    connection: Connection,
    tables: Sequence[Table[Any]],
    key: bytes | None,
    reading: type[Reading] = Reading,
    damage: Damage | None = None,
) -> View | None:
    """Return a view of what is committed in a snapshot, or None without the storage ``key`` if the journal is
    not empty.

    ``damage``: takes what is met damaged. Raises StoreError RECORD_CORRUPT for a journal that is damaged.
    """
    if key is None and not journal.is_empty(connection):
        return None
    by_name = {table.name: RowTable(table) for table in tables}
    layer = Layer(lambda table: MemoryTable(by_name[table.name]))
    if key is not None:
        journal.replay(connection, key, by_name, layer)
    filled = {
        name: Filled(sql, read=True)
        for name, sql in by_name.items()
        if connection.execute(sql.any).fetchall() == [(1,)]
    }
    return reading(connection, by_name, Chunks(key or b"", 0), (layer,), filled, damage)
