"""Traces: a value that was written is never said to be absent, and few that were not are looked for."""

from __future__ import annotations

import random
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from intelshare.ports import Table
from intelshare.store.row_tables import RowTable
from intelshare.store.traces import LARGEST, Filled, Traces


class Thing(NamedTuple):
    owner: str
    leaf: bytes
    part: int


THINGS = RowTable(Table("thing", Thing, ("owner", "leaf"), {"part": ("part",)}))
"""Its columns are owner, leaf and part."""


def digests(seed: int, count: int) -> list[bytes]:
    drawn = random.Random(seed)
    return [drawn.randbytes(32) for _ in range(count)]


@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)))
def test_what_was_added_may_be_there_and_where_nothing_was_nothing_is(
    first: list[bytes], then: list[bytes]
) -> None:
    traces = Traces()
    assert not any(traces.may_hold(value) for value in (*first, *then, b""))
    for values in (first, then):
        traces.add(values)
    assert all(traces.may_hold(value) for value in (*first, *then))


def test_few_values_that_were_not_added_are_looked_for_also_beyond_several_parts() -> None:
    traces, held = Traces(), digests(1, 60_000)
    traces.add(held)
    assert all(map(traces.may_hold, held))
    assert sum(map(traces.may_hold, digests(2, 10_000))) < 1_000


def test_the_memory_is_bounded_whatever_comes() -> None:
    traces = Traces()
    traces.add(value for value in [b"same"] * (4 * LARGEST))
    assert sum(map(len, traces._parts)) < 2 * LARGEST
    assert traces.may_hold(b"same")


def test_a_table_that_has_rows_holds_everything_until_they_were_read() -> None:
    old, new, other = digests(3, 3)
    filled = Filled(THINGS, read=True)
    filled.add([("FRA", new, 1)])
    assert filled.may_hold("key", ("FRA", other))
    filled.learn([[("FRA", old, 1)]], lambda: True)
    assert filled.may_hold("key", ("FRA", other)), "it was not read to its end"
    filled.learn([[("FRA", old, 1)]], lambda: False)
    assert filled.may_hold("key", ("FRA", old))
    assert filled.may_hold("key", ("FRA", new))
    assert not filled.may_hold("key", ("FRA", other))


def test_a_question_that_names_no_digest_is_always_asked() -> None:
    filled = Filled(THINGS, read=False)
    assert filled.may_hold("key", ("FRA",))
    assert filled.may_hold("part", (1, "FRA"))
    assert not filled.may_hold("part", (1, "FRA", b"leaf"))
