"""Writing files: what others sent, as new ones and through nothing planted there; the user's own, whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from intelshare.errors import ConfigError, Place


def write_new(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write each content under its (safe) name, mode 0600, all or none; the paths.

    Raises ConfigError UNSAFE_NAME if anything has such a name already, be it a file, a link or a pipe, or if
    the folder itself is a link.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        holder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise ConfigError(
            "UNSAFE_NAME", "this is not a folder of its own", place=Place(str(folder))
        ) from None
    written: list[str] = []
    try:
        for name, content in contents.items():
            _write(holder, folder, name, content)
            written.append(name)
    except BaseException:
        for name in written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=holder)
        raise
    finally:
        os.close(holder)
    return [folder / name for name in written]


def _write(holder: int, folder: Path, name: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o600, dir_fd=holder)
    except FileExistsError:
        raise ConfigError(
            "UNSAFE_NAME",
            "something of this name is there already",
            place=Place(str(folder / name)),
            hint="nothing was written; choose an empty folder",
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def replace_text(path: Path, text: str) -> None:
    """Put a file's new text in its place, whole or not at all; mode and links stay. Raises OSError."""
    real = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            os.fchmod(file.fileno(), real.stat().st_mode & 0o777)
            file.write(text)
        os.replace(name, real)
    except BaseException:
        os.unlink(name)
        raise
