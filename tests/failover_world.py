"""A member with replicas over a primary and a standby: fail-overs, stalled lines and clocks that differ.

PYTHONPATH=tests:. python tests/failover_world.py --times 5
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.nodes import PROGRAM
from intelshare.node.move import read_settings
from intelshare.node.settings_file import with_store
from intelshare.store.server import Server
from postgres_line import Line
from postgres_pair import Pair, new_pair
from replicas_world import (
    Load,
    Outcome,
    Replica,
    Replicas,
    World,
    checked,
    words_of_run,
    world,
)

SHIFTED = Path(__file__).with_name("shifted_clock.py")
"""Runs intelshare with a clock that is wrong."""


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
                began = time.monotonic()
                pair.lost_primary()
                wait_for_more(load, seconds)
                took.append(time.monotonic() - began)
                say(f"{number}: the primary was killed; 50 more got OK after {took[-1]:.1f} s")
        finally:
            load.end()
        outcome = checked(load, seconds)
        say(f"{outcome} {load.errors} ended with {[one.codes for one in replicas.all]}")
    return outcome, took


def wait_for_more(load: Load, seconds: float) -> None:
    """Wait until 50 more got OK."""
    end, enough = time.monotonic() + seconds, len(load.stored) + 50
    while len(load.stored) < enough:
        assert time.monotonic() < end, (load.errors, "nothing is taken any more")
        time.sleep(0.05)


def stalled(made: World, times: int, seconds: float, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Stall the line to the database so many times under load, both ways and each way alone, and cut it."""
    ways = ({"there": False}, {"back": False}, {})
    with over_a_line(made) as line, Replicas(made.fra) as replicas:
        replicas.wait_for_active(seconds=seconds)
        load = Load(made.fra, made.usa, 0.05)
        load.start()
        try:
            for number in range(times):
                time.sleep(random.uniform(0.5, 2.0))
                with line.stalled(**ways[number % len(ways)]):
                    time.sleep(random.uniform(1.0, 12.0))
                if number % 2:
                    line.cut()
                wait_for_more(load, seconds)
                say(f"{number + 1}: the line stalled, {ways[number % len(ways)] or 'both ways'}, and is back")
        finally:
            load.end()
        outcome = checked(load, seconds)
        say(f"{outcome} {load.errors} ended with {[one.codes for one in replicas.all]}")
    return outcome


@contextlib.contextmanager
def over_a_line(made: World) -> Iterator[Line]:
    """FRA reaches its server over a line that can be stalled."""
    settings = made.fra / "node.toml"
    before = settings.read_text()
    store = read_settings(settings).store
    assert store is not None
    with tempfile.TemporaryDirectory(prefix="line-") as folder:
        line = Line(Path(folder), made.cluster.root)
        settings.write_text(with_store(before, Server(line.url, store.schema)))
        try:
            yield line
        finally:
            line.close()
            settings.write_text(before)


@dataclass
class Shifted(Replica):
    """A replica whose wall clock is wrong by so many seconds."""

    seconds: int = 0

    def __post_init__(self) -> None:
        """Set the command."""
        words = words_of_run(self.folder, self.name)[len(PROGRAM) :]
        offset = self.folder.parent / f"{self.name}.offset"
        offset.write_text(str(self.seconds))
        self.words = [sys.executable, str(SHIFTED), str(offset), *words]


def with_other_clocks(
    made: World, kills: int, seconds: float, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Kill the node again and again, with replicas of which one is early and one is late by 20 seconds."""
    with Replicas(made.fra, "") as replicas:
        replicas.all = [Shifted(made.fra, "early", seconds=-20), Shifted(made.fra, "late", seconds=20)]
        for one in replicas.all:
            one.start()
        replicas.wait_for_active(seconds=seconds)
        load = Load(made.fra, made.usa, 0.05)
        load.start()
        try:
            for number in range(1, kills + 1):
                wait_for_more(load, seconds)
                victim = replicas.active()
                if victim is None or victim.process is None:
                    continue
                pid, frozen = victim.process.pid, number % 2 == 0
                victim.signal(signal.SIGSTOP if frozen else signal.SIGKILL)
                took = replicas.wait_for_active(but=pid, seconds=seconds)
                if frozen:
                    os.kill(pid, signal.SIGCONT)
                say(f"{number}: {victim.name} {'frozen' if frozen else 'killed'}, taken over in {took:.1f} s")
            wait_for_more(load, seconds)
        finally:
            load.end()
        outcome = checked(load, seconds)
        say(f"{outcome} {load.errors} ended with {[one.codes for one in replicas.all]}")
    return outcome


def main() -> int:
    """Lose the primary, stall the line, kill replicas with other clocks; 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as home, paired_world(Path(home), synchronous=True) as (made, pair):
        outcomes = [failed_over(made, pair, options.times, 120.0, say)[0]]
        now = World(pair.standby, made.fra, made.usa)
        outcomes.append(stalled(now, options.times, 120.0, say))
        outcomes.append(with_other_clocks(now, options.times, 120.0, say))
        return 0 if all(one.good for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
