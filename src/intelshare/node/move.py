"""``node move``: the rows of a node that does not run, from its file into a PostgreSQL, or back.

All or nothing: until every row was read again at its new place the old one is the node's, and what was begun
is thrown away by the next attempt. ``node.toml`` is what decides; it is replaced whole. Then the old rows are
erased: their secrets would else outlive their destruction.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from intelshare.broker.kernel.tables import TABLES
from intelshare.crypto.suites import SUITES
from intelshare.errors import ConfigError, Place, StoreError
from intelshare.node.folder import Folder
from intelshare.node.replicas import location, process_name
from intelshare.node.restore import restored_at
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings, with_store
from intelshare.node.sidecar import check_database, check_memory
from intelshare.private_files import write_private
from intelshare.store.copying import Copied, copy_rows, described
from intelshare.store.engines import Location, begin_at, erase_at, finish_at, open_at
from intelshare.store.folder import lock
from intelshare.store.server import Server
from intelshare.vault import open_vault

_THERE: Final = {
    True: ("the rows are in a file already", "there is nothing to move: start the node"),
    False: (
        "the rows are in a PostgreSQL already",
        "to move them to another server: first into a file, with --to sqlite",
    ),
}
"""The refusal and what to do, where the rows are already: in a file (True), or not."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The rows that were moved, which are the same at both ends."""

    tables: tuple[Copied, ...]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(one.rows for one in self.tables)


def move_rows(root: Path, passphrase: Callable[[], bytes], server: Server | None) -> Moved:
    """Move all rows to a server, or with None into the folder's own file.

    Raises StoreError DATA_LOCKED if the node runs, ID_CONFLICT if something is there already, STORE_FORGOT,
    RECORD_CORRUPT if a row cannot be read; Config- and VaultError.
    """
    folder = Folder(root)
    locked = lock(root)
    try:
        settings = read_settings(folder.settings)
        if restored_at(root) is not None:
            raise StoreError(
                "STORE_FORGOT",
                "this folder was restored, and no start has completed that",
                hint="start the node once and stop it; then move its rows",
            )
        if (settings.store is None) == (server is None):
            what, following = _THERE[server is None]
            raise ConfigError("ID_CONFLICT", what, place=Place(str(folder.settings)), hint=following)
        if server is not None:
            server.password(root)  # what is wrong with its file is said before anything is begun
        vault = open_vault(
            folder.vault, passphrase(), suites=SUITES, random=os.urandom, allow_development=True
        )
        return asyncio.run(_move(folder, settings, server, vault.storage_key()))
    finally:
        locked.release()


async def _move(folder: Folder, settings: Settings, server: Server | None, key: bytes) -> Moved:
    old = location(folder, settings, None)
    if settings.store is None:
        check_database(folder.sidecar, folder.database)
    source = open_at(old, TABLES, key)
    try:
        source.ask_now(lambda view: check_memory(folder.sidecar, view))
        begun = begin_at(Location(folder.database, server, process_name("move")))
        target = open_at(begun, TABLES, key)
        try:
            await copy_rows(source, target, TABLES)
        finally:
            target.close()
        tables = described(source.ask_now, TABLES)
        target = open_at(begun, TABLES, key)
        try:
            differ = [
                one.table
                for one, other in zip(tables, described(target.ask_now, TABLES), strict=True)
                if one != other
            ]
        finally:
            target.close()
    finally:
        source.close()
    if differ:
        raise StoreError(
            "RECORD_CORRUPT",
            f"the rows of {', '.join(differ)} are not the same at their new place",
            hint="nothing was changed: the node's rows are where they were",
        )
    finish_at(begun, folder.database)
    text = with_store(folder.settings.read_text("utf-8"), server)
    write_private(folder.settings, text.encode())
    erase_at(replace(old, held=None), TABLES)
    return Moved(tuple(tables))
