"""Seeds of the simulator: the broker's own steps under faults, and every invariant holds."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from intelshare.sim import shrink as shrinking
from intelshare.sim.bugs import BUGS, NONE
from intelshare.sim.facts import rows
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.heap import Violation
from intelshare.sim.many import outcome
from intelshare.sim.plan import from_json, to_json
from intelshare.sim.run import run
from intelshare.sim.shrink import shrink

ROOT = Path(__file__).parents[2]

CHUNK = 10
SEEDS = 2000
"""Of every run. `make soak` asks besides that a thousand take every row of both tables."""

MANY = 1000

REAL_SUITE = 49
"""Its signatures do not repeat, so that its trace does not either."""


def seeds_hold(seeds):
    """Run these seeds; what they have taken of both tables."""
    done = [outcome(seed) for seed in seeds]
    failed = [out for out in done if out.invariant]
    assert not failed, "; ".join(
        f"intelshare sim --seed {out.seed}: {out.invariant}: {out.what}" for out in failed
    )
    return set().union(*(out.taken for out in done))


@pytest.mark.parametrize("first", range(1, SEEDS, CHUNK))
def test_every_invariant_holds(first):
    assert seeds_hold(range(first, first + CHUNK))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_seeds_together_take_every_row_of_both_tables():
    assert not set(rows()) - seeds_hold(range(1, MANY + 1))


def test_one_seed_of_fifty_has_the_real_suite():
    assert [seed for seed in range(1, 101) if generate_plan(seed).knobs.real_crypto] == [
        REAL_SUITE,
        REAL_SUITE + 50,
    ]
    assert run(generate_plan(REAL_SUITE)).violation is None


FIFTY = [seed for seed in range(1, 52) if seed != REAL_SUITE]


def traces_elsewhere(seeds):
    """The traces of these seeds in a process with another hash seed."""
    mine = os.environ.get("PYTHONHASHSEED", "random")
    program = f"from intelshare.sim.many import outcome; print([outcome(seed).trace for seed in {seeds}])"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "2" if mine == "1" else "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed():
    seeds = FIFTY[:4]
    assert traces_elsewhere(seeds) == str([outcome(seed).trace for seed in seeds])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_seeds_have_the_same_trace_again():
    assert traces_elsewhere(FIFTY) == str([outcome(seed).trace for seed in FIFTY])


FIRST = {
    line[1].strip(): int(line[3])
    for line in (row.split("|") for row in (ROOT / "docs" / "simulation.md").read_text().splitlines())
    if len(line) == 6 and line[1].strip() in BUGS
}
"""The table in the documentation: bug and the first seed that finds it."""


def test_the_table_in_the_documentation_is_of_all_planted_bugs():
    assert set(FIRST) == set(BUGS)
    assert all(first <= 2000 for first in FIRST.values())


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found(bug):
    near = FIRST[bug]
    seeds = [near, *range(max(1, near - 5), near), *range(near + 1, near + 60)]
    assert any(outcome(seed, bug).invariant in BUGS[bug].seen_by for seed in seeds)


def test_a_checkpoint_that_leaves_before_it_is_durable_is_seen_as_it_leaves():
    seen = (outcome(seed, "checkpoint-before-stored") for seed in range(2, 30))
    found = next(out for out in seen if out.invariant)
    assert found.invariant == "I6"
    assert found.what.endswith(("before they are durable", "before the sidecar covers them"))


def test_a_failing_plan_shrinks_to_a_small_one_that_fails_alike():
    bug = BUGS["ok-before-fsync"]
    few = (plan for plan in map(generate_plan, range(1, 1000)) if len(plan.faults) < 20)
    plan = next(plan for plan in few if (v := run(plan, bug).violation) and v.invariant == "I1")
    small = shrink(plan, bug, run(plan, bug).violation)
    assert 1 <= len(small.faults) <= 3 < len(plan.faults)
    assert len(small.acts) < len(plan.acts)
    again = from_json(to_json(small))
    assert again == small
    assert run(again, bug).violation.invariant == "I1"
    assert run(again, NONE).violation is None


def test_a_plan_is_not_shrunk_to_another_fault_of_the_same_invariant(monkeypatch):
    """Whichever fault comes first in the plan ends the run."""
    plan = generate_plan(2)
    here, slips = plan.faults[5], plan.faults[9]

    def played(tried, _):
        if here in tried.faults:
            found = Violation("I9", f"FRA to USA: {len(tried.faults):08x} is still sent")
        else:
            found = Violation("I9", "DEU dials GBR 31 times a minute") if slips in tried.faults else None
        return SimpleNamespace(violation=found)

    monkeypatch.setattr(shrinking, "run_twice", played)
    small = shrink(plan, NONE, played(plan, NONE).violation)
    assert small.faults == (here,)
    assert small.acts == ()


PLANS = sorted((Path(__file__).parent / "plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_that_once_failed_hold(path):
    assert run(from_json(path.read_text())).violation is None
