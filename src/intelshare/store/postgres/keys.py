"""Keys of groups of secrets, each a small file in the data folder that is overwritten in place when it ends.

PostgreSQL keeps what was overwritten: in dead rows until a vacuum, in its log, in standbys and in every base
backup. So an erasable row stands there sealed under the key of its group, and the key stands here. To erase a
row its group's other rows are sealed again under another key, and then the file is overwritten: whatever copy
of the old rows is left anywhere opens no more (decision 63).

    KEYS/EPOCH-NUMBER   the group's 32 bytes, sealed under the vault's storage key for this name

The epoch is the number of the opening which made the file, so that two of them never write one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from intelshare.crypto.rest import KEY_LENGTH, NONCE_LENGTH, open_at_rest, seal_at_rest
from intelshare.errors import CryptoError, StoreError
from intelshare.private_files import disk_errors, make_private_folder, read_private, write_private

ROWS: Final = 1024
"""Rows under one key: as many, at most, are sealed again to erase one."""

_LONGEST: Final = 1024
"""The bytes of a row whose changed bit is looked for: about 25 ms. A secret has some 250."""

_MOST: Final = 4096
_TABLE: Final = "database-key"
_NAME: Final = re.compile("([0-9a-f]+)-([0-9a-f]+)", re.ASCII)


class GroupKeys:
    """The keys of one folder. Used by the writer; ``opened`` by any thread."""

    def __init__(self, folder: Path, storage_key: bytes, epoch: int) -> None:
        """``epoch``: of this opening. Raises StoreError DISK_FULL, DATA_PERMISSIONS."""
        self._folder, self._storage_key, self._epoch = folder, storage_key, epoch
        self._made = self._rows = 0
        self._current: tuple[int, bytes] | None = None
        self._known: dict[int, bytes] = {}
        with disk_errors(folder):
            make_private_folder(folder)

    def sealed(self, table: str, place: int, record: bytes) -> tuple[int, bytes]:
        """A row under the key of the present group: its group, and what is stored. Raises StoreError."""
        if self._current is None or self._rows >= ROWS:
            self._begin()
        assert self._current is not None  # noqa: S101 - made above
        self._rows += 1
        group, key = self._current
        return group, seal_at_rest(
            key, os.urandom(NONCE_LENGTH), record, table=table, row=_name(place), slot=0
        )

    def opened(self, table: str, place: int, group: int, found: bytes) -> bytes | None:
        """The row; None if its key is gone, or it is not as it was written. Raises StoreError; OSError."""
        key = self._known.get(group) or self._read(group)
        if key is None:
            return None
        return _opened(key, table, place, bytes(found))

    def restored(self, table: str, place: int, group: int, found: bytes) -> bytes | None:
        """The row, if only one bit of what is stored has changed: the tag of 128 bits tells which.

        None if its key is gone: what was erased never comes back.
        """
        key = self._known.get(group) or self._read(group)
        if key is None or len(found) > _LONGEST:
            return None
        changed = bytearray(found)
        for bit in range(8 * len(changed)):
            changed[bit >> 3] ^= 1 << (bit & 7)
            record = _opened(key, table, place, bytes(changed))
            if record is not None:
                return record
            changed[bit >> 3] ^= 1 << (bit & 7)
        return None

    def end_group(self) -> None:
        """Use another key for everything that is sealed from now on."""
        self._current = None

    def forget(self) -> None:
        """Look for every key in its file again: another process may have ended some."""
        self._known = dict([self._current]) if self._current is not None else {}

    def drop(self, groups: Collection[int]) -> None:
        """Overwrite and remove these keys. Raises StoreError DISK_ERROR; OSError."""
        for group in groups:
            self._known.pop(group, None)
            _erase(self._path(group))

    def groups(self) -> list[int]:
        """All groups that have a key here."""
        found = []
        for path in self._folder.iterdir():
            if (name := _NAME.fullmatch(path.name)) is not None:
                found.append(int(name[1], 16) << 32 | int(name[2], 16))
        return sorted(found)

    def _begin(self) -> None:
        self._made += 1
        group, key = self._epoch << 32 | self._made, os.urandom(KEY_LENGTH)
        sealed = seal_at_rest(
            self._storage_key, os.urandom(NONCE_LENGTH), key, table=_TABLE, row=_name(group), slot=0
        )
        write_private(self._path(group), sealed)
        self._known[group] = key
        self._current, self._rows = (group, key), 0

    def _read(self, group: int) -> bytes | None:
        path = self._path(group)
        try:
            with disk_errors(path, "read"):
                sealed = read_private(path, StoreError, "DATA_PERMISSIONS", _MOST)
            key = open_at_rest(self._storage_key, sealed, table=_TABLE, row=_name(group), slot=0)
        except (FileNotFoundError, CryptoError):
            return None
        self._known[group] = key
        return key

    def _path(self, group: int) -> Path:
        return self._folder / f"{group >> 32:x}-{group & 0xFFFFFFFF:x}"


def drop_all(folder: Path) -> None:
    """Overwrite and remove every key of a folder. Raises StoreError DISK_ERROR; OSError."""
    for path in sorted(folder.glob("*-*")):
        _erase(path)


def _erase(path: Path) -> None:
    with disk_errors(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)


def _opened(key: bytes, table: str, place: int, found: bytes) -> bytes | None:
    try:
        return open_at_rest(key, found, table=table, row=_name(place), slot=0)
    except CryptoError:
        return None


def _name(number: int) -> bytes:
    return number.to_bytes(8, "big")
