"""A stop is never forgotten, whatever comes at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from intelshare.node.wait import pause
from intelshare.patience import patient


def test_a_cancel_that_comes_with_the_event_is_not_forgotten() -> None:
    async def both() -> None:
        event = asyncio.Event()
        waiting = asyncio.create_task(pause(event, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        event.set()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(both())


def test_a_pause_ends_with_the_event_or_with_its_time() -> None:
    async def ends() -> None:
        event = asyncio.Event()
        await asyncio.wait_for(pause(event, 0.01), patient(5))
        event.set()
        await asyncio.wait_for(pause(event, None), patient(5))

    asyncio.run(ends())
