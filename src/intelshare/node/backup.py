"""Backup and restore of a data folder (decision 47).

A backup is a folder: ``manifest.json`` with the SHA-256 of every file, ``manifest.seal``, which authenticates
the manifest under the vault's storage key, and the files themselves. Whoever has the folder and the
passphrase can make one, whether the node runs or not. It does not contain private sealing keys, the secrets
of received bulletins, users' keys or root keys. A restored folder is marked by the file ``restored`` until
its first start has completed the restore.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
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
from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.crypto.suites import SUITES
from intelshare.errors import ConfigError, CryptoError, IntelshareError, Place, StoreError
from intelshare.ids import Digest, FilePlace
from intelshare.instant import Instant
from intelshare.node.folder import Folder
from intelshare.node.replicas import location
from intelshare.node.reserve import NAME as RESERVE
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings, with_store
from intelshare.ports import View, changed
from intelshare.private_files import check_private, disk_errors, make_private_folder, write_private
from intelshare.store.backup import copy_database
from intelshare.store.beside import looking, snapshot
from intelshare.store.copying import copy_view
from intelshare.store.examine import look_at
from intelshare.store.folder import Locked, lock
from intelshare.store.sidecar import STARTED
from intelshare.vault import FileVault, open_vault

FORMAT: Final = "intelshare/backup/1"
MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.seal"
DATA: Final = "folder"
"""The folder in a backup that becomes the data folder."""

RESTORED: Final = "restored"
"""The file that marks a restored data folder until its first start has completed the restore."""

_NOT_COPIED: Final = frozenset(
    (
        "lock",
        "run.json",
        "database-keys",
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

_MAX_MANIFEST: Final = 64 << 20
_PART: Final = 1 << 20

Progress = Callable[[str, int, int], None]
"""A function ``progress(what, done, all)``."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a backup, and the moment that it shows."""

    format: str
    member: str
    node: str
    made: int
    """When the backup was made, in microseconds since 1970."""
    version: str
    incarnation: int
    """The incarnation that was running, or had run last."""
    entries: int
    """The size of its log."""
    sealing_keys: int
    """The number of private sealing keys that were left out."""
    secrets: int
    """The number of secrets of received bulletins that were left out: their content will be asked for
    again.
    """
    folders: list[str]
    """All folders, even if empty: a node does not start without the folders of its law."""
    files: dict[str, tuple[int, str]]
    """The files by path, each as (bytes, SHA-256 in hexadecimal)."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    manifest: Manifest
    digest: Digest
    """SHA-256 of the manifest's file."""


def make_backup(
    root: Path, target: Path, passphrase: Callable[[], bytes], now: Instant, progress: Progress
) -> Made:
    """Write a backup of a data folder, whose node may be running; ``target`` appears whole or not at all.

    Raises ConfigError ID_CONFLICT (``target`` exists), NOT_FOUND; VaultError; StoreError.
    """
    folder = Folder(root)
    settings = read_settings(folder.settings)
    check_private(root, StoreError, "DATA_PERMISSIONS")
    _need_nothing_at(target)
    vault = open_vault(folder.vault, passphrase(), suites=SUITES, random=os.urandom, allow_development=True)
    with _appearing(target) as made:
        data = made / DATA
        make_private_folder(data)
        with _copied(folder, settings, data / folder.database.name, vault.storage_key(), progress) as copied:
            view, blanked = copied
            own = [row.place.hex() for row in _own_files(view)]
            me = view.get(NODE, SELF)
            head = view.get(LOG_HEAD, me.incarnation) if me is not None else None
        # Opened after the database was copied: the copy names no key that the vault does not have.
        vault = open_vault(
            folder.vault, passphrase(), suites=SUITES, random=os.urandom, allow_development=True
        )
        sealing = len(vault.sealing_keys())
        make_private_folder(data / "vault")
        write_private(data / "vault" / "keys", vault.without_sealing_keys())
        _copy_rest(root, data)
        if settings.store is not None:  # in a backup the rows are in a file
            written = data / folder.settings.name
            write_private(written, with_store(written.read_text("utf-8"), None).encode())
        _copy_own_files(folder, data, own, progress)
        manifest = Manifest(
            FORMAT,
            settings.member,
            settings.node,
            now,
            __version__,
            me.incarnation if me is not None else 0,
            head.size if head is not None else 0,
            sealing,
            blanked,
            sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_dir()),
            {name: _digest(data / name) for name in _files_below(data)},
        )
        text = json.dumps(asdict(manifest), indent=1).encode()
        write_private(made / MANIFEST, text)
        write_private(made / SEAL, _seal(vault, text).hex().encode())
    return Made(manifest, Digest(hashlib.sha256(text).digest()))


