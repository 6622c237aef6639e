"""The house: what a running node does beside answering calls, and how it ends.

Every second: holes are asked for, what is over ends, a changed world is followed, a checkpoint is said if one
is due, the sidecar is kept. Stop: no new calls, links end, the running commit is finished, and only then the
clean-stop mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from intelshare.broker.checkpoint import checkpoint, due
from intelshare.broker.end import anything_over, expire
from intelshare.errors import IntelshareError, StoreError
from intelshare.node.events import Event
from intelshare.node.links import Links
from intelshare.node.policies import PolicyFiles
from intelshare.node.renewal import renew_and_tell
from intelshare.node.running import EVERY, show_running
from intelshare.node.servers import Ports
from intelshare.node.shell import Shell
from intelshare.node.sidecar import standing
from intelshare.store.folder import Locked
from intelshare.store.sidecar import Sidecar, write_sidecar

RENEWAL_EVERY: Final = 60
"""Seconds between looks at what is due."""

POLICY_EVERY: Final = 2
"""Seconds between looks whether a policy file has changed."""

LAST_WORD: Final = 0.5
"""Seconds that a node which stops gives its peers to take the last checkpoint."""


class RunningNode:
    """A node that serves. Made by ``start_node``; must be stopped."""

    def __init__(
        self, shell: Shell, links: Links, ports: Ports, locked: Locked, policies: PolicyFiles
    ) -> None:
        self._locked = locked
        self.shell = shell
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
        return await asyncio.shield(self.shell.failed)

    async def stop(self) -> None:
        """End everything in order. The clean-stop mark is the last thing, and only after no failure."""
        shell = self.shell
        shell.log.info(Event.STOPPING)
        shell.health.set("STOPPING")
        if not shell.failed.done():
            # What peers hold then tells whether somebody edits the log of a node that is off.
            with contextlib.suppress(IntelshareError):
                await self._say_where_the_log_stands(last=True)
                await self.links.settled(LAST_WORD)
        await self.links.close()
        await self.ports.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with self._files:
            shell.folder.running.unlink(missing_ok=True)
            self._said_last = True
        if not shell.failed.done():
            self._remember(clean=True)
        shell.store.close()
        self._locked.release()
        shell.log.info(Event.STOPPED)

    def _remember(self, *, clean: bool = False) -> None:
        shell = self.shell
        with self._files:
            if self._said_last and not clean:
                return
            now = shell.store.ask_now(lambda view: standing(view, shell.incarnation, clean=clean))
            if now != self._remembered:
                write_sidecar(shell.folder.sidecar, now)
                self._remembered = now

    def _show(self) -> None:
        with self._files:
            if not self._said_last:
                show_running(self.shell, self.ports)

    async def _keep_house(self) -> None:
        shell, looked, shown = self.shell, 0, self.shell.health.codes
        while True:
            await asyncio.sleep(1)
            self.links.tick()
            for chore in (self._end_what_is_over, self.links.review, self._say_where_the_log_stands):
                await self._unless_full(chore)
            await asyncio.to_thread(self._remember)
            looked += 1
            if looked % EVERY == 0 or shell.health.codes != shown:
                shown = shell.health.codes
                await asyncio.to_thread(self._show)
            renewed = looked % POLICY_EVERY == 0 and await self._policies.follow()
            if looked >= RENEWAL_EVERY or renewed:
                looked = 0
                try:
                    await renew_and_tell(shell, self.links)
                except IntelshareError as error:
                    shell.noticed(error)
                    shell.log.error(Event.RENEWAL_FAILED, code=error.code)

    async def _unless_full(self, chore: Callable[[], Awaitable[None]]) -> None:
        """A full disk puts it off; it is tried again in a second (promise P17)."""
        try:
            await chore()
        except StoreError as error:
            if error.code != "DISK_FULL":
                raise

    async def _end_what_is_over(self) -> None:
        shell = self.shell
        now = shell.now()
        if shell.clock.wrong() or not shell.store.ask_now(lambda view: anything_over(view, now)):
            return
        await self.links.act(expire)

    async def _say_where_the_log_stands(self, *, last: bool = False) -> None:
        """A checkpoint, if one is due: stored, in the sidecar, and only then sent (c19)."""
        shell = self.shell
        if not last and not shell.store.ask_now(lambda view: due(shell.node, view, shell.now())):
            return
        done = await shell.step(checkpoint)
        await asyncio.to_thread(self._remember)
        self.links.carry_out(done)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.shell.log.error(Event.DEFECT, exception=type(error).__name__)
            if not self.shell.failed.done():
                known = isinstance(error, IntelshareError)
                self.shell.failed.set_result(error if known else StoreError("INTERNAL", repr(error)))  # type: ignore[arg-type]
