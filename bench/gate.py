"""What a release costs, held against the committed figures: for CI, in less than a minute.

python -m bench.gate --short     fail where a figure is half as bad again as in bench/figures.json
python -m bench.gate --record    measure longer, and write that file

Rates depend on what else the machine does, so none is looked at. Held are, for submit alone at the sender and
for the backlog at both ends: processor time a release, in units of ``processor.unit`` measured during the
same round; and how many releases share a commit. The best round counts; the file has the best of as many
rounds as a short run makes; of how many share a commit, which depends on how fast the disk is, the worst such
best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import ours
from bench.measured import Phase
from bench.nodes import Failed, federation
from bench.processor import pace

FILE = Path(__file__).with_name("figures.json")
WORSE = 1.5
"""Factor by which a figure may be worse: other work on the machine makes a release up to 45 % dearer."""

COUNT, IN_FLIGHT = 512, 256
SHORT, LONG = 25.0, 120.0
"""Seconds in which rounds are begun; one takes 2 s on an idle machine, the start of the nodes 4 s."""

FEW = 5
"""Rounds of a short run at least."""

ENOUGH = 32.0
"""Releases in a commit beyond which more are not told apart: an fsync is then 10 µs a release or less."""

SIDES = {ours.SUBMIT: ("sender",), ours.BACKLOG: ("sender", "recipient")}

Figures = dict[str, dict[str, float]]
"""By what is measured, then by phase and side."""


@dataclass(frozen=True, slots=True)
class Run:
    """All rounds by phase, and seconds of processor that a unit took during each."""

    phases: dict[str, list[Phase]]
    units: list[float]


def run(seconds: float) -> Run:
    """As many rounds as are begun in so many seconds, at least ``FEW``. Raises Failed."""
    phases: dict[str, list[Phase]] = {name: [] for name in SIDES}
    units: list[float] = []
    with federation(("FRA", "USA")) as (fra, usa):
        asyncio.run(ours.queued(fra, usa, COUNT // 4, IN_FLIGHT))  # what is made once is made
        until = time.monotonic() + seconds
        while len(units) < FEW or time.monotonic() < until:
            with pace() as ended:
                found = asyncio.run(ours.queued(fra, usa, COUNT, IN_FLIGHT))
                units.append(ended())
            for name, phase in found.items():
                phases[name].append(phase)
    return Run(phases, units)


def best(ran: Run) -> Figures:
    """Of each figure the best round."""
    return _figures(ran, min, max)


def recorded(ran: Run) -> Figures:
    """What is to be reached: what short runs find, their usual processor time and their worst sharing."""
    return _figures(
        ran,
        lambda costs: median(min(few) for few in _short_runs(costs)),
        lambda shared: min(max(few) for few in _short_runs(shared)),
    )


def _short_runs(rounds: Sequence[float]) -> list[Sequence[float]]:
    """Rounds as short runs would have made them: the best of twenty is better than the best of five."""
    return [rounds[at : at + FEW] for at in range(0, max(1, len(rounds) - FEW + 1), FEW)]


def _figures(
    ran: Run, cost: Callable[[Sequence[float]], float], shared: Callable[[Sequence[float]], float]
) -> Figures:
    found: Figures = {"processor_units": {}, "releases_per_commit": {}}
    for phase, sides in SIDES.items():
        for side in sides:
            rounds, name = ran.phases[phase], f"{phase} {side}"
            took = [one.sides[side].used.whole / one.count for one in rounds]
            units = [spent / unit for spent, unit in zip(took, ran.units, strict=True)]
            found["processor_units"][name] = round(cost(units), 3)
            found["releases_per_commit"][name] = round(
                shared([min(ENOUGH, one.per_commit(side)) for one in rounds]), 2
            )
    return found


def worse(measured: Figures, committed: Figures) -> list[str]:
    """What is worse by more than ``WORSE``, a line each. A figure that only one of them has is worse too."""
    found = []
    for kind, factor in (("processor_units", 1.0), ("releases_per_commit", -1.0)):
        for name in sorted(measured[kind].keys() | committed[kind].keys()):
            now, then = measured[kind].get(name), committed[kind].get(name)
            if now is None or then is None:
                found.append(f"{kind}, {name}: measured {now}, committed {then}")
            elif (now / then) ** factor > WORSE:
                found.append(f"{kind}, {name}: {now:g}, and {then:g} is committed")
    return found


def show(measured: Figures, committed: Figures) -> None:
    """Every figure beside the committed one."""
    print(f"{'':<24}{'units a release':>20}{'committed':>11}{'releases a commit':>20}{'committed':>11}")
    units, commits = measured["processor_units"], measured["releases_per_commit"]
    for name, cost in units.items():
        then = (committed["processor_units"].get(name, 0.0), committed["releases_per_commit"].get(name, 0.0))
        print(f"{name:<24}{cost:>20.2f}{then[0]:>11.2f}{commits[name]:>20.1f}{then[1]:>11.1f}")


def main() -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--short", action="store_true")
    what.add_argument("--record", action="store_true")
    given = parser.parse_args()
    try:
        ran = run(LONG if given.record else SHORT)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    rounds = len(ran.phases[ours.SUBMIT])
    print(f"{rounds} rounds of {COUNT}; a unit of processor time takes {median(ran.units) * 1e6:.0f} µs here")
    if given.record:
        kept = recorded(ran)
        FILE.write_text(json.dumps(kept, indent=2) + "\n")
        show(kept, kept)
        return 0
    measured, committed = best(ran), json.loads(FILE.read_text())
    show(measured, committed)
    found = worse(measured, committed)
    for line in found:
        print(f"WORSE BY MORE THAN {WORSE - 1:.0%}: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
