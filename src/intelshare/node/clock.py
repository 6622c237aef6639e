"""Wall time, guarded (promise P10): the one place of a node that asks a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from intelshare.instant import MINUTE, SECOND, Instant

MAX_JUMP: Final = 60 * SECOND
"""How far wall time may lie from what the monotonic clock lets expect, or behind what was stored."""

STEADY: Final = 10 * MINUTE
"""After so long without another jump the new time is believed: somebody has set the clock right."""


class Clock:
    """Tells the time, and whether it can be believed enough to release anything."""

    def __init__(
        self,
        latest: Instant,
        wall: Callable[[], Instant] | None = None,
        monotonic: Callable[[], int] | None = None,
    ) -> None:
        """``latest``: the highest instant that was ever stored. The simulator has clocks of its own."""
        self._latest = latest
        self._wall, self._monotonic = wall or _wall, monotonic or _monotonic
        self._offset = self._wall() - self._monotonic()
        self._other = (self._offset, self._monotonic())

    def now(self) -> Instant:
        """Wall time."""
        return self._wall()

    def wrong(self) -> bool:
        """Whether releases must wait; true until the clock is right again (code CLOCK)."""
        wall, monotonic = self._wall(), self._monotonic()
        offset = wall - monotonic
        if abs(offset - self._offset) <= MAX_JUMP:
            self._offset = offset
            return wall < self._latest - MAX_JUMP
        if abs(offset - self._other[0]) > MAX_JUMP:
            self._other = (offset, monotonic)
        elif monotonic - self._other[1] > STEADY:
            self._offset = offset
        return True


def _wall() -> Instant:
    return Instant(time.time_ns() // 1000)


def _monotonic() -> int:
    return time.monotonic_ns() // 1000
