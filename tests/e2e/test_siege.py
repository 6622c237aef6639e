"""The short form of ``make siege``: a quarter of a minute of strangers and of a hostile member."""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest

import siege
from processes import clean_environment, finished
from siege import Size, Traffic, judged

TESTS, ROOT = str(siege.HOSTILE.parent), str(siege.HOSTILE.parents[1])


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_strangers_and_a_hostile_member_end_no_node_and_lose_or_double_no_bulletin() -> None:
    env = clean_environment(PYTHONPATH=os.pathsep.join((TESTS, ROOT)))
    # Beside other tests nothing is quick: how much slower it becomes is what `make siege` measures.
    command = [sys.executable, siege.__file__, "--minutes", "0.25", "--slack", "30"]
    done = finished(command, env=env, seconds=200)
    assert done.code == 0, done
    for kind in ("_silent", "_garbage", "_slow", "_nobody"):
        assert f'"{kind}"' in done.out, "every kind of stranger came"


PEACE = Traffic({b"1": 0.0, b"2": 0.0}, {b"1": 0.02, b"2": 0.03})
WAR = Traffic({b"3": 0.0, b"4": 0.0}, {b"3": 0.02, b"4": 0.06})
BEFORE = Size(0, 0, 0)


@pytest.mark.parametrize(
    ("war", "arrived", "after", "wrong"),
    [
        (WAR, "1234", Size(1, 1, 1), []),
        (WAR, "123", BEFORE, ["bulletins lost"]),
        (WAR, "12344", BEFORE, ["bulletins that arrived twice"]),
        (Traffic({b"3": 0.0}, {b"3": 1.0}), "123", BEFORE, ["p99 of submit to receipt, ms"]),
        (Traffic({b"3": 0.0}, {}), "123", BEFORE, ["p99 of submit to receipt, ms"]),
        (WAR, "1234", Size(siege.LOG + 1, 0, 0), ["log has grown by, KiB"]),
        (WAR, "1234", Size(0, siege.DISK + 1, 0), ["data folder has grown by, MiB"]),
        (WAR, "1234", Size(0, 0, siege.MEMORY + 1), ["memory has grown by, MiB"]),
    ],
)
def test_what_is_outside_its_bound_is_named(
    war: Traffic, arrived: str, after: Size, wrong: list[str]
) -> None:
    assert judged(PEACE, war, Counter(one.encode() for one in arrived), BEFORE, after) == wrong
