"""The one unit of time: whole microseconds since 1970-01-01T00:00Z, as on the wire.

An ``Instant`` is an integer, so that it is exact, total ordered, cheap and free of the naive/aware trap of
``datetime``; instants before 1970 are negative (treaties have dates from 1949). It is always an argument:
nothing in the core asks a clock. The reasons against ``datetime`` are in docs/decisions/0002-instants.md.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NewType

Instant = NewType("Instant", int)

EPOCH = Instant(0)
"""1970-01-01T00:00Z."""

NEVER = Instant(2**64 - 1)
"""The u64 that stands for "no end" (docs/format.md, Codec)."""

LATEST = Instant(253_402_300_799_999_999)
"""The last microsecond of the year 9999: the latest time that can be signed, stored or shown."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MAX_AHEAD = 5 * MINUTE
"""The most by which a time that somebody else has signed may be ahead of this node's clock: what is dated
later is CLOCK_SKEW.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def of(value: datetime | date) -> Instant:
    """Return the instant of an aware datetime, or the first instant (UTC) of a date.

    Raises ValueError for a datetime without an offset: half the world would read it differently.
    """
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.tzinfo is None:
        raise ValueError("a time needs an offset, such as 2024-06-01T12:00:00Z")
    return Instant((value - _EPOCH) // _MICROSECOND)


def parse(text: str) -> Instant:
    """Parse an ISO 8601 date (its first instant in UTC) or time with offset. Raises ValueError."""
    if len(text) == 10:
        return of(date.fromisoformat(text))
    return of(datetime.fromisoformat(text))


def is_end(instant: int) -> bool:
    """Return True if a number can be signed as the end of something: a time from 1970 to 9999, or NEVER."""
    return 0 <= instant <= LATEST or instant == NEVER


def after(instant: Instant, span: int) -> Instant:
    """Return the instant that many microseconds later; NEVER if that is after 9999."""
    later = instant + span
    return Instant(later) if later <= LATEST else NEVER


def to_datetime(instant: Instant) -> datetime:
    """Return the aware UTC datetime. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=instant)


def show(instant: Instant) -> str:
    """Format as ISO 8601 in UTC to the second, with microseconds only if there are any; "never" for NEVER.

    Works for any number: one that is in no year from 1 to 9999 is shown as the number it is.
    """
    if instant == NEVER:
        return "never"
    try:
        return to_datetime(instant).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{instant} us"
