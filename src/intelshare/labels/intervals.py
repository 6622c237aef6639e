"""Half-open spans of time: they include their first instant and exclude their last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from intelshare.instant import NEVER, Instant, show

BEGINNING = Instant(-(2**63))
"""An instant before every date that a file can state: the start of an interval that states none."""


class Interval(NamedTuple):
    """``start`` inclusive, ``until`` exclusive; open ends are ``BEGINNING`` and ``NEVER``."""

    start: Instant
    until: Instant

    def holds(self, at: Instant) -> bool:
        """Return True if ``at`` lies in the interval."""
        return self.start <= at < self.until


ALWAYS = Interval(BEGINNING, NEVER)


def interval(start: Instant | None, until: Instant | None) -> Interval:
    """Return the interval between two instants, either of which may be absent (open)."""
    return Interval(BEGINNING if start is None else start, NEVER if until is None else until)


def in_force(intervals: Iterable[Interval], at: Instant) -> bool:
    """Return True if ``at`` lies in one of the intervals."""
    for start, until in intervals:  # noqa: SIM110  (a generator costs more than the two comparisons)
        if start <= at < until:
            return True
    return False


def when(at: Instant) -> str:
    """Return an instant in words, even one outside the calendar."""
    try:
        return show(at)
    except OverflowError:
        return f"{at} microseconds"
