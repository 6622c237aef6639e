"""Mending: damaged records that were met are mended, or requested from who has them, as soon as that can be.

    event                          what follows
    -----------------------------  ---------------------------------------------------------------------
    ``Chore.MEND`` is due          the driver says what is damaged: ``DamageFound``
    records that are due           the query "brought": what the log says of them; then the step "mend"
    their outcomes                 ``NoteMended``; what stays, or was requested and has not come, is due
                                   again after ``AGAIN``, each time twice as late; of what is settled, all
                                   that waited may go
    a link opens                   what is due later than in ``AGAIN`` is due then: its member may be there
    one is no longer damaged       a commit has written it again, because it came, or deleted it: that is its
                                   outcome
    the step fails                 the records are tried one by one, so that one of them stops no other

Time is measured on the steady clock. Operators mend records without waiting; ``RecordsMended`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    WAITING,
    BroughtBy,
    MendCommand,
    Mended,
    MendResult,
    Record,
    RecordOutcome,
)
from intelshare.engine.actions import NoteMended, RunQuery, RunStep, Tell
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import Notice
from intelshare.errors import PASSING, IntelshareError
from intelshare.instant import SECOND, Instant
from intelshare.ports import Durable

AGAIN: Final = 60 * SECOND
"""The time after which a record that could not be mended, or was requested and has not come, is due again;
twice as long each time, as its member may be away for days and each look may read all logs.
"""

LONGEST: Final = 64 * AGAIN
"""The longest of these pauses."""


@dataclass(frozen=True, slots=True)
class _Due:
    """When a record is due again, on the steady clock, and the pause before."""

    at: Instant
    pause: int


class Mending:
    """The mending of one engine. It does one thing at a time."""

    def __init__(self) -> None:
        self._later: dict[Record, _Due] = {}
        """When each record that is still damaged is due again."""
        self._most = MAX_MENDED
        """The most records of one step: one after a step has failed."""
        self._busy = False

    def found(self, turn: Turn, records: Sequence[Record]) -> None:
        """Begin to mend what is due. ``records``: all that were met damaged and are not settled."""
        if not records and not self._later:
            return
        known = set(records)
        came = [record for record in self._later if record not in known]
        self.note(turn, [Mended(record, RecordOutcome.WHOLE) for record in came])
        now = turn.now.steady
        waits = {record for record, due in self._later.items() if due.at > now}
        due = tuple([one for one in records if one not in waits][: self._most])
        if due and not (self._busy or turn.parts.stopping.begun):
            self._busy = True
            turn.do(RunQuery(Query.BROUGHT, (due,), beside=True))

    def linked(self, turn: Turn) -> None:
        """Look again in ``AGAIN`` at the latest: somebody who may have what is missing is there."""
        soon = _Due(Instant(turn.now.steady + AGAIN), AGAIN)
        self._later = {record: min(due, soon, key=lambda one: one.at) for record, due in self._later.items()}

    def brought(self, turn: Turn, run: RunQuery, answer: BroughtBy | IntelshareError) -> None:
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
            self._wait(turn, one.record)
        if told:
            turn.do(NoteMended(tuple(told)))
        if any(one.outcome not in WAITING for one in told):
            turn.search()

    def _failed(self, turn: Turn, due: tuple[Record, ...], error: IntelshareError) -> None:
        self._busy = False
        if error.code in PASSING:
            return
        turn.do(Tell(Notice.STEP_FAILED, code=error.code))
        self._most = 1
        if len(due) == 1:
            self._wait(turn, due[0])

    def _wait(self, turn: Turn, record: Record) -> None:
        before = self._later.get(record)
        pause = AGAIN if before is None else min(2 * before.pause, LONGEST)
        self._later[record] = _Due(Instant(turn.now.steady + pause), pause)
