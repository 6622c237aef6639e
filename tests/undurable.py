"""The command line with durability switched off in the store (F36): a mutant that loss of power must kill."""

from __future__ import annotations

from pathlib import Path

import apsw

from intelshare.cli import main
from intelshare.store import database
from intelshare.store.connection import connect


def _connect(path: Path, *, writes: bool, vfs: str | None = None) -> apsw.Connection:
    connection = connect(path, writes=writes, vfs=vfs)
    connection.pragma("synchronous", "OFF")
    return connection


if __name__ == "__main__":
    database.connect = _connect
    main()
