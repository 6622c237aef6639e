"""One suite over the Store port: what a store promises, whichever it is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelshare.instant import Instant
from intelshare.ports import Delete, Durable, Plan, Put, Store, Table, View
from intelshare.store import grouped
from intelshare.store.engines import ENGINES, Location
from intelshare.store.migrate import migrate
from intelshare.store.postgres import store as postgres
from intelshare.store.postgres.lease import Joining
from intelshare.store.server import Server
from intelshare.store.views import Reading
from postgres_server import make_schema, new_schema, server_url
from store_tables import (
    BODY,
    KEY,
    NOTE,
    SCHEMA,
    SECRET,
    TABLES,
    TALLY,
    THING,
    Body,
    Note,
    Secret,
    Tally,
    Thing,
    put,
    thing,
)
from waits import LIMIT, wait_until


@pytest.fixture(params=[*sorted(ENGINES), pytest.param("leading", marks=pytest.mark.soak), "beside"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """One of each engine; and of two that run together the one that leads, and the other."""
    engine, where = request.param, Location(tmp_path / "store.db")
    with contextlib.ExitStack() as stack:
        if engine in ("memory", "sqlite"):
            migrate(where.database, [SCHEMA])
            opened = ENGINES[engine](where, TABLES, KEY, lambda _: None)
        else:
            where = replace(where, server=Server(server_url(), new_schema()))
            make_schema(where.server)
            if engine == "postgres":
                opened = ENGINES["postgres"](where, TABLES, KEY, lambda _: None)
            else:
                leading, beside = (_joined(where, stack) for _ in range(2))
                opened = leading if engine == "leading" else beside
        stack.callback(opened.close)
        yield opened


def _joined(where: Location, stack: contextlib.ExitStack) -> Any:
    assert where.server is not None
    joining = Joining(where.server, where.database.parent, "replica")
    where = replace(where, held=joining.wait(), together=True, first=joining.first)
    opened: Any = ENGINES["postgres"](where, TABLES, KEY, lambda _: None)
    opened.together.share()
    stack.callback(opened.close)
    return opened


@pytest.fixture(params=["sqlite", "postgres"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the same store on a disk again."""
    where = Location(tmp_path / "store.db")
    if request.param == "sqlite":
        migrate(where.database, [SCHEMA])
    else:
        where = replace(where, server=Server(server_url(), new_schema()))
        make_schema(where.server)
    return lambda: ENGINES[request.param](where, TABLES, KEY, lambda _: None)


