"""One flipped bit in a row of a database that no node has open: what a bad disk does (F12, F31)."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from intelshare.broker.kernel.tables import TABLES
from intelshare.store.chunks import MAX_ROWS
from intelshare.store.row_tables import Kept, RowTable

_READ_CHUNK = "SELECT sealed FROM chunk WHERE id = ?"
_WRITE_CHUNK = "UPDATE chunk SET sealed = ? WHERE id = ?"

KINDS = {table.name: table for table in TABLES}


def kinds(database: Path) -> Iterator[str]:
    """The tables that have a row."""
    with closing(sqlite3.connect(database)) as connection:
        for name, table in KINDS.items():
            ((there,),) = connection.execute(RowTable(table).any)
            if there:
                yield name


def rot(database: Path, kind: str, which: int = 0) -> tuple[str, ...]:
    """Flip one bit in the record of a row; the row's key, as it is named. ``which``: modulo their number.

    A row that is kept in a chunk takes all rows of its chunk with it.
    """
    sql = RowTable(KINDS[kind])
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute(sql.scrub(0), (1 << 30,)).fetchall()
        *columns, found = rows[which % len(rows)]
        key = tuple(columns[: len(KINDS[kind].key)])
        if sql.kept is Kept.CHUNK:
            number = found // MAX_ROWS
            _flip(
                connection,
                "SELECT sealed FROM chunk WHERE id = ?",
                "UPDATE chunk SET sealed = ? WHERE id = ?",
                number,
            )
        elif sql.kept is Kept.APART:
            _flip(connection, sql.read_at, sql.replace_at, found)
        else:
            where = " AND ".join(f'"{name}" = ?' for name in KINDS[kind].key)
            flipped = _flipped(found)
            connection.execute(f'UPDATE "{kind}" SET _record = ? WHERE {where}', (flipped, *key))
        return tuple(part.hex() if isinstance(part, bytes) else str(part) for part in key)


def rot_journal(database: Path, *, whole: bool = False) -> int:
    """Flip one bit of the newest group of the journal, or overwrite all of it; return its number."""
    with closing(sqlite3.connect(database)) as connection, connection:
        ((number,),) = connection.execute("SELECT max(id) FROM journal")
        assert number is not None, "the journal is empty"
        _flip(
            connection,
            "SELECT sealed FROM journal WHERE id = ?",
            "UPDATE journal SET sealed = ? WHERE id = ?",
            number,
        )
        if whole:
            connection.execute(
                "UPDATE journal SET sealed = zeroblob(length(sealed)), parity = zeroblob(length(parity)) "
                "WHERE id = ?",
                (number,),
            )
        return int(number)


def _flip(connection: sqlite3.Connection, read: str, write: str, place: int) -> None:
    ((data,),) = connection.execute(read, (place,))
    connection.execute(write, (_flipped(data), place))


def _flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    at = random.Random(len(data)).randrange(8 * len(data))
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)
