"""Attachments under faults: the engine's rules for files, over virtual time, network and disk."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from intelshare.crypto.pieces import PLAIN
from intelshare.instant import SECOND
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import Result, run

SIZE = 2 * PLAIN + 70_000
"""Three pieces, 34 slices: with the delays below about a second on its way."""


def plan(seed: int, faults: tuple[Fault, ...], *more: Act) -> FaultPlan:
    """FRA sends USA and DEU a file each, and a text beside it."""
    draws = Random(seed)
    acts = [
        Act("attach", SECOND, "FRA", "USA", what=draws.randrange(1 << 16), size=SIZE),
        Act("attach", 2 * SECOND, "FRA", "DEU USA", what=draws.randrange(1 << 16), size=SIZE, precedence=3),
        Act("submit", 2 * SECOND, "FRA", "USA", what=draws.randrange(1 << 16), precedence=4),
        Act("attach", 3 * SECOND, "USA", "FRA", what=draws.randrange(1 << 16), size=100),
    ]
    return FaultPlan(seed, Knobs(lasts=20 * SECOND, delay=60_000), (*acts, *more), faults)


def faults_of(seed: int) -> tuple[Fault, ...]:
    """Crashes, cuts and resets while files are on their way."""
    draws = Random(seed)
    return tuple(
        Fault(
            draws.choice(["crash", "reset", "cut", "stop"]),
            node := draws.choice(["FRA", "USA", "DEU"]),
            draws.choice([other for other in ("FRA", "USA", "DEU") if other != node]),
            at=SECOND + draws.randrange(8 * SECOND),
            lasts=draws.randrange(2 * SECOND),
            keep=draws.randrange(3),
        )
        for _ in range(draws.randrange(1, 7))
    )


def held(result: Result) -> int:
    assert result.violation is None, result.violation
    return result.counts["file whole"]


def test_without_faults_files_are_whole_where_they_may_be() -> None:
    assert sum(held(run(plan(seed, ()))) for seed in range(1, 7)) >= 6


@pytest.mark.parametrize("seed", range(1, 13))
def test_files_survive_crashes_cuts_and_resets(seed: int) -> None:
    """Whole in the end, and as many as without faults: a fault loses none."""
    assert held(run(plan(seed, faults_of(seed)))) == held(run(plan(seed, ())))


@pytest.mark.parametrize("seed", range(1, 7))
def test_what_is_recalled_on_the_way_is_nowhere_in_the_end(seed: int) -> None:
    recalls = [Act("recall", at, "FRA", what=what) for at, what in ((2_300_000, 0), (2_600_000, 1))]
    result = run(plan(seed, faults_of(seed), *recalls))
    assert result.violation is None, result.violation


def test_a_run_is_the_same_again() -> None:
    first, second = (run(plan(3, faults_of(3))) for _ in range(2))
    assert first.trace == second.trace
    assert replace(first, lines=()).counts == second.counts
