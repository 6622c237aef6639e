"""Opens connections to SQLite, durable or not at all, and runs checkpoints whose errors are not lost."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from intelshare.errors import StoreError

BUSY: Final = 10_000
"""The milliseconds for which a connection waits for another."""

WRITER_CACHE: Final = 16 << 10
READER_CACHE: Final = 4 << 10
"""The KiB of pages that a connection keeps in memory."""

CHECKPOINT_PAGES: Final = 8192
"""The pages of the WAL (32 MiB) after which they are copied into the database."""

_DURABLE: Final = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 2, "wal_autocheckpoint": 0}
"""The settings without which an answer would not survive loss of power, or an erased secret would stay in its
page.

secure_delete 2 is FAST: content is overwritten wherever a page is written anyway, but not in a page that is
given back whole. Groups of the journal are given back in this way, and contain no secret that has to be
erased.
"""


def connect(path: Path, *, writes: bool, vfs: str | None = None) -> apsw.Connection:
    """Open an existing database. Raises StoreError DISK_ERROR if it cannot be written durably."""
    flags = apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=512)
    try:
        connection.set_busy_timeout(BUSY)
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")
        connection.pragma("secure_delete", "FAST")
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("journal_size_limit", 64 << 20)
        connection.pragma("cache_size", -(WRITER_CACHE if writes else READER_CACHE))
        if writes:
            check_durable(connection, path)
        else:
            connection.pragma("query_only", True)
    except BaseException:
        connection.close()
        raise
    return connection


def check_durable(connection: apsw.Connection, path: Path) -> None:
    """Check the settings on which an answer's durability depends. Raises StoreError DISK_ERROR."""
    for name, needed in _DURABLE.items():
        found = connection.pragma(name)
        if found != needed:
            raise StoreError(
                "DISK_ERROR",
                f"{path.name} cannot be written durably: SQLite has {name} = {found}, not {needed}",
                hint="use a local file system, and an unmodified SQLite",
            )


class Checkpoints:
    """Copies the WAL into the database when it has grown, outside of commits, and reports errors."""

    def __init__(self, connection: apsw.Connection) -> None:
        """``connection``: the only one that writes."""
        self._connection = connection
        self._pages, self._at = 0, CHECKPOINT_PAGES
        connection.set_wal_hook(self._committed)

    def _committed(self, _: apsw.Connection, __: str, pages: int) -> int:
        if pages < self._pages:  # the WAL started again
            self._at = CHECKPOINT_PAGES
        self._pages = pages
        return apsw.SQLITE_OK

    def run(self) -> None:
        """Copy what no reader needs any more, if it is time. Raises apsw.Error."""
        if self._pages < self._at:
            return
        self._at = self._pages + CHECKPOINT_PAGES
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if not is_full(error) and not isinstance(error, apsw.BusyError):
                raise

    def truncate(self, patience: int) -> bool:
        """Copy everything and empty the WAL; return false if a reader still needs it after ``patience``
        milliseconds.

        Raises apsw.Error.
        """
        self._connection.set_busy_timeout(patience)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return False
        finally:
            self._connection.set_busy_timeout(BUSY)
        self._pages, self._at = 0, CHECKPOINT_PAGES
        return True


def is_full(error: BaseException) -> bool:
    """Return true if there is no room: this includes SQLite's error when the WAL's index cannot grow, which
    affects no written data.
    """
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )


def no_room(path: Path) -> StoreError:
    """Return DISK_FULL for a running node."""
    return StoreError(
        "DISK_FULL",
        f"the disk of {path.parent} is full",
        hint="free some space; the node then continues by itself",
    )


def broken(path: Path, error: BaseException) -> StoreError:
    """Return DISK_ERROR, after which it would not be safe to continue."""
    return StoreError(
        "DISK_ERROR",
        f"{path.name} could not be written or read: {error!r}",
        hint="the node stops; check the disk, then start it again",
    )
