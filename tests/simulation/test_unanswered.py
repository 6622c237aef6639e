"""A node hears where a log stands and not how it got there, and then the log comes back shorter."""

from typing import Any

import pytest

from intelshare.audit.work import Work
from intelshare.broker.transparency.checkpoint import answer
from intelshare.engine import QUERIES, Query
from intelshare.instant import SECOND
from intelshare.sim.machine import Machine
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import run

RESTORED = Fault("restore", "USA", at=30 * SECOND, by=20 * SECOND, lasts=SECOND)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> FaultPlan:
    """Until its disk is restored USA answers nothing about its log, as if each link ended in between."""
    silent = {"USA"}
    restore = Machine.restore

    def restored(machine: Machine, *how: Any) -> None:
        silent.clear()
        restore(machine, *how)

    def answered(node: Any, view: Any, ask: Any, now: Any) -> Work[Any]:
        del now
        honest = yield from answer(node, view, ask)
        return None if node.member in silent else honest

    monkeypatch.setattr(Machine, "restore", restored)
    monkeypatch.setitem(QUERIES, Query.ANSWER, answered)
    acts = [Act("submit", at * SECOND, *("FRA", "USA")[:: (-1) ** at], what=at) for at in range(1, 38, 3)]
    return FaultPlan(1, Knobs(lasts=40 * SECOND), tuple(acts), (RESTORED,))


def test_what_was_acknowledged_and_never_proved_is_shown_once_it_is_lost(plan: FaultPlan) -> None:
    assert run(plan).violation is None


def test_and_it_would_be_noticed_if_it_were_not(plan: FaultPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelshare.broker.transparency.witness.forgot", lambda *_: None)
    violation = run(plan).violation
    assert violation is not None
    assert violation.invariant == "I6"
