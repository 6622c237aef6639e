"""The room on a machine's disk: what writes take, what a fault fills, and the node's reserve."""

from __future__ import annotations

from typing import Any, Final

from intelshare.engine import SpaceLimits
from intelshare.engine.events import Space
from intelshare.errors import StoreError
from intelshare.ports import Plan, Put

PLENTY: Final = 1 << 40
"""The room of a disk that nothing fills: what is written there is not counted."""

LIMITS: Final = SpaceLimits(low=1 << 20, reserve=200_000, give=20_000)
"""The limits in bytes. The reserve has room for some dozens of receipts, but not for a large bulletin."""

_ROW: Final = 64
"""The bytes of a row in addition to its texts and bytes."""


class Room:
    """The room on one disk. What was written stays; only the end of the fault makes room."""

    def __init__(self) -> None:
        self.free = PLENTY
        self.reserve = 0

    def fill(self, left: int) -> None:
        """Let another program leave this many bytes free, until ``empty``."""
        self.free = left

    def empty(self) -> None:
        """Make room again."""
        self.free = PLENTY

    def look(self) -> Space:
        """Return the space as the driver sees it."""
        return Space(max(0, self.free), self.reserve)

    def hold(self, *, on: bool) -> bool:
        """Make the reserve, or give it up; return whether there was room."""
        wanted = LIMITS.reserve if on else 0
        if wanted - self.reserve > self.free:
            return False
        self.free -= wanted - self.reserve
        self.reserve = wanted
        return True

    def take(self, plan: Plan[Any]) -> None:
        """Take the room for what a plan writes. Raises StoreError DISK_FULL, in which case nothing was
        taken.
        """
        if self.free > PLENTY // 2:
            return
        size = sum(_size(write.row) if isinstance(write, Put) else _ROW for write in plan.writes)
        if size > self.free:
            raise StoreError("DISK_FULL", "the disk is full")
        self.free -= size


def _size(row: Any) -> int:
    return _ROW + sum(len(value) for value in row if isinstance(value, str | bytes))
