"""Runs of many seeds, and of planted bugs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from intelshare.cli import app
from intelshare.sim import many, run
from intelshare.sim.bugs import BUGS, Bug
from intelshare.sim.cli import sim
from intelshare.sim.generate_plan import generate_plan
from intelshare.sim.many import SeedOutcome, is_seen, outcome, table

BROKEN, SHORT = 14, 15


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any run of one seed end with an error that nobody foresees."""
    play = run._play

    def planted(plan: object, *rest: object) -> None:
        if plan.seed == BROKEN:  # type: ignore[attr-defined]
            raise RuntimeError("nobody foresees this")
        play(plan, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "_play", planted)


def test_a_seed_that_any_error_ends_is_told_and_the_run_goes_on(
    broken: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(sim, ["--seeds", f"{BROKEN}..{SHORT}", "--jobs", "1", "--done", "done"])
    assert app.run(["sim", "--seeds", f"{BROKEN}..{SHORT}", "--jobs", "1", "--done", "done"]) == 1
    assert f"seed {BROKEN}: defect: RuntimeError: nobody foresees this (test_many.py:" in ran.output
    assert "2 seeds, 1 failures" in ran.output
    assert ran.exit_code == 1
    assert len(Path("done").read_text().splitlines()) == 2


def test_a_bug_is_seen_only_by_what_it_leads_to(broken: None) -> None:
    bug = Bug("one", ("I9",), says="dials")
    found = outcome(SHORT)

    def ended(seed: int, invariant: str, what: str) -> SeedOutcome:
        return SeedOutcome(seed, invariant, what, found.trace, 0, found.words, found.counts, found.taken)

    assert is_seen(bug, ended(SHORT, "I9", "FRA dials USA"))
    assert not is_seen(bug, ended(SHORT, "I9", "not everything has been delivered"))
    assert not is_seen(bug, ended(SHORT, "I4", "FRA dials USA"))
    assert not is_seen(bug, ended(SHORT, "defect", "FRA dials USA"))
    # A seed that fails without the bug shows nothing.
    assert not is_seen(bug, ended(BROKEN, "I9", "FRA dials USA"))


def test_only_plans_that_can_show_a_bug_are_run_and_the_search_goes_on_until_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bug = BUGS["watch-before-fsync"]
    monkeypatch.setattr(many, "BUGS", {bug.name: bug})
    monkeypatch.setattr(many, "MOST", 40)
    ran: list[int] = []
    (found,) = table(range(2, 5), runs=lambda seeds, *_: iter(ran.extend(seeds) or ()))
    assert ran == [seed for seed in range(2, 40) if generate_plan(seed).knobs.watched]
    assert (found.first, found.seen, found.able) == (None, 0, 0)
