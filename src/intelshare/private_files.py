"""Folders and files that only their owner may read: created so whatever the umask, refused if they are not.

Writing replaces a file whole or not at all: a temporary file beside it, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from intelshare.errors import PASSING, ConfigError, IntelshareError, Place, StoreError

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_WRITE_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

SECRETS: Final = "INTELSHARE_SECRETS"
"""The variable that names the folder of mounted secrets (docs/operations.md)."""

MAX_CONFIGURATION: Final = 1 << 20
"""The most bytes of a file of settings, of a profile or of certificates."""

SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN))
"""The system's errors when it has no descriptor or memory left for now."""


def shortage(error: BaseException) -> StoreError | None:
    """Return RESOURCES_SHORT if the system has no descriptor, memory or thread left for now."""
    no_thread = isinstance(error, RuntimeError) and "new thread" in str(error)
    if isinstance(error, MemoryError) or no_thread or (isinstance(error, OSError) and error.errno in SHORT):
        return StoreError("RESOURCES_SHORT", f"the system is short of resources: {error!r}", hint=_MORE)
    return None


_MORE: Final = "raise the limit on open files, or stop the programs that use them"

_DISK: Final = {
    errno.ENOSPC: ("DISK_FULL", "free some space"),
    errno.EDQUOT: ("DISK_FULL", "free some space, or ask for a larger quota"),
    errno.EROFS: ("DISK_ERROR", "the file system takes no more writes: check the disk"),
    **dict.fromkeys(SHORT, ("RESOURCES_SHORT", _MORE)),
    errno.EIO: ("DISK_ERROR", "check the disk"),
}


def passing(error: OSError) -> str | None:
    """Return the code of PASSING for what the system lacks for now; None: the error is something else."""
    code, _ = _DISK.get(error.errno or 0, ("", ""))
    return code if code in PASSING else None


@contextlib.contextmanager
def disk_errors(path: Path, what: str = "written") -> Iterator[None]:
    """Turn refusals of the disk or the system into StoreError DISK_FULL, DISK_ERROR or RESOURCES_SHORT.

    Other errors pass unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        code, hint = _DISK[error.errno]
        message = f"{path.name} could not be {what}: {error.strerror}"
        raise StoreError(code, message, place=Place(str(path)), hint=hint) from error


def folder_error(error: BaseException, folder: Path) -> StoreError | None:
    """Return DISK_ERROR for the system's refusal of something in this data folder: its disk was taken away or
    does not answer; None for any other error.
    """
    if not isinstance(error, OSError):
        return None
    at = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if error.errno != errno.EIO and (at is None or not at.is_relative_to(folder)):
        return None
    return StoreError(
        "DISK_ERROR",
        f"the data folder cannot be used: {error.strerror}",
        place=Place(str(at if at is not None else folder)),
        hint="is its disk there, and mounted? Then start again",
    )


def make_private_folder(path: Path) -> None:
    """Make the folder and its parents; the folder itself is 0700 whatever the umask."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def check_private(path: Path, error: type[IntelshareError], code: str) -> None:
    """Return if the folder or file belongs to this user and nobody else has access.

    Raises ``error`` with ``code`` (KEYSTORE_PERMISSIONS, DATA_PERMISSIONS) and the chmod to run; also for a
    symbolic link, whose target somebody else may change.
    """
    _check(path, path.lstat(), error, code)


def read_private(path: Path, error: type[IntelshareError], code: str, limit: int) -> bytes:
    """Return the bytes of a file that only its owner can read, at most ``limit`` and one more.

    Raises ``error`` with ``code`` as ``check_private`` does; FileNotFoundError.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError:
        _check(path, path.lstat(), error, code)
        raise
    with os.fdopen(descriptor, "rb") as file:
        # Check the file that was opened, not the one that has the name by now.
        _check(path, os.fstat(descriptor), error, code)
        return file.read(limit + 1)


def read_trusted(path: Path, limit: int = MAX_CONFIGURATION, *, secret: bool = False) -> bytes:
    """Read a file that controls this program: settings, profiles, certificates, policy.

    All such reads go through here. The file and its folder must belong to this user or to root, nobody else
    may be able to write them, and the file must have one name and not be a link; with ``secret`` nobody else
    may be able to read it either. Raises ConfigError UNSAFE_FILE, TOO_LARGE; FileNotFoundError,
    NotADirectoryError.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        check_trusted(path.parent, os.fstat(folder))
        descriptor = os.open(path.name, _READ, dir_fd=folder)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        what = "this is a link" if error.errno == errno.ELOOP else f"this cannot be read: {error.strerror}"
        raise _unsafe(path, what, "put the file itself there, as its owner") from None
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as file:
        # Check the file that was opened, not the one that has the name by now.
        check_trusted(path, os.fstat(descriptor), secret=secret)
        data = file.read(limit + 1)
    return _whole(path, data, limit)


