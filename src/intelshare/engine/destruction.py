"""Destruction: whatever was marked is shredded from the files, and only then signed for (crash point c16).

    state       what happens                                             next
    ---------   ------------------------------------------------------   ---------
    IDLE        a start, a mark, or the end of a pause: ask for marks    LOOKING
    LOOKING     nothing is marked                                        IDLE
                something is: shred the files, remove pieces of others   SHREDDING
    SHREDDING   they are shredded: step "finish" for what was marked     SIGNING
    SIGNING     durable: ask again                                       LOOKING

What is marked while the store shreds waits for the next round: its keys may still be in the files. After a
stop has begun nothing more is done: the next start asks for marks.
"""

from __future__ import annotations

from enum import Enum, auto

from intelshare.broker.lifecycle.destroy import Marked
from intelshare.engine.actions import RunQuery, RunStep, Shred, Tell
from intelshare.engine.limits import RETRY
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.instant import Instant


class DestructionState(Enum):
    """The state, as in the table above."""

    IDLE = auto()
    LOOKING = auto()
    SHREDDING = auto()
    SIGNING = auto()


class Destruction:
    """Destroys what is marked, one batch at a time, starting with what an earlier start has left."""

    def __init__(self) -> None:
        self._state = DestructionState.IDLE
        self._marked = Marked()
        self._again = False
        self._at: Instant | None = None

    def wake(self, turn: Turn) -> None:
        """Note that something was marked. The replica that leads destroys it."""
        if not turn.parts.dividing.leads:
            return
        self._again = True
        if self._state is DestructionState.IDLE:
            self._look(turn)

    def found(self, turn: Turn, marked: Marked | IntelshareError) -> None:
        """Shred what is marked and not signed for."""
        if isinstance(marked, IntelshareError):
            self._failed(turn, marked)
        elif turn.parts.stopping.begun:
            self._state = DestructionState.IDLE
        elif marked:
            self._marked, self._state = marked, DestructionState.SHREDDING
            turn.parts.fetching.removed(turn, marked.files)
            turn.do(Shred(marked.files))
        elif self._again:
            self._look(turn)
        else:
            self._state = DestructionState.IDLE

    def shredded(self, turn: Turn, error: IntelshareError | None) -> None:
        """Sign for what was shredded: what was overwritten is no longer in any file."""
        if error is not None:
            self._failed(turn, error)
            return
        if turn.parts.stopping.begun:
            self._state = DestructionState.IDLE
            return
        self._state = DestructionState.SIGNING
        turn.do(RunStep(Step.FINISH, (self._marked,)))

    def signed(self, turn: Turn, error: IntelshareError | None) -> None:
        """Go on once the receipts are durable."""
        if error is not None:
            self._failed(turn, error)
        else:
            turn.parts.fetching.forgotten(self._marked.files)
            self._look(turn)

    def tick(self, turn: Turn) -> None:
        """Look again if a pause is over."""
        if self._at is not None and self._at <= turn.now.steady:
            self._look(turn)

    def next_at(self) -> Instant | None:
        """Return when the pause is over."""
        return self._at

    def _look(self, turn: Turn) -> None:
        self._at, self._again, self._state = None, False, DestructionState.LOOKING
        if turn.parts.stopping.begun:
            self._state = DestructionState.IDLE
            return
        turn.do(RunQuery(Query.MARKED))

    def _failed(self, turn: Turn, error: IntelshareError) -> None:
        self._state, self._at = DestructionState.IDLE, Instant(turn.now.steady + RETRY)
        if error.code not in PASSING:
            turn.do(Tell(Notice.STEP_FAILED, code=error.code))
