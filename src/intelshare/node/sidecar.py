"""The state of log and vault, as the sidecar beside them remembers it (docs/promises.md, "Memories")."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from intelshare.audit import LogHead, root
from intelshare.broker.kernel.tables import LOG_HEAD, NODE
from intelshare.broker.kernel.transaction import SELF
from intelshare.errors import Place, StoreError
from intelshare.ids import Incarnation
from intelshare.node.folder import Folder
from intelshare.ports import View
from intelshare.store.sidecar import Sidecar, check_loss, check_place, compare, read_sidecar
from intelshare.vault import FileVault


def log_position(view: View, incarnation: Incarnation, *, clean: bool = False, vault: int = 0) -> Sidecar:
    """Return the size and root of this incarnation's log in the database, or those of an empty log; beside
    them, the state of the vault.
    """
    row = view.get(LOG_HEAD, incarnation)
    if row is None:
        return Sidecar(0, 0, "", clean, vault)
    return Sidecar(row.incarnation, row.size, _root_over(row.frontier), clean, vault)


@lru_cache(maxsize=16)
def _root_over(frontier: bytes) -> str:
    """Return the root of a log: once a second the same one is looked at."""
    return root(LogHead(Incarnation(0), 0, frontier)).hex()


def remembers(path: Path, position: Sidecar) -> bool:
    """Return true if the file says this. One that was frozen while another replica took over may have written
    what it knew before: it is then written again.
    """
    with suppress(StoreError):
        return read_sidecar(path) == position
    return False


def check_database(path: Path, database: Path) -> None:
    """Check before a database file is created in place of a lost one. Raises StoreError STORE_FORGOT if the
    sidecar knows of one.
    """
    if not database.exists() and read_sidecar(path) is not None:
        raise StoreError(
            "STORE_FORGOT",
            f"{database.name} is gone",
            hint="put it back, or restore the folder from its backup; peers send what it lacks",
        )


def check_memory(path: Path, view: View) -> None:
    """Compare the sidecar with the database. Raises StoreError STORE_FORGOT, saying what is missing."""
    check_loss(path.parent)
    check_remembered(read_sidecar(path), view, path.name)
    check_place(path)


def check_vault(folder: Folder, vault: FileVault) -> None:
    """Check that the vault is not older than the newest that this node has had: the next change would write
    over the copy beside it, and an authority that has ended would be believed again.

    Raises StoreError STORE_FORGOT; DATA_LOCKED if another vault was put there since this one was opened.
    """
    known = 0
    with suppress(StoreError):  # whoever leads is told that the file cannot be read (``check_memory``)
        remembered = read_sidecar(folder.sidecar)
        known = remembered.vault if remembered is not None else 0
    # Another replica may have changed it since it was opened, and the sidecar after that.
    vault.follow()
    if vault.state >= known:
        return
    copy = vault.later_copy()
    newest = f"{copy} is a later one: copy it over the vault" if copy else "put the newest one back"
    raise StoreError(
        "STORE_FORGOT",
        f"the vault is older than the last one that this node had (state {vault.state}, and it was {known}): "
        "keys made since are missing, and keys and authorities that ended since are back",
        place=Place(str(folder.vault)),
        hint=f"{newest}. If it is lost, start once with --accept-loss: what ended is destroyed again, and "
        "what is missing made; but authorities that had been replaced you replace again: intelshare pki "
        "rotate-ca",
    )


def check_remembered(remembered: Sidecar | None, view: View, name: str = "sidecar") -> None:
    """Make the same comparison with the sidecar's content, or with None if there is no such file."""
    if remembered is None:
        # It is written before the first incarnation begins: if there was one, somebody removed the file.
        if view.get(NODE, SELF) is not None:
            raise StoreError(
                "STORE_FORGOT",
                f"{name} is gone: it is impossible to tell whether the database has lost something",
                hint="put it back, or start once with --accept-loss: a new incarnation begins",
            )
        return
    if not remembered.incarnation:
        return
    # Look at the log that it names, not the newest: a crash may have come right after a new one began.
    found = log_position(view, Incarnation(remembered.incarnation))
    compare(remembered, found.incarnation, found.size, bytes.fromhex(found.root))
