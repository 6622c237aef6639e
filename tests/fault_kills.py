"""Faults of processes: nodes that are killed, stopped, started twice or copied (F1, F21, F29, F34)."""

from __future__ import annotations

import random
import time

from e2e.nodes import log_of, ok
from fault_pair import Load, Watched, check, sending, two, until_ok, wait_until


def killed(cycles: int) -> str:
    """F1: SIGKILL of a random node every second to three under load, and its restart."""
    chance = random.Random(cycles)
    caught_up: list[float] = []
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        watched = Watched(usa.folder / "users" / "ana")
        began = time.monotonic()
        with sending(load):
            for _ in range(cycles):
                time.sleep(chance.uniform(1, 3))
                chosen = chance.choice((fra, usa))
                chosen.kill()
                chosen.start()
                served, owed = time.monotonic(), set(load.had_ok)
                wait_until(lambda owed=owed: owed <= watched.look().keys(), "all from before to arrive")
                caught_up.append(time.monotonic() - served)
        rate = len(load.had_ok) / (time.monotonic() - began)
        figures = check(load, watched.look)
        for member in (fra, usa):
            ok("audit", "verify", "--folder", member.folder)
    slowest = sorted(caught_up)[-1 - len(caught_up) // 100]
    assert slowest < 5, f"caught up after {slowest:.1f} s: {figures}"
    return f"{cycles} kills at {rate:.0f}/s; {figures}; caught up p99 {slowest:.1f} s"


def stopped(cycles: int) -> str:
    """F29: a stop in order at each end in turn under load; the next start serves."""
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        watched = Watched(usa.folder / "users" / "ana")
        with sending(load):
            for _ in range(cycles):
                for member in (fra, usa):
                    until_ok(load, 5)
                    code = member.stop()
                    assert code == 0, f"{member.folder.name} ended with {code}"
                    member.start()
        figures = check(load, watched.look)
        said = log_of(fra.folder).read_text() + log_of(usa.folder).read_text()
    assert "STORE_FORGOT" not in said
    return f"{cycles} stops at each end under 30/s, {cycles} of {cycles} starts served; {figures}"
