"""The clock of a peer, as one link has measured it."""

from __future__ import annotations

from intelshare.broker.lifecycle.operator_acts import AGREES
from intelshare.engine.values import Now


class PeerClock:
    """Each hello and each acknowledgement states the peer's time: the last one counts."""

    def __init__(self) -> None:
        self.offset = 0
        """The last measured difference: the peer's clock minus this one, in microseconds."""
        self._beyond = 0
        """The peer's clock minus the steady one."""

    def measured(self, offset: int, now: Now) -> None:
        """Note a difference that was measured now."""
        self.offset = offset
        self._beyond = offset + now.wall - now.steady

    def offset_at(self, now: Now) -> int:
        """Return the peer's clock minus this one, in microseconds, whatever this one has done since."""
        return self._beyond + now.steady - now.wall

    def agrees(self, now: Now) -> bool:
        """Return True if the peer's clock agrees with this one, or somebody has confirmed this one."""
        return now.confirmed or abs(self.offset_at(now)) <= AGREES
