"""Operators leave members out while everything else goes wrong: all invariants hold, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intelshare.instant import SECOND
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import run


def suspensions(plan: FaultPlan) -> tuple[Act, ...]:
    """Each member leaves the next one out for a while, all at other times."""
    members = plan.members()
    return tuple(
        Act("suspend-member", (5 + 9 * place) * SECOND, member, to=members[place - 1], lasts=8 * SECOND)
        for place, member in enumerate(members)
    )


@pytest.mark.parametrize("seed", [3, 8, 14, 21])
def test_every_invariant_holds_where_members_are_suspended_and_resumed(seed: int) -> None:
    plan = generate_plan(seed)
    ran = run(replace(plan, acts=(*plan.acts, *suspensions(plan))))
    assert ran.violation is None


def two(*acts: Act) -> FaultPlan:
    """FRA and USA without faults; FRA sends something each second."""
    sends = tuple(
        Act("submit", second * SECOND, "FRA", to="USA", what=second, precedence=1) for second in range(1, 20)
    )
    return FaultPlan(7, Knobs(members=2, lasts=40 * SECOND), (*sends, *acts), ())


def test_what_is_sent_around_a_suspension_arrives_once_and_all_of_it() -> None:
    undisturbed = run(two())
    assert undisturbed.violation is None
    for leaving, left in (("FRA", "USA"), ("USA", "FRA")):
        ran = run(two(Act("suspend-member", 4 * SECOND, leaving, to=left, lasts=9 * SECOND)))
        assert ran.violation is None
        assert ran.words == undisturbed.words


def test_what_waited_for_a_removed_member_has_ended_when_it_comes_back() -> None:
    cut = Fault("cut", "FRA", peer="USA", at=2 * SECOND, lasts=4 * SECOND)
    gone = Act("remove-member", 5 * SECOND, "FRA", to="USA", lasts=9 * SECOND)
    ran = run(replace(two(gone), faults=(cut,)))
    assert ran.violation is None
    assert ran.words["undeliverable"]
    assert ran.words["accepted"]
