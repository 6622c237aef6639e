"""A member with replicas over a primary and a standby: what a fail-over costs, and what a lagging one loses.

PYTHONPATH=tests:. python tests/failover_world.py --times 5
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from intelshare.node.move import read_settings
from intelshare.node.settings import with_store
from intelshare.store.server import Server
from postgres_pair import Pair, new_pair
from replicas_world import Load, Outcome, Replicas, World, checked, world


@contextlib.contextmanager
def paired_world(home: Path, *, synchronous: bool) -> Iterator[tuple[World, Pair]]:
    """FRA with its rows at a pair of servers, and USA, which runs."""
    pair = new_pair(synchronous=synchronous)
    with world(home, pair.primary) as made:
        settings = made.fra / "node.toml"
        store = read_settings(settings).store
        assert store is not None
        settings.write_text(with_store(settings.read_text(), Server(pair.url, store.schema)))
        yield made, pair


def failed_over(
    made: World, pair: Pair, times: int, seconds: float, say: Callable[[str], None] = lambda _: None
) -> tuple[Outcome, list[float]]:
    """Lose the primary so many times under load; what became of the load, seconds without an OK of each."""
    took = []
    with Replicas(made.fra) as replicas:
        replicas.wait_for_active(seconds=seconds)
        load = Load(made.fra, made.usa, 0.05)
        load.start()
        try:
            for number in range(1, times + 1):
                if number > 1:
                    pair.follow_again()
                time.sleep(random.uniform(0.5, 2.0))
                began, before = time.monotonic(), len(load.stored)
                pair.lost_primary()
                while len(load.stored) < before + 50:
                    assert time.monotonic() < began + seconds, (load.errors, "nothing is taken any more")
                    time.sleep(0.05)
                took.append(time.monotonic() - began)
                say(f"{number}: the primary was killed; 50 more got OK after {took[-1]:.1f} s")
        finally:
            load.end()
        outcome = checked(load, seconds)
        say(f"{outcome} {load.errors} ended with {[one.codes for one in replicas.all]}")
    return outcome, took


def main() -> int:
    """Lose the primary under load; 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, paired_world(Path(home), synchronous=True) as (made, pair):
        outcome, _ = failed_over(made, pair, options.times, 120.0, lambda line: print(line, flush=True))
        return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
