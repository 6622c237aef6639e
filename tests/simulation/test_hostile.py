"""A hostile member: whatever it sends, every invariant holds among the others, and its tricks do arrive."""

from __future__ import annotations

from collections import Counter

import pytest

from intelshare.instant import MINUTE, SECOND
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.hostile import TRICKS
from intelshare.sim.plan import Act, Fault, FaultPlan, Knobs
from intelshare.sim.run import Result, run

SEEN = {
    "equivocate": "evidence SEQUENCE_FORK",
    "fork": "evidence LOG_FORK",
    "misquote": "evidence RECEIPT_UNKNOWN",
    "garble": "evidence BATCH_PROOF_INVALID",
    "pass-on": "evidence NOT_AUTHORISED",
    "replay": "hostile message",
    "flood": "hostile message",
}
"""By trick, what is counted where it works; the others leave something out, and nobody counts that."""


def tricked(trick: str, seed: int = 1) -> Result:
    """FRA, USA and DEU send each other bulletins, and DEU does this to both for a while."""
    acts = tuple(
        Act(
            "submit",
            second * SECOND,
            node,
            to=" ".join(sorted({"FRA", "USA", "DEU"} - {node})),
            what=13 * second,
        )
        for second in range(1, 16)
        for node in ("FRA", "USA", "DEU")
    )
    recalls = tuple(Act("recall", (4 + 3 * n) * SECOND, "DEU", what=n) for n in range(3))
    faults = tuple(
        Fault("hostile", "DEU", peer, at=3 * SECOND, lasts=10 * SECOND, window=trick)
        for peer in ("FRA", "USA")
    )
    knobs = Knobs(lasts=25 * SECOND, hostile="DEU")
    return run(FaultPlan(seed, knobs, (*acts, *recalls), faults))


@pytest.mark.parametrize("trick", TRICKS)
def test_every_invariant_holds_among_the_others(trick: str) -> None:
    result = tricked(trick)
    assert result.violation is None, result.violation
    assert result.words["accepted"] + result.words["read"] > 20
    if trick in SEEN:
        assert result.counts[SEEN[trick]], "the trick did nothing"


def test_an_honest_member_does_nothing_of_the_kind() -> None:
    result = tricked("none")
    assert result.words["accepted"] + result.words["read"] > 20
    assert not any(result.counts[name] for name in SEEN.values())


def test_a_quarter_of_the_seeds_has_a_hostile_member_and_every_trick_is_drawn() -> None:
    plans = [generate_plan(seed) for seed in range(1, 401)]
    hostile = [plan for plan in plans if plan.knobs.hostile]
    assert len(hostile) == len(plans) // 4
    drawn = Counter(fault.window for plan in hostile for fault in plan.faults if fault.kind == "hostile")
    assert set(drawn) == set(TRICKS)
    assert all(plan.knobs.hostile in plan.members() and len(plan.members()) >= 3 for plan in hostile)
    assert all(plan.knobs.lasts <= 2 * MINUTE for plan in plans)
