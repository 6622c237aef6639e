"""Backup of a data folder (decision 47); ``node.restore`` makes a folder of it again.

A backup is a folder: ``manifest.json`` with the SHA-256 of every file, ``manifest.seal``, which authenticates
the manifest under the vault's storage key, and the files themselves. Whoever has the folder and the
passphrase can make one, whether the node runs or not. It does not contain private sealing keys, the secrets
of received bulletins, users' keys or root keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from intelshare import __version__
from intelshare.broker.kernel.tables import (
    BULLETIN,
    FILE,
    INBOX,
    LOG_HEAD,
    NODE,
    TABLES,
    FileRow,
    SecretRow,
)
from intelshare.broker.kernel.transaction import SELF
from intelshare.crypto.suites import SUITES
from intelshare.errors import RecordError, StoreError
from intelshare.ids import Digest, FilePlace, ManifestDigest
from intelshare.instant import Instant
from intelshare.node.backup_format import (
    DATA,
    FORMAT,
    MANIFEST,
    SEAL,
    BackupManifest,
    Progress,
    digest_of,
    need_few_files,
    seal_of,
)
from intelshare.node.folder import Folder
from intelshare.node.replicas import location
from intelshare.node.reserve import NAME as RESERVE
from intelshare.node.restore import RESTORED
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings, with_store
from intelshare.node.sidecar import check_vault
from intelshare.node.whole_folder import appearing, copy_file, files_below, make_folders, need_nothing_at
from intelshare.ports import View, changed
from intelshare.private_files import check_private, make_private_folder, write_private
from intelshare.store.backup import copy_database
from intelshare.store.beside import looking, snapshot
from intelshare.store.copying import Snapshot, copy_view
from intelshare.store.examine import look_at
from intelshare.store.sidecar import STARTED
from intelshare.vault import open_vault

_NOT_COPIED: Final = frozenset(
    (
        "lock",
        "run.json",
        "database-keys",
        "drained",
        "forgot",
        "sockets",
        "sidecar",
        STARTED,
        RESERVE,
        "root-keys",
        "vault",
        "files",
        "users",
        RESTORED,
    )
)
"""Files that belong to a running process, are made again, or are secrets that must not be in a backup.
Databases are copied separately.
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    manifest: BackupManifest
    digest: Digest
    """SHA-256 of the manifest's file."""
    left_out: tuple[StoreError, ...]
    """A RECORD_CORRUPT for each record that could not be read and is not in it, and for each bulletin whose
    secrets are not, because nobody can tell whether it was received. Of other rows only those in PostgreSQL:
    a file of rows is copied with its damage, which the restored node meets and has mended.
    """


def make_backup(
    root: Path, target: Path, passphrase: Callable[[], bytes], now: Instant, progress: Progress
) -> Backup:
    """Write a backup of a data folder, whose node may be running; ``target`` appears whole or not at all.

    Raises ConfigError ID_CONFLICT (``target`` exists), NOT_FOUND; VaultError; StoreError, among them
    STORE_FORGOT: the vault is older than the last one that the node had, and TOO_LARGE: too many files.
    """
    folder = Folder(root)
    settings = read_settings(folder.settings)
    check_private(root, StoreError, "DATA_PERMISSIONS")
    need_nothing_at(target)
    vault = open_vault(folder.vault, passphrase(), suites=SUITES, random=os.urandom, allow_development=True)
    with appearing(target) as made:
        data = made / DATA
        make_private_folder(data)
        with _copied(folder, settings, data / folder.database.name, vault.storage_key(), progress) as copied:
            view, done = copied
            own = [row.place.hex() for row in _own_files(view)]
            need_few_files(len(own))
            me = view.get(NODE, SELF)
            head = view.get(LOG_HEAD, me.incarnation) if me is not None else None
        # Opened after the database was copied: the copy names no key that the vault does not have.
        vault = open_vault(
            folder.vault, passphrase(), suites=SUITES, random=os.urandom, allow_development=True
        )
        check_vault(folder, vault)  # whoever restored an older one would believe what has ended since
        sealing = len(vault.sealing_keys())
        make_private_folder(data / "vault")
        write_private(data / "vault" / "keys", vault.without_sealing_keys())
        _copy_rest(root, data, settings.store.password_file if settings.store is not None else "")
        if settings.store is not None:  # in a backup the rows are in a file
            written = data / folder.settings.name
            write_private(written, with_store(written.read_text("utf-8"), None).encode())
        _copy_own_files(folder, data, own, progress)
        manifest = BackupManifest(
            FORMAT,
            settings.member,
            settings.node,
            now,
            __version__,
            me.incarnation if me is not None else 0,
            head.size if head is not None else 0,
            sealing,
            done.blanked,
            sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_dir()),
            {name: digest_of(data / name) for name in files_below(data)},
        )
        text = json.dumps(asdict(manifest), indent=1).encode()
        write_private(made / MANIFEST, text)
        write_private(made / SEAL, seal_of(vault, text).hex().encode())
    return Backup(manifest, Digest(hashlib.sha256(text).digest()), done.left_out)


