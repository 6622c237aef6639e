"""What a bad disk does to a row of a database that no node has open: one bit, or all of it (F12, F31)."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from intelshare.broker.kernel.tables import TABLES
from intelshare.errors import RecordError
from intelshare.ports import CHUNK
from intelshare.store.chunks import MAX_ROWS
from intelshare.store.row_tables import Kept, RowTable

KINDS = {table.name: table for table in TABLES}

Change = Callable[[bytes], bytes]


def kinds(database: Path) -> Iterator[str]:
    """The tables that have a row."""
    with closing(sqlite3.connect(database)) as connection:
        for name, table in KINDS.items():
            ((there,),) = connection.execute(RowTable(table).any)
            if there:
                yield name


def rot(database: Path, kind: str, which: int = 0) -> RecordError:
    """Flip one bit in the record of a row, or in the chunk that it is kept in; what a node has to say of it.

    ``which``: modulo the number of rows.
    """
    return _rewritten(database, kind, which, partial(_flipped, which=which))


def spoil(database: Path, kind: str, which: int = 0) -> None:
    """Overwrite the record of a row, so that nothing brings it back.

    A row that is kept in a chunk takes all rows of its chunk with it.
    """
    _rewritten(database, kind, which, lambda data: bytes(len(data)), ("sealed", "parity"))


def rot_journal(database: Path, *, whole: bool = False) -> int:
    """Flip one bit of the newest group of the journal, or overwrite all of it; return its number."""
    with closing(sqlite3.connect(database)) as connection, connection:
        ((number,),) = connection.execute("SELECT max(id) FROM journal")
        assert number is not None, "the journal is empty"
        _rewrite(connection, "journal", "sealed", "id = ?", (number,), _flipped)
        if whole:
            connection.execute(
                "UPDATE journal SET sealed = zeroblob(length(sealed)), parity = zeroblob(length(parity)) "
                "WHERE id = ?",
                (number,),
            )
        return int(number)


def _rewritten(
    database: Path, kind: str, which: int, change: Change, of_chunks: Sequence[str] = ("sealed",)
) -> RecordError:
    sql = RowTable(KINDS[kind])
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute(sql.scrub(0), (1 << 30,)).fetchall()
        *columns, found = rows[which % len(rows)]
        key = tuple(columns[: len(KINDS[kind].key)])
        if sql.kept is Kept.CHUNK:
            number = found // MAX_ROWS
            for column in of_chunks:
                _rewrite(connection, CHUNK, column, "id = ?", (number,), change)
            message = f"chunk {number} had changed, and its digest brought it back"
            return RecordError(CHUNK, (number,), message, repaired=True)
        if sql.kept is Kept.APART:
            _rewrite(connection, kind, "_record", "_place = ?", (found,), change)
        else:
            where = " AND ".join(f'"{name}" = ?' for name in KINDS[kind].key)
            _rewrite(connection, kind, "_record", where, key, change)
        return sql.layout.brought_back(key)


def _rewrite(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    where: str,
    values: tuple[object, ...],
    change: Change,
) -> None:
    ((data,),) = connection.execute(f'SELECT {column} FROM "{table}" WHERE {where}', values)
    connection.execute(f'UPDATE "{table}" SET {column} = ? WHERE {where}', (change(data), *values))


def _flipped(data: bytes, which: int = 0) -> bytes:
    changed = bytearray(data)
    at = random.Random(which).randrange(8 * len(data))
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)
