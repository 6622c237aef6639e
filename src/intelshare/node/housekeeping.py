"""Housekeeping: what a running node does beside answering calls, and how it ends.

Every second: holes are asked for, what is over ends, a changed world is followed, a checkpoint is said if one
is due, the sidecar is kept. Stop: no new calls, links end, steps that wait are carried out, and only then the
clean-stop mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from intelshare.broker.lifecycle.stop import anything_over, expire
from intelshare.broker.transparency.checkpoint import checkpoint, due
from intelshare.errors import IntelshareError, StoreError
from intelshare.node.events import Event
from intelshare.node.links import Links
from intelshare.node.policies import PolicyFiles
from intelshare.node.renewal import renew_and_tell
from intelshare.node.running import EVERY, show_running
from intelshare.node.runtime import Runtime
from intelshare.node.servers import Ports
from intelshare.node.sidecar import log_position
from intelshare.store.folder import Locked
from intelshare.store.sidecar import Sidecar, write_sidecar

RENEWAL_EVERY: Final = 60
"""Seconds between looks at what is due."""

POLICY_EVERY: Final = 2
"""Seconds between looks whether a policy file has changed."""

LAST_WORD: Final = 0.5
"""Seconds that a node which stops gives its peers to take the last checkpoint and to ask for its path."""


class NodeProcess:
    """A node that serves. Made by ``start_node``; must be stopped."""

    def __init__(
        self, runtime: Runtime, links: Links, ports: Ports, locked: Locked, policies: PolicyFiles
    ) -> None:
        self._locked = locked
        self.runtime = runtime
        self.links = links
        self.ports = ports
        self._policies = policies
        self._remembered: Sidecar | None = None
        self._files = threading.Lock()
        """Around ``sidecar`` and ``run.json``: a thread that is still writing one is waited for."""
        self._said_last = False
        links.say_log = partial(self._say_where_the_log_stands, last=True)
        running = (links.pump.run(), links.shredder.run(), self._keep_house())
        self._tasks = [asyncio.create_task(loop) for loop in running]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    @property
    def user_port(self) -> int:
        """Where own users call."""
        return self.ports.user_port

    @property
    def peer_port(self) -> int:
        """Where peers call."""
        return self.ports.peer_port

    async def failed(self) -> IntelshareError:
        """Wait until the node must end by itself; the reason."""
        return await asyncio.shield(self.runtime.failed)

    async def stop(self) -> None:
        """End everything in order. The clean-stop mark is the last thing, and only after no failure."""
        runtime = self.runtime
        runtime.log.info(Event.STOPPING)
        runtime.health.set("STOPPING")
        if not runtime.failed.done():
            # What peers hold then tells whether somebody edits the log of a node that is off.
            with contextlib.suppress(IntelshareError):
                await self._say_where_the_log_stands(last=True)
                await self.links.settled(LAST_WORD)
        await self.links.close()
        await self.ports.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.links.stop_reading()
        # A step whose caller was cancelled still waits in the writer: the mark is of what it leaves behind.
        await asyncio.to_thread(runtime.store.drain)
        with self._files:
            runtime.folder.running.unlink(missing_ok=True)
            self._said_last = True
        if not runtime.failed.done():
            try:
                self._remember(clean=True)
            except StoreError as error:
                runtime.noticed(error)
        runtime.store.close()
        self._locked.release()
        runtime.log.info(Event.STOPPED)

    def _remember(self, *, clean: bool = False) -> None:
        runtime = self.runtime
        with self._files:
            if self._said_last and not clean:
                return
            now = runtime.store.ask_now(lambda view: log_position(view, runtime.incarnation, clean=clean))
            if now != self._remembered:
                write_sidecar(runtime.folder.sidecar, now)
                self._remembered = now

    def _show(self) -> None:
        with self._files:
            if not self._said_last:
                show_running(self.runtime, self.ports)

    async def _keep_house(self) -> None:
        runtime, looked, shown = self.runtime, 0, self.runtime.health.codes
        while True:
            await asyncio.sleep(1)
            self.links.tick()
            chores: list[Callable[[], Awaitable[None]]] = [
                self._end_what_is_over,
                self.links.review,
                self._say_where_the_log_stands,
                partial(asyncio.to_thread, self._remember),
            ]
            looked += 1
            if looked % EVERY == 0 or runtime.health.codes != shown:
                shown = runtime.health.codes
                chores.append(partial(asyncio.to_thread, self._show))
            done = [await self._unless_full(chore) for chore in chores]
            runtime.has_room("files", room=all(done))
            renewed = looked % POLICY_EVERY == 0 and await self._policies.follow()
            if looked >= RENEWAL_EVERY or renewed:
                looked = 0
                try:
                    await renew_and_tell(runtime, self.links)
                except IntelshareError as error:
                    runtime.noticed(error)
                    runtime.log.error(Event.RENEWAL_FAILED, code=error.code)

    async def _unless_full(self, chore: Callable[[], Awaitable[None]]) -> bool:
        """Whether there was room for it; a full disk puts it off, and it is tried again (promise P17)."""
        try:
            await chore()
        except StoreError as error:
            if error.code != "DISK_FULL":
                raise
            return False
        return True

    async def _end_what_is_over(self) -> None:
        runtime = self.runtime
        now = runtime.now()
        if runtime.clock.wrong() or not runtime.store.ask_now(lambda view: anything_over(view, now)):
            return
        await self.links.act(expire)

    async def _say_where_the_log_stands(self, *, last: bool = False) -> None:
        """A checkpoint, if one is due: stored, in the sidecar, and only then sent (c19)."""
        runtime = self.runtime
        if not last and not runtime.store.ask_now(lambda view: due(runtime.node, view, runtime.now())):
            return
        done = await runtime.step(checkpoint)
        await asyncio.to_thread(self._remember)
        self.links.carry_out(done)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.runtime.log.error(Event.DEFECT, exception=type(error).__name__)
            if not self.runtime.failed.done():
                known = isinstance(error, IntelshareError)
                self.runtime.failed.set_result(error if known else StoreError("INTERNAL", repr(error)))  # type: ignore[arg-type]