@contextlib.contextmanager
def _copied(
    folder: Folder, settings: Settings, target: Path, key: bytes, progress: Progress
) -> Iterator[tuple[View, Snapshot]]:
    """Copy the rows into a file; what was copied, and what of it."""
    met: dict[ManifestDigest, StoreError] = {}
    if settings.store is not None:
        with look_at(location(folder, settings, None), TABLES, key) as found:
            view = _given(found)
            done = copy_view(view, target, TABLES, key, partial(_blanked, view, met))
            yield view, _with(done, met)
        return
    with snapshot(folder.database) as source:
        view = _given(looking(source, TABLES, key))
        done = copy_database(source, target, TABLES, partial(_blanked, view, met), progress)
        yield view, _with(done, met)


def _with(done: Snapshot, met: Mapping[ManifestDigest, StoreError]) -> Snapshot:
    return replace(done, left_out=(*done.left_out, *met.values()))


def _given(view: View | None) -> View:
    assert view is not None  # noqa: S101 - the storage key was given
    return view


def _blanked(view: View, met: dict[ManifestDigest, StoreError], row: SecretRow) -> SecretRow:
    """Return the row without the secret of a received bulletin: a bulletin that is destroyed later must not
    survive in a backup.

    Also of one of which that cannot be read: noted in ``met``.
    """
    try:
        received = view.get(INBOX, row.md) is not None and view.get(BULLETIN, row.md) is None
    except RecordError as error:
        message = f"the keys of bulletin {row.md.hex()}, which may be a received one: {error.message}"
        met[row.md] = StoreError(error.code, message, hint=error.hint)
        received = True
    return changed(row, sealed=bytes(len(row.sealed))) if received else row


def _own_files(view: View) -> list[FileRow]:
    found: list[FileRow] = []
    after: tuple[FilePlace, ...] = ()
    while rows := view.find(FILE, "key", after=after):
        found += [row for row in rows if not row.member]
        after = (rows[-1].place,)
    return found


def _copy_rest(root: Path, data: Path, password_file: str) -> None:
    """Copy what is not copied separately, without the password of a database: a backup needs none."""
    for path in sorted(root.iterdir()):
        if (
            path.name in _NOT_COPIED
            or path.name.startswith((".", "intelshare.", "replica-", "sockets"))
            or path.is_symlink()
        ):
            continue
        for one in (path, *sorted(path.rglob("*"))):
            if one.relative_to(root).as_posix() == password_file:
                continue
            if one.is_dir():
                make_folders(data / one.relative_to(root), data)
            elif one.is_file() and not one.is_symlink():
                to = data / one.relative_to(root)
                make_folders(to.parent, data)
                with contextlib.suppress(FileNotFoundError):  # replaced just now
                    copy_file(one, to)


def _copy_own_files(folder: Folder, data: Path, names: list[str], progress: Progress) -> None:
    if names:
        make_private_folder(data / "files")
    for place, name in enumerate(names):
        with contextlib.suppress(FileNotFoundError):  # its bulletin has ended in the meantime
            copy_file(folder.files / name, data / "files" / name)
        progress(place + 1, len(names))
