"""Scrub: reads every record of a database again, and reports which have changed since they were written
(promise P13).

It only reads, on a separate connection, even beside a running node or without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from intelshare.errors import UNREAD, PageError, RecordError, StoreError
from intelshare.ports import CHUNK, Table
from intelshare.store import chunks, indexes, journal
from intelshare.store.chunks import Chunks
from intelshare.store.connection import BUSY
from intelshare.store.damage import Damage
from intelshare.store.row_tables import Kept, RowTable
from intelshare.store.sql import Connection
from intelshare.store.views import DAMAGE, Reading

_STEPS: Final = 10_000
"""Instructions of SQLite after which a check of all pages asks whether it is still wanted."""
_LOOK: Final = f"`intelshare node repair --scrub` on the running node, then {UNREAD}"

_PAGES: Final = "*** in database"
"""SQLite begins a finding about pages with this, and none about rows or entries of indexes."""

ROWS: Final = 500
"""The rows read at a time, so that the WAL is never held for long."""


def scrub(
    path: Path,
    tables: Sequence[Table[Any]],
    key: bytes | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[StoreError]:
    """Yield a RECORD_CORRUPT for each damaged row or group, then for each damaged page.

    Also for what can be brought back (``RecordError.repaired``). Without the storage ``key``, a damaged chunk
    is named as a whole, not by its rows. ``ended`` is asked now and then: once it is true, no more is read.
    Raises StoreError RECORD_CORRUPT if the file is not a database.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise StoreError(
            "RECORD_CORRUPT", f"{path.name} cannot be opened: {error}", hint=journal.RESTORE
        ) from None
    try:
        connection.set_busy_timeout(BUSY)
        yield from scrub_rows(connection, tables, key, ended=ended)
        connection.set_progress_handler(ended, _STEPS)
        for said, of_page in _integrity(connection):
            message = f"{path.name} is damaged: {said}"
            if of_page:
                yield PageError("RECORD_CORRUPT", message, hint=_LOOK)
            else:
                yield StoreError("RECORD_CORRUPT", message, hint=journal.RESTORE)
    finally:
        connection.close()


def scrub_rows(
    connection: Connection,
    tables: Sequence[Table[Any]],
    key: bytes | None,
    reading: type[Reading] = Reading,
    *,
    ended: Callable[[], bool],
) -> Iterator[StoreError]:
    """The same for the rows alone, over any engine."""
    for table in tables:
        yield from _table(connection, RowTable(table), key, reading, ended)
    yield from chunks.examine(connection, key, ended)
    yield from journal.examine(connection, key)


def _table(
    connection: Connection,
    sql: RowTable,
    key: bytes | None,
    reading: type[Reading],
    ended: Callable[[], bool],
) -> Iterator[StoreError]:
    if key is None and sql.kept in reading.sealed:
        return
    met = Damage()
    view = reading(connection, {}, Chunks(key or b"", 0), (), {}, met)
    after: tuple[Any, ...] = ()
    while not ended():
        try:
            rows = _rows(connection, sql, after)
        except DAMAGE:
            yield sql.layout.unread(after)
            return
        for *columns, found in rows:
            if _is_no_text(sql, columns):
                yield sql.layout.corrupt(_shown(sql, columns))
                continue
            try:
                view.check(sql, columns, found)
            except RecordError as error:
                met.note(error)
            for one in met.known():
                met.forget(one.table, one.key)
                # A chunk is named once, as a whole: ``chunks.examine``.
                if one.table != CHUNK and _is_there(connection, sql, columns, found, key):
                    yield one
        if len(rows) < ROWS:
            return
        after = tuple(rows[-1][: len(sql.layout.table.key)])


def _rows(connection: Connection, sql: RowTable, after: tuple[Any, ...]) -> list[Any]:
    """Return the next rows, in which a text that cannot be decoded stands as its bytes. Raises what an
    unreadable page raises.
    """
    try:
        if not _is_no_text(sql, after):
            return connection.execute(sql.scrub(len(after)), (*after, ROWS)).fetchall()
    except UnicodeDecodeError:
        if not isinstance(connection, apsw.Connection):
            raise
    found = connection.execute(sql.scrub_bytes(len(after)), (*after, ROWS)).fetchall()
    kinds = [sql.layout.kinds[name] for name in sql.columns]
    return [
        [*(_text(one) if kind is str else one for kind, one in zip(kinds, row, strict=False)), row[-1]]
        for row in found
    ]


def _text(found: Any) -> Any:
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found


def _is_no_text(sql: RowTable, columns: Sequence[Any]) -> bool:
    kinds = (sql.layout.kinds[name] for name in sql.columns)
    return any(kind is str and isinstance(one, bytes) for kind, one in zip(kinds, columns, strict=False))


def _shown(sql: RowTable, columns: Sequence[Any]) -> list[Any]:
    """Return the key of such a row, as far as it can be read."""
    key = zip(sql.layout.table.key, columns, strict=False)
    return [
        one.decode("utf-8", "replace") if sql.layout.kinds[name] is str and isinstance(one, bytes) else one
        for name, one in key
    ]


def _is_there(
    connection: Connection, sql: RowTable, columns: list[Any], found: Any, key: bytes | None
) -> bool:
    """Return true if a row that seems damaged is still in that place, and nothing in the journal moves it."""
    where = tuple(columns[: len(sql.layout.table.key)])
    connection.execute("BEGIN")  # one state of tables and journal
    try:
        if connection.execute(sql.get, where).fetchall() != [(found,)]:
            return False
        if sql.layout.table.bulk:
            whole = chunks.is_there(connection, found)
        else:
            whole = sql.kept is not Kept.APART or bool(connection.execute(sql.read_at, (found,)).fetchall())
        if whole:
            return True
        return not journal.may_move(connection, key, sql.layout.table.name, where)
    finally:
        connection.execute("ROLLBACK")


def _integrity(connection: apsw.Connection) -> list[tuple[str, bool]]:
    """Return what SQLite finds wrong, and whether it is in what leads to rows, not in what they say: a start
    may put it right.
    """
    try:
        found = connection.execute("PRAGMA integrity_check(100)").fetchall()
    except apsw.InterruptError:
        return []
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [(str(error), True)]
    said = [str(one) for (one,) in found if one != "ok"]
    return [(one, one.startswith(_PAGES) or bool(indexes.astray(said))) for one in said]
