"""The sending window of one peer: how much may be unacknowledged, what is, and what is to be tried again.

It is sans I/O, like a state machine of h11: the engine feeds it, it decides. It holds digests only, at most a
window's worth. Statements that are durable but not on their way stay in the store, and are loaded in order of
precedence while ``more`` says so (promises P15, P18).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from intelshare.delivery.retry import Backoff
from intelshare.ids import LeafId
from intelshare.instant import EPOCH, MINUTE, SECOND, Instant
from intelshare.ports import Random

MIN_WINDOW: Final = 4 * 32 * 1024
"""The bytes that may always be unacknowledged: four small frames (docs/promises.md, "Pace")."""

MAX_WINDOW: Final = 4 * 1024 * 1024

AHEAD: Final = SECOND // 4
"""The time that the window covers beyond the trips: nothing overtakes what is on its way, so FLASH waits
behind ROUTINE for that long.
"""

MEASURED_OVER: Final = SECOND // 25
"""The shortest time over which the flow is measured; over one round trip if that is longer."""

_TRIPS: Final = 10 * MINUTE
"""The time for which the shortest round trip is believed. A line that is full makes every trip long: were the
trips of the last seconds believed, the window would grow with the queue that it makes.
"""


class LinkWord(StrEnum):
    """The one word that people are shown for the links to a peer node."""

    LINKED = "linked"
    DIALLING = "dialling"
    WAITING = "waiting"
    """For the next dial, or for the peer's."""
    ELSEWHERE = "elsewhere"
    """Another replica has the links with its member."""


@dataclass(slots=True)
class LinkQueue:
    """The sending half of one link. A new link starts with a new one."""

    more: bool = True
    """True if the store may hold unacknowledged statements that are not on their way."""
    _flying: dict[LeafId, tuple[int, Instant]] = field(default_factory=dict)
    """The size of each, and when it was sent."""
    _bytes: int = 0
    _later: dict[LeafId, Instant] = field(default_factory=dict)
    _backoffs: dict[LeafId, Backoff] = field(default_factory=dict)
    _acked: int = 0
    """The bytes acknowledged after ``_since``."""
    _since: Instant = EPOCH
    _heard: Instant = EPOCH
    """The last acknowledgement."""
    _window: int = MIN_WINDOW
    _trips: tuple[int, int] = (_TRIPS, _TRIPS)
    """The shortest round trip of the last whole period, and of this one."""
    _period: Instant = EPOCH

    def room(self) -> int:
        """Return the bytes that may still be put on the link now; 0 or less: wait for an acknowledgement."""
        return self._window - self._bytes

    @property
    def unacknowledged(self) -> int:
        """The number of statements that were sent and not acknowledged."""
        return len(self._flying)

    def is_flying(self, leaf: LeafId) -> bool:
        """Return True if it was sent and is not acknowledged."""
        return leaf in self._flying

    def busy(self, now: Instant) -> frozenset[LeafId]:
        """Return the statements that must not be sent again now: on their way, or rejected and not due."""
        return frozenset(self._flying).union(leaf for leaf, at in self._later.items() if at > now)

    def sent(self, leaves: Iterable[tuple[LeafId, int]], now: Instant) -> None:
        """Note that these statements, with their sizes in bytes, are on their way."""
        for leaf, size in leaves:
            if leaf not in self._flying:
                self._flying[leaf] = size, now
                self._bytes += size

    def acknowledged(self, leaf: LeafId, now: Instant) -> None:
        """Note that the peer committed it, or that it must not go again; adapt the window to the flow."""
        size, at = self._flying.pop(leaf, (0, now))
        self._later.pop(leaf, None)
        self._backoffs.pop(leaf, None)
        if not size:
            return
        self._bytes -= size
        trip = self._trip(now - at, now)
        if now > self._heard:
            # Much is acknowledged at once: what came with the first one belongs to the time before it.
            self._measure(trip, self._heard - self._since)
            self._heard = now
        self._acked += size

    def _measure(self, trip: int, since: int) -> None:
        if since > max(MEASURED_OVER, trip):
            covered = self._acked * (trip + trip // 2 + AHEAD) // since
            self._window = min(MAX_WINDOW, max(MIN_WINDOW, covered))
            self._acked, self._since = 0, self._heard

    def _trip(self, trip: int, now: Instant) -> int:
        """Return the shortest recent round trip, this one included."""
        before, here = self._trips
        if now - self._period > _TRIPS:
            self._period, before, here = now, here, _TRIPS
        self._trips = before, min(here, trip)
        return min(self._trips)

    def rejected(self, leaf: LeafId, now: Instant, random: Random) -> None:
        """Note that the peer rejected it: it is tried again, later each time.

        Nothing happens if it is not on its way.
        """
        sent = self._flying.pop(leaf, None)
        if sent is None:
            return
        self._bytes -= sent[0]
        backoff = self._backoffs[leaf] = self._backoffs.get(leaf, Backoff(contact=now)).failed()
        self._later[leaf] = Instant(now + backoff.delay(now, random))

    def forget(self, leaves: Iterable[LeafId]) -> None:
        """Note that these statements are not on their way after all: they are loaded again if they may go."""
        for leaf in leaves:
            self._bytes -= self._flying.pop(leaf, (0, EPOCH))[0]
        self.more = True

    def due(self, now: Instant) -> Instant | None:
        """Let what is due be sent again (``more``); return when the next is due, or None if nothing waits."""
        if not self._later:
            return None
        for leaf in [leaf for leaf, at in self._later.items() if at <= now]:
            # Only once: the store may no longer have it, and must not be asked for ever.
            del self._later[leaf]
            self.more = True
        return min(self._later.values(), default=None)
