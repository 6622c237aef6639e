"""Handles a running node's data folder and ports at its engine's request, and stops the node."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from intelshare.broker.kernel.register import users
from intelshare.broker.lifecycle.attachments import kept
from intelshare.engine.events import Covered, DamageFound, Leads, PolicyAvailable, Space
from intelshare.engine.values import Chore
from intelshare.errors import PASSING, ConfigError, IntelshareError, StoreError, VaultError
from intelshare.ids import Incarnation
from intelshare.instant import SECOND, Instant
from intelshare.node.events import Event
from intelshare.node.following import Following
from intelshare.node.leaf import renew_leaf
from intelshare.node.links import Files, Links
from intelshare.node.mending import CODE
from intelshare.node.policies import UNAVAILABLE, PolicyFiles
from intelshare.node.renewal import renew, renew_and_tell
from intelshare.node.replicas import shared
from intelshare.node.reserve import give_up, held_bytes, hold, look
from intelshare.node.running import (
    EVERY,
    end_beside,
    end_running,
    read_running,
    running_now,
    show_beside,
    show_running,
)
from intelshare.node.runtime import Runtime
from intelshare.node.servers import Ports
from intelshare.node.sidecar import log_position, remembers
from intelshare.private_files import shortage
from intelshare.store.folder import Locked
from intelshare.store.sidecar import Sidecar, read_sidecar, write_sidecar
from intelshare.trust import Endpoint

T = TypeVar("T")

_Once = deque[Callable[[], Awaitable[None]]]

VAULT_GONE: Final = "KEYSTORE_CORRUPT"

_LEAD_AGAIN: Final = 1.0
"""The seconds between two attempts to lead while the machine lacks something."""

_PORT_AGAIN: Final = 5.0
"""The seconds between two attempts to open the port for peers."""


def last_peer_port(runtime: Runtime) -> int:
    """Return the peer port in the directory: peers that were away can still dial it."""
    listed = runtime.node.trust.node(runtime.node.uri)
    return listed[1].endpoints[0].port if listed is not None and listed[1].endpoints else 0


def endpoints(runtime: Runtime, ports: Ports) -> tuple[Endpoint, ...]:
    """Return where peers can dial this process."""
    port = ports.peer_port or last_peer_port(runtime)
    return (Endpoint(runtime.settings.advertise or runtime.settings.host, port),)


class NodeProcess(Files):
    """A node that serves. Created by ``start_node``; it must be stopped."""

    def __init__(
        self, runtime: Runtime, links: Links, ports: Ports, locked: Locked, policies: PolicyFiles
    ) -> None:
        self._locked = locked
        self.runtime = runtime
        self.links = links
        self.ports = ports
        self._policies = policies
        self.mending = runtime.mending
        self._shown: tuple[tuple[str, ...], Instant] = ((), Instant(0))
        self._files = threading.Lock()
        """The lock for ``sidecar`` and ``run.json``: a thread that is still writing one is waited for."""
        self._ended = False
        self._following: set[asyncio.Task[None]] = set()
        self._beside: Following | None = None
        self._life: asyncio.Task[None] | None = None
        self._leading: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        links.files = self
        runtime.on_full.append(self._found_full)
        runtime.on_trust.append(self._follow_trust)
        runtime.show_health = self.show_now
        if runtime.leads:
            links.start()
        if self.mending.withholds:
            self._say_law()

    @property
    def user_port(self) -> int:
        """Return the port for this node's users."""
        return self.ports.user_port

    @property
    def peer_port(self) -> int:
        """Return the port for peers."""
        return self.ports.peer_port

    async def failed(self) -> IntelshareError:
        """Wait until the node must stop by itself, and return the reason."""
        return await asyncio.shield(self.runtime.failed)

    async def stop(self) -> None:
        """Stop everything in order. The mark of a clean stop is written last, and only if nothing failed."""
        runtime = self.runtime
        runtime.log.info(Event.STOPPING)
        runtime.health.set("STOPPING")
        for task in (self._life, self._leading, self._opening):
            if task is not None:
                task.cancel()
        if not runtime.failed.done():
            self.links.stop()
            ends: list[asyncio.Future[Any]] = [self.links.stopped, runtime.failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await self.drain()
        await self.links.close()
        runtime.close()
        self._locked.release()
        runtime.log.info(Event.STOPPED)

    # Replicas that run together

    def go_together(self) -> None:
        """From now on other replicas write too: follow them, and lead when there is nobody who does."""
        runtime = self.runtime
        store = shared(runtime.store)
        self._beside = Following(runtime, self.links)
        self._beside.begin()
        store.led = lambda: runtime.later(self._may_lead)
        store.together.share()
        if not runtime.leads:
            # What was followed before now told nobody.
            runtime.outdated = True
            for row in runtime.store.ask_now(users):
                runtime.register_changed(row)
            runtime.look_again()
            self.links.start()
            self._life = asyncio.get_running_loop().create_task(self._show_life())
            if store.together.leads:
                self._may_lead()

    def _may_lead(self) -> None:
        again, self.runtime.leads = self.runtime.leads, True
        self._leading = self._begin(self._lead(again=again))

    async def _lead(self, *, again: bool) -> None:
        """The one that led has ended: its links and chores are this replica's. What the machine lacks for now
        is waited for, as the next replica may lack the same; whatever else fails ends this one.

        ``again``: it led before, and its session with the database ended. Another one may have led between.
        """
        runtime = self.runtime
        runtime.log.info(Event.TAKING_OVER, replica=runtime.replica)
        once: _Once = deque(() if again else (self._take_stock, self._begin_to_open, self._policies.begin))
        told = ""
        while short := await self._take_over(once):
            if short != told:
                runtime.log.error(Event.RENEWAL_FAILED, code=short)
                told = short
            if again:
                return  # its session has ended once more, or there will be room
            runtime.lacks("lead", short)
            await asyncio.sleep(_LEAD_AGAIN)
        if not again and not runtime.failed.done():
            runtime.lacks("lead")
            self.links.feed(Leads())

    async def _take_over(self, once: _Once) -> str:
        """Do what is left of ``once``, and the rest; return the code of PASSING that stands in its way, or
        nothing.
        """
        runtime = self.runtime
        try:
            if runtime.vault.follow():
                runtime.outdated = True
            await runtime.catch_up()
            while once:
                await once[0]()
                once.popleft()
            await renew(runtime, endpoints(runtime, self.ports))
            await self.ports.follow()
            with self._files:
                self._shown = runtime.health.codes, runtime.now()
                show_running(runtime, self.ports, self.links.engine.held)
        except (IntelshareError, OSError, MemoryError, RuntimeError) as error:
            known = error if isinstance(error, IntelshareError) else shortage(error)
            if known is None:
                raise
            if known.code in PASSING:
                runtime.found_full(known)
                return known.code
            runtime.log.error(Event.RENEWAL_FAILED, code=known.code)
            if not runtime.failed.done():
                runtime.failed.set_result(known)
        return ""

    async def _take_stock(self) -> None:
        runtime = self.runtime
        await runtime.pieces.run(lambda: runtime.pieces.take_stock(runtime.store.ask_now(kept)))

    async def _begin_to_open(self) -> None:
        if not await self._open_to_peers():
            self._opening = asyncio.get_running_loop().create_task(self._go_on_opening())

    async def _open_to_peers(self) -> bool:
        """Open the port for peers; false: a process that is frozen on this machine still has it. Links that
        are dialled from here need none.
        """
        try:
            await self.ports.open_to_peers(self.links, last_peer_port(self.runtime))
        except ConfigError as error:
            if error.code != "PORT_IN_USE":
                raise
            self.runtime.log.error(Event.NO_PEER_PORT, code=error.code)
            return False
        return True

    async def _go_on_opening(self) -> None:
        """Open it once it is free. Without it no peer can call, so this is tried for as long as it fails."""
        opened = False
        while not opened:
            await asyncio.sleep(_PORT_AGAIN)
            try:
                opened = await self._open_to_peers()
            except Exception as error:
                code = error.code if isinstance(error, IntelshareError) else "INTERNAL"
                self.runtime.log.error(Event.NO_PEER_PORT, code=code)

    async def _show_life(self) -> None:
        """Say in the folder that this replica serves, until it leads."""
        runtime = self.runtime
        try:
            while not runtime.leads:
                await asyncio.to_thread(self._show_beside)
                await asyncio.sleep(1)
        finally:
            with self._files:
                end_beside(runtime.folder, runtime.replica)

    def _show_beside(self) -> None:
        runtime = self.runtime
        with self._files:
            if not (runtime.leads or "STOPPING" in runtime.health.codes):
                show_beside(runtime.folder, running_now(runtime, self.ports, self.links.engine.held))

    async def show_now(self) -> None:
        """Let what is outside the process see what an operator's command has changed of the health. A disk
        that refuses that fails no command: the chores meet it too, and tell.
        """
        if VAULT_GONE in self.runtime.health.codes:
            await self._look_at_vault()
        self._say_law()
        with contextlib.suppress(IntelshareError, OSError):
            if self.runtime.leads:
                await self._unless_full("run.json", self._show)
            else:
                await asyncio.to_thread(self._show_beside)

    def _found_full(self) -> None:
        self.links.feed(Space(0, held_bytes(self.runtime.folder.root)))

    # Requests of the engine

    async def write_sidecar(self, *, clean: bool) -> None:
        """See ``Files``. After a failure, no mark of a clean stop is written, and none by a replica of
        several that run together: another one may write on.
        """
        clean = clean and self._beside is None
        if not (clean and self.runtime.failed.done()):
            kept = await self._unless_full("sidecar", lambda: self._remember(clean=clean))
            if kept is not None:
                self.links.feed(Covered(Incarnation(kept.incarnation), kept.size))

    async def chore(self, chore: Chore) -> bool:
        """See ``Files``."""
        match chore:
            case Chore.SHOW:
                await self._unless_full("run.json", self._show)
            case Chore.POLICY:
                changed = await self._policies.follow()
                await self._look_at_vault()
                self.runtime.look_again()
                self._say_law()
                return changed
            case Chore.RENEW:
                await self._renew()
            case Chore.MEND:
                self.links.feed(DamageFound(self.mending.known()))
            case Chore.TELL:
                sidecar = await asyncio.to_thread(read_sidecar, self.runtime.folder.sidecar)
                if sidecar is not None:
                    self.links.feed(Covered(Incarnation(sidecar.incarnation), sidecar.size))
                if self._beside is not None and self.runtime.store.damage.known():
                    await asyncio.to_thread(self._beside.tell_damage)
            case Chore.SPACE:
                self.links.feed(await asyncio.to_thread(look, self.runtime.folder.root))
        return False

    async def hold_reserve(self, *, on: bool) -> bool:
        """See ``Files``."""
        root = self.runtime.folder.root
        if on:
            return await asyncio.to_thread(hold, root, self.runtime.settings.space.reserve)
        self.runtime.log.warning(Event.RESERVE_GIVEN_UP, code="DISK_FULL")
        await asyncio.to_thread(give_up, root)
        return True

    async def drain(self) -> None:
        """See ``Files``."""
        await self.ports.close()
        if self._beside is not None:
            await self._beside.settle()
        # A step whose caller was cancelled still waits in the writer: the mark must cover what it leaves
        # behind.
        await asyncio.to_thread(self.runtime.store.drain)
        with self._files:
            end_running(self.runtime.folder)
            self._ended = True

    async def _unless_full(self, file: str, write: Callable[[], T]) -> T:
        """Write a file beside the database; health shows whether there was room. Raises StoreError."""
        try:
            written = await asyncio.to_thread(write)
        except StoreError as error:
            if error.code in PASSING:
                self.runtime.lacks(file, error.code)
                self.runtime.found_full(error)
            else:
                self.runtime.noticed(error)
            raise
        self.runtime.lacks(file)
        return written

    async def _look_at_vault(self) -> None:
        """See to it that the next start can read the vault: whoever leads mends it, and the others take over
        what it has written. While it is gone nothing is released (P17).
        """
        runtime, code = self.runtime, ""
        try:
            for path in await asyncio.to_thread(runtime.vault.look, mend=runtime.leads):
                name = path.relative_to(runtime.folder.root).as_posix()
                runtime.log.warning(Event.VAULT_MENDED, path=name)
            if not runtime.leads and await asyncio.to_thread(runtime.vault.follow):
                runtime.outdated = True
        except (StoreError, VaultError) as error:
            if error.code == "DATA_LOCKED":
                runtime.noticed(error)
            # With a disk that fails it goes on: the keys may be nowhere else than in this process.
            code = error.code if error.code in PASSING else VAULT_GONE
        except OSError:
            code = VAULT_GONE
        (runtime.health.set if code == VAULT_GONE else runtime.health.clear)(VAULT_GONE)
        runtime.lacks("vault", code if code in PASSING else "")

    def _say_law(self) -> None:
        """Tell the engine whether releases are possible: under the law, and with a vault."""
        health, withholds = self.runtime.health, self.mending.withholds
        (health.set if withholds else health.clear)(CODE)
        against = {UNAVAILABLE, VAULT_GONE}.intersection(health.codes)
        self.links.feed(PolicyAvailable(not withholds and not against))

    def _remember(self, *, clean: bool = False) -> Sidecar | None:
        """Write the sidecar, unless the node has ended; return its content."""
        runtime = self.runtime
        with self._files:
            if self._ended and not clean:
                return None
            here, vault = runtime.incarnation, runtime.vault.state
            now = runtime.store.ask_now(lambda view: log_position(view, here, clean=clean, vault=vault))
            if not remembers(runtime.folder.sidecar, now):
                write_sidecar(runtime.folder.sidecar, now)
            return now

    def _show(self) -> None:
        """Write ``run.json`` if health or the links have changed since, or some seconds have passed."""
        with self._files:
            now, codes = self.runtime.now(), (*self.runtime.health.codes, *self.links.engine.held)
            if self._overtaken():
                return
            if not self._ended and (codes != self._shown[0] or abs(now - self._shown[1]) >= EVERY * SECOND):
                show_running(self.runtime, self.ports, self.links.engine.held)
                self._shown = codes, now

    def _overtaken(self) -> bool:
        """Return true if another replica has shown itself since: this one was frozen, and will notice."""
        shown = read_running(self.runtime.folder) if self.runtime.replica else None
        return shown is not None and shown.replica != self.runtime.replica and shown.at > self._shown[1]

    def _follow_trust(self) -> None:
        """Let new members and authorities in at once."""
        self._begin(self.ports.follow())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do some work beside everything else. An error that it does not handle ends the node."""
        task = asyncio.get_running_loop().create_task(work)
        self._following.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._following.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.links.fail(error)

    async def _renew(self) -> None:
        # A fault in the directory must not prevent a certificate from being renewed and served.
        for renewing in (self._renew_leaf, self._renew_directory):
            try:
                await renewing()
            except IntelshareError as error:
                self.runtime.noticed(error)
                self.runtime.log.error(Event.RENEWAL_FAILED, code=error.code)

    async def _renew_leaf(self) -> None:
        await renew_leaf(self.runtime)
        await self.ports.follow()

    async def _renew_directory(self) -> None:
        await renew_and_tell(self.runtime, self.links)
        await self.ports.follow()
