"""``run.json``: where the running node can be reached, and whether it serves. Readable without a certificate.

Written at the start, when health changes, and every few seconds: an old file belongs to a node that hangs or
was killed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from intelshare.instant import SECOND, Instant
from intelshare.private_files import write_private

if TYPE_CHECKING:
    from intelshare.node.folder import Folder
    from intelshare.node.runtime import Runtime
    from intelshare.node.servers import Ports

FRESH: Final = 15
"""The seconds after which the file is no longer current."""

EVERY: Final = 5
"""The seconds between two writes."""


class Running(msgspec.Struct, frozen=True):
    """The content of the file."""

    pid: int
    host: str
    user_port: int
    peer_port: int
    node: str
    incarnation: str
    health: str = ""
    """SERVING or NOT_SERVING."""
    codes: tuple[str, ...] = ()
    """The reasons for NOT_SERVING, as codes."""
    at: int = 0
    """Microseconds since 1970."""
    clock_expected: int = 0
    """The earliest time that the clock should show if it is not believed; otherwise 0."""
    clock_until: int = 0
    """The reading at which this clock will be believed if it continues to run; 0 if it is believed."""
    replica: str = ""
    """Its name among the replicas that share the folder; empty: it is none."""
    links: tuple[str, ...] = ()
    """The members whose links it has; empty if it runs alone."""

    def fresh(self, now: Instant) -> bool:
        """Return true if the node was alive just now."""
        return abs(now - self.at) < FRESH * SECOND


def show_running(runtime: Runtime, ports: Ports, links: tuple[str, ...] = ()) -> Running:
    """Write the file; return its content. ``links``: the members that this replica holds. Raises StoreError
    DISK_FULL, DISK_ERROR; OSError.
    """
    clock = runtime.clock.read()
    running = Running(
        os.getpid(),
        runtime.settings.host,
        ports.user_port,
        ports.peer_port,
        runtime.node.uri,
        f"{runtime.node.incarnation:016x}",
        runtime.health.word,
        runtime.health.codes,
        clock.now,
        0 if clock.believed else clock.expected,
        0 if clock.believed else clock.until,
        runtime.replica,
        links,
    )
    write_private(runtime.folder.running, msgspec.json.encode(running))
    return running


def end_running(folder: Folder) -> None:
    """Remove this process's file; that of another process, which has taken over the folder, stays."""
    running = read_running(folder)
    if running is None or running.pid == os.getpid():
        folder.running.unlink(missing_ok=True)


def read_running(folder: Folder) -> Running | None:
    """Return the content of the file, or None if there is no readable file."""
    try:
        return msgspec.json.decode(folder.running.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
