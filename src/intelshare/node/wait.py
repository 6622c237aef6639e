"""Waits for an event, but not longer than a pause, and is always cancelled by a cancel.

``asyncio.wait_for`` of Python 3.11 forgets a cancel that comes together with the event: a node that was told
to stop while a link ended dialled on for ever.
"""

from __future__ import annotations

import asyncio
import contextlib


async def pause(event: asyncio.Event, seconds: float | None) -> None:
    """Return when the event is set or the time is over; None: no end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
