"""The last statements that each peer acknowledged: they are said again to one that starts again.

A disk that lost what it had confirmed is found out by what the node remembers beside it, which is written
each second. What it lost in the last second nobody notices there. The numbers of releases show what is
missing, a receipt for a release that is not known shows the release (``hearing``); a lost receipt shows
nowhere, and its pair would be sent for ever.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from intelshare.ids import LeafId, MemberCode
from intelshare.instant import SECOND, Instant

KEPT: Final = 2 * SECOND
"""The time before its last acknowledgement in which a peer may have given one that it has lost."""

MAX_KEPT: Final = 4096
"""The statements of each peer that are remembered, the newest."""


class Acknowledged:
    """In memory: it helps unless both ends are restarted at once."""

    def __init__(self) -> None:
        self._last: dict[MemberCode, deque[tuple[Instant, LeafId]]] = {}
        """By peer, its statements with the time of the steady clock, the newest last."""

    def note(self, member: MemberCode, leaf: LeafId, at: Instant) -> None:
        """Note that a peer has acknowledged a statement. ``at``: on the steady clock."""
        last = self._last.get(member)
        if last is None:
            last = self._last[member] = deque(maxlen=MAX_KEPT)
        last.append((at, leaf))
        while last[0][0] < at - KEPT:
            last.popleft()

    def last(self, member: MemberCode) -> tuple[LeafId, ...]:
        """Return what a peer acknowledged in the last two seconds in which it did, oldest first."""
        return tuple([leaf for _, leaf in self._last.get(member, ())])
