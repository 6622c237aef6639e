"""The file of a vault and the copy beside it (decision 91), without opening either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from intelshare.errors import Place, VaultError
from intelshare.private_files import check_private, read_private
from intelshare.vault.format import MAX_FILE, check_whole


def copy_of(path: Path) -> Path:
    """Return where the copy of a node's vault is: the same bytes, in the same folder."""
    return path.with_name(f"{path.name}.copy")


def damaged_of(path: Path) -> tuple[Path, ...]:
    """Return which of a node's vault and its copy is damaged or missing. Needs no passphrase."""
    return tuple(one for one in (path, copy_of(path)) if not _is_whole(_bytes_of(one)))


def read_both(path: Path) -> dict[Path, bytes | None]:
    """Return what the copy and the file say; None: it is missing, or cannot be read."""
    return {one: _bytes_of(one) for one in (copy_of(path), path)}


def read_by_a_start(path: Path, found: Mapping[Path, bytes | None]) -> Path | None:
    """Return the file if it is intact, whatever the copy is; or else the copy; None: neither is."""
    return next((one for one in (path, copy_of(path)) if _is_whole(found[one])), None)


def read_whole(path: Path) -> bytes:
    """Read the file, or its copy if it is damaged or missing. Raises VaultError of the file if there is no
    intact copy.
    """
    try:
        return _read_intact(path)
    except VaultError as error:
        if error.code == "KEYSTORE_PERMISSIONS":
            raise
        try:
            return _read_intact(copy_of(path))
        except VaultError as other:
            if other.code == "NOT_FOUND":
                raise error from None
            raise VaultError(
                other.code,
                f"{error.message}; its copy: {other.message}",
                place=Place(str(copy_of(path))),
                hint=other.hint,
            ) from None


def _read_intact(path: Path) -> bytes:
    try:
        check_private(path.parent, VaultError, "KEYSTORE_PERMISSIONS")
        data = read_private(path, VaultError, "KEYSTORE_PERMISSIONS", MAX_FILE)
        check_whole(data)
        return data
    except FileNotFoundError:
        raise VaultError(
            "NOT_FOUND",
            "there is no vault",
            place=Place(str(path)),
            hint="is its disk mounted? If it is lost: `intelshare node restore BACKUP FOLDER --replace`; "
            'without a backup: docs/runbook.md, "Lost vault"',
        ) from None


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _is_whole(data: bytes | None) -> bool:
    try:
        check_whole(data or b"")
    except VaultError:
        return False
    return True