@contextlib.contextmanager
def _copied(
    folder: Folder, settings: Settings, target: Path, key: bytes, progress: Progress
) -> Iterator[tuple[View, int]]:
    """Copy the rows into a file; what was copied, and how many secrets are not in it."""
    if settings.store is not None:
        with look_at(location(folder, settings, None), TABLES, key) as found:
            yield (
                _given(found),
                copy_view(_given(found), target, TABLES, key, partial(_blanked, _given(found))),
            )
        return
    with snapshot(folder.database) as source:
        view = _given(looking(source, TABLES, key))
        say = partial(progress, "database")
        yield view, copy_database(source, target, TABLES, partial(_blanked, view), say)


def _given(view: View | None) -> View:
    assert view is not None  # noqa: S101 - the storage key was given
    return view


def restore_backup(
    backup: Path,
    root: Path,
    passphrase: Callable[[], bytes],
    *,
    replace: bool,
    now: Instant,
    progress: Progress,
) -> tuple[Manifest, Path | None]:
    """Make a data folder from a backup after verifying every digest.

    An existing folder is kept under another name if ``replace`` allows it to be moved aside: once the other
    one is complete, so that it stays in its place if that fails. Returns the manifest, and the path of the
    folder that was moved aside.

    Raises ConfigError ID_CONFLICT, NOT_FOUND; VaultError; StoreError RECORD_CORRUPT, DATA_LOCKED, DISK_FULL.
    """
    manifest, text = _read_manifest(backup)
    data = backup / DATA
    _verify(data, manifest, progress)
    # The vault is opened in the backup: nothing is written until the passphrase has opened it and the seal is
    # verified.
    vault = open_vault(
        data / "vault" / "keys", passphrase(), suites=SUITES, random=os.urandom, allow_development=True
    )
    _check_seal(vault, text, backup)
    locked = _lock_replaced(root, manifest) if replace else None
    aside = root.with_name(f"{root.name}.replaced-{now // 1_000_000}") if locked is not None else None
    if aside is None:
        _need_nothing_at(root)
    with contextlib.ExitStack() as held:
        if locked is not None:
            held.callback(locked.release)
        made = held.enter_context(_appearing(root, aside))
        for name in manifest.folders:
            _make_folders(made / name, made)
        for place, name in enumerate(manifest.files):
            to = made / name
            _make_folders(to.parent, made)
            _copy(data / name, to)
            if _digest(to) != tuple(manifest.files[name]):
                raise _damaged(backup / DATA / name)
            progress("files", place + 1, len(manifest.files))
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


def _blanked(view: View, row: SecretRow) -> SecretRow:
    """Return the row without the secret of a received bulletin: a bulletin that is destroyed later must not
    survive in a backup.
    """
    received = view.get(INBOX, row.md) is not None and view.get(BULLETIN, row.md) is None
    return changed(row, sealed=bytes(len(row.sealed))) if received else row


def _own_files(view: View) -> list[FileRow]:
    found: list[FileRow] = []
    after: tuple[FilePlace, ...] = ()
    while rows := view.find(FILE, "key", after=after):
        found += [row for row in rows if not row.member]
        after = (rows[-1].place,)
    return found


def _copy_rest(root: Path, data: Path) -> None:
    for path in sorted(root.iterdir()):
        if (
            path.name in _NOT_COPIED
            or path.name.startswith((".", "intelshare.", "replica-", "sockets"))
            or path.is_symlink()
        ):
            continue
        for one in (path, *sorted(path.rglob("*"))):
            if one.is_dir():
                _make_folders(data / one.relative_to(root), data)
            elif one.is_file() and not one.is_symlink():
                to = data / one.relative_to(root)
                _make_folders(to.parent, data)
                with contextlib.suppress(FileNotFoundError):  # replaced just now
                    _copy(one, to)


def _copy_own_files(folder: Folder, data: Path, names: list[str], progress: Progress) -> None:
    if names:
        make_private_folder(data / "files")
    for place, name in enumerate(names):
        with contextlib.suppress(FileNotFoundError):  # its bulletin has ended in the meantime
            _copy(folder.files / name, data / "files" / name)
        progress("attachments", place + 1, len(names))


def _copy(source: Path, target: Path) -> None:
    with disk_errors(target), source.open("rb") as read:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as write:
            shutil.copyfileobj(read, write, _PART)
            write.flush()
            os.fsync(descriptor)


def _make_folders(path: Path, top: Path) -> None:
    for one in (*reversed(path.relative_to(top).parents), path.relative_to(top)):
        make_private_folder(top / one)


