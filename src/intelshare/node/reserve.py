"""Room that a node keeps for itself: a file that is given up when the disk is full.

Its bytes are allocated, not only promised, wherever the file system can do that. One that
compresses, or copies on each write, may give back less: there the bound on what is free has to be enough.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from intelshare.engine.values import Space
from intelshare.errors import Place, StoreError
from intelshare.private_files import disk_errors

NAME: Final = "reserve"
"""In the data folder."""

TO_START: Final = 4 << 20
"""Bytes without which no start is tried: its log entry, certificates, sidecar and ``run.json``."""

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def free_bytes(folder: Path) -> int:
    """What the file system of this folder has for this process, as far as it says; quotas it does not."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def held_bytes(folder: Path) -> int:
    """Of the reserve; 0: it is given up."""
    try:
        return (folder / NAME).stat().st_size
    except FileNotFoundError:
        return 0


def look(folder: Path) -> Space:
    """What is free, and what is held. Raises OSError."""
    return Space(free_bytes(folder), held_bytes(folder))


def hold(folder: Path, size: int) -> bool:
    """Allocate the reserve anew; whether there was room for it. Nothing of it is left if there was not.

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
    """Remove it: its room is for what must go on."""
    with contextlib.suppress(FileNotFoundError):
        (folder / NAME).unlink()


def need_room_to_start(folder: Path) -> None:
    """Return if a start has a chance; the reserve is given up for it. Raises StoreError DISK_FULL.

    A folder that is not there needs no room: whoever opens it says so.
    """
    if not folder.is_dir():
        return
    if free_bytes(folder) < TO_START:
        give_up(folder)
    free = free_bytes(folder)
    if free < TO_START:
        raise StoreError(
            "DISK_FULL",
            f"the disk of {folder} has {free >> 10} KiB free; a start needs {TO_START >> 20} MiB",
            place=Place(str(folder)),
            hint="make room on that disk, then start again",
        )
