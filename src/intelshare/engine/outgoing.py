"""The messages that wait to leave on one link, by rank.

The driver has one message of it at a time, which nothing overtakes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from intelshare.broker.kernel.frame import Outbound
from intelshare.engine.actions import Send, Sendable
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId
from intelshare.ids import LeafId

CONTROL: Final = 0
"""The rank of control messages; a frame's is one more than its statements' rank."""

RANKS: Final = 4

SLICES: Final = 1 + RANKS
"""The rank of slices of files, and of requests for them: behind everything else."""


class Outgoing:
    """The messages that wait for the driver of one link."""

    def __init__(self, link: LinkId) -> None:
        self._link = link
        self._lines: tuple[deque[Sendable], ...] = tuple(deque() for _ in range(1 + SLICES))
        self._writing = False

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing is being written."""
        return not (self._writing or any(self._lines))

    def waiting(self, rank: int) -> int:
        """Return how many messages of a rank wait."""
        return len(self._lines[rank])

    def post(self, turn: Turn, rank: int, message: Sendable) -> None:
        """Put a message behind those of its rank."""
        self._lines[rank].append(message)
        self._write(turn)

    def written(self, turn: Turn) -> None:
        """Go on after the driver has written the last message."""
        self._writing = False
        self._write(turn)

    def withdraw(self, leaf: LeafId) -> list[Sequence[LeafId]]:
        """Take out the frames that wait and hold this statement; return the statements of each."""
        gone: list[Sequence[LeafId]] = []
        for line in self._lines[1 + CONTROL :]:
            for waiting in [one for one in line if isinstance(one, Outbound) and leaf in one.leaves]:
                line.remove(waiting)
                gone.append(waiting.leaves)
        return gone

    def _write(self, turn: Turn) -> None:
        waiting = next((line for line in self._lines if line), None)
        if waiting is not None and not self._writing:
            self._writing = True
            turn.do(Send(self._link, waiting.popleft()))
