"""The store of a node: SQLite through apsw, durable at every commit (WAL, synchronous=FULL): ``grouped``.

By default, SQLite checkpoints inside COMMIT and ignores errors there. After a failed fsync a second one
"succeeds" (facts.md), so this store runs checkpoints itself, after the answers are out, and stops at an
error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from intelshare.errors import RecordError, StoreError
from intelshare.ports import PAGE, Table
from intelshare.store.connection import broken, is_full, no_room
from intelshare.store.database import Database
from intelshare.store.grouped import FLUSH_BYTES, SHRED_PATIENCE, GroupedStore
from intelshare.store.indexes import make_again
from intelshare.store.migrate import migrate, migrations, opening
from intelshare.store.pages import doubt, forget_doubt, is_doubted, mend
from intelshare.store.scrub import scrub


class SqliteStore(GroupedStore[Database]):
    """One database file. Created by ``open_store``; close it at the end."""

    def __init__(
        self,
        path: Path,
        tables: Sequence[Table[Any]],
        key: bytes,
        on_failure: Callable[[StoreError], None] = lambda _: None,
        *,
        flush_bytes: int = FLUSH_BYTES,
        vfs: str | None = None,
        accept_loss: bool = False,
    ) -> None:
        """``key``: 32 bytes, with which the journal is sealed. ``vfs``: a VFS of SQLite, for tests.

        ``on_failure`` is called, in any thread, once an I/O error makes it unsafe to continue (P17). Raises
        as ``open_store``.
        """
        self._path, self._tables, self._key = path, tables, key
        with opening(path):
            database = Database(path, tables, key, vfs, accept_loss=accept_loss)
        super().__init__(database, on_failure, flush_bytes)

    def scrub(self) -> Iterator[StoreError]:
        """Read all rows again: see ``store.scrub``."""
        for error in scrub(self._path, self._tables, self._key, self._ends):
            if error.page:
                doubt(self._path)
            yield error

    def _is_full(self, error: BaseException) -> bool:
        return is_full(error)

    def _no_room(self) -> StoreError:
        return no_room(self._path)

    def _broken(self, error: BaseException) -> StoreError:
        if isinstance(error, apsw.CorruptError):
            doubt(self._path)
        return broken(self._path, error)

    def _clear(self) -> bool:
        """Write the overwritten pages back, and clear the WAL."""
        return self._database.checkpoints.truncate(SHRED_PATIENCE)

    def _rest(self) -> bool:
        """Give a slice of free pages back. Without room for that, it waits for the next flush."""
        try:
            return self._database.shrink()
        except BaseException as error:
            if not is_full(error):
                self._fail(error)
            return False

    def _look_after(self) -> None:
        """Copy the WAL back when it has grown."""
        try:
            self._database.checkpoints.run()
        except apsw.Error as error:
            self._fail(error)


def open_store(
    path: Path,
    tables: Sequence[Table[Any]],
    key: bytes,
    on_failure: Callable[[StoreError], None] = lambda _: None,
    *,
    accept_loss: bool = False,
    steps: Sequence[str] | None = None,
) -> SqliteStore:
    """Open the database, which is created or migrated first; ``key``: the vault's storage key.

    One changed byte because of which SQLite cannot read it, or finds no row by an index, is put right, if a
    process before has met it, or if it cannot be opened otherwise (decision 92).

    ``accept_loss``: an operator's word that what cannot be read of the journal may be set aside. ``steps``:
    the SQL of the schema, for tests with tables of their own.

    Raises StoreError SCHEMA_NEWER, SCHEMA_OLDER, RECORD_CORRUPT (not a database of ours, or a damaged
    journal), DISK_FULL, DISK_ERROR.
    """

    steps = migrations() if steps is None else steps

    def opened() -> SqliteStore:
        migrate(path, steps)
        return SqliteStore(path, tables, key, on_failure, accept_loss=accept_loss)

    mended: list[RecordError] = []
    looked = is_doubted(path)
    if looked:
        mended = _mended(path, steps)
        forget_doubt(path)
    try:
        store = opened()
    except StoreError as error:
        if looked or error.code != "RECORD_CORRUPT":
            raise
        mended = _mended(path, steps)
        if not mended:
            raise
        store = opened()
    for one in mended:
        store.damage.note(one)
    return store


def _mended(path: Path, steps: Sequence[str]) -> list[RecordError]:
    """Put a file right as far as that is possible; return what there was."""
    with opening(path):
        changed = mend(path, steps)
        if changed is None:
            again = "did not lead to each of its rows, and was made of them again"
            return [
                RecordError(PAGE, (page,), f"index {name} of {path.name} {again}", repaired=True)
                for name, page in make_again(path).items()
            ]
    message = f"a byte of page {changed.page} of {path.name} had changed, and the rest of the file told which"
    return [RecordError(PAGE, (changed.page,), message, repaired=True)]
