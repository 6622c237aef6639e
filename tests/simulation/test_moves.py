"""An operator moves a member's rows to another store: all of them, and nothing stays where they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from intelshare.broker.kernel.tables import TABLES
from intelshare.instant import SECOND
from intelshare.ports import Plan
from intelshare.sim.bugs import NONE
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.generate_upkeep import AMNESIA
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import run

Pages = Iterator[Plan[None]]


def plan(*faults: Fault, together: str = "") -> FaultPlan:
    """FRA sends one a second."""
    acts = tuple(Act("submit", second * SECOND, "FRA", "USA", what=second) for second in range(1, 11))
    return FaultPlan(1, Knobs(members=2, lasts=12 * SECOND, together=together), acts, faults)


def moved(at: int, *, killed: int = 0) -> Fault:
    """A move of FRA's rows."""
    return Fault("move", "FRA", at=at * SECOND, number=killed)


@pytest.mark.parametrize("together", ["", "FRA"])
def test_a_member_goes_on_in_the_other_store_and_when_it_is_back(together: str) -> None:
    result = run(plan(moved(3), moved(6), together=together))
    assert result.violation is None
    assert result.counts["move moved"] == 2
    assert result.counts["ok"] == 10
    assert result.words == run(plan()).words
    if together:
        assert result.counts["replica joins"] == 2, "there are several only in the server"


def test_a_move_that_was_killed_leaves_the_rows_where_they_were_and_can_be_given_again() -> None:
    result = run(plan(moved(3, killed=5), moved(6)))
    assert result.violation is None
    assert (result.counts["move killed"], result.counts["move moved"]) == (1, 1)
    assert result.counts["ok"] == 10


def test_damaged_rows_are_not_moved() -> None:
    result = run(
        plan(Fault("cut", "FRA", "USA", at=0, lasts=12 * SECOND), Fault("rot", "FRA", at=0), moved(6))
    )
    assert result.violation is None
    assert result.counts["move RECORD_CORRUPT"] == 1


def test_a_move_leaves_no_table_behind_unnoticed() -> None:
    """Whichever it is that has a row then."""
    there = set[str]()

    def without(name: str) -> Any:
        def pages(every: Pages) -> Pages:
            for page in every:
                (table,) = {write.table.name for write in page.writes}
                there.add(table)
                if table != name:
                    yield page

        return replace(NONE, moved=pages)

    cut = Fault("cut", "FRA", "USA", at=5 * SECOND, lasts=5 * SECOND)
    small = plan(cut, moved(6))
    assert run(small, without("")).violation is None
    for name in sorted(there):
        found = run(small, without(name)).violation
        assert found is not None
        assert (found.invariant, name in found.what) == ("I1", True)
    assert len(there) > len(TABLES) // 3


def test_random_plans_move_members_whose_disks_forget_nothing() -> None:
    plans = [generate_plan(seed) for seed in range(1, 161)]
    moves = [(one, fault) for one in plans for fault in one.faults if fault.kind == "move"]
    assert len({one.seed for one, _ in moves}) in range(10, 30)
    assert {bool(fault.number) for _, fault in moves} == {True, False}
    for one, fault in moves:
        assert not any(other.kind in AMNESIA and other.node == fault.node for other in one.faults)
        assert fault.node != one.knobs.hostile
