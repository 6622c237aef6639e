"""Creates the schema of a database file, brings it up to date by numbered steps, or refuses it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from intelshare.errors import StoreError
from intelshare.ports import Table
from intelshare.private_files import sync_folder
from intelshare.store import chunks, journal
from intelshare.store.connection import is_full
from intelshare.store.journal import RESTORE
from intelshare.store.row_tables import SQLITE, migrations_of, schema

PAGE: Final = 4096
"""The bytes of a page: larger pages would make each insertion between other keys more expensive."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def migrations() -> list[str]:
    """Return the SQL of every version, in order."""
    return migrations_of("intelshare.store")


def migrate(path: Path, steps: Sequence[str] | None = None) -> None:
    """Bring the file to the newest schema; an existing file is first copied beside it (``.before-N``).

    All steps are one transaction: after a crash the file has the old schema or the new one, and the copy is
    complete or absent. Raises StoreError SCHEMA_NEWER, SCHEMA_OLDER, RECORD_CORRUPT, DISK_FULL, DISK_ERROR.
    """
    steps = migrations() if steps is None else steps
    with opening(path):
        with contextlib.suppress(FileExistsError):
            _make_private(path)
        connection = apsw.Connection(str(path))
        try:
            _migrate(connection, path, steps)
        finally:
            connection.close()


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the disk inside the block into StoreError RECORD_CORRUPT, DISK_FULL or
    DISK_ERROR.
    """
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StoreError(
            "RECORD_CORRUPT", f"{path.name} is damaged or not a database: {error}", hint=RESTORE
        ) from None
    except (apsw.Error, OSError) as error:
        # Without room for its WAL or its index, SQLite reports only that it failed, not why.
        no_room = getattr(error, "errno", 0) in _NO_ROOM or not os.statvfs(path.parent).f_bavail
        if no_room or is_full(error):
            raise StoreError(
                "DISK_FULL", f"the disk of {path.parent} is full", hint="free some space, then start again"
            ) from None
        raise StoreError(
            "DISK_ERROR", f"{path} cannot be opened: {error}", hint="check the disk, then start again"
        ) from None


def _migrate(connection: apsw.Connection, path: Path, steps: Sequence[str]) -> None:
    connection.set_busy_timeout(10_000)
    version = int(connection.pragma("user_version"))
    if version > len(steps):
        raise StoreError(
            "SCHEMA_NEWER",
            f"{path.name} has schema {version}, but this version knows only {len(steps)}",
            hint="run the version that wrote it, or restore the copy made before its upgrade",
        )
    if version == len(steps):
        return
    if not version:
        connection.pragma("page_size", PAGE)
        # Free pages can be given back slice by slice (Database.shrink), never all at once.
        connection.pragma("auto_vacuum", "INCREMENTAL")
    changes = not all(map(journal.only_adds, steps[version:]))
    if version and changes and not journal.is_empty(connection):
        raise StoreError(
            "SCHEMA_OLDER",
            f"{path.name} has schema {version} and rows that its version has not moved into their tables",
            hint="start and stop the version that wrote it once, then upgrade",
        )
    if version:
        _copy(connection, path.with_suffix(f".before-{len(steps)}"))
    sql = "\n".join(steps[version:])
    script = f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {len(steps)};\nCOMMIT;"
    connection.execute(script).fetchall()  # a statement that returns rows would stop it half-way


def _copy(connection: apsw.Connection, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.new")
    temporary.unlink(missing_ok=True)
    _make_private(temporary)
    connection.execute("VACUUM INTO ?", (str(temporary),))
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def _make_private(path: Path) -> None:
    """Create an empty file that only its owner can use, whatever the umask; SQLite gives its WAL the same
    mode.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def first_schema(tables: Sequence[Table[Any]]) -> str:
    """Return the SQL that makes these tables and what every store has besides them: a complete version 1."""
    return journal.SCHEMA + chunks.SCHEMA + schema(tables, SQLITE)


def differences(path: Path, tables: Sequence[Table[Any]]) -> list[str]:
    """Return where the schema of this file differs from the declared tables; empty if it does not."""
    wanted = apsw.Connection(":memory:")
    wanted.execute(first_schema(tables)).fetchall()
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found, declared = _shape(connection), _shape(wanted)
    finally:
        connection.close()
        wanted.close()
    wrong = [f"{name} is not declared" for name in sorted(found.keys() - declared.keys())]
    wrong += [f"{name} is missing" for name in sorted(declared.keys() - found.keys())]
    return wrong + [
        f"{name}: {found[name]}, declared {declared[name]}"
        for name in sorted(found.keys() & declared.keys())
        if found[name] != declared[name]
    ]


def _shape(connection: apsw.Connection) -> dict[str, str]:
    """Return every table and index by name, with its columns."""
    shape = {}
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        columns = connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,))
        shape[f"table {table}"] = str(columns.fetchall())
        listed = connection.execute('SELECT name, "unique", partial FROM pragma_index_list(?)', (table,))
        for name, *options in listed.fetchall():
            fields = connection.execute('SELECT name FROM pragma_index_xinfo(?) WHERE "key"', (name,))
            made = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
            only = str(made[0][0]).partition(" WHERE ")[2] if made else ""
            shape[f"index {name}"] = f"{fields.fetchall()} {options} {only}"
    return shape
