"""I14: what a hostile member may change, and what it costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.isolation import PER_MESSAGE, compare, run_twice

CALM = 19
"""A seed whose hostile member floods, replays, passes on and equivocates."""


def test_honest_pairs_end_alike_and_the_cost_is_bounded() -> None:
    plan = generate_plan(CALM)
    assert plan.knobs.calm
    assert {fault.kind for fault in plan.faults} == {"hostile"}
    result = run_twice(plan)
    assert result.violation is None
    assert result.ends
    assert result.heard


def test_another_outcome_or_too_many_steps_are_seen() -> None:
    plan = generate_plan(CALM)
    result = run_twice(plan)
    pair = min(result.ends)
    other = replace(result, ends={**result.ends, pair: "expired"})
    found = compare(plan, other, result)
    assert found is not None
    assert "ends as expired, not" in found.what
    alone = replace(result, steps=(result.steps - PER_MESSAGE * result.heard) // 2 - 1)
    found = compare(plan, result, alone)
    assert found is not None
    assert "costs" in found.what


def test_the_seeds_have_calm_plans_and_plans_without_an_end_of_faults() -> None:
    plans = [generate_plan(seed) for seed in range(1, 65)]
    assert sum(plan.knobs.calm for plan in plans) == 4
    endless = [plan for plan in plans if plan.knobs.endless]
    assert len(endless) == 4
    kinds = Counter(fault.kind for plan in endless for fault in plan.faults)
    assert kinds["restore"] >= 4
    assert kinds["crash"]
