"""Several processes that write one schema of PostgreSQL: steps in turns, followed by all, one that leads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.errors import StoreError
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, View
from intelshare.store.chunks import Chunks
from intelshare.store.journal import only_adds
from intelshare.store.postgres import lease
from intelshare.store.postgres.connection import IDLE_IN_STEP, PostgresConnection, connect
from intelshare.store.postgres.database import Moved
from intelshare.store.postgres.lease import (
    TURN,
    Joining,
    open_to_others,
    sessions,
    take,
    took,
    took_lead,
    took_together,
)
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.postgres.together import SharedDatabase
from intelshare.store.server import Server
from intelshare.store.sql import Damaged
from postgres_server import asked, new_schema, server_url
from store_tables import (
    BODY,
    KEY,
    NOTE,
    OF,
    SECRET,
    TABLES,
    TALLY,
    THING,
    Body,
    Note,
    Secret,
    Tally,
    put,
    thing,
)
from together_stores import STEPS, joined, leading, together, until
from waits import LIMIT


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema())


def raised(name: str) -> Callable[[View], Plan[int]]:
    """Read a number, write one more."""

    def step(view: View) -> Plan[int]:
        row = view.get(TALLY, name)
        count = 1 if row is None else row.value + 1
        return Plan((Put(TALLY, Tally(name, count)),), count)

    return step


async def test_what_one_commits_the_others_have_at_once_and_steps_are_serial(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path) as stores:

        async def many(store: PostgresStore) -> list[int]:
            return [(await store.perform(raised("n"))).value for _ in range(60)]

        answers = await asyncio.gather(*map(many, stores))
        assert sorted(count for some in answers for count in some) == list(range(1, 181))
        for store in stores:
            await until(
                lambda store=store: store.ask_now(lambda view: view.get(TALLY, "n")) == Tally("n", 180)
            )


async def test_all_kinds_of_rows_are_the_same_everywhere_while_one_moves_them(
    server: Server, tmp_path: Path
) -> None:
    rng = random.Random(7)
    expected: dict[Any, Any] = {}
    with together(server, tmp_path, flush_bytes=20_000) as stores:
        await until(lambda: len(leading(stores)) == 1)
        for number in range(300):
            key = number % 40
            rows = [
                thing(f"t{key}", due=rng.randrange(9)),
                Tally(f"n{key}", number),
                Secret(f"s{key}", 1, bytes([number % 251]) * 40),
                Body(f"b{key}", 1, 1, bytes(rng.randrange(3000))),  # type: ignore[arg-type]
                Note(f"m{key}", 1, 1, bytes([number % 251])),  # type: ignore[arg-type]
            ]
            writes: list[Any] = [
                Put(table, row) for table, row in zip((THING, TALLY, SECRET, BODY, NOTE), rows, strict=True)
            ]
            for table, row in zip((THING, TALLY, SECRET, BODY, NOTE), rows, strict=True):
                expected[table.name, table.key_of(row)] = row
            if number % 7 == 0:
                gone = (key + 1) % 40
                writes += [Delete(TALLY, (f"n{gone}",)), Delete(BODY, (f"b{gone}", 1))]
                expected.pop((TALLY.name, (f"n{gone}",)), None)
                expected.pop((BODY.name, (f"b{gone}", 1)), None)
            await rng.choice(stores).perform(lambda _, writes=writes: Plan(tuple(writes), None))
            if number % 50 == 49:
                await rng.choice(leading(stores)).shred()

        def everything(view: View) -> dict[Any, Any]:
            return {
                (table.name, table.key_of(row)): row
                for table in (THING, TALLY, SECRET, BODY, NOTE)
                for row in view.find(table, "key")
            }

        for store in stores:
            await until(lambda store=store: store.ask_now(everything) == expected)
            inside = (await store.perform(lambda view: Plan((), everything(view)))).value
            assert inside == expected
            assert not store.damage.known()
        assert leading(stores)[0].figures().flushed > 0
    with contextlib.closing(joined(server, tmp_path)) as later:
        assert later.ask_now(everything) == expected
    with contextlib.closing(open_store(server, tmp_path, TABLES, KEY, steps=STEPS)) as alone:
        assert alone.ask_now(everything) == expected


async def test_who_joins_while_others_move_rows_learns_all_the_same_which_rows_there_are(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of its steps would search the tables for keys that are in none of them."""
    with contextlib.closing(open_store(server, tmp_path, TABLES, KEY, steps=STEPS)) as alone:
        await alone.perform(put(Body("b", 1, Instant(1), b"body")))
    moved, begun = [2], SharedDatabase.begun

    def meets_others(database: SharedDatabase, since: int) -> PostgresConnection:
        if moved[0]:
            moved[0] -= 1
            raise Moved
        return begun(database, since)

    monkeypatch.setattr(SharedDatabase, "begun", meets_others)
    with contextlib.closing(joined(server, tmp_path)) as late:
        await until(lambda: late._database._filled[BODY.name]._old is not None)


