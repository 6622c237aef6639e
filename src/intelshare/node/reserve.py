"""The reserve: a file whose room the node gives up when the disk is full.

Its bytes are really allocated wherever the file system can do that. One that compresses, or copies on each
write, may give back less: there the bound on free space has to be enough.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from intelshare.engine.events import Space
from intelshare.errors import Place, StoreError
from intelshare.private_files import disk_errors

NAME: Final = "reserve"
"""The file's name in the data folder."""

TO_START: Final = 4 << 20
"""The bytes without which no start is attempted: for its log entry, certificates, sidecar and
``run.json``.
"""

_UNCOUNTED: Final = 1 << 32

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


NEW_FILES: Final = 64
"""The new files without which a folder counts as full: all beside the database is written as a new file."""


def free_bytes(folder: Path) -> int:
    """Return what this folder's file system says it has free for this process; it does not count quotas.

    0 if it takes no more files, however many bytes are free.
    """
    found = os.statvfs(folder)
    return 0 if free_files(folder) < NEW_FILES else found.f_bavail * found.f_frsize


def free_files(folder: Path) -> int:
    """Return how many more files this folder's file system takes; a large number if it counts none."""
    found = os.statvfs(folder)
    return found.f_favail if found.f_files else _UNCOUNTED


def read_only(folder: Path) -> bool:
    """Return true if this folder's file system is read-only, as the kernel makes it after a disk error."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def held_bytes(folder: Path) -> int:
    """Return the size of the reserve, or 0 if it has been given up."""
    try:
        return (folder / NAME).stat().st_size
    except FileNotFoundError:
        return 0


def look(folder: Path) -> Space:
    """Return what is free, and what is held in reserve. Raises OSError."""
    return Space(free_bytes(folder), held_bytes(folder))


def hold(folder: Path, size: int) -> bool:
    """Allocate the reserve again; return true if there was room for it. Otherwise nothing of it is left.

    Raises StoreError DISK_ERROR; OSError.
    """
    path = folder / NAME
    if held_bytes(folder) == size:
        return True
    try:
        with disk_errors(path):
            descriptor = os.open(path, _FLAGS, 0o600)
            try:
                if size:
                    os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
    except StoreError as error:
        give_up(folder)
        if error.code != "DISK_FULL":
            raise
        return False
    return True


def give_up(folder: Path) -> None:
    """Remove the reserve: its room is for what must continue."""
    with contextlib.suppress(FileNotFoundError):
        (folder / NAME).unlink()


def need_room_to_start(folder: Path) -> None:
    """Check that there is room for a start, giving up the reserve if needed. Raises StoreError DISK_FULL.

    A folder that does not exist needs no room: opening it will report that.
    """
    if not folder.is_dir():
        return
    if free_bytes(folder) < TO_START:
        give_up(folder)
    free = free_bytes(folder)
    if free < TO_START:
        what = f"has {free >> 10} KiB free; a start needs {TO_START >> 20} MiB"
        if free_files(folder) < NEW_FILES:
            what = "takes no more files (inodes: df -i)"
        raise StoreError(
            "DISK_FULL",
            f"the disk of {folder} {what}",
            place=Place(str(folder)),
            hint="free some space on that disk, then start again",
        )
