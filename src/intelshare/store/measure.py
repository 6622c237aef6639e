"""Measures a database file and what takes the room in it. It only reads, even beside a running node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from intelshare.store.connection import BUSY
from intelshare.store.migrate import opening


@dataclass(frozen=True, slots=True)
class Measured:
    """Sizes in bytes, except for ``groups``."""

    database: int
    wal: int
    groups: int
    """The groups of the journal: commits whose rows are not in their tables yet."""
    journal: int
    kinds: Mapping[str, int]
    """The bytes by table, including its indexes; empty if not asked for."""
    remarks: tuple[tuple[str, str], ...] = ()
    """Unsound settings of the engine, each with what to do."""


def measure(path: Path, *, kinds: bool) -> Measured:
    """Measure the file; ``kinds`` reads every page. Raises StoreError RECORD_CORRUPT, DISK_ERROR."""
    wal = path.with_name(f"{path.name}-wal")
    with opening(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(BUSY)
            groups, journal = _one(connection, "SELECT count(*), ifnull(sum(length(sealed)), 0) FROM journal")
            found = _kinds(connection) if kinds else {}
            return Measured(
                path.stat().st_size, wal.stat().st_size if wal.exists() else 0, groups, journal, found
            )
        finally:
            connection.close()


def _kinds(connection: apsw.Connection) -> dict[str, int]:
    sql = "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema s USING (name) GROUP BY 1"
    return {str(name): int(str(size)) for name, size in connection.execute(sql).fetchall()}


def _one(connection: apsw.Connection, sql: str) -> tuple[int, int]:
    ((first, second),) = connection.execute(sql).fetchall()
    return int(str(first)), int(str(second))
