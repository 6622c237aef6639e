"""The engines that hold a node's rows: nothing outside this package names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from intelshare.ports import Store, Table
from intelshare.store.memory import MemoryStore
from intelshare.store.sqlite import open_store

Open = Callable[[Path, Sequence[Table[Any]], bytes], Store]
"""Opens the store of a data folder: path of the database, tables, the vault's storage key."""

ENGINES: Final[Mapping[str, Open]] = {
    "sqlite": open_store,
    "memory": lambda _, __, ___: MemoryStore(),
}
"""By name. A further engine is one row here and one module; it passes the suite of the port."""

DEFAULT: Final = "sqlite"


def open_default(path: Path, tables: Sequence[Table[Any]], key: bytes) -> Store:
    """Open the store of a node, made or migrated first. Raises StoreError as its engine says."""
    return ENGINES[DEFAULT](path, tables, key)
