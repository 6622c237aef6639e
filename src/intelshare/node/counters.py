"""Counts of the running process, and the system's figures about it, for metrics."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from intelshare.node.folder import Folder
from intelshare.node.reserve import held_bytes
from intelshare.services import Counts

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def counts(
    folder: Folder, lines: Mapping[tuple[str, str], int], refusals: Counter[tuple[str, str]]
) -> Counts:
    """Return the current counts of this process and its data folder. Raises OSError if the folder is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    room = os.statvfs(folder.root)
    return Counts(
        dict(lines),
        dict(refusals),
        int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE,
        used.ru_utime + used.ru_stime,
        len(os.listdir("/proc/self/fd")),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        {
            "database": _size(folder.database),
            "wal": _size(folder.database.with_name(f"{folder.database.name}-wal")),
        },
        room.f_bavail * room.f_frsize,
        room.f_blocks * room.f_frsize,
        held_bytes(folder.root),
    )


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
