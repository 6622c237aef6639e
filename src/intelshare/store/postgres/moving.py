"""A schema on its way to be a node's, and one that was a node's: ``node.move``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from intelshare.errors import StoreError
from intelshare.store.postgres.connection import PostgresConnection, connect, opening_failed
from intelshare.store.postgres.database import KEYS
from intelshare.store.postgres.keys import drop_all
from intelshare.store.postgres.lease import take
from intelshare.store.postgres.schema import migrate, version_of
from intelshare.store.server import Server

_MOVING: Final = "SELECT 1 FROM store_state WHERE name = 'moving'"


def begin(server: Server, folder: Path, name: str) -> None:
    """Make the schema, empty. Raises StoreError ID_CONFLICT if it is there and was not left by a move."""

    def made(connection: PostgresConnection) -> None:
        if version_of(connection, server.schema):
            if not connection.execute(_MOVING).fetchall():
                raise StoreError(
                    "ID_CONFLICT",
                    f"the schema {server.schema} holds rows already",
                    hint="name another with --schema; one that nobody needs is removed with DROP SCHEMA",
                )
            _drop(connection, folder, server)
        migrate(connection, server.schema)
        connection.raw.execute("INSERT INTO store_state VALUES ('moving', 1)")

    _with(server, folder, name, made)


def finish(server: Server, folder: Path, name: str) -> None:
    """It is a node's."""
    _with(
        server,
        folder,
        name,
        lambda connection: connection.raw.execute("DELETE FROM store_state WHERE name = 'moving'"),
    )


def erase(server: Server, folder: Path, name: str) -> None:
    """It is nobody's any more: first its keys go, then its rows."""
    _with(server, folder, name, lambda connection: _drop(connection, folder, server))


def _drop(connection: PostgresConnection, folder: Path, server: Server) -> None:
    drop_all(folder / KEYS)
    connection.raw.execute(f'DROP SCHEMA "{server.schema}" CASCADE'.encode())


def _with(server: Server, folder: Path, name: str, work: Callable[[PostgresConnection], object]) -> None:
    try:
        connection = connect(server, folder, name, writes=True)
        try:
            take(connection, server.schema)
            work(connection)
        finally:
            connection.close()
    except psycopg.Error as error:
        raise opening_failed(error) from None
