"""Room on the data folder's disk: what is still accepted when there is little, and the reserve.

    state     what is accepted                     reserve     left when                               next
    -------   ----------------------------------   ---------   -------------------------------------   -------
    ENOUGH    everything                           held        less than ``low`` bytes are free,       LOW
                                                               or a write found no room
    LOW       FLASH, receipts, recalls, log        held, or    ``low`` bytes are free, and room for    FILLING
                                                   given up    what the reserve lacks
    FILLING   as LOW                               being       it is held                              ENOUGH
                                                   made        there was no room for it                LOW

A replica that does not lead holds no reserve: in LOW it waits until there is room.

The reserve is a file of the driver's that only takes up room. It is given up in LOW once less than ``give``
bytes are free, or a write found no room: then there is room again, even if another program has filled the
disk to the last byte, or if a quota does not show in the number of free bytes. Holding it again proves that
there is room. So recovery needs no restart, and nothing from an operator except the room itself.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from intelshare.engine.actions import HoldReserve, SetRoom
from intelshare.engine.events import Space
from intelshare.engine.turn import Turn
from intelshare.instant import EPOCH, SECOND, Instant

PAUSE: Final = 2 * SECOND
"""The time until the reserve is tried again after there was no room for it."""


class SpaceState(Enum):
    """The state, as in the table above."""

    ENOUGH = auto()
    LOW = auto()
    FILLING = auto()


class RoomOnDisk:
    """The room on the disk of one engine."""

    def __init__(self) -> None:
        self._state = SpaceState.ENOUGH
        self._not_before = EPOCH
        self._seen = Space(0, 0)
        self._filling = False

    @property
    def is_low(self) -> bool:
        """True if only FLASH, receipts, recalls and log entries are accepted."""
        return self._state is not SpaceState.ENOUGH

    def seen(self, turn: Turn, space: Space) -> None:
        """Process the driver's look at the disk, or a write that found no room (``free`` is 0 then)."""
        limits, self._seen = turn.parts.limits.space, space
        if self._state is SpaceState.ENOUGH and space.free < limits.low:
            self._state = SpaceState.LOW
        gives = turn.parts.dividing.leads and space.reserve
        if self._state is SpaceState.LOW and space.free < limits.give and gives:
            self._not_before = Instant(turn.now.steady + PAUSE)
            turn.do(HoldReserve(False))
        elif self._state is SpaceState.LOW and space.free >= self._need(turn):
            self._fill(turn)
        elif self._state is SpaceState.ENOUGH and space.reserve < limits.reserve:
            self._hold(turn)
        self._show(turn)

    def _need(self, turn: Turn) -> int:
        limits = turn.parts.limits.space
        return limits.low + limits.reserve - self._seen.reserve

    def _fill(self, turn: Turn) -> None:
        if not turn.parts.dividing.leads:
            self._state = SpaceState.ENOUGH
            turn.parts.sender.wake(turn, [link.member for link in turn.parts.links.newest()])
        elif self._not_before <= turn.now.steady:
            self._state = SpaceState.FILLING
            self._hold(turn)

    def _hold(self, turn: Turn) -> None:
        if not self._filling and turn.parts.dividing.leads:
            self._filling = True
            turn.do(HoldReserve(True))

    def held(self, turn: Turn, *, there_was_room: bool) -> None:
        """Note that the reserve is held, or that there was no room for it."""
        self._filling = False
        if not there_was_room:
            self._state, self._not_before = SpaceState.LOW, Instant(turn.now.steady + PAUSE)
        elif self._state is SpaceState.FILLING:
            self._state = SpaceState.ENOUGH
            turn.parts.sender.wake(turn, [link.member for link in turn.parts.links.newest()])
        self._show(turn)

    def _show(self, turn: Turn) -> None:
        turn.do(SetRoom(self._seen.free, self._need(turn)) if self.is_low else SetRoom())
