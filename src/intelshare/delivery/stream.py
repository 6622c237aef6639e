"""An incoming stream: which numbers came, which are missing, and if a new one fits.

Nothing waits for a gap: each release is judged by itself. Missing numbers are kept as ranges, so that memory
and rows do not grow with their number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from intelshare.errors import DeliveryError
from intelshare.ids import LeafId

MAX_RANGES: Final = 1024
"""The most ranges kept per stream; more means a peer that skips numbers on purpose."""

MAX_ASKED: Final = 64
"""The most ranges of one gap request."""

_RANGE = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Sorted, disjoint ranges of numbers, both ends included."""

    spans: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.spans)

    def add(self, first: int, last: int) -> Ranges:
        """Return the ranges with this one added; ranges that touch are joined."""
        if last < first:
            return self
        kept = []
        for low, high in self.spans:
            if high + 1 < first or last + 1 < low:
                kept.append((low, high))
            else:
                first, last = min(first, low), max(last, high)
        return Ranges(tuple(sorted([*kept, (first, last)])))

    def remove(self, first: int, last: int) -> Ranges:
        """Return the ranges without this one."""
        if last < first:
            return self
        kept: list[tuple[int, int]] = []
        for low, high in self.spans:
            parts = ((low, min(high, first - 1)), (max(low, last + 1), high))
            kept.extend(part for part in parts if part[0] <= part[1])
        return Ranges(tuple(kept))

    def pack(self) -> bytes:
        """Encode the ranges for the store."""
        return b"".join(_RANGE.pack(*span) for span in self.spans)

    @staticmethod
    def unpack(data: bytes) -> Ranges:
        """Decode what ``pack`` encoded."""
        return Ranges(tuple(_RANGE.iter_unpack(data)))


@dataclass(frozen=True, slots=True)
class Incoming:
    """A stream as this member holds it. ``head`` is the leaf id of number ``last``."""

    last: int
    head: LeafId
    holes: Ranges = Ranges()
    cancelled: Ranges = Ranges()
    frozen: bool = False
    floor: int = 0
    """Up to this number an operator has let contradictions be: kept as evidence, and not compared."""


class NumberVerdict(Enum):
    """The verdict on a number of a stream."""

    FITS = "fits"
    VOIDED = "voided"


def arrive(
    stream: Incoming,
    number: int,
    leaf: LeafId,
    prev: LeafId,
    held: Callable[[int], tuple[LeafId, LeafId] | None],
) -> tuple[NumberVerdict, Incoming]:
    """Judge release ``number`` (check 9) and return the verdict and the stream after it.

    ``held(n)`` returns (leaf, prev) of a number that is held, otherwise None; for 0, which no release has,
    the stream's start. Raises DeliveryError SEQUENCE_FORK for a second content, or a neighbour that does not
    fit (the caller then freezes the stream); RATE for more gaps than are kept.
    """
    if stream.frozen:
        raise _fork(number, "the stream has been frozen since an earlier contradiction")
    if number == stream.last + 1:
        if prev != stream.head and stream.head and stream.last >= stream.floor + bool(stream.floor):
            raise _fork(number, "it names another release as the one before it")
        after = replace(stream, last=number, head=leaf)
    elif number > stream.last:
        holes = stream.holes.add(stream.last + 1, number - 1)
        after = replace(stream, last=number, head=leaf, holes=holes)
    else:
        around = (number - 1, number, number + 1)
        known = {place: None if 0 < place <= stream.floor else held(place) for place in around}
        if known[number] is not None:
            raise _fork(number, "another release has this number")
        before, behind = known[number - 1], known[number + 1]
        if (before is not None and before[0] != prev) or (behind is not None and behind[1] != leaf):
            raise _fork(number, "its neighbours name other releases")
        holes = stream.holes.remove(number, number)
        after = replace(stream, holes=holes)
    if len(after.holes.spans) > MAX_RANGES:
        raise DeliveryError("RATE", f"more than {MAX_RANGES} gaps in one stream")
    if number in stream.cancelled:
        return NumberVerdict.VOIDED, after
    return NumberVerdict.FITS, after


def _fork(number: int, why: str) -> DeliveryError:
    return DeliveryError(
        "SEQUENCE_FORK",
        f"number {number}: {why}",
        hint="both are kept as evidence; other streams go on; an operator must unfreeze this one",
    )
