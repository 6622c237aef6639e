"""The position of the log: written into the sidecar each second, and sent to peers when that is due.

    state     what happens                                                       next
    -------   ----------------------------------------------------------------   -------
    IDLE      a second is over: ask if a checkpoint is due                       ASKING
              a user or the stop wants one: step "checkpoint"                    SIGNING
    ASKING    it is: step "checkpoint"                                           SIGNING
              it is not                                                          IDLE
    SIGNING   durable: write the sidecar                                         WRITING
    WRITING   the file that was begun after it is written: send the checkpoint   IDLE

The sidecar may lag behind the database and never leads it; a checkpoint is in it before any peer has it
(c19). One file is written at a time. The clean mark is the last thing that is ever written.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Outbound
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Kind
from intelshare.engine.actions import LogSaid, RunQuery, RunStep, Tell, WriteSidecar
from intelshare.engine.events import Covered, SidecarWritten
from intelshare.engine.limits import RETRY
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.ports import Durable

LAST_WORD: Final = 0
"""The token for the checkpoint of a node that stops. All other tokens are the driver's, from 1."""


_DUE: Final = RunQuery(Query.CHECKPOINT_DUE)
"""The question of each second, made once."""


class SigningState(Enum):
    """The state of the checkpoint, as in the table above."""

    IDLE = auto()
    ASKING = auto()
    SIGNING = auto()
    WRITING = auto()


class LogPosition:
    """The checkpoint and the sidecar of one node."""

    def __init__(self) -> None:
        self._state = SigningState.IDLE
        self._asked: list[int] = []
        """The tokens that wait for a checkpoint that is not begun."""
        self._served: list[int] = []
        """The tokens that wait for the checkpoint under way."""
        self._signed: Durable[Effects] | None = None
        """A durable checkpoint, to be sent once a file that was begun after it is written."""
        self._covered: Durable[Effects] | None = None
        """The same, if the file that is being written was begun after it."""
        self._writing = False
        self._wanted = False
        self._clean = False
        self._retry: Instant | None = None
        self._known: Covered | None = None
        """The end of the log in the sidecar, whichever replica writes it."""

    def look(self, turn: Turn) -> None:
        """Once a second, ask if a checkpoint is due, and write the sidecar."""
        if self._state is SigningState.IDLE:
            self._state = SigningState.ASKING
            turn.do(_DUE)
        self._write(turn)

    def say(self, turn: Turn, token: int) -> None:
        """Sign and send a checkpoint now; ``LogSaid`` follows."""
        self._asked.append(token)
        if self._state is SigningState.IDLE:
            self._sign(turn)

    def due(self, turn: Turn, answer: bool | IntelshareError) -> None:
        """Sign a checkpoint if one is due or requested."""
        self._state = SigningState.IDLE
        if self._asked or answer is True:
            self._sign(turn)

    def _sign(self, turn: Turn) -> None:
        self._served, self._asked, self._state = self._asked, [], SigningState.SIGNING
        turn.do(RunStep(Step.CHECKPOINT))

    def signed(self, turn: Turn, answer: Durable[Effects] | IntelshareError) -> None:
        """Write the sidecar for a durable checkpoint."""
        if isinstance(answer, IntelshareError):
            self._over(turn, answer)
            return
        self._signed, self._state = answer, SigningState.WRITING
        self._write(turn)

    def _over(self, turn: Turn, error: IntelshareError | None = None) -> None:
        served, self._served, self._state = self._served, [], SigningState.IDLE
        for token in served:
            if token == LAST_WORD:
                turn.parts.stopping.advance(turn)
            else:
                turn.do(LogSaid(token, error))
        if error is not None and error.code not in PASSING:
            turn.do(Tell(Notice.STEP_FAILED, code=error.code))
        if self._asked:
            self._sign(turn)

    # What is loaded to be sent again

    def cover(self, covered: Covered) -> None:
        """Note what the sidecar covers."""
        self._known = covered

    def covers(self, here: Incarnation, outbound: Outbound) -> bool:
        """Return True if a frame may leave: no checkpoint of this start (``here``) in it is newer than the
        sidecar (c19).
        """
        known = self._known
        for carried in outbound.frame.statements:
            if carried.kind == Kind.CHECKPOINT:
                where = decode(Checkpoint, carried.data)
                size = known.size if known is not None and known.incarnation == where.incarnation else 0
                if where.incarnation == here and where.size > size:
                    return False
        return True

    # The sidecar

    def finish(self, turn: Turn) -> None:
        """Write the mark of a clean stop, after which nothing is written any more."""
        self._clean = True
        self._write(turn)

    def _write(self, turn: Turn) -> None:
        self._wanted = True
        if not self._writing and self._retry is None:
            self._wanted, self._writing, self._covered = False, True, self._signed
            turn.do(WriteSidecar(self._clean))

    def written(self, turn: Turn, done: SidecarWritten) -> None:
        """Go on after a file was written; on failure try again in a second, unless the node stops."""
        self._writing = False
        covered, self._covered = self._covered, None
        if done.run.clean:
            turn.parts.stopping.advance(turn)
        elif done.error is None:
            if covered is not None:
                self._signed = None
                turn.carry_out(covered)
                self._over(turn)
            if self._wanted or self._clean:
                self._write(turn)
        elif turn.parts.stopping.begun:
            self._wanted, self._signed = False, None
            self._over(turn, done.error)
            if self._clean:
                self._write(turn)
        else:
            self._wanted, self._retry = True, Instant(turn.now.steady + RETRY)

    def tick(self, turn: Turn) -> None:
        """Write if a pause is over."""
        if self._retry is not None and self._retry <= turn.now.steady:
            self._retry = None
            self._write(turn)

    def next_at(self) -> Instant | None:
        """Return when to try again."""
        return self._retry
