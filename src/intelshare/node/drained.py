"""Which processes of a data folder are drained: a file for each, from an operator's word to the next one.

A restart in between, whoever made it, does not end a drain (decision 95).
"""

from __future__ import annotations

from intelshare.node.folder import Folder
from intelshare.private_files import disk_errors, make_private_folder, sync_folder, write_private


def is_drained(folder: Folder, replica: str) -> bool:
    """Return true if this replica (empty: the node that has none) accepts no bulletins."""
    return folder.drained(replica).exists()


def set_drained(folder: Folder, replica: str, *, on: bool) -> None:
    """Drain it, or end that, durably. Raises StoreError DISK_FULL, RESOURCES_SHORT, DISK_ERROR; OSError."""
    path = folder.drained(replica)
    if on:
        with disk_errors(path):
            make_private_folder(path.parent)
        write_private(path, b"")
    elif path.exists():
        with disk_errors(path):
            path.unlink()
            sync_folder(path.parent)
