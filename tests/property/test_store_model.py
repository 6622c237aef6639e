"""Random plans against a dictionary: both stores keep what they are told, in the order that is promised."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.ports import Delete, Plan, Put, View
from intelshare.store.memory import MemoryStore
from intelshare.store.migrate import migrate
from intelshare.store.sqlite import SqliteStore
from store_tables import KEY, SCHEMA, TABLES, THING, Thing, thing

U64 = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
KEYS = st.tuples(st.sampled_from(["", "a", "b", "\0", "é"]), st.integers(-1, 2))
ROWS = st.builds(
    lambda key, owner, due, rank, body: thing(*key, owner=owner, due=due, rank=rank, body=body),
    KEYS, U64, U64, st.integers(0, 2), st.binary(max_size=5),
)  # fmt: skip
WRITES = st.lists(
    st.one_of(st.builds(lambda row: Put(THING, row), ROWS), st.builds(lambda key: Delete(THING, key), KEYS)),
    max_size=6,
)
ASKS = st.tuples(
    st.sampled_from(["key", "due", "owner"]), st.integers(0, 2), st.integers(0, 2), ROWS, st.integers(0, 5)
)
STEPS = st.lists(st.tuples(WRITES, ASKS, st.booleans()), max_size=12)
ORDERS = {
    "key": ("name", "part"),
    "due": ("rank", "due", "name", "part"),
    "owner": ("owner", "name", "part"),
}


class Refused(Exception):
    """A step's own error."""


def _signed(value: Any) -> Any:
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value


def _model_find(rows: dict[Any, Thing], ask: Any) -> list[Thing]:
    index, prefix, after, like, limit = ask
    order = ORDERS[index]

    def entry(row: Thing) -> tuple[Any, ...]:
        return tuple(_signed(getattr(row, name)) for name in order)

    wanted, end = entry(like), min(len(order), prefix + after)
    found = [
        row
        for row in rows.values()
        if entry(row)[:prefix] == wanted[:prefix]
        and (end == prefix or entry(row)[prefix:end] > wanted[prefix:end])
    ]
    return sorted(found, key=entry)[:limit]


def _find(view: View, ask: Any) -> list[Thing]:
    index, prefix, after, like, limit = ask
    values = [getattr(like, name) for name in ORDERS[index]]
    return view.find(THING, index, *values[:prefix], after=values[prefix : prefix + after], limit=limit)


def _step(writes: list[Put | Delete], ask: Any, refuse: bool) -> Any:
    def step(view: View) -> Plan[list[Thing]]:
        found = _find(view, ask)
        assert view.count(THING, ask[0]) == len(view.find(THING, ask[0], limit=100))
        if refuse:
            raise Refused
        return Plan(tuple(writes), found)

    return step


async def _run(store: Any, steps: list[Any], *, together: bool) -> tuple[list[Any], list[Thing]]:
    performed = [store.perform(_step(*step)) for step in steps]
    if together:
        answers = await asyncio.gather(*performed, return_exceptions=True)
    else:
        answers = [(await asyncio.gather(one, return_exceptions=True))[0] for one in performed]
    rest = store.ask_now(lambda view: view.find(THING, "key", limit=1000))
    return [answer if isinstance(answer, Exception) else answer.value for answer in answers], rest


def _model(steps: list[Any]) -> tuple[list[Any], list[Thing]]:
    rows: dict[Any, Thing] = {}
    answers: list[Any] = []
    for writes, ask, refuse in steps:
        answers.append(None if refuse else _model_find(rows, ask))
        for write in () if refuse else writes:
            if isinstance(write, Put):
                rows[write.row.name, write.row.part] = write.row
            else:
                rows.pop(write.key, None)
    return answers, sorted(rows.values(), key=lambda row: (row.name, row.part))


def _same(found: tuple[list[Any], list[Thing]], expected: tuple[list[Any], list[Thing]]) -> None:
    answers = [None if isinstance(answer, Refused) else answer for answer in found[0]]
    assert (answers, found[1]) == expected


@given(STEPS)
def test_the_memory_store_is_its_model(steps: list[Any]) -> None:
    _same(asyncio.run(_run(MemoryStore(), steps, together=False)), _model(steps))


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_the_embedded_store_is_its_model(steps: list[Any], together: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        migrate(path, [SCHEMA])
        store = SqliteStore(path, TABLES, KEY)
        try:
            found = asyncio.run(_run(store, steps, together=together))
            findings = list(store.scrub())
        finally:
            store.close()
    _same(found, _model(steps))
    assert findings == []
