"""Locks the data folder: private to its owner, and used by one node at a time."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from intelshare.errors import StoreError
from intelshare.private_files import check_private, disk_errors


@dataclass(slots=True)
class Locked:
    """A data folder that is ours until ``release``, or until the process ends, however it ends."""

    path: Path
    _descriptor: int

    def release(self) -> None:
        """Release the folder. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder_of(folder: Path) -> str:
    """Return the id of the process that has the folder for itself; empty: nobody has."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return ""


def lock(folder: Path, *, shared: bool = False) -> Locked:
    """Lock the folder. ``shared``: together with other replicas, of which the database lets one write.

    Raises StoreError DATA_PERMISSIONS, DATA_LOCKED (by which process), DISK_FULL.
    """
    if not folder.is_dir():
        raise StoreError(
            "NOT_FOUND",
            f"{folder} is not a data folder",
            hint="is its disk mounted? For a new member: `intelshare init MEMBER FOLDER`",
        )
    check_private(folder, StoreError, "DATA_PERMISSIONS")
    path = folder / "lock"
    try:
        with disk_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(
            "DATA_PERMISSIONS", f"the lock cannot be opened: {error}", hint=f"remove {path} if it is a link"
        ) from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreError(
            "DATA_LOCKED",
            f"process {holder} is using {folder}",
            hint="`intelshare node status` asks a node that runs; one that starts, or another command, is "
            "done soon: wait for it, then repeat this",
        ) from None
    try:
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(descriptor)
        raise
    return Locked(folder, descriptor)
