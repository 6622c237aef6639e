"""``run.json``: where the running node is found, and whether it serves. Needs no certificate to be read.

Written at the start, when health changes, and every few seconds: a file that is not fresh is of a node that
hangs or was killed.
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
"""Seconds after which what the file says is no longer true."""

EVERY: Final = 5
"""Seconds between two writings."""


class Running(msgspec.Struct, frozen=True):
    """What the file says."""

    pid: int
    host: str
    user_port: int
    peer_port: int
    node: str
    incarnation: str
    health: str = ""
    """SERVING or NOT_SERVING."""
    codes: tuple[str, ...] = ()
    """Why it does not serve."""
    at: int = 0
    """Microseconds since 1970."""
    clock_expected: int = 0
    """What the clock should say at least, if it is not believed; else 0."""
    clock_until: int = 0
    """When, by this clock, it is believed if it goes on as it does; 0: it is."""

    def fresh(self, now: Instant) -> bool:
        """Whether the node was alive just now."""
        return abs(now - self.at) < FRESH * SECOND


def show_running(runtime: Runtime, ports: Ports) -> Running:
    """Write the file; what it says. Raises StoreError DISK_FULL, DISK_ERROR; OSError."""
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
    )
    write_private(runtime.folder.running, msgspec.json.encode(running))
    return running


def end_running(folder: Folder) -> None:
    """Remove the file of this process; that of another one, which has taken the folder over, stays."""
    running = read_running(folder)
    if running is None or running.pid == os.getpid():
        folder.running.unlink(missing_ok=True)


def read_running(folder: Folder) -> Running | None:
    """What the file says; None if there is none that can be read."""
    try:
        return msgspec.json.decode(folder.running.read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
