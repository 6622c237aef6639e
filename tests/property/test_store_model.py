"""Random plans against a dictionary: both stores keep what they are told, in the order that is promised."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import apsw
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, Table, View
from intelshare.store.database import Database
from intelshare.store.memory import MemoryStore
from intelshare.store.migrate import migrate
from intelshare.store.scrub import scrub
from intelshare.store.sqlite import SqliteStore
from store_tables import BODY, KEY, SCHEMA, SECRET, TABLES, THING, Body, Note, Secret, Tally, Thing, thing

U64 = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
KEYS = st.tuples(st.sampled_from(["", "a", "b", "\x01", "é"]), st.integers(-1, 2))
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


def _row(table: Table[Any], key: tuple[str, int], due: int, rank: int, body: bytes) -> Any:
    name, part = key
    return {
        "thing": lambda: thing(name, part, owner=due, due=due, rank=rank, body=body),
        "tally": lambda: Tally(name, part),
        "secret": lambda: Secret(name, part, body.ljust(5, b"\0")),
        "body": lambda: Body(name, part, Instant(due), body),
        "note": lambda: Note(name, part, Instant(due), body),
    }[table.name]()


def _key(table: Table[Any], key: tuple[str, int]) -> tuple[Any, ...]:
    return key[: len(table.key)]


FEW_KEYS = st.sampled_from([("a", 0), ("a", 1), ("é", 0)])
ANY_TABLE = st.sampled_from(TABLES)
ANY_WRITE = st.one_of(
    st.builds(
        lambda table, *values: Put(table, _row(table, *values)),
        ANY_TABLE, FEW_KEYS, U64, st.integers(0, 2), st.binary(max_size=5),
    ),
    st.builds(
        lambda table, key: Delete(table, _key(table, key)),
        st.sampled_from([table for table in TABLES if not table.erasable]), FEW_KEYS,
    ),
)  # fmt: skip
ACTS = st.lists(
    st.one_of(
        st.lists(ANY_WRITE, min_size=1, max_size=8),
        st.sampled_from(
            ["begin flush", "slice", "flush", "flush", "reopen", "crash", "full disk", "look", "look away"]
        ),
    ),
    max_size=25,
)


def _everything(view: View) -> list[Any]:
    """Whatever can be asked of all tables, as the answers."""
    answers: list[Any] = []
    keys = [(name, part) for name in ("", "a", "b", "\x01", "é", "nobody") for part in (-1, 0, 1, 2)]
    for table in TABLES:
        answers.append(view.get_many(table, [_key(table, key) for key in keys]))
        for index in ("key", *table.indexes):
            found = view.find(table, index)
            answers += [found, view.count(table, index), view.find(table, index, limit=2)]
            names = table.key if index == "key" else table.indexes[index]
            for row in found[:3]:
                first, *rest = [getattr(row, name) for name in names]
                answers += [
                    view.count(table, index, first),
                    view.find(table, index, first, after=rest, limit=3),
                ]
                answers.append(view.find(table, index, after=(first,), limit=1))
    return answers


def _fill(writes: list[Any]) -> Any:
    return lambda view: view.take(Plan(tuple(writes), None))


def _copied(path: Path, number: int) -> Path:
    left = path.with_name(f"{number}.db")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    return left


class _Life:
    """A database beside the store in memory, through flushes, restarts and crashes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "0.db"
        migrate(self.path, [SCHEMA])
        self.database = Database(self.path, TABLES, KEY)
        self.model = MemoryStore()
        self.looks: list[tuple[contextlib.ExitStack, View, list[Any]]] = []
        self.number = 0

    def act(self, act: Any) -> None:
        if isinstance(act, list):
            self.database.commit(_fill(act))
            if len(act) % 2:
                for layer in self.database._fresh:
                    layer.let_go()
            self.model.apply(Plan(tuple(act), None))
        elif act == "begin flush":
            self.database.begin_flush()
        elif act == "slice":
            self.database.flush_slice()
        elif act == "flush":
            self.database.begin_flush()
            while self.database.flushing:
                self.database.flush_slice()
        elif act == "full disk":
            self._refused()
        elif act == "look":
            look = contextlib.ExitStack()
            view = look.enter_context(self.database.looking())
            self.looks.append((look, view, _everything(view)))
        elif act == "look away":
            self._look_away()
        else:
            self._restart(crash=act == "crash")

    def check(self) -> None:
        expected = _everything(self.model)
        assert self.database.ask(_everything) == expected
        found: list[Any] = []
        self.database.commit(lambda view: found.append(_everything(view)))
        assert found == [expected]

    def _refused(self) -> None:
        """A group that is rolled back, and a slice that is."""

        def fill(view: Any) -> None:
            refused = [Put(THING, thing("refused")), Put(SECRET, Secret("refused", 0, b"12345"))]
            gone = [Delete(THING, ("a", part)) for part in (0, 1)]
            view.take(Plan((*refused, *gone), None))
            _everything(view)  # what a list has seen here must not count
            raise apsw.FullError("database or disk is full")

        with contextlib.suppress(apsw.FullError):
            self.database.commit(fill)

    def _look_away(self) -> None:
        while self.looks:
            look, view, seen = self.looks.pop()
            with look:
                assert _everything(view) == seen

    def _restart(self, *, crash: bool) -> None:
        self._look_away()
        old = self.database
        if crash:
            self.number += 1
            self.path = _copied(self.path, self.number)
        old.close(failed=False)
        self.database = Database(self.path, TABLES, KEY)

    def end(self) -> None:
        self._look_away()
        self.database.close(failed=False)


GIVEN_AGAIN = [
    [Put(BODY, Body("a", 0, Instant(0), b"A"))],
    "flush",
    [Delete(BODY, ("a", 0))],
    "reopen",
    [Put(BODY, Body("a", 1, Instant(0), b"B"))],
]
"""The place of a row that is deleted, and still in its table, to one that is new."""


@settings(max_examples=150, deadline=None)
@example(GIVEN_AGAIN)
@given(ACTS)
def test_a_database_is_its_model_through_flushes_restarts_and_crashes(acts: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = _Life(Path(folder))
        try:
            for act in acts:
                life.act(act)
                life.check()
            findings = list(scrub(life.path, TABLES, KEY))
        finally:
            life.end()
    assert findings == []


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
