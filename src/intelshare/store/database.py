"""One database file of SQLite: ``layered`` over it, with checkpoints, and free pages given back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from intelshare.ports import Table
from intelshare.store.connection import Checkpoints, broken, connect, is_full
from intelshare.store.doubt import InDoubt
from intelshare.store.layered import LayeredDatabase
from intelshare.store.pages import doubt

SPARE_PAGES: Final = 1024
"""The free pages (4 MiB) that are kept, or a tenth of all pages if that is more."""

SHRINK_PAGES: Final = 256
"""The pages (1 MiB) that one slice gives back."""

SHRINK_PATIENCE: Final = 100
"""The milliseconds for which the end of a slice waits for readers."""


class Database(LayeredDatabase):
    """An open file. Call ``close`` at the end."""

    errors = (apsw.Error,)
    _writer: apsw.Connection

    def __init__(
        self,
        path: Path,
        tables: Sequence[Table[Any]],
        key: bytes,
        vfs: str | None = None,
        *,
        accept_loss: bool = False,
    ) -> None:
        """As ``LayeredDatabase``. ``vfs``: a VFS of SQLite, for tests."""
        self._path, self._vfs = path, vfs
        super().__init__(tables, key, accept_loss=accept_loss)
        self.checkpoints = Checkpoints(self._writer)

    def _doubt(self) -> None:
        doubt(self._path)

    def _connect(self, *, writes: bool) -> apsw.Connection:
        return connect(self._path, writes=writes, vfs=self._vfs)

    def _finish(self, *, wrote: bool, overwrites: bool) -> None:
        """Commit. Raises InDoubt if an error leaves it open what the disk holds: an fsync may fail after the
        rows were written, and the next start then finds them.
        """
        try:
            super()._finish(wrote=wrote, overwrites=overwrites)
        except apsw.Error as error:
            if is_full(error):
                raise
            raise InDoubt(broken(self._path, error)) from error

    def shrink(self) -> bool:
        """Give back a slice of the free pages at the end of the file; return true if giving back more is
        worthwhile.

        Some are kept, so that the next writes need no new ones. While there is a reader, the file shrinks
        later. Raises what ``commit`` raises.
        """
        free, pages = self._one("PRAGMA freelist_count"), self._one("PRAGMA page_count")
        spare = max(SPARE_PAGES, pages // 10)
        if free <= spare:
            return False
        with self._transaction():
            slice_ = min(SHRINK_PAGES, free - spare)
            self._writer.execute(f"PRAGMA incremental_vacuum({slice_})").fetchall()
            self._writer.execute("COMMIT")
        if free - spare > slice_:
            return self._one("PRAGMA freelist_count") < free
        self.checkpoints.truncate(SHRINK_PATIENCE)
        return False

    def close(self, *, failed: bool) -> None:
        """See ``LayeredDatabase``."""
        with contextlib.suppress(apsw.Error):  # everything that was answered is in the WAL
            if failed:
                # A checkpoint now could seem to succeed, and remove the WAL that contains what was promised.
                self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        super().close(failed=failed)
