"""Waits of tests: they end with what they wait for, and one in vain tells what was there instead."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from intelshare.patience import patient

LIMIT = 30.0
"""Seconds in which anything that should happen does, scaled by INTELSHARE_PATIENCE; no good run meets it."""

_TAIL = 15
"""Lines of each log that are shown."""

_LOOK = 0.01
"""Seconds between looks for a sign that something has changed."""

_ANYWAY = 0.5
"""Seconds after which a condition is tried again without one."""


def wait_until(
    condition: Callable[[], Any],
    what: str,
    *,
    signs: Callable[[], Any] = lambda: None,
    seen: Callable[[], Iterable[str]] = lambda: (),
) -> Any:
    """Wait until a condition is true; its value.

    It is tried again when what ``signs`` tells has changed. Raises AssertionError that shows what the
    condition gave last, and the lines that ``seen`` gives.
    """
    limit = patient(LIMIT)
    end = time.monotonic() + limit
    before = signs()
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(in_vain(what, limit, value, seen()))
        again = time.monotonic() + _ANYWAY
        while (now := signs()) == before and time.monotonic() < again:
            time.sleep(_LOOK)
        before = now
    return value


async def until(
    condition: Callable[[], Any],
    changed: asyncio.Event,
    *,
    seen: Callable[[], Iterable[str]],
    what: str = "",
) -> Any:
    """The same in an event loop: tried again whenever ``changed`` is set. The condition may be async."""
    limit = patient(LIMIT)
    end = time.monotonic() + limit
    while True:
        changed.clear()
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(in_vain(what or "a condition", limit, value, seen()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANYWAY):
                await changed.wait()
        # One event seldom comes alone, and a look may cost a TLS handshake.
        await asyncio.sleep(_LOOK)


def in_vain(what: str, limit: float, value: object, seen: Iterable[str]) -> str:
    """The message of a wait that was in vain."""
    return "\n".join((f"waited {limit:g} s in vain for {what}; the last look gave {value!r}", *seen))


def tail(name: str, log: str) -> list[str]:
    """The end of a node's log, under its name."""
    return [f"--- {name}", *log.splitlines()[-_TAIL:]]
