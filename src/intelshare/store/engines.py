"""The engines that store a node's rows: nothing outside this package names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from intelshare.errors import ConfigError, StoreError
from intelshare.ports import Store, Table
from intelshare.store.backup import blank_file
from intelshare.store.memory import MemoryStore
from intelshare.store.server import Server
from intelshare.store.sqlite import open_store


@dataclass(frozen=True, slots=True)
class Location:
    """Where a node's rows are, and how they are opened."""

    database: Path
    """The file, if they are in one; the folder that it is in has the keys of rows that are in a server."""
    server: Server | None = None
    name: str = "intelshare"
    """The name of this process that the server shows."""
    held: Any = None
    """A connection to it that has the lock already (``store.postgres.lease``)."""
    together: bool = False
    """Others that share the lock may write too (``store.postgres.together``)."""
    first: bool = False
    """Nobody else shares it yet."""
    accept_loss: bool = False
    """An operator's word that what cannot be read of the journal may be set aside."""


OnFailure = Callable[[StoreError], None]
Open = Callable[[Location, Sequence[Table[Any]], bytes, OnFailure], Store]
"""Opens a store: where, tables, the vault's storage key, who is told of what goes wrong outside of a step."""


def _open_sqlite(where: Location, tables: Sequence[Table[Any]], key: bytes, on_failure: OnFailure) -> Store:
    return open_store(where.database, tables, key, on_failure, accept_loss=where.accept_loss)


def _open_postgres(where: Location, tables: Sequence[Table[Any]], key: bytes, on_failure: OnFailure) -> Store:
    need_postgres()
    from intelshare.store.postgres.store import open_store as open_postgres
    from intelshare.store.postgres.store import open_together

    if where.server is None:
        raise ValueError("the engine postgres needs a server")
    opened: Callable[..., Store] = open_postgres
    if where.together:
        opened = partial(open_together, first=where.first)
    return opened(
        where.server,
        where.database.parent,
        tables,
        key,
        on_failure,
        name=where.name,
        held=where.held,
        accept_loss=where.accept_loss,
    )


ENGINES: Final[Mapping[str, Open]] = {
    "sqlite": _open_sqlite,
    "memory": lambda _, __, ___, ____: MemoryStore(),
    "postgres": _open_postgres,
}
"""The engines by name. A further engine is one row here and one module, and passes the port's test suite."""


def open_at(
    where: Location, tables: Sequence[Table[Any]], key: bytes, on_failure: OnFailure = lambda _: None
) -> Store:
    """Open the store of a node, made or migrated first. Raises Store- and ConfigError as its engine says."""
    return ENGINES["sqlite" if where.server is None else "postgres"](where, tables, key, on_failure)


def need_postgres() -> None:
    """Raises ConfigError EXTRA_MISSING without the library for PostgreSQL."""
    from importlib.util import find_spec

    if find_spec("psycopg") is None:
        raise ConfigError(
            "EXTRA_MISSING",
            "rows in PostgreSQL need an extra that is not installed",
            hint="pip install 'intelshare[postgres]'",
        )


def begin_at(where: Location) -> Location:
    """An empty place for rows that are to be moved there: what an attempt before has left is thrown away.

    Raises StoreError ID_CONFLICT if somebody's rows are there, and what opening raises.
    """
    if where.server is not None:
        need_postgres()
        from intelshare.store.postgres.moving import begin

        begin(where.server, where.database.parent, where.name)
        return where
    path = where.database.with_name(f"{where.database.name}.moving")
    _remove(path)
    return replace(where, database=path)


def finish_at(begun: Location, database: Path) -> None:
    """All rows are there: it is a node's from now on. ``database``: where its file is to be."""
    if begun.server is not None:
        from intelshare.store.postgres.moving import finish

        finish(begun.server, begun.database.parent, begun.name)
        return
    _remove(database)
    begun.database.rename(database)


def erase_at(where: Location, tables: Sequence[Table[Any]]) -> None:
    """Erase rows that are elsewhere now: first the secrets, so that none can be read again."""
    if where.server is not None:
        from intelshare.store.postgres.moving import erase

        erase(where.server, where.database.parent, where.name)
        return
    blank_file(where.database, tables)
    _remove(where.database)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
