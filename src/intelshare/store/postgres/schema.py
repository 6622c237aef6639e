"""The schema in PostgreSQL: made, or brought up to date by numbered steps in one transaction, or refused."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

from intelshare.errors import StoreError
from intelshare.ports import Table
from intelshare.store import journal
from intelshare.store.postgres.connection import PostgresConnection
from intelshare.store.postgres.lease import begin_turn
from intelshare.store.row_tables import Dialect, migrations_of, schema

_POSTGRES: Final = Dialect({int: "BIGINT", str: 'TEXT COLLATE "C"', bytes: "BYTEA"}, groups=True)

_STORE: Final = """\
CREATE TABLE "journal" (
    id BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    parity BYTEA NOT NULL
);
CREATE TABLE "journal_aside" (
    id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    sealed BYTEA NOT NULL
);
CREATE TABLE "store_state" (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO "store_state" VALUES
    ('epoch', 0), ('flushed', 0), ('last', 0), ('opened', 0), ('changes', 0), ('erased', 0),
    ('chunks', 0);
CREATE TABLE "chunk" (
    id BIGINT PRIMARY KEY,
    digest BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    parity BYTEA NOT NULL
);
CREATE TABLE "chunk_left" (
    id BIGINT PRIMARY KEY,
    rows BIGINT NOT NULL
);
CREATE TABLE "erasing" (
    id BIGINT PRIMARY KEY
);
"""
"""Besides the tables that are declared. ``erasing``: key groups of which a row was overwritten (``keys``)."""


def first_schema(tables: Sequence[Table[Any]]) -> str:
    """The SQL that makes these tables and what every store has besides: a whole version 1."""
    return _STORE + schema(tables, _POSTGRES)


def migrations() -> list[str]:
    """Return the SQL of every version, in order."""
    return migrations_of("intelshare.store.postgres")


def migrate(
    connection: PostgresConnection, schema: str, steps: Sequence[str] | None = None, *, alone: bool = True
) -> None:
    """Bring the schema to the newest version, in one transaction: the old one after a crash, or the new one.

    Not ``alone``: others that have the schema open stop at their next commit, as they know less than is there
    (decision 74). ``pg_dump`` before an upgrade is the operator's. Raises StoreError SCHEMA_NEWER,
    SCHEMA_OLDER; psycopg.Error.
    """
    steps = migrations() if steps is None else steps
    begin_turn(connection, schema, connection.execute("SELECT 1").fetchall)
    try:
        version = version_of(connection, schema)
        if version > len(steps):
            raise newer(schema, version, len(steps))
        if version == len(steps):
            return
        if version and not all(map(journal.only_adds, steps[version:])):
            _check_drained(connection, schema, version, alone=alone)
        sql = "\n".join(steps[version:])
        if not version:
            made = "INSERT INTO store_state VALUES ('schema', 0);"
            sql = f'CREATE SCHEMA IF NOT EXISTS "{schema}";\n{sql}\n{made}'
        connection.raw.execute(sql.encode())
        connection.execute("UPDATE store_state SET value = ? WHERE name = 'schema'", (len(steps),))
        connection.execute("UPDATE store_state SET value = value + 1 WHERE name = 'changes'")
        connection.execute("COMMIT")
    finally:
        connection.execute("ROLLBACK")


def check_owner(connection: PostgresConnection, schema: str, key: bytes) -> None:
    """Check that the rows are those of the vault with this storage key, and note it in a schema that is new.

    Raises StoreError ID_CONFLICT if another node's are there: to open them would harm that node, and no
    operator's word changes that. psycopg.Error.
    """
    mark = int.from_bytes(hmac.digest(key, b"intelshare: whose rows", "sha256")[:8], "big") >> 1
    connection.raw.execute(
        "INSERT INTO store_state VALUES ('owner', %s) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE store_state.value = 0",
        (mark,),
    )
    ((found,),) = connection.execute("SELECT value FROM store_state WHERE name = 'owner'").fetchall()
    if int(found) != mark:
        raise StoreError(
            "ID_CONFLICT",
            f"the schema {schema} holds the rows of another node, with another vault",
            hint="name this node's own schema under [store] in node.toml",
        )


def newer(schema: str, version: int, known: int) -> StoreError:
    """Return the error of a process that meets a schema of a later version."""
    return StoreError(
        "SCHEMA_NEWER",
        f"the schema {schema} has version {version}, this version knows {known}",
        hint="run the version that wrote it, or restore what was dumped before its upgrade",
    )


def _check_drained(connection: PostgresConnection, schema: str, version: int, *, alone: bool) -> None:
    """Raise StoreError SCHEMA_OLDER unless all rows are in their tables, and nobody else may add any."""
    if not alone:
        raise StoreError(
            "SCHEMA_OLDER",
            f"this version changes rows of the schema {schema}, and replicas of an older one run",
            hint="stop all of them in order, then start this version",
        )
    if not journal.is_empty(connection):
        raise StoreError(
            "SCHEMA_OLDER",
            f"the schema {schema} has version {version} and rows that its version has not moved into their "
            "tables",
            hint="start and stop the version that wrote it once, then upgrade",
        )


def version_of(connection: PostgresConnection, schema: str) -> int:
    """The version of the schema; 0: there is none. Raises psycopg.Error."""
    ((table,),) = connection.execute("SELECT to_regclass(?)::text", (f'"{schema}"."store_state"',)).fetchall()
    if table is None:
        return 0
    found = connection.execute("SELECT value FROM store_state WHERE name = 'schema'").fetchall()
    return int(found[0][0]) if found else 0
