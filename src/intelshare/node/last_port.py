"""The port for users of the last start: its users have it in their profiles, and node.toml may name none.

Kept in a file for each process: ``run.json`` goes with the process that it tells of.
"""

from __future__ import annotations

from contextlib import suppress

from intelshare.errors import StoreError
from intelshare.node.folder import Folder
from intelshare.private_files import make_private_folder, write_private

_LARGEST = 65535


def last_user_port(folder: Folder, replica: str) -> int:
    """Return the port that this replica (empty: the node that has none) had last; 0: none is known."""
    try:
        port = int(folder.user_port(replica).read_bytes())
    except (OSError, ValueError):
        return 0
    return port if 0 < port <= _LARGEST else 0


def remember_user_port(folder: Folder, replica: str, port: int) -> None:
    """Keep the port for the next start. A disk that refuses it ends nothing: that start takes any port."""
    if port == last_user_port(folder, replica):
        return
    path = folder.user_port(replica)
    with suppress(StoreError, OSError):
        make_private_folder(path.parent)
        write_private(path, str(port).encode())
