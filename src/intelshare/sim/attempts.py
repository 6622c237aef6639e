"""I9: how often a node dials, and how soon after a link of some length has ended."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from intelshare.delivery.retry import FIRST
from intelshare.engine import Limits
from intelshare.instant import MINUTE, SECOND
from intelshare.sim.heap import Violation

MOST: Final = 30
"""The most dials to one peer in a minute without a link: doubled each time, more than a dozen are rare."""

_LASTED: Final = Limits().hello + SECOND // 10

_SOON: Final = FIRST + SECOND // 10


class Attempts:
    """The dials of one process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._dials: dict[str, deque[int]] = defaultdict(deque)
        self._ended: dict[str, int] = {}

    def dials(self, peer: str, now: int) -> None:
        """Check a dial. Raises Violation I9."""
        ended = self._ended.pop(peer, None)
        if ended is not None and now - ended > _SOON:
            raise Violation("I9", f"{self._name} dials {peer} {now - ended} us after a link that had lasted")
        dials = self._dials[peer]
        dials.append(now)
        while dials[0] < now - MINUTE:
            dials.popleft()
        if len(dials) > MOST:
            raise Violation("I9", f"{self._name} dials {peer} {len(dials)} times a minute")

    def opened(self, peer: str) -> None:
        """Note that there is a link."""
        self._dials[peer].clear()
        self._ended.pop(peer, None)

    def ended(self, peer: str, lasted: int, now: int) -> None:
        """Note that a link has ended: if it lasted, the next dial follows at once."""
        if lasted > _LASTED:
            self._ended[peer] = now

    def left_out(self, peers: Iterable[str]) -> None:
        """Note that operators keep the node from dialling these."""
        for peer in peers:
            self._ended.pop(peer, None)

    def excused(self) -> None:
        """Note that something other than a pause may keep the node from dialling: a call, a clock, a key."""
        self._ended.clear()
