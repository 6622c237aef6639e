"""The files of a backup: the manifest, its seal, and the check of every other file (decision 47)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.errors import ConfigError, CryptoError, Place, StoreError
from intelshare.node.whole_folder import files_below
from intelshare.vault import FileVault

FORMAT: Final = "intelshare/backup/1"
MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.seal"
DATA: Final = "folder"
"""The folder in a backup that becomes the data folder."""

_MAX_MANIFEST: Final = 512 << 20

MOST_FILES: Final = 2_500_000
"""The most own files of a node in a backup: a manifest that lists them has room in what is read of it."""

Progress = Callable[[int, int], None]
"""A function ``progress(done, all)``."""


@dataclass(frozen=True, slots=True)
class BackupManifest:
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


def need_few_files(count: int) -> None:
    """Raise StoreError TOO_LARGE for more own files than a manifest can list: no backup would be restored."""
    if count > MOST_FILES:
        raise StoreError(
            "TOO_LARGE",
            f"the node keeps {count} files of its own, and a backup can list {MOST_FILES}",
            hint="nothing was backed up; files of this node go once their bulletins are delivered and their "
            "grace is over, or once they are recalled",
        )


def read_manifest(backup: Path) -> tuple[BackupManifest, bytes]:
    """Return the manifest of a backup, and the bytes that its seal covers. Raises ConfigError NOT_FOUND;
    StoreError RECORD_CORRUPT.
    """
    path = backup / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MANIFEST + 1)
        if len(text) > _MAX_MANIFEST:
            raise ValueError(f"it has more than {_MAX_MANIFEST} bytes")
        manifest = BackupManifest(**json.loads(text))
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


def seal_of(vault: FileVault, text: bytes) -> bytes:
    """Return the content of ``SEAL`` for a manifest: it opens only under the vault's storage key."""
    digest = hashlib.sha256(text).digest()
    return seal_at_rest(vault.storage_key(), os.urandom(24), digest, table="backup", row=b"", slot=0)


def check_seal(vault: FileVault, text: bytes, backup: Path) -> None:
    """Raise StoreError RECORD_CORRUPT unless the seal of a backup is of this manifest, under this key."""
    try:
        sealed = bytes.fromhex((backup / SEAL).read_text("ascii"))
        found = open_at_rest(vault.storage_key(), sealed, table="backup", row=b"", slot=0)
    except (CryptoError, ValueError, OSError):
        found = b""
    if found != hashlib.sha256(text).digest():
        raise damaged(backup / MANIFEST)


def verify_files(data: Path, manifest: BackupManifest, progress: Progress) -> None:
    """Check that every file is as it was written, and that there are no others. Raises StoreError
    RECORD_CORRUPT.
    """
    for name in manifest.folders:
        if not _is_below(name):
            raise damaged(data / name)
    for place, (name, listed) in enumerate(manifest.files.items()):
        path = data / name
        if not _is_below(name) or path.is_symlink() or not path.is_file() or digest_of(path) != tuple(listed):
            raise damaged(path)
        progress(place + 1, len(manifest.files))
    for name in files_below(data):
        if name not in manifest.files:
            raise damaged(data / name)


def _is_below(name: str) -> bool:
    """Return true if a path in a manifest stays inside its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def digest_of(path: Path) -> tuple[int, str]:
    """Return the bytes of a file and their SHA-256, as ``BackupManifest.files`` lists them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def damaged(path: Path) -> StoreError:
    """Return the error for a file of a backup that is not as the manifest lists it."""
    return StoreError(
        "RECORD_CORRUPT",
        "this file of the backup has changed since it was written",
        place=Place(str(path)),
        hint="nothing was restored; use another backup",
    )
