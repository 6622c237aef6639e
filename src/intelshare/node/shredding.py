"""Finishes destructions: whatever was marked is shredded from the files, and only then signed for (c16)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.errors import StoreError
from intelshare.ids import ManifestDigest
from intelshare.node.runtime import Runtime

RETRY: Final = 1.0
"""Seconds until another attempt, while the disk is full."""


class Shredder:
    """One loop. It begins with what an earlier start has left."""

    def __init__(self, runtime: Runtime, act: Callable[..., Awaitable[Any]]) -> None:
        """``act`` carries out a step and what it leads to."""
        self._runtime = runtime
        self._act = act
        self._wake = asyncio.Event()
        self._wake.set()

    def wake(self) -> None:
        """Something was marked."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Raises StoreError but for a full disk, which it waits out."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while bulletins := self._runtime.store.ask_now(marked):
                    await self._finish(bulletins)
            except StoreError as error:
                self._runtime.noticed(error)
                if error.code != "DISK_FULL":
                    raise
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def _finish(self, bulletins: Sequence[ManifestDigest]) -> None:
        # What is marked while the store shreds waits for the next round: its keys may be in the files still.
        await self._runtime.store.shred()
        await self._act(finish, bulletins)