async def test_many_secrets_that_another_one_has_stored_are_read_by_few_questions(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Secret(f"s{number:03}", 1, bytes([number]) * 40) for number in range(200)]
    asked_: list[str] = []
    sent = PostgresConnection.rows

    def counted(connection: PostgresConnection, text: str, values: Any) -> list[Any]:
        asked_.append(text)
        return sent(connection, text, values)

    with together(server, tmp_path, count=2) as stores:
        await stores[0].perform(lambda _: Plan(tuple([Put(SECRET, row) for row in rows]), None))
        await until(lambda: stores[1].ask_now(lambda view: view.get(SECRET, "s199", 1)) == rows[-1])
        monkeypatch.setattr(PostgresConnection, "rows", counted)
        keys = [(row.name, row.part) for row in random.Random(3).sample(rows, len(rows))]
        found = stores[1].ask_now(lambda view: view.get_many(SECRET, keys))
        assert {row.name: row for row in found if row is not None} == {row.name: row for row in rows}
        assert len([text for text in asked_ if '"secret"' in text]) == 1


async def test_what_others_have_committed_is_in_the_lists_and_becomes_a_row_for_who_asks(
    server: Server, tmp_path: Path
) -> None:
    rows = [thing(f"n{number}", rank=number % 3) for number in range(9)]
    with together(server, tmp_path, count=2) as stores:
        await stores[0].perform(put(*rows))
        database = stores[1].together
        assert database is not None
        await until(lambda: any(THING.name in layer.tables for layer in database._layers))

        def made() -> int:
            held = [one for layer in database._layers for one in layer.tables[THING.name].rows.values()]
            return sum(one is not None and one.row is not None for one in held)

        assert made() == 0
        assert stores[1].ask_now(lambda view: view.find(THING, "due", 1)) == [rows[1], rows[4], rows[7]]
        assert made() == 3
        first = stores[1].ask_now(lambda view: view.get(THING, *THING.key_of(rows[1])))
        assert stores[1].ask_now(lambda view: view.get(THING, *THING.key_of(rows[1]))) is first


