"""Mending: damaged records that were met are mended, or requested from who has them, as soon as that can be.

    event                          what follows
    -----------------------------  ---------------------------------------------------------------------
    ``Chore.MEND`` is due          the driver says what is damaged: ``DamageFound``
    records that are due           the query "brought": what the log says of them; then the step "mend"
    their outcomes                 ``NoteMended``; what stays, or was requested and has not come, is due
                                   again after ``AGAIN``; of what is settled, all that waited may go
    the step fails                 the records are tried one by one, so that one of them stops no other

Time is measured on the steady clock. Operators mend records without waiting; ``RecordsMended`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    WAITING,
    Brought,
    MendCommand,
    Mended,
    MendResult,
    Record,
)
from intelshare.engine.actions import NoteMended, RunQuery, RunStep, Tell
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.instant import SECOND, Instant
from intelshare.ports import Durable

AGAIN: Final = 60 * SECOND
"""The time after which a record that could not be mended, or was requested and has not come, is due again."""


class Mending:
    """The mending of one engine. It does one thing at a time."""

    def __init__(self) -> None:
        self._later: dict[Record, Instant] = {}
        """When each record that is still damaged is due again."""
        self._most = MAX_MENDED
        """The most records of one step: one after a step has failed."""
        self._busy = False

    def found(self, turn: Turn, records: Sequence[Record]) -> None:
        """Begin to mend what is due. ``records``: all that were met damaged and are not settled."""
        known = set(records)
        self._later = {record: at for record, at in self._later.items() if record in known}
        now = turn.now.steady
        due = tuple([one for one in records if self._later.get(one, now) <= now][: self._most])
        if due and not (self._busy or turn.parts.stopping.begun):
            self._busy = True
            turn.do(RunQuery(Query.BROUGHT, (due,), beside=True))

    def brought(self, turn: Turn, run: RunQuery, answer: Mapping[Record, Brought] | IntelshareError) -> None:
        """Mend what was asked about, with the answer."""
        (due,) = run.event
        if isinstance(answer, IntelshareError):
            self._failed(turn, due, answer)
        elif turn.parts.stopping.begun:
            self._busy = False
        else:
            turn.do(RunStep(Step.MEND, (MendCommand(due, answer),)))

    def mended(self, turn: Turn, run: RunStep, answer: Durable[MendResult] | IntelshareError) -> None:
        """Note the outcomes; the engine carries out the effects."""
        if isinstance(answer, IntelshareError):
            self._failed(turn, run.event[0].records, answer)
            return
        self._busy, self._most = False, MAX_MENDED
        self.note(turn, answer.value.mended)

    def note(self, turn: Turn, mended: Sequence[Mended]) -> None:
        """Let the driver note outcomes; each record that has to wait is told once."""
        told = []
        for one in mended:
            if one.outcome not in WAITING:
                self._later.pop(one.record, None)
                told.append(one)
                continue
            if one.record not in self._later:
                told.append(one)
            self._later[one.record] = Instant(turn.now.steady + AGAIN)
        if told:
            turn.do(NoteMended(tuple(told)))
        if any(one.outcome not in WAITING for one in told):
            # What could not be read was neither sent nor reviewed.
            turn.parts.sender.search(turn)
            turn.parts.housekeeping.review_again()

    def _failed(self, turn: Turn, due: tuple[Record, ...], error: IntelshareError) -> None:
        self._busy = False
        if error.code in PASSING:
            return
        turn.do(Tell(Notice.STEP_FAILED, code=error.code))
        self._most = 1
        if len(due) == 1:
            self._later[due[0]] = Instant(turn.now.steady + AGAIN)
