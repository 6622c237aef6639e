"""Backoff: the time until the next try is doubled, fully random, and capped (docs/promises.md, "Pace")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.instant import EPOCH, HOUR, MINUTE, SECOND, Instant
from intelshare.ports import Random

FIRST: Final = SECOND // 2
CAP: Final = MINUTE
CAP_WHEN_SILENT: Final = 10 * MINUTE
SILENT_AFTER: Final = HOUR


@dataclass(frozen=True, slots=True)
class Backoff:
    """The number of failures since the last contact."""

    attempts: int = 0
    contact: Instant = EPOCH
    """When the other side was last heard."""

    def failed(self) -> Backoff:
        """Count one more failure."""
        return Backoff(self.attempts + 1, self.contact)

    def heard(self, now: Instant) -> Backoff:
        """Reset: the other side answered or called."""
        return Backoff(0, now)

    def delay(self, now: Instant, random: Random) -> int:
        """Return the microseconds to wait: uniform between 0 and the present step."""
        cap = CAP if now - self.contact < SILENT_AFTER else CAP_WHEN_SILENT
        step = min(FIRST << min(max(self.attempts - 1, 0), 32), cap)
        return int.from_bytes(random(8), "big") % (step + 1)
