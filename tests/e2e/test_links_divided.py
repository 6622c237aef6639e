"""Links divided among replicas of a member: each has its share, and what one leaves the others take."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.nodes import intelshare
from replicas_world import world
from together_world import LoadOnAll, Together, checked_together

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def held(folder: Path) -> dict[str, list[str]]:
    """By replica, the members whose links it has."""
    found = json.loads(intelshare("node", "replicas", "--folder", folder, "--json").out)
    return {one["name"]: one["links"] for one in found["replicas"]}


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def divided(folder: Path, replicas: int) -> bool:
    """Whether three members are held, by so many replicas, as equally as can be."""
    counts = [len(links) for links in held(folder).values()]
    return len(counts) == replicas and sum(counts) == 3 and max(counts) - min(counts) <= 1


def test_three_replicas_share_three_peers_also_after_the_leader_and_the_database_were_lost(
    tmp_path: Path,
) -> None:
    with world(tmp_path, more=("NOR", "DEU")) as w, Together(w.fra) as replicas:
        replicas.wait_for_all()
        until(lambda: divided(w.fra, 3))
        loads = [LoadOnAll(replicas, w.usa, 0.05, 1)]
        loads += [LoadOnAll(replicas, folder, 0.05, 2, to) for to, folder in w.more.items()]
        for load in loads:
            load.start()
        leader = replicas.active()
        assert leader is not None
        leader.signal(signal.SIGKILL)
        replicas.wait_for_all()
        until(lambda: divided(w.fra, 3))
        w.cluster.restart()
        replicas.wait_for_all()
        until(lambda: divided(w.fra, 3))
        for load in loads:
            load.end()
        assert checked_together(loads).good
        last = next(one for one in replicas.all if one is not replicas.active())
        last.stop()
        until(lambda: divided(w.fra, 2))
