"""The gate of the bench: what it lets pass, and what it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bench.gate import CALLS, FILE, SHARED, UNITS, WORSE, Run, best, recorded, worse
from bench.measured import Phase, Side
from bench.metered import Meter, read_meter
from bench.processor import Used, pace, resident, unit, used

PHASES = {"submit": ("sender",), "backlog": ("sender", "recipient")}


def ran(cpu: float, commits: int, *, unit_: float = 1e-3, rounds: int = 1, calls: int = 90_000) -> Run:
    """Rounds of 100 releases, each a little dearer than the one before, and with fewer in a commit."""

    def side(number: int) -> Side:
        return Side(Used(cpu * (1 + 0.1 * number)), Meter(commits + number, calls=calls + 100 * number))

    phases = {
        name: [Phase(100, 1.0, dict.fromkeys(sides, side(number))) for number in range(rounds)]
        for name, sides in PHASES.items()
    }
    return Run(phases, [unit_] * rounds, phases)


def named(kind: str) -> list[str]:
    """How the lines of this kind begin, of all phases and sides."""
    return [f"{kind}, {of}" for of in ("backlog recipient", "backlog sender", "submit sender")]


def test_the_same_figures_pass():
    assert worse(best(ran(0.2, 10)), recorded(ran(0.2, 10))) == []


def test_processor_time_that_is_three_times_as_much_is_named():
    found = worse(best(ran(0.2 * WORSE[UNITS] * 1.01, 10)), recorded(ran(0.2, 10)))
    assert [line.split(":")[0] for line in found] == named(UNITS)


def test_a_quarter_more_calls_are_named_however_little_time_they_take():
    found = worse(best(ran(0.1, 10, calls=112_500)), recorded(ran(0.2, 10)))
    assert [line.split(":")[0] for line in found] == named(CALLS)


def test_one_commit_for_each_step_is_named():
    found = worse(best(ran(0.2, 100)), recorded(ran(0.2, 10)))
    assert [line.split(":")[0] for line in found] == named(SHARED)


def test_beyond_what_is_enough_sharing_may_vary():
    assert worse(best(ran(0.2, 3)), recorded(ran(0.2, 1))) == []


def test_what_is_better_passes():
    assert worse(best(ran(0.1, 1)), recorded(ran(0.2, 10))) == []


def test_a_machine_that_others_share_passes():
    assert worse(best(ran(0.46, 10)), recorded(ran(0.2, 10))) == []


def test_a_machine_that_is_twice_as_slow_passes():
    assert worse(best(ran(0.4, 10, unit_=2e-3)), recorded(ran(0.2, 10, unit_=1e-3))) == []


def test_a_longer_recording_does_not_ask_for_more():
    """The best of ten rounds is better than that of five: the file has what five find."""
    kept, now = recorded(ran(0.2, 10, rounds=10)), best(ran(0.2, 10, rounds=10))
    assert now["processor_units"]["submit sender"] == pytest.approx(2.0)
    assert kept["processor_units"]["submit sender"] == pytest.approx((2.0 + 3.0) / 2)
    assert now["releases_per_commit"]["submit sender"] == pytest.approx(10)
    assert kept["releases_per_commit"]["submit sender"] == pytest.approx(100 / 15, abs=0.01)


def test_a_figure_that_is_missing_on_one_side_is_named():
    kept = recorded(ran(0.2, 10))
    del kept["processor_units"]["submit sender"]
    assert worse(best(ran(0.2, 10)), kept) == ["processor_units, submit sender: measured 2.0, committed None"]


def test_the_committed_figures_are_those_that_are_measured():
    import json

    committed = json.loads(FILE.read_text())
    measured = best(ran(0.2, 10))
    assert {kind: set(named) for kind, named in committed.items()} == {
        kind: set(named) for kind, named in measured.items()
    }
    assert all(value > 0 for named in committed.values() for value in named.values())


def test_the_meter_counts_commits_and_syncs_of_another_process(tmp_path: Path):
    import subprocess

    program = (
        "import os, sys, apsw; from pathlib import Path; from bench.metered import install\n"
        "install(Path(sys.argv[1]))\n"
        "db = apsw.Connection(sys.argv[2]); db.execute('CREATE TABLE t (x)')\n"
        "for n in range(3): db.execute('INSERT INTO t VALUES (?)', (n,))\n"
        "with open(sys.argv[2], 'rb') as file: os.fsync(file.fileno()); os.fdatasync(file.fileno())\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "meter"), str(tmp_path / "db")]
    subprocess.run(words, cwd=Path(__file__).parents[3], check=True)
    found = read_meter(tmp_path / "meter")
    assert (found.commits, found.syncs) == (4, 6)
    assert read_meter(tmp_path / "none") == Meter()


def test_the_meter_counts_calls_of_all_threads_the_same_from_run_to_run(tmp_path: Path):
    import subprocess

    program = (
        "import os, sys; from pathlib import Path; from threading import Thread\n"
        "from bench.metered import install\n"
        "def work():\n    for _ in range(int(sys.argv[2])): len(b'')\n"
        "install(Path(sys.argv[1]), with_calls=True)\n"
        "thread = Thread(target=work); thread.start(); thread.join(); work()\n"
        "with open(sys.argv[1], 'rb') as file: os.fsync(file.fileno())\n"
    )

    def calls(times: int) -> int:
        words = [sys.executable, "-c", program, str(tmp_path / "meter"), str(times)]
        subprocess.run(words, cwd=Path(__file__).parents[3], check=True)
        return read_meter(tmp_path / "meter").calls

    assert calls(1100) - calls(100) == pytest.approx(2000, abs=20)


def test_a_unit_is_taken_while_something_else_runs():
    with pace() as ended:
        assert 0 < ended() < 1


def test_processor_time_of_a_process_is_that_which_it_says_itself():
    import os
    import time

    before, own = used(os.getpid()), time.process_time()
    taken = unit()
    spent, own = used(os.getpid()) - before, time.process_time() - own
    assert 0 < taken < spent.whole
    assert spent.whole == pytest.approx(own, rel=0.1, abs=0.002)
    assert spent.loop <= spent.whole + 0.005
    assert resident(os.getpid()) > 10 * 2**20
