"""What a release costs with its rows in PostgreSQL, beside SQLite: processor time, in turn, in one run.

python -m bench.postgres [--rounds 5] [--count 512] [--json]

Two pairs of real nodes, both durable at every commit. For each phase and side: processor time a release of
the node, by the best round, in units of ``processor.unit``; for PostgreSQL also what its server spent for
both members together, which the nodes' own figures do not hold. Rates are what this machine gives.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import ours
from bench.gate import SIDES
from bench.measured import Phase
from bench.nodes import federation
from bench.once import run
from bench.processor import pace, used
from postgres_server import Cluster, new_cluster

IN_FLIGHT = 256
FILE, SERVER = "SQLite", "PostgreSQL"


def spent(cluster: Cluster) -> float:
    """Seconds of processor of the server and of all of its processes that live."""
    top = cluster.pid()
    children = Path(f"/proc/{top}/task/{top}/children").read_text().split()
    return sum(used(pid).whole for pid in (top, *map(int, children)))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    cluster = new_cluster("-c shared_buffers=256MB")
    rounds: dict[str, dict[str, list[Phase]]] = {
        name: {phase: [] for phase in SIDES} for name in (FILE, SERVER)
    }
    of_server: dict[str, list[float]] = {phase: [] for phase in SIDES}
    units = []
    with contextlib.ExitStack() as stack:
        pairs = {
            FILE: stack.enter_context(federation(("FRA", "USA"))),
            SERVER: stack.enter_context(federation(("FRA", "USA"), server=cluster.url)),
        }
        for number in range(options.rounds + 1):
            for name, (fra, usa) in pairs.items():
                before = spent(cluster)
                with pace() as ended:
                    found = asyncio.run(ours.queued(fra, usa, options.count, IN_FLIGHT))
                    units.append(ended())
                if not number:
                    continue  # what is made once is made
                for phase, one in found.items():
                    rounds[name][phase].append(one)
                if name == SERVER:
                    of_server["all"] = [*of_server.get("all", []), (spent(cluster) - before) / options.count]
    cost = median(units)
    figures: dict[str, Any] = {"unit_us": cost * 1e6, "server_units": min(of_server["all"]) / cost}
    for phase, sides in SIDES.items():
        for side in sides:
            best = {
                name: min(one.sides[side].used.whole / one.count for one in found[phase]) / cost
                for name, found in rounds.items()
            }
            figures[f"{phase} {side}"] = {**best, "ratio": best[SERVER] / best[FILE]}
        for name, found in rounds.items():
            rate = median(one.count / one.seconds for one in found[phase])
            figures.setdefault("rates", {})[f"{phase} {name}"] = rate
    return figures


def show(found: dict[str, Any]) -> None:
    """A table."""
    print(f"a unit of processor time takes {found['unit_us']:.0f} µs here")
    print(f"{'units a release':<24}{FILE:>10}{SERVER:>12}{'ratio':>8}")
    for phase, sides in SIDES.items():
        for side in sides:
            one = found[f"{phase} {side}"]
            print(f"{f'{phase} {side}':<24}{one[FILE]:>10.2f}{one[SERVER]:>12.2f}{one['ratio']:>8.2f}")
    print(f"the server, for both members and all phases: {found['server_units']:.2f} units a release")
    for name, rate in found["rates"].items():
        print(f"{name}: {rate:.0f} releases a second")


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, show, {"--rounds": 5, "--count": 512}))