async def test_rows_that_are_asked_for_together_are_read_at_once_and_one_that_rots_takes_no_other_with_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Body(f"b{number:03}", 1, Instant(1), os.urandom(20_000)) for number in range(64)]
    asked_: list[str] = []
    sent = PostgresConnection.rows

    def counted(connection: PostgresConnection, text: str, values: Any) -> list[Any]:
        asked_.append(text)
        if rotten and text.startswith("SELECT id, sealed FROM chunk"):
            sent(connection, "SELECT 1", ())
            with pytest.raises(psycopg.Error):
                sent(connection, "SELECT 1 / 0", ())
            raise Damaged("a page has rotted")
        return sent(connection, text, values)

    for rotten in (False, True):
        with together(server, tmp_path, count=2) as stores:
            if not rotten:
                await stores[0].perform(lambda _: Plan(tuple([Put(BODY, row) for row in rows]), None))
            await until(lambda: stores[1].ask_now(lambda view: view.get(BODY, "b063", 1)) == rows[-1])
            monkeypatch.setattr(PostgresConnection, "rows", counted)
            mixed = random.Random(3).sample(rows, len(rows))
            keys = [(row.name, 1) for row in mixed]
            assert stores[1].ask_now(lambda view: view.get_many(BODY, keys)) == mixed  # noqa: B023
            stores[1]._database._chunks = Chunks(KEY, 0)  # nothing is open any more
            assert stores[1].ask_now(lambda view: view.find(BODY, "key")) == rows
            of_chunks = [text for text in asked_ if " FROM chunk " in text]
            assert len(of_chunks) == 2 or rotten
            monkeypatch.setattr(PostgresConnection, "rows", sent)


async def test_what_a_replica_remembers_of_a_chunk_is_never_taken_for_a_later_one(
    server: Server, tmp_path: Path
) -> None:
    first, again, other = Body("a", 1, 1, b"1"), Body("a", 1, 1, b"2"), Body("b", 1, 1, b"3")  # type: ignore[arg-type]
    with together(server, tmp_path, count=2) as stores:
        await stores[0].perform(put(first))
        await until(lambda: stores[1].ask_now(lambda view: view.get(BODY, "a", 1)) == first)  # it remembers
        await stores[0].perform(lambda _: Plan((Delete(BODY, ("a", 1)),), None))
        with contextlib.closing(joined(server, tmp_path, "later")) as later:
            await later.perform(put(again, other))
        for row in again, other:
            await until(lambda: stores[1].ask_now(lambda view: view.get(BODY, row.name, 1)) is not None)  # noqa: B023
            assert stores[1].ask_now(lambda view: view.get(BODY, row.name, 1)) == row  # noqa: B023
        assert not stores[1].damage.known()


