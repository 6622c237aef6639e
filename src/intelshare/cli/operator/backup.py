"""``node backup`` and ``node restore``: copy a data folder, and make it again from the copy."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import folder_option, passphrase, printing
from intelshare.cli.shared.output import Out, Progress
from intelshare.cli.shared.plain import time_text
from intelshare.errors import IntelshareError
from intelshare.starting import start_command

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder, Passphrase
    from intelshare.node.backup import Backup
    from intelshare.node.backup_format import BackupManifest

_PATH = click.Path(file_okay=False, path_type=Path)

_NAMED: Final = 5
"""The records that are named of those that are not in a backup."""


@click.command(epilog=examples("intelshare node backup backups/monday --folder fra"))
@click.argument("dest", type=_PATH)
@folder_option
@passphrase
@printing
def backup(out: Out, dest: Path, folder: Path, passphrase: Passphrase) -> int:
    """Write a backup of a data folder to DEST, which must not exist; the node may be running.

    It shows the folder at one moment, protected by the vault's passphrase. It does not contain private
    sealing keys, the keys of received bulletins (so that what is destroyed later stays destroyed), users'
    keys, or root keys. The node's log records who made it; exits with 1 if that failed, or if
    records could not be read and are not in it.
    """
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.instant import Instant
    from intelshare.node.backup import make_backup

    node = NodeFolder(folder, passphrase)
    with Progress(out, "parts") as progress:
        done = make_backup(
            folder,
            dest,
            node.passphrase,
            Instant(time.time_ns() // 1000),
            progress.at,
        )
    made = done.manifest
    unlogged = _log(node, done)
    _show(out, "backup", made, dest, None, len(done.left_out))
    out.line(f"backup of {made.node}: {len(made.files)} files, {_mib(made)}, {made.entries} log entries")
    for error in done.left_out[:_NAMED]:
        out.note(f"not in the backup, because it cannot be read [{error.code}]: {error.message}")
    if done.left_out:
        out.note(
            f"{len(done.left_out)} records are not in the backup, and a node restored from it would not "
            f"know of them; mend them (intelshare node repair --folder {quote(str(folder))}), then make "
            "another backup"
        )
    if unlogged is not None:
        out.note(
            f"the backup is whole, but the node's log does not have it [{unlogged.code}]: {unlogged.message}"
        )
    return Exit.FAILED if done.left_out or unlogged is not None else Exit.DONE


def _log(node: NodeFolder, made: Backup) -> IntelshareError | None:
    """Write it to the node's log; return why that failed. A node that cannot log must be backed up all the
    more.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.NoteBackupRequest(
        manifest=made.digest, incarnation=made.manifest.incarnation, log_size=made.manifest.entries
    )
    try:
        node.operate("NoteBackup", request)
    except IntelshareError as error:
        return error
    return None


@click.command(epilog=examples("intelshare node restore backups/monday fra-again"))
@click.argument("backup_folder", metavar="BACKUP", type=_PATH)
@click.argument("folder", type=_PATH)
@click.option(
    "--replace", is_flag=True, help="Move an existing data folder of the node aside, under another name."
)
@passphrase
@printing
def restore(out: Out, backup_folder: Path, folder: Path, replace: bool, passphrase: Passphrase) -> None:
    """Make the data folder FOLDER from a BACKUP, after verifying every digest in it.

    The next start begins a new incarnation, tells the peers how much was forgotten, makes new sealing keys,
    and asks for the received bulletins again. Users and members wait for `node confirm-access`. Never start
    it beside the node that the backup was made from.
    """
    from intelshare.instant import Instant
    from intelshare.node.backup_format import DATA
    from intelshare.node.restore import restore_backup

    with Progress(out, "parts") as progress:
        made, aside = restore_backup(
            backup_folder,
            folder,
            passphrase.of(backup_folder / DATA),
            replace=replace,
            now=Instant(time.time_ns() // 1000),
            progress=progress.at,
        )
    _show(out, "restore", made, folder, aside)
    out.line(
        f"{folder} is {made.node} again: {len(made.files)} files, {_mib(made)}, {made.entries} log entries"
    )
    out.note(
        f"{made.sealing_keys} sealing keys are not in the backup: the next start makes new ones, and tells"
    )
    out.note(
        f"the keys of {made.secrets} received portions are not in the backup: the node will ask for their "
        f"bulletins again"
    )
    shown = quote(str(folder))
    out.note(f"start it before anything else: {start_command(folder)}")
    out.note(f"users' keys are not in the backup: intelshare user renew operator --here --folder {shown}")
    out.note(f"nobody comes in before: intelshare node confirm-access --reason TEXT --folder {shown}")
    if aside is not None:
        out.note(f"the previous folder is now {aside}: destroy it once this node serves")


def _mib(made: BackupManifest) -> str:
    return f"{sum(size for size, _ in made.files.values()) / 2**20:.1f} MiB"


def _show(
    out: Out, what: str, made: BackupManifest, path: Path, aside: Path | None, left_out: int = 0
) -> None:
    out.document(
        what,
        {
            "path": str(path),
            "member": made.member,
            "node": made.node,
            "made_at": time_text(made.made),
            "incarnation": f"{made.incarnation:016x}",
            "log_entries": str(made.entries),
            "files": len(made.files),
            "bytes": str(sum(size for size, _ in made.files.values())),
            "sealing_keys_left_out": made.sealing_keys,
            "secrets_left_out": made.secrets,
            "records_left_out": left_out,
            "put_aside": str(aside) if aside is not None else "",
        },
    )
