"""Wall time, guarded (promise P10): the only module of a node that reads a clock.

    what is seen                                       believed
    ------------------------------------------------   ---------------------------------------------------
    within a minute of what the monotonic clock lets    yes
    expect, and not behind the mark
    a jump of more than a minute                        once it has stayed for ten minutes, or it went back
    more than a minute behind the mark                  once it is there
    either, and an operator believes it                 yes, from then on

The mark is the highest time that was believed and stored. A time that is not believed never raises it: a
clock that was ahead for a while and is right again stops nothing.

A node that has just started has nothing but the mark to hold its clock against, so it believes any time
after that. It serves by it, but destroys nothing by it (decision 82): a time is *confirmed* while the clock
runs within ten minutes of where linked peers agreed with it, an operator believed it, or a start found such a
time stored. The mark is not enough: by it a false clock would confirm itself at the second start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from intelshare.instant import MINUTE, SECOND, Instant

MAX_JUMP: Final = 60 * SECOND
"""The most by which the wall clock may differ from the monotonic clock's estimate, or lag behind what was
stored.
"""

STEADY: Final = 10 * MINUTE
"""The time that a new time must last without another jump before it is believed: somebody has set the clock
right.
"""


class ClockReading(NamedTuple):
    """The reading of the clock, and whether it is believed. One is made for each event of the engine."""

    now: Instant
    believed: bool
    expected: Instant
    """The earliest time that the clock should show: by the monotonic clock after a jump, otherwise
    the mark.
    """
    until: Instant
    """The reading at which this clock will be believed if it continues to run; ``now`` if it is believed."""
    confirmed: bool = True
    """True if what ends by time may be destroyed; never if the time is not believed."""


class Clock:
    """Tells the time, and whether it can be trusted enough to release anything."""

    def __init__(
        self,
        latest: Instant,
        wall: Callable[[], Instant] | None = None,
        monotonic: Callable[[], int] | None = None,
        *,
        confirmed: Instant,
    ) -> None:
        """``latest``: the highest believed instant that was stored; ``confirmed``: the highest that somebody
        had confirmed. The simulator passes its clocks.
        """
        self._latest = latest
        self._wall, self._monotonic = wall or _wall, monotonic or _monotonic
        self._offset = self._wall() - self._monotonic()
        self._other = (self._offset, self._monotonic())
        self._confirmed = self._offset if 0 <= self._wall() - confirmed <= STEADY else None
        """The wall clock minus the monotonic one, where somebody has confirmed it last."""

    def now(self) -> Instant:
        """Return the wall-clock time."""
        return self._wall()

    def wrong(self) -> bool:
        """Return true if releases must wait, until the clock is right again (code CLOCK)."""
        return not self.read().believed

    def read(self) -> ClockReading:
        """Return the time and whether it is believed, at one moment."""
        wall, monotonic = self._wall(), self._monotonic()
        offset = wall - monotonic
        if abs(offset - self._offset) <= MAX_JUMP:
            self._offset = offset
        elif abs(offset - self._other[0]) > MAX_JUMP:
            self._other = (offset, monotonic)
        elif monotonic - self._other[1] > STEADY:
            self._offset = offset
        if self._offset != offset:
            left = STEADY - (monotonic - self._other[1])
            expected = Instant(monotonic + self._offset)
            return ClockReading(wall, False, expected, max(Instant(wall + left), self._mark()), False)
        if wall >= self._latest:
            self._latest = wall
        elif wall < self._mark():
            return ClockReading(wall, False, self._latest, self._mark(), False)
        confirmed = self._confirmed is not None and abs(offset - self._confirmed) <= STEADY
        return ClockReading(wall, True, wall, wall, confirmed)

    def confirm(self) -> None:
        """Note that linked peers agree with the time, if it is believed: what ends by it may be destroyed."""
        if self.read().believed:
            self._confirmed = self._offset

    def believe(self) -> None:
        """Believe the current time, on an operator's word, whatever was seen or stored before."""
        self._latest = self._wall()
        self._confirmed = self._offset = self._latest - self._monotonic()

    def _mark(self) -> Instant:
        return Instant(max(0, self._latest - MAX_JUMP))


def _wall() -> Instant:
    return Instant(time.time_ns() // 1000)


def _monotonic() -> int:
    return time.monotonic_ns() // 1000