@pytest.mark.parametrize("row", [Body("a", 1, Instant(1), b"1"), Note("a", 1, Instant(1), b"1")])
async def test_a_chunk_of_which_a_replica_only_learns_that_it_is_gone_keeps_its_number(
    server: Server, tmp_path: Path, row: Body | Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, later = OF[type(row)], row._replace(name="b")
    with together(server, tmp_path, count=2) as stores:
        assert stores[1].together is not None
        monkeypatch.setattr(stores[1].together, "look", lambda: False)  # it follows before it writes
        await stores[0].perform(put(row))
        await stores[0].perform(lambda _: Plan((Delete(table, ("a", 1)),), None))
        await stores[1].perform(put(later))
        (numbers,) = asked(server.url, f'SELECT min(id), max(id) FROM "{server.schema}".chunk')
        assert numbers[1] == 2
        await until(lambda: stores[0].ask_now(lambda view: view.get(table, "b", 1)) == later)


async def test_another_one_leads_once_the_session_of_the_first_has_ended(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    led: list[str] = []
    with together(server, tmp_path, flush_bytes=20_000) as stores:
        (first,) = leading(stores)
        for number, store in enumerate(stores):
            store.led = lambda number=number: led.append(str(number))  # type: ignore[misc]
        await first.perform(put(*(Secret("s", part, b"x" * 40) for part in range(20)), thing("kept")))
        assert first.together is not None
        dropped: list[int] = []
        monkeypatch.setattr(first.together.keys, "drop", dropped.extend)  # it ends before it gets there
        await first.perform(put(Secret("s", 9, b"y" * 40)))
        await first.shred()
        assert dropped
        monkeypatch.setattr(first.together, "resume", lambda: False)  # it is never heard of again
        asked(server.url, f"SELECT pg_terminate_backend({first.together.session})")
        others = [store for store in stores if store is not first]
        await until(lambda: len(leading(others)) == 1)
        assert len(led) == 1
        assert not set(dropped) & set(leading(others)[0].together.keys.groups())  # type: ignore[union-attr]
        for store in others:
            await store.perform(put(Secret("s", 3, b"y" * 40)))
            await leading(others)[0].shred()
        for store in others:
            await until(
                lambda store=store: (
                    store.ask_now(
                        lambda view: (
                            view.get(SECRET, "s", 3),
                            view.get(SECRET, "s", 4),
                            view.get(THING, "kept", 0),
                        )
                    )
                    == (Secret("s", 3, b"y" * 40), Secret("s", 4, b"x" * 40), thing("kept"))
                )
            )
        with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
            await first.perform(put(thing("late")))


@pytest.mark.parametrize("happened", [True, False])
async def test_a_commit_in_doubt_is_told_from_those_of_others(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    commit = PostgresConnection._commit
    lost: list[bool] = []

    def losing(self: PostgresConnection) -> None:
        mine = loser.together
        if lost or mine is None or self is not mine._writer:
            return commit(self)
        lost.append(True)
        if happened:
            commit(self)
        self.raw.close()
        raise psycopg.OperationalError("the line is dead")

    with together(server, tmp_path, 2) as stores:
        leader, loser = stores  # who leads would have to lead again
        assert leading(stores) == [leader]
        await loser.perform(raised("n"))
        monkeypatch.setattr(PostgresConnection, "_commit", losing)
        one = asyncio.ensure_future(loser.perform(raised("n")))
        others = [await leader.perform(raised("other")) for _ in range(5)]
        assert [other.value for other in others] == [1, 2, 3, 4, 5]
        if happened:
            assert (await one).value == 2
        else:
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await one
        await until(
            lambda: (
                loser.ask_now(lambda view: view.get(TALLY, "n")) == Tally("n", 2 if happened else 1)
                and loser.ask_now(lambda view: view.get(TALLY, "other")) == Tally("other", 5)
            )
        )


async def test_who_waits_for_the_turn_waits_for_one_that_is_slow_and_ends_one_that_froze(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, 2) as stores:
        slow = connect(server, tmp_path, "slow", writes=True)
        slow.execute("BEGIN TURN")
        slow.execute(TURN, (server.schema,))
        slow.execute("SELECT 1").fetchall()
        step = asyncio.ensure_future(stores[1].perform(raised("n")))
        await asyncio.sleep(3)
        assert not step.done()
        began = time.monotonic()
        assert (await step).value == 1  # the server has ended a session that says nothing in its transaction
        assert time.monotonic() - began < IDLE_IN_STEP
        slow.close()


def test_one_that_wants_to_be_alone_waits_for_those_together_and_the_reverse(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, 2):
        alone = connect(server, tmp_path, "alone", writes=True)
        with pytest.raises(StoreError, match="DATA_LOCKED"):
            take(alone, server.schema, 0.3)
        listed = sessions(alone, server.schema)
        assert [(one.active, one.leads) for one in listed] == [(True, True), (True, False)]
    take(alone, server.schema)
    joining = Joining(server, tmp_path, "late")
    waiting = threading.Thread(target=lambda: held.append(joining.wait()))
    held: list[PostgresConnection | None] = []
    waiting.start()
    time.sleep(0.5)
    assert not held
    alone.close()
    waiting.join(LIMIT)
    assert joining.first
    assert held[0] is not None
    held[0].close()


@pytest.mark.parametrize("alone", [True, False])
def test_who_waits_to_join_says_for_whom_and_comes_in_by_itself(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.3)
    other = connect(server, tmp_path, "intelshare a 1", writes=True)
    assert (took if alone else took_together)(other, server.schema)
    joining = Joining(server, tmp_path, "intelshare late 1")
    began = time.time()
    with ThreadPoolExecutor(1) as pool, contextlib.closing(other):
        held = pool.submit(joining.wait)
        while joining.waits is None:
            assert time.time() < began + LIMIT
            time.sleep(0.01)
        waits = joining.waits
        assert (waits.error.code, waits.others) == ("DATA_LOCKED" if alone else "NOBODY_LEADS", "a")
        assert waits.error.message.endswith(": a")
        assert waits.error.hint
        assert began - 0.01 <= waits.since / 1e6 < began + 0.3, "since it began to wait"
        open_to_others(other, server.schema)
        assert took_lead(other, server.schema)
        connection = held.result(LIMIT)
        assert connection is not None
        assert not joining.first
        connection.close()


def test_who_comes_in_as_one_alone_lets_go_is_the_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = iter((False,))  # when it is first asked for
    monkeypatch.setattr(lease, "took", lambda *asked: next(held, True) and took(*asked))
    joining = Joining(server, tmp_path, "late")
    connection = joining.wait()
    assert connection is not None
    assert joining.first
    connection.close()


def test_of_two_that_come_in_as_one_alone_ends_one_is_the_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = connect(server, tmp_path, "alone", writes=True)
    take(alone, server.schema)

    def ends() -> None:
        alone.execute("SELECT pg_advisory_unlock_all()").fetchall()

    both_refused, both_asked = threading.Barrier(2, ends), threading.Barrier(2)
    come: set[PostgresConnection] = set()

    def took_at_once(connection: PostgresConnection, schema: str) -> bool:
        if connection in come:
            return took_together(connection, schema)
        come.add(connection)
        both_refused.wait(LIMIT)
        shares = took_together(connection, schema)
        both_asked.wait(LIMIT)
        return shares

    monkeypatch.setattr(lease, "took_together", took_at_once)
    two = [Joining(server, tmp_path, name) for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool, contextlib.closing(alone):
        waiting = {pool.submit(one.wait): one for one in two}
        done, _ = wait(waiting, LIMIT, FIRST_COMPLETED)
        held = next(iter(done)).result()
        assert held is not None
        assert took_lead(held, server.schema)
        open_to_others(held, server.schema)
        come_in = {waiting[one].first: one.result(LIMIT) for one in waiting}
        assert set(come_in) == {True, False}
        assert come_in[True] is held
        for connection in come_in.values():
            assert connection is not None
            connection.close()


async def test_who_was_overtaken_by_one_alone_can_commit_nothing_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    with together(server, tmp_path, 1, on_failure=lambda error: failed.append(error.code)) as stores:
        (store,) = stores
        await store.perform(put(thing("a")))
        assert store.together is not None
        resume = store.together.resume
        monkeypatch.setattr(store.together, "resume", lambda: False)  # another one is faster
        asked(server.url, f"SELECT pg_terminate_backend({store.together.session})")
        await until(lambda: "STORE_UNAVAILABLE" in failed)
        with contextlib.closing(open_store(server, tmp_path, TABLES, KEY, steps=STEPS)) as other:
            monkeypatch.setattr(store.together, "resume", resume)
            await other.perform(put(thing("b")))
            await until(lambda: "DATA_LOCKED" in failed)
            with pytest.raises(StoreError, match="DATA_LOCKED"):
                await store.perform(put(thing("c")))


def test_many_that_join_at_once_all_come_in(server: Server, tmp_path: Path) -> None:
    with contextlib.closing(joined(server, tmp_path)), ThreadPoolExecutor(6) as many:
        stores = list(many.map(lambda number: joined(server, tmp_path, f"r{number}"), range(6)))
        for store in stores:
            store.close()


ADDS = '-- a second version\nCREATE TABLE "later" (name TEXT PRIMARY KEY);\n'


async def test_a_newer_one_migrates_while_older_ones_run_and_those_end_having_lost_nothing(
    server: Server, tmp_path: Path
) -> None:
    failed: list[str] = []
    with together(server, tmp_path, 2, on_failure=lambda error: failed.append(error.code)) as older:
        confirmed: list[int] = []

        async def go_on(store: PostgresStore) -> None:
            with contextlib.suppress(StoreError):
                while True:
                    confirmed.append((await store.perform(raised("n"))).value)

        working = [asyncio.create_task(go_on(store)) for store in older]
        await until(lambda: len(confirmed) > 20)
        newer = await asyncio.to_thread(joined, server, tmp_path, "newer", [*STEPS, ADDS])
        with contextlib.closing(newer):
            await asyncio.gather(*working)
            assert failed == ["SCHEMA_NEWER", "SCHEMA_NEWER"]
            assert sorted(confirmed) == list(range(1, len(confirmed) + 1))
            for store in older:
                store.close()
                with pytest.raises(StoreError, match="SCHEMA_NEWER"):
                    store.ask_now(lambda view: view.get(TALLY, "n"))
            await until(lambda: leading([newer]) == [newer])
            assert (await newer.perform(raised("n"))).value == len(confirmed) + 1
            with pytest.raises(StoreError, match="SCHEMA_NEWER"):
                joined(server, tmp_path, "older")
            with contextlib.closing(joined(server, tmp_path, "second", [*STEPS, ADDS])) as second:
                assert (await second.perform(raised("n"))).value == len(confirmed) + 2


async def test_who_had_the_older_version_open_and_did_nothing_ends_too(
    server: Server, tmp_path: Path
) -> None:
    failed: list[str] = []
    with (
        together(server, tmp_path, 1, on_failure=lambda error: failed.append(error.code)),
        contextlib.closing(joined(server, tmp_path, "newer", [*STEPS, ADDS])),
    ):
        await until(lambda: failed == ["SCHEMA_NEWER"])


CHANGES = 'UPDATE "tally" SET name = name;'


async def test_a_migration_that_changes_rows_waits_until_all_have_stopped_in_order(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, 2) as older:
        await older[0].perform(raised("n"))
        with pytest.raises(StoreError, match="SCHEMA_OLDER"):
            joined(server, tmp_path, "newer", [*STEPS, CHANGES])
        assert (await older[1].perform(raised("n"))).value == 2
    with contextlib.closing(connect(server, tmp_path, "looking", writes=False)) as looking:
        await until(lambda: not sessions(looking, server.schema))  # a server ends them a moment later
    with contextlib.closing(joined(server, tmp_path, "newer", [*STEPS, CHANGES])) as newer:
        assert (await newer.perform(raised("n"))).value == 3


async def test_a_migration_that_changes_rows_is_refused_while_some_wait_in_the_journal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with together(server, tmp_path, 1) as (killed,):
        await killed.perform(raised("n"))
        assert killed.together is not None
        monkeypatch.setattr(killed.together, "resume", lambda: False)  # it is never heard of again
        asked(server.url, f"SELECT pg_terminate_backend({killed.together.session})")
    for changing in ([*STEPS, CHANGES], [*STEPS, ADDS, CHANGES]):
        with pytest.raises(StoreError, match="SCHEMA_OLDER"):
            open_store(server, tmp_path, TABLES, KEY, steps=changing)
    with contextlib.closing(open_store(server, tmp_path, TABLES, KEY, steps=[*STEPS, ADDS])) as newer:
        assert newer.ask_now(lambda view: view.get(TALLY, "n")) == Tally("n", 1)


def test_only_tables_and_indexes_are_added_beside_rows_that_wait() -> None:
    assert only_adds("-- another meaning, nothing else\n")
    assert only_adds(ADDS + 'CREATE INDEX "later_name"\n    ON "later" (name);')
    for other in (
        'DROP TABLE "tally";',
        "CREATE TRIGGER x",
        'CREATE TABLE "a" ();\nUPDATE "tally" SET n = 1',
    ):
        assert not only_adds(other)
