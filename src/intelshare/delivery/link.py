"""What is on the way to one peer: how much may be unacknowledged, what is, and what is to be tried again.

Sans I/O, like a state machine of h11: the engine feeds it, it decides. It holds
digests only, at most a window's worth. What is durable but not on the way stays in the store, and is
loaded in the order of its precedence while ``more`` says so (promises P15, P18).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from intelshare.delivery.retry import Backoff
from intelshare.ids import LeafId
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.ports import Random

MIN_WINDOW: Final = 4 * 32 * 1024
"""Bytes that may always be unacknowledged: four small frames (promises.md 1.2)."""

MAX_WINDOW: Final = 4 * 1024 * 1024

MEASURED_OVER: Final = SECOND // 25
"""Twice as much may be on the way as is acknowledged in this time, or in two round trips if they are longer:
nothing overtakes what is, so FLASH waits as long behind ROUTINE."""

_TRIPS: Final = 10 * SECOND
"""How long the shortest round trip is believed."""


@dataclass(slots=True)
class LinkQueue:
    """The sending half of one link. A new link starts with a new one."""

    more: bool = True
    """The store may hold unacknowledged statements that are not on the way."""
    _flying: dict[LeafId, tuple[int, Instant]] = field(default_factory=dict)
    """Size, and when it was sent."""
    _bytes: int = 0
    _later: dict[LeafId, Instant] = field(default_factory=dict)
    _backoffs: dict[LeafId, Backoff] = field(default_factory=dict)
    _acked: int = 0
    _since: Instant = EPOCH
    _window: int = MIN_WINDOW
    _trips: tuple[int, int] = (_TRIPS, _TRIPS)
    """The shortest round trip of the last whole period, and of this one."""
    _period: Instant = EPOCH

    def room(self) -> int:
        """Bytes that may still be put on the link now; 0 or less: wait for an acknowledgement."""
        return self._window - self._bytes

    @property
    def unacknowledged(self) -> int:
        """How many statements were sent and not acknowledged."""
        return len(self._flying)

    def is_flying(self, leaf: LeafId) -> bool:
        """Whether it was sent and is not acknowledged."""
        return leaf in self._flying

    def busy(self, now: Instant) -> frozenset[LeafId]:
        """Statements that must not be sent again now: on the way, or rejected and not yet due."""
        return frozenset(self._flying).union(leaf for leaf, at in self._later.items() if at > now)

    def sent(self, leaves: Iterable[tuple[LeafId, int]], now: Instant) -> None:
        """These statements, with their sizes in bytes, are on the way."""
        for leaf, size in leaves:
            if leaf not in self._flying:
                self._flying[leaf] = size, now
                self._bytes += size

    def acknowledged(self, leaf: LeafId, now: Instant) -> None:
        """The peer has committed it, or it is not to be sent any more. Widens the window to what flows."""
        size, at = self._flying.pop(leaf, (0, now))
        self._later.pop(leaf, None)
        self._backoffs.pop(leaf, None)
        if not size:
            return
        self._bytes -= size
        if now - self._since > max(MEASURED_OVER, 2 * self._trip(now - at, now)):
            self._window = min(MAX_WINDOW, max(MIN_WINDOW, 2 * self._acked))
            self._acked, self._since = 0, now
        self._acked += size
        self._window = min(MAX_WINDOW, max(self._window, 2 * self._acked))

    def _trip(self, trip: int, now: Instant) -> int:
        """The shortest round trip lately, this one included."""
        before, here = self._trips
        if now - self._period > _TRIPS:
            self._period, before, here = now, here, _TRIPS
        self._trips = before, min(here, trip)
        return min(self._trips)

    def rejected(self, leaf: LeafId, now: Instant, random: Random) -> None:
        """The peer did not take it: to be tried again, each time later. Nothing if it is not on the way."""
        sent = self._flying.pop(leaf, None)
        if sent is None:
            return
        self._bytes -= sent[0]
        backoff = self._backoffs[leaf] = self._backoffs.get(leaf, Backoff(contact=now)).failed()
        self._later[leaf] = Instant(now + backoff.delay(now, random))

    def forget(self, leaves: Iterable[LeafId]) -> None:
        """These statements are not on the way after all: they are loaded again, if they still may go."""
        for leaf in leaves:
            self._bytes -= self._flying.pop(leaf, (0, EPOCH))[0]
        self.more = True

    def due(self, now: Instant) -> Instant | None:
        """Let what is due be sent again (``more``); when the next is due, None if nothing waits."""
        for leaf in [leaf for leaf, at in self._later.items() if at <= now]:
            # Once only: the store may have it no longer, and must not be asked for ever.
            del self._later[leaf]
            self.more = True
        return min(self._later.values(), default=None)
