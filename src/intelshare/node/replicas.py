"""Replicas: processes that share one data folder and one database, of which one is the node at a time.

The database says whose turn it is (``store.postgres.lease``). Who waits has read nothing yet: when its turn
comes it starts as after a crash, with an incarnation of its own. ``replica-NAME.json`` says that it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from intelshare import __version__
from intelshare.errors import ConfigError, StoreError
from intelshare.instant import Instant
from intelshare.node.events import Event, Logger
from intelshare.node.folder import Folder
from intelshare.node.running import (
    EVERY,
    STANDBY,
    Running,
    WaitsFor,
    all_running,
    end_beside,
    read_replica,
    show_beside,
)
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings
from intelshare.ports import Store
from intelshare.store.engines import Location, need_postgres
from intelshare.text import safe_name

if TYPE_CHECKING:
    from intelshare.node.health import Health
    from intelshare.store.postgres.lease import Session, Waits
    from intelshare.store.postgres.together import Claim, SharedDatabase


class SharedStore(Protocol):
    """A store that several processes write."""

    led: Callable[[], None]

    heard: Callable[[str], None]

    @property
    def together(self) -> SharedDatabase:
        """Its rows."""

    def claim(self, claim: Claim) -> None:
        """Hold these links from the next look on."""

    def tell(self, what: str) -> None:
        """Say something to the other processes."""


@dataclass(frozen=True, slots=True)
class OtherPorts:
    """The ports of one replica of several on a machine; 0: that of node.toml."""

    users: int = 0
    metrics: int = 0

    def over(self, settings: Settings) -> Settings:
        """Return the settings of this replica. Metrics that node.toml does not serve stay off."""
        return replace(
            settings,
            user_port=self.users or settings.user_port,
            metrics_port=self.metrics or settings.metrics_port,
        )


AS_NAMED: Final = OtherPorts()
"""Those of node.toml."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A replica may be the node now."""

    replica: str
    held: Any
    """The connection that has the lock."""
    together: bool = False
    """Others may write too."""
    first: bool = False
    """It is the first of those."""
    ports: OtherPorts = AS_NAMED


class Trouble:
    """Passes on what the store says of itself, from its thread, once somebody listens."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.listener: Callable[[StoreError], None] = lambda _: None

    def tell(self, error: StoreError) -> None:
        """In any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(lambda: self.listener(error))


def location(folder: Folder, settings: Settings, turn: Turn | None) -> Location:
    """Where the rows of a node are."""
    name = process_name(turn.replica if turn is not None else "-")
    if turn is None:
        return Location(folder.database, settings.store, name)
    return Location(folder.database, settings.store, name, turn.held, turn.together, turn.first)


def shared(store: Store) -> SharedStore:
    """Return the store of a replica that runs together with others, as what it is."""
    if not hasattr(store, "together") or store.together is None:
        raise TypeError("this store has one writer")
    return store  # type: ignore[return-value]


def process_name(replica: str) -> str:
    """Return the name of a process that the database shows: ``intelshare REPLICA VERSION``."""
    return f"intelshare {replica} {__version__}"


async def wait_for_turn(
    root: Path,
    replica: str,
    stop: asyncio.Event,
    log: Logger,
    *,
    together: bool = False,
    ports: OtherPorts = AS_NAMED,
) -> Turn | None:
    """Wait until no other replica is the node, or (``together``) none that wants to be it alone; return None
    once ``stop`` is set.

    Raises ConfigError REPLICA_ALONE for a folder whose rows are in a file, and what reading it raises.
    """
    folder = Folder(root)
    server = read_settings(folder.settings).store
    if server is None:
        raise ConfigError(
            "REPLICA_ALONE",
            "replicas share a PostgreSQL, and the rows of this node are in a file",
            hint="`intelshare node move --to postgresql://...` moves them",
        )
    need_postgres()
    from intelshare.node.health import Health
    from intelshare.store.postgres.lease import Joining, Standby

    standby = (Joining if together else Standby)(
        server, root, process_name(safe_name(replica, source="--replica"))
    )
    log.info(Event.STANDBY, replica=replica, pid=os.getpid(), version=__version__)
    health = Health(log)
    waiting = asyncio.get_running_loop().run_in_executor(None, standby.wait)
    stopped = asyncio.create_task(stop.wait())
    try:
        while not waiting.done() and not stopped.done():
            _say(log, health, replica, standby.waits)
            _show_standby(folder, replica, health, standby.waits)
            await asyncio.wait((waiting, stopped), timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not waiting.done():
            standby.stop()
        held = await waiting
        end_beside(folder, replica)
    if held is None or stop.is_set():
        if held is not None:
            held.close()
        return None
    first = isinstance(standby, Joining) and standby.first
    if first or not together:
        log.info(Event.TAKING_OVER, replica=replica)
    return Turn(replica, held, together, first, ports)


def _say(log: Logger, health: Health, replica: str, waits: Waits | None) -> None:
    """Log what a replica waits for, when that begins."""
    code = waits.error.code if waits is not None else ""
    for former in set(health.codes) - {code}:
        health.clear(former)
    if waits is not None and code not in health.codes:
        health.set(code)
        log.warning(Event.WAITS, replica=replica, code=code, others=waits.others)


def _show_standby(folder: Folder, replica: str, health: Health, waits: Waits | None) -> None:
    """Say that a replica waits for its turn, or what keeps it from its turn."""
    codes = health.codes
    word, now = health.word if codes else STANDBY, time.time_ns() // 1000
    shown = None
    if waits is not None:
        shown = WaitsFor(waits.error.message, waits.error.hint or "", waits.since)
    show_beside(
        folder,
        Running(
            os.getpid(), "", 0, 0, "", "", word, codes, now,
            replica=replica, machine=os.uname().nodename, waits=shown,
        ),
    )  # fmt: skip


def links_of(root: Path, replica: str, now: Instant) -> tuple[str, ...]:
    """Return the members whose links a replica has, as it has reported recently."""
    shown = read_replica(Folder(root), replica, now)
    return shown.links if shown is not None else ()


def waiting(root: Path, now: Instant) -> list[Running]:
    """Return the replicas that have reported recently that they wait: for their turn, or to join others."""
    return [one for one in all_running(Folder(root), now) if one.replica and not one.user_port]


def listed(root: Path) -> list[Session]:
    """Return the sessions that write to the database of a folder, or wait. Raises StoreError, ConfigError."""
    server = read_settings(Folder(root).settings).store
    if server is None:
        return []
    need_postgres()
    from intelshare.store.postgres.store import sessions_of

    return sessions_of(server, root, process_name("list"))
