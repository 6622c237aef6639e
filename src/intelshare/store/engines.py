"""The engines that store a node's rows: nothing outside this package names one."""

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
"""The engines by name. A further engine is one row here and one module, and passes the port's test suite."""

DEFAULT: Final = "sqlite"


def open_default(path: Path, tables: Sequence[Table[Any]], key: bytes) -> Store:
    """Open the store of a node, which is created or migrated first. Raises StoreError as its engine does."""
    return ENGINES[DEFAULT](path, tables, key)
