"""``doctor``: checks whether database and vault hold what the sidecar remembers, as a start does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from intelshare.cli.shared.findings import OK, WARNING, Finding

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import Passphrase
    from intelshare.instant import Instant
    from intelshare.node.folder import Folder
    from intelshare.ports import View
    from intelshare.vault import FileVault


def memory(folder: Path, passphrase: Passphrase, now: Instant) -> Iterator[Finding]:
    """Compare the sidecar with database and vault, using the same functions as a start."""
    from intelshare.broker.kernel.tables import NODE, TABLES
    from intelshare.broker.kernel.transaction import SELF
    from intelshare.instant import show
    from intelshare.node.folder import Folder
    from intelshare.node.replicas import location
    from intelshare.node.restore import restored_at
    from intelshare.node.running import read_running
    from intelshare.node.settings_file import read_settings
    from intelshare.node.sidecar import check_database, check_remembered, check_vault
    from intelshare.store.examine import look_at
    from intelshare.store.sidecar import check_loss, check_place, read_sidecar

    where = Folder(folder)
    at = location(where, read_settings(where.settings), None)
    made = restored_at(folder)
    if made is not None:
        what = f"restored from what it was at {show(made)}, and not started since"
        remedy = 'start it, then docs/runbook.md, "Restored backup", from step 4'
        yield Finding(WARNING, "memory", what, remedy, "STORE_FORGOT")
        return
    if at.server is None:
        check_database(where.sidecar, where.database)
    check_loss(folder)
    # Read before the database: on a running node the sidecar may lag behind the database, and never leads.
    remembered = read_sidecar(where.sidecar)
    if at.server is None and not where.database.exists():
        yield Finding(WARNING, "memory", "there is no database: this node has never run")
        return
    vault = _opened(folder, passphrase)
    with look_at(at, TABLES, vault.storage_key() if vault is not None else None) as view:
        if view is None and (running := read_running(where)) is not None and running.fresh(now):
            yield Finding(OK, "memory", "the node that runs found at its start what the sidecar remembers")
            return
        if view is None:
            what = "sidecar and database cannot be compared: the last commits are sealed under the vault"
            yield Finding(WARNING, "memory", what, "name the passphrase with --passphrase-file FILE")
            return
        if remembered is None and view.get(NODE, SELF) is None:
            yield Finding(OK, "memory", "this node has never run")
            return
        check_remembered(remembered, view, where.sidecar.name)
        check_place(where.sidecar)
        if vault is not None:
            check_vault(where, vault)
        if (running := read_running(where)) is None or not running.fresh(now):
            yield from _clock(view, now)
            yield from _changed_law(view, where)
    if remembered is not None:
        how = "stopped cleanly" if remembered.clean else "runs, or was killed"
        yield Finding(OK, "memory", f"sidecar at {remembered.size} log entries, {how}; the database has them")


def _clock(view: View, now: Instant) -> Iterator[Finding]:
    """Say if the next start would not believe the clock, as it judges that itself."""
    from intelshare.broker.kernel.tables import NODE
    from intelshare.broker.kernel.transaction import SELF
    from intelshare.cli.policy.examine import not_believed
    from intelshare.errors import RecordError
    from intelshare.node.clock import Clock

    try:
        me = view.get(NODE, SELF)
    except RecordError:  # the start makes it again
        return
    if me is not None:
        read = Clock(me.latest, lambda: now, confirmed=me.confirmed).read()
        if not read.believed:
            yield not_believed(read.now, read.expected, read.until)


def _changed_law(view: View, folder: Folder) -> Iterator[Finding]:
    """Name the policy files by which the next start would decide otherwise: edited since, or rotten."""
    from intelshare.broker.treaty.policy_files import files_in_force
    from intelshare.errors import PolicyFileError
    from intelshare.node.policies import read_law
    from intelshare.node.settings_file import read_settings

    held = {row.file: row.digest for row in files_in_force(view)}
    try:
        lying = {one.file: one.digest for one in read_law(folder, read_settings(folder.settings))[1]}
    except PolicyFileError:
        return  # the next check says so
    for file in sorted({**held, **lying}) if held else ():
        if held.get(file) != lying.get(file):
            what = f"{file} is not as this node has last read it; its next start decides by it as it is"
            remedy = (
                "if nobody has changed it, put it back from the policy repository: intelshare policy apply"
            )
            yield Finding(WARNING, "law", what, remedy)


def storage_key(folder: Path, passphrase: Passphrase) -> bytes | None:
    """Return the key that opens the last commits if the passphrase is available; nobody is prompted
    for it.
    """
    vault = _opened(folder, passphrase)
    return vault.storage_key() if vault is not None else None


def _opened(folder: Path, passphrase: Passphrase) -> FileVault | None:
    from intelshare.crypto.suites import SUITES
    from intelshare.node.folder import Folder
    from intelshare.vault import open_vault

    known = passphrase.of(folder)
    if not known.unasked:
        return None
    return open_vault(Folder(folder).vault, known(), suites=SUITES, random=os.urandom, allow_development=True)
