"""The schema of a database file: made, or brought up to date one numbered step at a time, or refused."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import apsw

from intelshare.errors import StoreError


def migrations() -> list[str]:
    """The SQL of every version, in order: ``migrations/0001.sql`` makes version 1."""
    folder = files("intelshare.store").joinpath("migrations")
    return [
        entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    ]


def migrate(path: Path) -> None:
    """Bring the file to the newest schema; an existing one is copied beside it first (``.before-N``).

    Raises StoreError SCHEMA_NEWER, RECORD_CORRUPT.
    """
    steps = migrations()
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(path))
    try:
        version = int(connection.pragma("user_version"))
        if version > len(steps):
            raise StoreError(
                "SCHEMA_NEWER",
                f"{path.name} has schema {version}, this version knows {len(steps)}",
                hint="run the version that wrote it, or restore the copy made before its upgrade",
            )
        if 0 < version < len(steps):
            connection.execute("VACUUM INTO ?", (str(path.with_suffix(f".before-{len(steps)}")),))
        for number, sql in enumerate(steps[version:], start=version + 1):
            connection.execute(f"BEGIN IMMEDIATE; {sql} PRAGMA user_version = {number}; COMMIT")
    except apsw.NotADBError:
        raise StoreError(
            "RECORD_CORRUPT",
            f"{path.name} is no database, or its beginning is damaged",
            hint="restore the data folder from its backup; peers hand over again what it lacks",
        ) from None
    except apsw.CorruptError as error:
        raise StoreError(
            "RECORD_CORRUPT",
            f"{path.name} is damaged: {error}",
            hint="restore the data folder from its backup; peers hand over again what it lacks",
        ) from None
    finally:
        connection.close()
