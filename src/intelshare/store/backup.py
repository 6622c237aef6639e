"""Copies a database as it is at one moment, page by page, while a node continues to write.

The copy is of a snapshot (``store.beside``): it contains nothing that is committed in the meantime, and
nobody waits. Secrets that must not be in it are overwritten in place, as a destruction does (decision 8),
before the copy gets its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from intelshare.errors import RecordError
from intelshare.ports import Table
from intelshare.private_files import disk_errors
from intelshare.store.connection import connect
from intelshare.store.copying import Snapshot
from intelshare.store.migrate import opening
from intelshare.store.row_tables import RowTable

_PAGES: Final = 1024
"""The pages copied between two reports of progress: 4 MiB."""

_ROWS: Final = 1000


def copy_database(
    source: apsw.Connection,
    target: Path,
    tables: Sequence[Table[Any]],
    blanked: Callable[[Any], Any],
    progress: Callable[[int, int], None],
) -> Snapshot:
    """Copy a snapshot into a new file, erasable rows as ``blanked`` returns them.

    An erasable row that cannot be read is overwritten: nobody can tell whether it may be in the copy.
    ``progress(done, all)``: in pages. Raises StoreError RECORD_CORRUPT, DISK_FULL, DISK_ERROR.
    """
    with disk_errors(target):
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with opening(target):
        copy = apsw.Connection(str(target))
        try:
            with copy.backup("main", source, "main") as running:
                while not running.done:
                    running.step(_PAGES)
                    progress(running.page_count - running.remaining, running.page_count)
            # Use one file, with no second copy of what is overwritten.
            copy.pragma("locking_mode", "EXCLUSIVE")
            copy.pragma("journal_mode", "DELETE")
            copy.pragma("journal_mode", "OFF")
            copy.pragma("synchronous", "FULL")
            bad: list[RecordError] = []
            count = sum(_blank(copy, RowTable(table), blanked, bad) for table in tables if table.erasable)
        finally:
            copy.close()
    return Snapshot(count, tuple(bad))


def blank_file(path: Path, tables: Sequence[Table[Any]]) -> None:
    """Overwrite every erasable row of a database that nobody uses any more, in its place.

    Raises StoreError DISK_FULL, DISK_ERROR.
    """
    with opening(path):
        connection = connect(path, writes=True)
        try:
            for table in tables:
                if table.erasable:
                    name = table.name
                    connection.execute(f'UPDATE "{name}" SET _record = zeroblob(length(_record))')  # noqa: S608
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            connection.close()


def _blank(
    copy: apsw.Connection, sql: RowTable, blanked: Callable[[Any], Any], bad: list[RecordError]
) -> int:
    """Overwrite the rows that may not be in the copy; return how many. Note in ``bad`` those that cannot be
    read.
    """
    name, after, count = sql.layout.table.name, 0, 0
    select = f'SELECT _place, _record FROM "{name}" WHERE _place > ? ORDER BY _place LIMIT ?'  # noqa: S608
    while rows := copy.execute(select, (after, _ROWS)).fetchall():
        copy.execute("BEGIN")
        for place, found in rows:
            row = sql.layout.anywhere(found)
            if row is None:
                if any(found):  # type: ignore[arg-type]
                    led = copy.execute(sql.led, (place,)).fetchall()
                    bad.append(sql.layout.corrupt(led[0] if led else ()))
                    copy.execute(sql.replace_at, (bytes(len(found)), place))  # type: ignore[arg-type]
                    count += 1
                continue
            instead = blanked(row)
            if instead != row:
                _, record = sql.layout.record(instead)
                copy.execute(sql.replace_at, (sql.layout.digested(record), place))
                count += 1
        copy.execute("COMMIT")
        after = int(str(rows[-1][0]))
    return count
