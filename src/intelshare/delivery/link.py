"""What is on the way to one peer: what may still be sent, what is unacknowledged, what waits to be tried again.

Sans I/O, like a state machine of h11: the node's link and the simulator feed it, it decides. It holds
digests and the frames that were just sealed, bounded; what does not fit is only remembered as "more",
and is loaded from the store when there is room again (promise P18).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from intelshare.delivery.retry import Backoff
from intelshare.ids import LeafId
from intelshare.instant import SECOND, Instant
from intelshare.ports import Random

MIN_WINDOW: Final = 4 * 32 * 1024
"""Bytes that may always be unacknowledged: four small frames."""

MAX_WINDOW: Final = 4 * 1024 * 1024
MAX_WAITING: Final = 4096
"""Offers kept in memory per peer."""

MEASURED_OVER: Final = SECOND // 2


@dataclass(frozen=True, slots=True)
class Offer:
    """One durable statement for the peer: its digest, its place in the queue, its size in bytes."""

    leaf: LeafId
    rank: int
    """0 is FLASH, 3 is ROUTINE."""
    order: int
    size: int


@dataclass(slots=True)
class LinkQueue:
    """The sending half of one link. A new link starts with a new one; ``more`` then is true."""

    more: bool = True
    """The store may hold unacknowledged statements that are not in here."""
    _waiting: list[tuple[int, int, LeafId, int]] = field(default_factory=list)
    _known: set[LeafId] = field(default_factory=set)
    _flying: dict[LeafId, int] = field(default_factory=dict)
    _bytes: int = 0
    _later: dict[LeafId, tuple[Instant, Backoff]] = field(default_factory=dict)
    _acked: int = 0
    _acked_since: Instant = Instant(0)
    _window: int = MIN_WINDOW

    def offer(self, offers: Sequence[Offer]) -> None:
        """Take statements that are durable; one that is already here changes nothing."""
        for item in offers:
            if item.leaf in self._known:
                continue
            if len(self._waiting) >= MAX_WAITING:
                self.more = True
                return
            self._known.add(item.leaf)
            heapq.heappush(self._waiting, (item.rank, item.order, item.leaf, item.size))

    def room(self) -> int:
        """Bytes that may still be put on the link now; 0 or less: wait for an acknowledgement."""
        return self._window - self._bytes

    @property
    def waiting(self) -> int:
        """How many offers are not yet sent."""
        return len(self._waiting)

    @property
    def unacknowledged(self) -> int:
        """How many statements were sent and not acknowledged."""
        return len(self._flying)

    def first_rank(self) -> int | None:
        """Rank of the best offer that waits."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, limit: int) -> list[LeafId]:
        """The best offers that fit the window, at most ``limit``; they count as sent from now on."""
        taken: list[LeafId] = []
        while self._waiting and len(taken) < limit and self._bytes < self._window:
            _, _, leaf, size = heapq.heappop(self._waiting)
            self._flying[leaf] = size
            self._bytes += size
            taken.append(leaf)
        return taken

    def forget(self, leaf: LeafId) -> None:
        """The statement is not to be sent any more (its pair was stopped)."""
        self._land(leaf)
        self._later.pop(leaf, None)
        self._known.discard(leaf)

    def acknowledged(self, leaf: LeafId, now: Instant) -> None:
        """The peer has committed it."""
        size = self._land(leaf)
        self._known.discard(leaf)
        self._later.pop(leaf, None)
        if now - self._acked_since > MEASURED_OVER:
            self._window = max(MIN_WINDOW, min(MAX_WINDOW, 2 * self._acked))
            self._acked, self._acked_since = 0, now
        self._acked += size
        if self._acked > self._window // 2:
            self._window = min(MAX_WINDOW, 2 * self._acked)

    def rejected(self, leaf: LeafId, now: Instant, random: Random) -> None:
        """The peer did not take it: offer it again later, each time later."""
        self._land(leaf)
        _, backoff = self._later.get(leaf, (now, Backoff(contact=now)))
        backoff = backoff.failed()
        self._later[leaf] = (Instant(now + backoff.delay(now, random)), backoff)

    def due(self, now: Instant) -> list[LeafId]:
        """Rejected statements whose time has come: offer them again."""
        ready = [leaf for leaf, (at, _) in self._later.items() if at <= now and leaf in self._known]
        for leaf in ready:
            self._known.discard(leaf)
            self._later[leaf] = (Instant(2**62), self._later[leaf][1])
        return ready

    def next_due(self) -> Instant | None:
        """When ``due`` will have something; None: nothing was rejected."""
        return min((at for at, _ in self._later.values() if at < 2**62), default=None)

    def _land(self, leaf: LeafId) -> int:
        size = self._flying.pop(leaf, 0)
        self._bytes -= size
        return size
