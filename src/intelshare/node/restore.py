"""Restore: a data folder from a backup (``node.backup``).

A restored folder is marked by the file ``restored`` until its first start has completed the restore.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from intelshare.crypto.suites import SUITES
from intelshare.errors import ConfigError, IntelshareError, Place
from intelshare.instant import Instant
from intelshare.node.backup_format import (
    DATA,
    BackupManifest,
    Progress,
    check_seal,
    damaged,
    digest_of,
    read_manifest,
    verify_files,
)
from intelshare.node.folder import Folder
from intelshare.node.settings_file import read_settings
from intelshare.node.whole_folder import (
    appearing,
    copy_file,
    make_folders,
    need_no_mount_at,
    need_nothing_at,
)
from intelshare.private_files import write_private
from intelshare.store.folder import Locked, lock
from intelshare.vault import copy_of, open_vault

RESTORED: Final = "restored"
"""The file that marks a restored data folder until its first start has completed the restore."""


def restore_backup(
    backup: Path,
    root: Path,
    passphrase: Callable[[], bytes],
    *,
    replace: bool,
    now: Instant,
    progress: Progress,
) -> tuple[BackupManifest, Path | None]:
    """Make a data folder from a backup after verifying every digest.

    An existing folder is kept under another name if ``replace`` allows it to be moved aside: once the other
    one is complete, so that it stays in its place if that fails. Returns the manifest, and the path of the
    folder that was moved aside.

    Raises ConfigError ID_CONFLICT, NOT_FOUND; VaultError; StoreError RECORD_CORRUPT, DATA_LOCKED, DISK_FULL.
    """
    manifest, text = read_manifest(backup)
    data = backup / DATA
    verify_files(data, manifest, progress)
    # The vault is opened in the backup: nothing is written until the passphrase has opened it and the seal is
    # verified.
    vault = open_vault(
        data / "vault" / "keys", passphrase(), suites=SUITES, random=os.urandom, allow_development=True
    )
    check_seal(vault, text, backup)
    locked = _lock_replaced(root, manifest) if replace else None
    aside = root.with_name(f"{root.name}.replaced-{now // 1_000_000}") if locked is not None else None
    if aside is None:
        need_nothing_at(root)
    with contextlib.ExitStack() as held:
        if locked is not None:
            held.callback(locked.release)
        made = held.enter_context(appearing(root, aside))
        for name in manifest.folders:
            make_folders(made / name, made)
        for place, name in enumerate(manifest.files):
            to = made / name
            make_folders(to.parent, made)
            copy_file(data / name, to)
            if digest_of(to) != tuple(manifest.files[name]):
                raise damaged(backup / DATA / name)
            progress(place + 1, len(manifest.files))
        copy_file(made / "vault" / "keys", copy_of(made / "vault" / "keys"))
        note = {"made": manifest.made, "incarnation": manifest.incarnation, "entries": manifest.entries}
        write_private(made / RESTORED, json.dumps(note).encode())
    return manifest, aside


def mark_restored(root: Path) -> None:
    """Mark a folder of a member that is founded again: its first start is one after a loss of all memory."""
    write_private(root / RESTORED, json.dumps({"made": 0, "incarnation": 0, "entries": 0}).encode())


def restored_at(root: Path) -> Instant | None:
    """Return when the backup was made from which this folder was restored, or None if a start has completed
    the restore.
    """
    try:
        return Instant(int(json.loads((root / RESTORED).read_text("utf-8"))["made"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Instant(0)


def settle_restore(root: Path) -> None:
    """Remove the mark of a restored folder: its first start has completed the restore."""
    (root / RESTORED).unlink(missing_ok=True)


def _lock_replaced(root: Path, manifest: BackupManifest) -> Locked | None:
    """Lock the existing folder that the backup's is to replace; None if there is none. Raises StoreError
    DATA_LOCKED; ConfigError ID_CONFLICT.
    """
    if not root.exists() or not any(root.iterdir()):
        return None
    need_no_mount_at(root)
    locked = lock(root)
    try:
        _check_same_node(root, manifest)
    except BaseException:
        locked.release()
        raise
    return locked


def _check_same_node(root: Path, manifest: BackupManifest) -> None:
    folder = Folder(root)
    try:
        there = read_settings(folder.settings).node
    except IntelshareError:
        # What is to be replaced may be damaged: it is kept, and a folder of something else has none of them.
        if not any(one.exists() for one in (folder.vault, copy_of(folder.vault), folder.database)):
            raise
        return
    if there != manifest.node:
        raise ConfigError(
            "ID_CONFLICT",
            f"the folder belongs to {there}, the backup to {manifest.node}",
            place=Place(str(root)),
            hint="restore it into another folder",
        )