async def test_a_stop_waits_for_nobody_who_learns_all_that_is_stored(
    again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(again()) as store:
        await store.perform(put(thing("a")))
    learning = threading.Event()

    def very_much(*_: Any) -> Iterator[list[Any]]:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            learning.set()
            yield []

    monkeypatch.setattr(Reading, "all_columns", very_much)
    store = again()
    assert learning.wait(LIMIT)
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < LIMIT / 3


async def test_a_stop_ends_a_scrub(again: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelshare.store.scrub.ROWS", 1)
    checking = threading.Event()

    def slowly(*_: Any) -> None:
        checking.set()
        time.sleep(LIMIT / 100)

    monkeypatch.setattr(Reading, "check", slowly)
    with contextlib.closing(again()) as store:
        await store.perform(put(*[thing(f"a{number}") for number in range(200)]))
    store = again()
    scrubbing = threading.Thread(target=lambda: list(store.scrub()))
    scrubbing.start()
    assert checking.wait(LIMIT)
    store.close()
    scrubbing.join(LIMIT / 3)
    assert not scrubbing.is_alive()


def names(store: Store, *args: Any, **options: Any) -> list[str]:
    return store.ask_now(lambda view: [f"{row.name}{row.part}" for row in view.find(THING, *args, **options)])


async def test_a_row_comes_back_as_it_was_put(store: Store) -> None:
    row = thing("Zürich 🜁", 2**63 - 1, owner=2**64 - 1, due=2**63, rank=-5, body=bytes(range(256)))
    await store.perform(put(row))
    assert store.ask_now(lambda view: view.get(THING, row.name, row.part)) == row
    assert store.ask_now(lambda view: view.find(THING, "owner", 2**64 - 1)) == [row]
    assert store.ask_now(lambda view: view.get(THING, row.name, 1)) is None


async def test_a_put_replaces_and_moves_the_row_in_every_order(store: Store) -> None:
    await store.perform(put(thing("a", due=5), thing("b", due=6)))
    await store.perform(put(thing("a", due=7)))
    assert names(store, "due", 0) == ["b0", "a0"]
    assert store.ask_now(lambda view: view.count(THING, "key")) == 2


async def test_a_deleted_row_is_gone_from_every_order_and_absent_ones_do_no_harm(store: Store) -> None:
    await store.perform(put(thing("a"), thing("b")))
    await store.perform(lambda _: Plan((Delete(THING, ("a", 0)), Delete(THING, ("nobody", 0))), None))
    assert names(store, "key") == names(store, "due") == names(store, "owner") == ["b0"]


async def test_writes_of_a_plan_count_in_their_order(store: Store) -> None:
    await store.perform(
        lambda _: Plan((Put(THING, thing("a")), Delete(THING, ("a", 0)), Put(THING, thing("b"))), None)
    )
    assert names(store, "key") == ["b0"]
    await store.perform(lambda _: Plan((Delete(THING, ("b", 0)), Put(THING, thing("b", rank=3))), None))
    assert names(store, "due", 3) == ["b0"]


async def test_find_is_ordered_by_the_rest_of_the_index_then_key(store: Store) -> None:
    await store.perform(
        put(
            thing("b", due=2),
            thing("a", 2, due=2),
            thing("a", 1, due=2),
            thing("z", due=1),
            thing("c", rank=1),
        )
    )
    assert names(store, "due", 0) == ["z0", "a1", "a2", "b0"]
    assert names(store, "due") == ["z0", "a1", "a2", "b0", "c0"]
    assert names(store, "due", 0, 2, "a", 1) == ["a1"]
    assert names(store, "key", "a") == ["a1", "a2"]
    assert store.ask_now(lambda view: view.count(THING, "due", 0, 2)) == 3
    assert store.ask_now(lambda view: view.count(THING, "due", 9)) == 0


@pytest.mark.parametrize("changed", [3, 25])
async def test_a_count_is_right_while_some_rows_are_in_memory_and_others_in_tables(
    again: Callable[[], Store], changed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(again()) as store:
        with monkeypatch.context() as at_once:
            for of in (grouped, postgres):
                at_once.setattr(of, "FLUSH_IDLE", 0.01)
            rows = (thing(f"a{number}", rank=number % 3, due=number) for number in range(40))
            await store.perform(put(*rows))
            await asyncio.to_thread(
                wait_until, lambda: store.figures().waiting == 0, "all rows in their tables"
            )

        def change(_: View) -> Plan[None]:
            gone = [Delete(THING, (f"a{number}", 0)) for number in range(0, changed, 3)]
            moved = [Put(THING, thing(f"a{number}", rank=2, due=5)) for number in range(1, changed, 3)]
            new = [Put(THING, thing(f"b{number}", rank=1, due=5)) for number in range(changed)]
            return Plan((*gone, *moved, *new), None)

        def counted(view: View) -> Plan[list[tuple[int, int]]]:
            asked: list[tuple[Any, ...]] = [
                ("key",), ("key", "a1"), ("due", 0), ("due", 2, 5), ("owner", 1), ("first",), ("first", 1)
            ]  # fmt: skip
            return Plan((), [(view.count(THING, *one), len(view.find(THING, *one))) for one in asked])

        _, answer = await asyncio.gather(store.perform(change), store.perform(counted))
        assert all(number == found for number, found in answer.value), answer.value


async def test_after_gives_only_what_is_strictly_greater_in_as_many_fields_as_named(store: Store) -> None:
    await store.perform(
        put(*(thing(name, due=due) for name, due in (("a", 1), ("b", 1), ("c", 2), ("d", 3))))
    )
    assert names(store, "due", 0, after=(1,)) == ["c0", "d0"]
    assert names(store, "due", 0, after=(1, "a")) == ["b0", "c0", "d0"]
    assert names(store, "due", after=(0, 1, "a"), limit=1) == ["b0"]
    assert names(store, "due", 0, after=(3,)) == []
    assert names(store, "due", 0, limit=2) == ["a0", "b0"]
    assert names(store, "due", 0, limit=0) == []


async def test_never_sorts_first_and_after_zero_leaves_it_out(store: Store) -> None:
    await store.perform(put(thing("never", due=2**64 - 1), thing("soon", due=1)))
    assert names(store, "due", 0) == ["never0", "soon0"]
    assert names(store, "due", 0, after=(0,)) == ["soon0"]


async def test_a_step_sees_what_the_steps_before_it_in_one_group_wrote(store: Store) -> None:
    def count(view: View) -> Plan[tuple[int, int, int]]:
        tally = view.get(TALLY, "n")
        value = tally.value + 1 if tally is not None else 1
        row = thing("t", value, due=value)
        seen = view.find(THING, "due", 0)
        return Plan(
            (Put(TALLY, Tally("n", value)), Put(THING, row)), (value, len(seen), view.count(THING, "key"))
        )

    answers = await asyncio.gather(*(store.perform(count) for _ in range(50)))
    assert [answer.value for answer in answers] == [(n + 1, n, n) for n in range(50)]


async def test_a_step_sees_what_was_deleted_before_it_in_one_group(store: Store) -> None:
    await store.perform(put(thing("a"), thing("b")))
    gone = store.perform(lambda _: Plan((Delete(THING, ("a", 0)),), None))
    seen = store.perform(lambda view: Plan((), (view.get(THING, "a", 0), view.find(THING, "key"))))
    _, found = await asyncio.gather(gone, seen)
    assert found.value == (None, [thing("b")])


async def test_a_step_that_raises_changes_nothing_and_fails_alone(store: Store) -> None:
    def bad(_: View) -> Plan[None]:
        raise LookupError("mine")

    before, failed, after = await asyncio.gather(
        store.perform(put(thing("a"))),
        store.perform(bad),
        store.perform(put(thing("b"))),
        return_exceptions=True,
    )
    assert isinstance(failed, LookupError)
    assert isinstance(before, Durable)
    assert isinstance(after, Durable)
    assert names(store, "key") == ["a0", "b0"]


@pytest.mark.parametrize(
    "wrong",
    [
        thing("x", due=-1),
        thing("x", owner=2**64),
        thing("x", 2**63),
        thing("x", rank=2**63),
        thing(b"x"),  # type: ignore[arg-type]
        thing("x", body="text"),  # type: ignore[arg-type]
        thing("x", rank=1.5),  # type: ignore[arg-type]
        thing("x", body=None),  # type: ignore[arg-type]
        thing("\ud800"),
        thing("x\0"),
    ],
)
async def test_a_plan_with_a_row_that_cannot_be_stored_is_not_stored_at_all(store: Store, wrong: Any) -> None:
    first, second, third = await asyncio.gather(
        store.perform(put(thing("a"))),
        store.perform(put(thing("b"), wrong, thing("c"))),
        store.perform(put(thing("d"))),
        return_exceptions=True,
    )
    assert isinstance(second, TypeError)
    assert isinstance(first, Durable)
    assert isinstance(third, Durable)
    assert names(store, "key") == ["a0", "d0"]


@pytest.mark.parametrize("key", [("a",), ("a", "0"), (b"a", 0), ("a", 2**65)])
async def test_a_plan_with_a_key_of_no_row_is_not_carried_out(store: Store, key: tuple[Any, ...]) -> None:
    await store.perform(put(thing("a")))
    with pytest.raises(TypeError):
        await store.perform(lambda _: Plan((Delete(THING, ("a", 0)), Delete(THING, key)), None))
    assert names(store, "key") == ["a0"]


async def test_then_of_a_last_step_runs_after_the_commit_and_before_any_later_step(store: Store) -> None:
    order: list[str] = []

    def step(name: str) -> Callable[[View], Plan[str]]:
        def run(_: View) -> Plan[str]:
            order.append(f"step {name}")
            return Plan((Put(THING, thing(name)),), name, last=name == "b")

        return run

    def then(name: str) -> None:
        order.append(f"then {name}")
        order.extend(f"durable {found}" for found in names(store, "key"))

    await asyncio.gather(*[store.perform(step(name), then) for name in "abc"])
    assert order == ["step a", "step b", "then b", "durable a0", "durable b0", "step c"]


async def test_then_does_not_run_for_a_step_that_raised(store: Store) -> None:
    ran: list[None] = []
    with pytest.raises(TypeError):
        await store.perform(put(thing("x", due=-1)), ran.append)
    assert ran == []


async def test_steps_and_commits_are_counted(store: Store) -> None:
    before = store.steps, store.commits
    await asyncio.gather(*[store.perform(put(thing("a", part))) for part in range(9)])
    steps, commits = store.steps - before[0], store.commits - before[1]
    assert steps == 9
    assert 1 <= commits <= 9


async def test_a_query_changes_nothing_and_its_error_is_the_callers(store: Store) -> None:
    def bad(_: View) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError):
        store.ask_now(bad)
    await store.perform(put(thing("a")))
    assert names(store, "key") == ["a0"]


async def test_many_rows_come_in_the_places_of_their_keys(store: Store) -> None:
    await store.perform(put(thing("a"), thing("b")))
    wanted = [("b", 0), ("nobody", 0), ("a", 0), ("b", 0)]
    found = await store.query(lambda view: view.get_many(THING, wanted))
    assert found == [thing("b"), None, thing("a"), thing("b")]


async def test_an_index_of_flagged_rows_holds_those_whose_flag_is_1_now(store: Store) -> None:
    await store.perform(put(thing("a", rank=1, due=2), thing("b", rank=1, due=1), thing("c", rank=2)))
    assert names(store, "first") == names(store, "first", 1) == ["b0", "a0"]
    assert names(store, "first", 2) == []
    await store.perform(put(thing("b", rank=0), thing("c", rank=1)))
    assert names(store, "first") == ["c0", "a0"]
    assert store.ask_now(lambda view: view.count(THING, "first")) == 2


ROWS = [
    (SECRET, Secret("a", 1, b"first"), Secret("a", 1, b"other")),
    (BODY, Body("a", 1, Instant(5), b"b" * 9000), Body("a", 1, Instant(2**64 - 1), b"short")),
    (NOTE, Note("a", 1, Instant(5), b""), Note("a", 1, Instant(2**63), b"n" * 100_000)),
]


@pytest.mark.parametrize(("table", "first", "other"), ROWS)
async def test_rows_of_every_kind_of_table_are_put_replaced_and_found(
    store: Store, table: Table[Any], first: Any, other: Any
) -> None:
    beside = first._replace(part=2)
    await store.perform(put(first, beside))
    assert store.ask_now(lambda view: view.find(table, "key", "a")) == [first, beside]
    await store.perform(put(other))
    assert store.ask_now(lambda view: view.get(table, "a", 1)) == other
    assert store.ask_now(lambda view: view.find(table, "key", "a", after=(1,))) == [beside]
    assert store.ask_now(lambda view: view.count(table, "key")) == 2


@pytest.mark.parametrize(("table", "first", "other"), ROWS[1:])
async def test_a_deleted_row_of_a_place_of_its_own_is_gone(
    store: Store, table: Table[Any], first: Any, other: Any
) -> None:
    await store.perform(put(first))
    await store.perform(lambda _: Plan((Delete(table, ("a", 1)), Delete(table, ("nobody", 1))), None))
    assert store.ask_now(lambda view: view.find(table, "key")) == []
    await store.perform(put(other))
    assert store.ask_now(lambda view: view.find(table, "key")) == [other]


async def test_an_erasable_row_cannot_be_deleted(store: Store) -> None:
    await store.perform(put(Secret("a", 1, b"x")))
    with pytest.raises(TypeError, match="overwritten"):
        await store.perform(lambda _: Plan((Delete(SECRET, ("a", 1)),), None))
    assert store.ask_now(lambda view: view.count(SECRET, "key")) == 1


def test_an_erasable_or_bulk_table_has_no_index() -> None:
    for options in ({"erasable": True}, {"bulk": True}):
        with pytest.raises(TypeError, match="key alone"):
            Table("wrong", Thing, ("name",), {"due": ("due",)}, **options)


async def test_draining_finishes_what_waits_and_questions_are_still_answered(store: Store) -> None:
    waiting = [asyncio.ensure_future(store.perform(put(thing("a", part)))) for part in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    store.drain()
    store.drain()
    assert names(store, "key") == ["a0", "a1", "a2"]
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_close_can_be_called_twice(store: Store) -> None:
    await store.perform(put(thing("a")))
    store.close()
    store.close()


def test_only_a_commit_makes_a_durable_value() -> None:
    with pytest.raises(TypeError):
        Durable("a", object())


async def test_shredding_changes_no_row_and_later_steps_go_on(store: Store) -> None:
    await store.perform(put(thing("a"), thing("b")))
    await store.perform(lambda _: Plan((Delete(THING, ("a", 0)),), None))
    await store.shred()
    assert names(store, "key") == ["b0"]
    await store.perform(put(thing("c")))
    assert names(store, "key") == ["b0", "c0"]


async def test_shredding_takes_its_turn_among_the_steps(store: Store) -> None:
    done: list[str] = []

    async def note(name: str, waits: Any) -> None:
        await waits
        done.append(name)

    await asyncio.gather(
        note("first", store.perform(put(thing("a")))),
        note("shred", store.shred()),
        note("second", store.perform(put(thing("b")))),
    )
    assert done == ["first", "shred", "second"]
