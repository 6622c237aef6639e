"""Scrub: read every record of a database anew, and say which is not as it was written (promise P13).

Reads alone, on a connection of its own: also beside a node that runs, and where no node runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from intelshare.errors import StoreError
from intelshare.ports import Table
from intelshare.store.migrate import RESTORE
from intelshare.store.statements import Statements
from intelshare.store.views import DAMAGE

ROWS: Final = 500
"""Rows read at a time, so that the WAL is never held for long."""

BUSY: Final = 10_000
"""Milliseconds for which it waits for another connection."""


def scrub(path: Path, tables: Sequence[Table[Any]]) -> Iterator[StoreError]:
    """A RECORD_CORRUPT for each row that is not as it was written, then for damaged pages.

    Raises StoreError RECORD_CORRUPT for what is no database.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise StoreError("RECORD_CORRUPT", f"{path.name} cannot be opened: {error}", hint=RESTORE) from None
    try:
        connection.set_busy_timeout(BUSY)
        for table in tables:
            yield from _table(connection, Statements(table))
        for said in _integrity(connection):
            yield StoreError("RECORD_CORRUPT", f"{path.name} is damaged: {said}", hint=RESTORE)
    finally:
        connection.close()


def _table(connection: apsw.Connection, sql: Statements) -> Iterator[StoreError]:
    layout = sql.layout
    after: tuple[Any, ...] = ()
    while True:
        try:
            rows = connection.execute(sql.find("key", 0, len(after)), (*after, ROWS)).fetchall()
        except DAMAGE:
            yield layout.corrupt(after)
            return
        for row in rows:
            try:
                layout.decode(row)
            except StoreError as error:
                yield error
        if len(rows) < ROWS:
            return
        after = layout.key(rows[-1])


def _integrity(connection: apsw.Connection) -> list[str]:
    try:
        found = connection.execute("PRAGMA integrity_check(100)").fetchall()
    except apsw.CorruptError as error:
        return [str(error)]
    return [str(said) for (said,) in found if said != "ok"]
