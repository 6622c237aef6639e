"""A folder that appears whole or not at all, and the copies in it.

What a process that was killed had begun is removed by the next one that makes a folder of the same name.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from intelshare.errors import ConfigError, Place
from intelshare.private_files import disk_errors, make_private_folder, sync_folder

_PART: Final = 1 << 20


@contextlib.contextmanager
def appearing(target: Path, aside: Path | None = None) -> Iterator[Path]:
    """Yield a private folder that gets its name once all of it is on disk, and is removed if that fails.

    ``aside``: what has the name gets this one at that moment. Raises StoreError DISK_FULL, DISK_ERROR.
    """
    made = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk_errors(target):
        _remove_left_over(target)
        make_private_folder(made)
        try:
            yield made
            for path in (made, *(one for one in made.rglob("*") if one.is_dir())):
                sync_folder(path)
            if aside is not None:
                target.rename(aside)
            elif target.exists():
                target.rmdir()
            made.rename(target)
            sync_folder(target.parent)
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


def need_no_mount_at(path: Path) -> None:
    """Raise ConfigError ID_CONFLICT if a disk is mounted here."""
    if path.is_mount():
        raise ConfigError(
            "ID_CONFLICT",
            "a disk is mounted here: a folder cannot appear whole in its place",
            place=Place(str(path)),
            hint=f"name a folder below it, such as {path / 'data'}",
        )


def need_nothing_at(path: Path) -> None:
    """Raise ConfigError ID_CONFLICT unless a folder may appear here: there is nothing, or an empty one."""
    need_no_mount_at(path)
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise ConfigError(
            "ID_CONFLICT",
            "this path already exists",
            place=Place(str(path)),
            hint="name a path that does not exist yet; `node restore --replace` moves a data folder aside",
        )


def make_folders(path: Path, top: Path) -> None:
    """Make a private folder below another, with all between."""
    for one in (*reversed(path.relative_to(top).parents), path.relative_to(top)):
        make_private_folder(top / one)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file durably, 0600, to a path that does not exist. Raises StoreError; OSError."""
    with disk_errors(target), source.open("rb") as read:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as write:
            shutil.copyfileobj(read, write, _PART)
            write.flush()
            os.fsync(descriptor)


def files_below(data: Path) -> list[str]:
    """Return the paths of all files in a folder and its folders, relative to it, in order."""
    return sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