def secrets_folder() -> Path | None:
    """Return the folder of secrets that a platform has mounted for this process, if any."""
    named = os.environ.get(SECRETS)
    return Path(named) if named else None


def read_secret(folder: Path, name: str, limit: int = MAX_CONFIGURATION) -> bytes:
    """Read a secret from a folder that a platform has mounted: the only way to read files of that kind.

    The folder is this user's or root's, and nobody else can write it. The file may be a link to one inside
    the folder, may be root's, and a group may read it; others can neither read nor write it. Raises
    ConfigError UNSAFE_FILE, TOO_LARGE; FileNotFoundError, NotADirectoryError.
    """
    path = folder / name
    check_trusted(folder, folder.stat())
    real = path.resolve(strict=True)
    if not real.is_relative_to(folder.resolve()):
        raise _unsafe(path, "this is a link out of its folder", "mount the secret itself there")
    descriptor = os.open(real, _READ)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unsafe(path, "this is not an ordinary file", "mount a file there")
        if found.st_uid not in (os.geteuid(), 0):
            raise _unsafe(path, "this belongs to another user", "mount it as root's, or as this user's")
        if found.st_mode & (_WRITE_OTHERS | stat.S_IROTH):
            what = f"others can use this (mode {_mode(found)})"
            raise _unsafe(path, what, "mount it with mode 0400 or 0440")
        data = file.read(limit + 1)
    return _whole(path, data, limit)


def _whole(path: Path, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        message = f"this file has at most {limit} bytes"
        raise ConfigError("TOO_LARGE", message, place=Place(str(path)), hint="check what it is")
    return data


def check_trusted(path: Path, found: os.stat_result, *, secret: bool = False) -> None:
    """Return if the file or folder may control this program. Raises ConfigError UNSAFE_FILE."""
    is_folder = stat.S_ISDIR(found.st_mode)
    if not (is_folder or stat.S_ISREG(found.st_mode)):
        raise _unsafe(path, "this is not an ordinary file", "put a file there")
    if found.st_uid not in (os.geteuid(), 0):
        raise _unsafe(path, "this belongs to another user", f"check what it is; if it is yours: chown {path}")
    if not is_folder and found.st_nlink > 1:
        raise _unsafe(path, "this file has a second name (hard link)", "replace it with a copy")
    # In a folder with the sticky bit others can add files, but not touch this user's.
    sticky = is_folder and bool(found.st_mode & stat.S_ISVTX)
    if found.st_mode & _WRITE_OTHERS and not sticky:
        raise _unsafe(path, f"others can write this (mode {_mode(found)})", f"chmod go-w {path}")
    if secret and found.st_mode & _OTHERS:
        raise _unsafe(path, f"others can read this (mode {_mode(found)})", f"chmod 600 {path}")


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"


def _unsafe(path: Path, what: str, hint: str) -> ConfigError:
    return ConfigError("UNSAFE_FILE", f"{what}: it is not used", place=Place(str(path)), hint=hint)


def write_private(path: Path, data: bytes) -> None:
    """Write or replace the file, 0600, durably; a crash leaves the old or the new one.

    Raises StoreError DISK_FULL, RESOURCES_SHORT, DISK_ERROR; OSError.
    """
    with disk_errors(path):
        _write(path, data)


def replace_secrets(path: Path, data: bytes) -> None:
    """Replace a file as ``write_private`` does; then overwrite the blocks of the former one.

    What was destroyed in the file is then nowhere on a disk that writes in place. Raises what
    ``write_private`` raises.
    """
    with disk_errors(path), contextlib.ExitStack() as stack:
        former = None
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            former = stack.enter_context(os.fdopen(descriptor, "wb", buffering=0))
        size = os.fstat(former.fileno()).st_size if former is not None else 0
        _write(path, data)
        if former is not None:
            former.write(bytes(size))
            os.fsync(former.fileno())


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path, found: os.stat_result, error: type[IntelshareError], code: str) -> None:
    place = Place(str(path))
    is_folder = stat.S_ISDIR(found.st_mode)
    if not (is_folder or stat.S_ISREG(found.st_mode)):
        if stat.S_ISLNK(found.st_mode):
            raise error(code, "this is a link", place=place, hint="name what it leads to, not the link")
        raise error(
            code, "this is neither an ordinary file nor a folder", place=place, hint="remove what is there"
        )
    if found.st_uid != os.geteuid():
        raise error(
            code, "this belongs to another user", place=place, hint=f"run as its owner, or: chown {path}"
        )
    if not is_folder and found.st_nlink > 1:
        raise error(
            code,
            "this file has a second name (hard link)",
            place=place,
            hint=f"find it with `find / -samefile {path}`, and remove the one that nobody should have made",
        )
    if found.st_mode & _OTHERS:
        mode = "700" if is_folder else "600"
        raise error(
            code,
            f"others may use this: its mode is {stat.S_IMODE(found.st_mode):04o}",
            place=place,
            hint=f"chmod {mode} {path}",
        )
