"""Reads the files that a command names, and writes files: foreign content only as new files and through no
planted link; the user's files as a whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from intelshare.errors import ConfigError, Place

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Filler = Callable[[BinaryIO], object]
"""A function that writes a file's content and raises if the content cannot be had whole."""


def write_new_file(path: Path, content: bytes | Filler) -> Path:
    """Write one file that a command names, as ``write_new``. Raises what that raises."""
    remedy = "name a file that is not there yet, or move this one away first"
    return write_new(path.parent, {path.name: content}, remedy=remedy)[0]


def write_new(
    folder: Path, contents: Mapping[str, bytes | Filler], *, remedy: str = "choose an empty folder"
) -> list[Path]:
    """Write each content under its (safe) name, mode 0600, all or none; return the paths.

    ``remedy``: what helps if one of them exists. A file written by a ``Filler`` has another name until it is
    complete and durable. Raises ConfigError UNSAFE_NAME if one of the names already exists, be it a file, a
    link or a pipe, or if the folder itself is a link; and whatever a filler raises.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        holder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise ConfigError("UNSAFE_NAME", "this is a link, not a folder", place=Place(str(folder))) from None
    written: list[str] = []
    try:
        for name, content in contents.items():
            try:
                if isinstance(content, bytes):
                    _write(holder, name, content)
                else:
                    _fill(holder, name, content)
            except _Taken:
                raise _taken(folder / name, remedy) from None
            written.append(name)
        os.fsync(holder)
    except BaseException:
        for name in written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=holder)
        raise
    finally:
        os.close(holder)
    return [folder / name for name in written]


class _Taken(Exception):
    """The name exists."""


def _write(holder: int, name: str, content: bytes) -> None:
    try:
        descriptor = os.open(name, _NEW, 0o600, dir_fd=holder)
    except FileExistsError:
        raise _Taken from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        os.unlink(name, dir_fd=holder)
        raise


def _fill(holder: int, name: str, fill: Filler) -> None:
    """Write a file that appears whole or not at all; if the process is killed, a ``.part`` file is left
    behind.
    """
    with contextlib.suppress(FileNotFoundError):
        os.lstat(name, dir_fd=holder)
        raise _Taken
    part = f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(part, _NEW, 0o600, dir_fd=holder), "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces an existing file.
        os.link(part, name, src_dir_fd=holder, dst_dir_fd=holder, follow_symlinks=False)
    except FileExistsError:
        raise _Taken from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=holder)


def _taken(path: Path, remedy: str) -> ConfigError:
    what = "something else" if path.is_symlink() or not path.is_file() else "a file"
    return ConfigError(
        "UNSAFE_NAME",
        f"{what} with this name already exists",
        place=Place(str(path)),
        hint=f"nothing was written; {remedy}",
    )


def read_given(path: Path | str, most: int) -> bytes:
    """Return the content of a file that a command names, or of standard input (``-``): up to one byte more
    than ``most``, by which a reader tells that it is too large. Raises ConfigError NOT_FOUND.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(most + 1)
        with open(path, "rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path | str, error: OSError) -> ConfigError:
    """Return the error for a file that a command names and that cannot be read."""
    return ConfigError(
        "NOT_FOUND",
        f"cannot be read: {error.strerror}",
        place=Place(str(path)),
        hint="check the file's name and permissions",
    )


@contextlib.contextmanager
def opened_regular(path: Path | str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file; yield it with its size. Raises ConfigError NOT_FOUND, INPUT_INVALID (a folder, a pipe, a
    device).
    """
    try:
        # Opening a pipe without a writer would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ConfigError("INPUT_INVALID", "this is not a regular file", place=Place(str(path)))
    with os.fdopen(descriptor, "rb") as file:
        yield file, found.st_size


def write_file(path: Path, text: str | bytes) -> None:
    """Write or replace a file of the user, whole or not at all; one that is there keeps its mode, and a link
    to it stays. A pipe or a device is written to. Raises OSError, which names the file.
    """
    data = text.encode() if isinstance(text, str) else text
    real = path.resolve()
    try:
        mode = _mode_of(real)
        if mode is not None and not stat.S_ISREG(mode):
            real.write_bytes(data)
        else:
            _replace(real, data, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(real: Path, data: bytes, mode: int | None) -> None:
    beside = real.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(beside, _NEW, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(real)
    finally:
        beside.unlink(missing_ok=True)
