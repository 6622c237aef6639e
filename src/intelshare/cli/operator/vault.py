"""``vault``: the protection of a data folder's keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.operator.key_life import revoke, rotate, status
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import folder_option, passphrase, printing
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import Passphrase


@click.group(cls=CommandGroup)
def vault() -> None:
    """Manage the vault of a data folder."""


@vault.command(epilog=examples("intelshare vault passwd --folder fra --new-passphrase-file new.passphrase"))
@folder_option
@passphrase
@click.option(
    "--new-passphrase-file",
    "new",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File (mode 0600) whose first line is the new passphrase. Default: a prompt.",
)
@printing
def passwd(out: Out, folder: Path, passphrase: Passphrase, new: Path | None) -> None:
    """Give the vault another passphrase; turn a development vault into one for production.

    The node must not be running. Vaults of root keys in the folder that have the same passphrase are changed
    too.
    """
    import os

    from intelshare.cli.operator.init import ROOT_VAULT
    from intelshare.cli.shared.node_folder import DEVELOPMENT_FILE, Passphrase
    from intelshare.crypto.suites import SUITES
    from intelshare.errors import VaultError
    from intelshare.node.folder import Folder
    from intelshare.node.sidecar import check_vault
    from intelshare.store.folder import lock
    from intelshare.vault import open_vault

    locked = lock(folder)
    try:
        old = passphrase.of(folder)()
        own = Folder(folder).vault
        vaults, others = {}, []
        for path in (own, *sorted((folder / ROOT_VAULT).rglob("vault"))):
            try:
                vaults[path] = open_vault(path, old, suites=SUITES, random=os.urandom, allow_development=True)
            except VaultError as error:
                if path == own or error.code != "KEYSTORE_PASSWORD":
                    raise
                others.append(path)
        check_vault(Folder(folder), vaults[own])  # changed, an older one would pass for the newest
        chosen = Passphrase.of_file(new)(new=True)
        # The node's vault is last: until it is changed, the same command can be repeated.
        for path in reversed(vaults):
            vaults[path].change_passphrase(chosen)
        # The passphrase in the folder no longer opens anything.
        (folder / DEVELOPMENT_FILE).unlink(missing_ok=True)
    finally:
        locked.release()
    out.document("vault", {"folder": str(folder), "vaults": [str(path) for path in vaults]})
    for path in vaults:
        out.line(f"{path}: only the new passphrase opens it")
    for path in others:
        out.note(f"{path}: has a different passphrase, which stays")
    out.note("older copies of the folder still open with the old passphrase: destroy them")


for _command in (status, rotate, revoke):
    vault.add_command(_command)