def _files_below(data: Path) -> list[str]:
    return sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _verify(data: Path, manifest: Manifest, progress: Progress) -> None:
    """Check that every file is as it was written, and that there are no others. Raises StoreError
    RECORD_CORRUPT.
    """
    for name in manifest.folders:
        if not _is_below(name):
            raise _damaged(data / name)
    for place, (name, listed) in enumerate(manifest.files.items()):
        path = data / name
        if not _is_below(name) or path.is_symlink() or not path.is_file() or _digest(path) != tuple(listed):
            raise _damaged(path)
        progress("digests", place + 1, len(manifest.files))
    for name in _files_below(data):
        if name not in manifest.files:
            raise _damaged(data / name)


def _is_below(name: str) -> bool:
    """Return true if a path in a manifest stays inside its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _damaged(path: Path) -> StoreError:
    return StoreError(
        "RECORD_CORRUPT",
        "this file of the backup has changed since it was written",
        place=Place(str(path)),
        hint="nothing was restored; use another backup",
    )


def _read_manifest(backup: Path) -> tuple[Manifest, bytes]:
    path = backup / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MANIFEST)
        manifest = Manifest(**json.loads(text))
        if manifest.format != FORMAT:
            raise ValueError(f"its format is {manifest.format!r}")
    except FileNotFoundError:
        raise ConfigError(
            "NOT_FOUND",
            "there is no backup here",
            place=Place(str(path)),
            hint="`intelshare node backup` makes one",
        ) from None
    except (ValueError, TypeError) as error:
        raise StoreError(
            "RECORD_CORRUPT", f"this is not a manifest: {error}", place=Place(str(path))
        ) from None
    return manifest, text


def _seal(vault: FileVault, text: bytes) -> bytes:
    digest = hashlib.sha256(text).digest()
    return seal_at_rest(vault.storage_key(), os.urandom(24), digest, table="backup", row=b"", slot=0)


def _check_seal(vault: FileVault, text: bytes, backup: Path) -> None:
    try:
        sealed = bytes.fromhex((backup / SEAL).read_text("ascii"))
        found = open_at_rest(vault.storage_key(), sealed, table="backup", row=b"", slot=0)
    except (CryptoError, ValueError, OSError):
        found = b""
    if found != hashlib.sha256(text).digest():
        raise _damaged(backup / MANIFEST)


def _lock_replaced(root: Path, manifest: Manifest) -> Locked | None:
    """Lock the existing folder that the backup's is to replace; None if there is none. Raises StoreError
    DATA_LOCKED; ConfigError ID_CONFLICT.
    """
    if not root.exists() or not any(root.iterdir()):
        return None
    _need_no_mount_at(root)
    locked = lock(root)
    try:
        _check_same_node(root, manifest)
    except BaseException:
        locked.release()
        raise
    return locked


def _check_same_node(root: Path, manifest: Manifest) -> None:
    folder = Folder(root)
    try:
        there = read_settings(folder.settings).node
    except IntelshareError:
        # What is to be replaced may be damaged: it is kept, and a folder of something else has neither.
        if not (folder.vault.exists() or folder.database.exists()):
            raise
        return
    if there != manifest.node:
        raise ConfigError(
            "ID_CONFLICT",
            f"the folder belongs to {there}, the backup to {manifest.node}",
            place=Place(str(root)),
            hint="restore it into another folder",
        )


def _need_no_mount_at(path: Path) -> None:
    if path.is_mount():
        raise ConfigError(
            "ID_CONFLICT",
            "a disk is mounted here: a folder cannot appear whole in its place",
            place=Place(str(path)),
            hint=f"name a folder below it, such as {path / 'data'}",
        )


def _need_nothing_at(path: Path) -> None:
    _need_no_mount_at(path)
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise ConfigError(
            "ID_CONFLICT",
            "this path already exists",
            place=Place(str(path)),
            hint="name a path that does not exist yet; `node restore --replace` moves a data folder aside",
        )


@contextlib.contextmanager
def _appearing(target: Path, aside: Path | None = None) -> Iterator[Path]:
    """Yield a private folder that gets its name once all of it is on disk, and is removed if that fails.

    ``aside``: what has the name gets this one at that moment.
    """
    made = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk_errors(target):
        _remove_left_over(target)
        make_private_folder(made)
        try:
            yield made
            for path in (made, *(one for one in made.rglob("*") if one.is_dir())):
                _sync(path)
            if aside is not None:
                target.rename(aside)
            elif target.exists():
                target.rmdir()
            made.rename(target)
            _sync(target.parent)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise


def _remove_left_over(target: Path) -> None:
    """Remove what a process that was killed had begun under this name: it has a copy of the vault."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        number = path.suffixes[-2].removeprefix(".")
        with contextlib.suppress(ValueError, PermissionError):
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
