"""An orderly stop, even in the middle of anything: each phase begins when the one before is over.

    phase       what happens                                         over when
    ---------   --------------------------------------------------   ---------------------------------------
    LAST_WORD   sign the log's position, write the sidecar, send     it is sent, or could not be
    SETTLE      peers take it                                        all is taken and answered, or last_word
    CLOSE       end all links                                        at once
    DRAIN       no more calls and steps; those that run finish       all that was written is durable
    MARK        the sidecar gets the mark of a clean stop            it is written, or could not be

A replica that does not lead only does CLOSE and DRAIN: the one that leads writes on.

With the last checkpoint peers can tell if somebody edits the log of a node that is off. The mark states that
sidecar and database are equal: it is true only after the last writer has stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from intelshare.engine.actions import Drain, Stopped
from intelshare.engine.log_position import LAST_WORD
from intelshare.engine.turn import Turn
from intelshare.instant import Instant


class Phase(Enum):
    """The phase of a stop, as in the table above."""

    LAST_WORD = auto()
    SETTLE = auto()
    CLOSE = auto()
    DRAIN = auto()
    MARK = auto()


STOP_ORDER: Final = tuple(Phase)


class Stopping:
    """The stop of one engine; it happens once."""

    def __init__(self, order: Sequence[Phase] = STOP_ORDER) -> None:
        self._left = list(order)
        self._phase: Phase | None = None
        self._until: Instant | None = None
        self.begun = False

    def begin(self, turn: Turn) -> None:
        """Stop. Calling it again does no harm."""
        if not self.begun:
            self.begun = True
            if not turn.parts.dividing.leads:
                self._left = [one for one in self._left if one in (Phase.CLOSE, Phase.DRAIN)]
            self.advance(turn)

    def advance(self, turn: Turn) -> None:
        """Begin the next phase: the one before is over."""
        self._phase = self._left.pop(0) if self._left else None
        match self._phase:
            case Phase.LAST_WORD:
                turn.parts.log_position.say(turn, LAST_WORD)
            case Phase.SETTLE:
                self._until = Instant(turn.now.steady + turn.parts.limits.last_word)
                self.tick(turn)
            case Phase.CLOSE:
                turn.parts.dividing.leave(turn)
                turn.parts.links.end_all(turn)
                self.advance(turn)
            case Phase.DRAIN:
                turn.do(Drain())
            case Phase.MARK:
                turn.parts.log_position.finish(turn)
            case None:
                turn.do(Stopped())

    def tick(self, turn: Turn) -> None:
        """Go on if peers have taken the last checkpoint, or their time is over."""
        if self._until is not None and (turn.parts.links.settled or self._until <= turn.now.steady):
            self._until = None
            self.advance(turn)

    def next_at(self) -> Instant | None:
        """Return when the peers' time is over."""
        return self._until
