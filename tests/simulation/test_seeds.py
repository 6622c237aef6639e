"""Five hundred seeds of the simulator: the broker's own steps under faults, and every invariant holds."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from intelshare.sim.bugs import BUGS, NONE
from intelshare.sim.draw import draw
from intelshare.sim.many import outcome
from intelshare.sim.plan import from_json, to_json
from intelshare.sim.run import run
from intelshare.sim.shrink import shrink

CHUNK = 10
SEEDS = 500

REAL_SUITE = 49
"""Its signatures do not repeat, so that its trace does not either."""


@pytest.mark.parametrize("first", range(1, SEEDS, CHUNK))
def test_every_invariant_holds(first):
    failed = [out for seed in range(first, first + CHUNK) if (out := outcome(seed)).invariant]
    assert not failed, "; ".join(
        f"intelshare sim --seed {out.seed}: {out.invariant}: {out.what}" for out in failed
    )


def test_the_seeds_take_the_rows_of_the_table_of_pairs_that_exist_so_far():
    words, counts = Counter(), Counter()
    for seed in range(1, 41):
        out = outcome(seed)
        words += out.words
        counts += out.counts
    assert {"withheld", "held", "expired", "refused", "accepted", "read"} <= set(words)
    assert {"ok", "crash", "restore", "rejected CLOCK_SKEW"} <= set(counts)


def test_one_seed_of_fifty_has_the_real_suite():
    assert [seed for seed in range(1, 101) if draw(seed).knobs.real_crypto] == [REAL_SUITE, REAL_SUITE + 50]
    assert run(draw(REAL_SUITE)).violation is None


TRACES = "from intelshare.sim.many import outcome; print([outcome(seed).trace for seed in range(1, 5)])"


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed():
    said = {
        subprocess.run(
            [sys.executable, "-c", TRACES],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert said == {str([outcome(seed).trace for seed in range(1, 5)])}


@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found(bug):
    for seed in range(1, 101):
        found = outcome(seed, bug)
        if found.invariant in BUGS[bug].seen_by:
            return
    pytest.fail(f"{bug} is not seen in 100 seeds")


def test_a_failing_plan_shrinks_to_a_small_one_that_fails_alike():
    bug = BUGS["ok-before-fsync"]
    plan = next(p for p in map(draw, range(1, 101)) if (v := run(p, bug).violation) and v.invariant == "I1")
    small = shrink(plan, bug, run(plan, bug).violation)
    assert len(small.faults) == 1
    assert len(small.acts) < len(plan.acts)
    again = from_json(to_json(small))
    assert again == small
    assert run(again, bug).violation.invariant == "I1"
    assert run(again, NONE).violation is None


PLANS = sorted((Path(__file__).parent / "plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_that_once_failed_hold(path):
    assert run(from_json(path.read_text())).violation is None
