"""``run.json``: where the running node can be reached, and whether it serves. Readable without a certificate.
Of replicas, that of the one that leads; each other one writes ``replica-NAME.json`` (``replicas``).

Written at the start, within a second after health changes, before the answer to a command that changes it,
and every few seconds: an old file belongs to a node that hangs or was killed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from intelshare.errors import ConfigError, Place, StoreError
from intelshare.instant import SECOND, Instant
from intelshare.private_files import write_private
from intelshare.store.sidecar import time_at
from intelshare.text import bracketed

if TYPE_CHECKING:
    from intelshare.node.folder import Folder
    from intelshare.node.runtime import Runtime
    from intelshare.node.servers import Ports

FRESH: Final = 15
"""The seconds after which the file is no longer current."""

EVERY: Final = 5
"""The seconds between two writes."""

APART: Final = 60
"""The seconds by which the clocks of replicas may differ."""

_ALL: Final = frozenset(("0.0.0.0", "::"))  # noqa: S104 - compared
"""The addresses that mean all of a machine."""

_HERE: Final = frozenset(("127.0.0.1", "::1", "localhost"))
"""The addresses that another machine does not reach."""

STANDBY: Final = "STANDBY"
"""The health of a replica that waits for its turn."""


class WaitsFor(msgspec.Struct, frozen=True):
    """The reason why the turn of a replica does not come."""

    what: str
    next: str
    """The remedy, for an operator."""
    since: int
    """Microseconds since 1970."""


class Running(msgspec.Struct, frozen=True):
    """The content of the file."""

    pid: int
    host: str
    user_port: int
    peer_port: int
    node: str
    incarnation: str
    health: str = ""
    """SERVING, NOT_SERVING or STANDBY."""
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
    folder: int = 0
    """The inode of the data folder that it was written into; 0: an older version has written it."""
    machine: str = ""
    """The name of the machine on which it runs."""
    waits: WaitsFor | None = None
    """None: it runs, or waits as is usual."""

    @property
    def users_at(self) -> str:
        """Return where its users reach it, for people: an address that means every machine names none."""
        if self.host in _ALL:
            return f"port {self.user_port} of {self.machine}"
        return f"{self.host}:{self.user_port}"

    @property
    def is_here(self) -> bool:
        """Return true if it runs on this machine, or a version that does not say where has written it."""
        return self.machine in ("", os.uname().nodename)

    def reached_at(self) -> str:
        """Return ``host:port`` of its user port, for whoever is on this machine.

        Raises ConfigError NODE_UNREACHABLE if it can be reached from its own machine only, or waits.
        """
        if self.waits is not None:
            raise ConfigError(
                "NODE_UNREACHABLE",
                f"replica {self.replica} waits, and answers nobody until then: {self.waits.what}",
                hint=self.waits.next,
            )
        if not self.user_port:
            raise ConfigError(
                "NODE_UNREACHABLE",
                f"replica {self.replica} waits for its turn, and answers nobody until then",
                hint=f"`intelshare node health --replica {self.replica}` shows what it waits for",
            )
        if not self.is_here and self.host in _HERE:
            raise ConfigError(
                "NODE_UNREACHABLE",
                f"replica {self.replica} can only be asked on its machine, {self.machine}",
                place=Place(f"{self.host}:{self.user_port}"),
                hint="give this command there, or let it listen to other machines: `host` in node.toml",
            )
        on_all = "127.0.0.1" if self.is_here else self.machine
        host = on_all if self.host in _ALL else self.host
        return f"{bracketed(host)}:{self.user_port}"

    def fresh(self, now: Instant) -> bool:
        """Return true if the node was alive just now."""
        return abs(now - self.at) < FRESH * SECOND


def show_running(runtime: Runtime, ports: Ports, links: tuple[str, ...] = ()) -> Running:
    """Write the file; return its content. ``links``: the members that this replica holds. Raises StoreError
    DISK_FULL, DISK_ERROR; OSError.
    """
    running = running_now(runtime, ports, links)
    write_private(runtime.folder.running, msgspec.json.encode(running))
    return running


def running_now(runtime: Runtime, ports: Ports, links: tuple[str, ...]) -> Running:
    """Return what there is to say of this process."""
    clock = runtime.clock.read()
    return Running(
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
        _inode(runtime.folder.root),
        os.uname().nodename,
    )


def check_clock(folder: Folder, now: Instant) -> None:
    """Check, for a replica that joins others, that its clock agrees with that of the one that leads.

    What it stores would else be the highest time for all, and they would wait until it comes (P10). Both are
    compared by the time of the file system, so how old ``run.json`` is makes no difference. Raises StoreError
    CLOCK.
    """
    leads = read_running(folder)
    if leads is None:
        return
    age = (time_at(folder.root) - folder.running.stat().st_mtime_ns) // 1000
    ahead = (now - leads.at - age) // SECOND
    if abs(ahead) > APART:
        raise StoreError(
            "CLOCK",
            f"the clock of this machine is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} that of "
            f"replica {leads.replica}, which leads",
            hint="synchronise the clocks of both machines (timedatectl), then start this replica again",
        )


def end_running(folder: Folder) -> None:
    """Remove this process's file; that of another process, which has taken over the folder, stays."""
    running = read_running(folder)
    if running is None or running.pid == os.getpid():
        folder.running.unlink(missing_ok=True)


def read_running(folder: Folder) -> Running | None:
    """Return the content of the file, or None if there is no readable file."""
    return _read(folder.running)


def show_beside(folder: Folder, running: Running) -> None:
    """Write the sign of life of a replica that does not lead. A full disk does not end it."""
    with suppress(StoreError, OSError):
        write_private(_beside(folder, running.replica), msgspec.json.encode(running))


def end_beside(folder: Folder, replica: str) -> None:
    """Remove it."""
    _beside(folder, replica).unlink(missing_ok=True)


def read_replica(folder: Folder, replica: str, now: Instant) -> Running | None:
    """Return what this replica has reported recently, whether it leads or not."""
    return next((one for one in all_running(folder, now) if one.replica == replica), None)


def all_running(folder: Folder, now: Instant) -> list[Running]:
    """Return what each process has reported recently, the node or the replica that leads first."""
    beside = sorted(folder.root.glob("replica-*.json"))
    found = [_read(path) for path in (folder.running, *beside)]
    return [one for one in found if one is not None and one.fresh(now)]


def _beside(folder: Folder, replica: str) -> Path:
    return folder.root / f"replica-{replica}.json"


def _read(path: Path) -> Running | None:
    """Return the content of a file, or None if it cannot be read, or was copied here with its folder: the
    node that it tells of runs elsewhere.
    """
    try:
        running = msgspec.json.decode(path.read_bytes(), type=Running)
        return running if running.folder in (0, _inode(path.parent)) else None
    except (OSError, msgspec.MsgspecError):
        return None


def _inode(root: Path) -> int:
    return root.stat().st_ino
