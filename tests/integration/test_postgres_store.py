"""What the store in PostgreSQL promises besides the port: doubt, outages, fencing, destruction, upgrades."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.broker.kernel.tables import TABLES as BROKER_TABLES
from intelshare.errors import StoreError
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, Table, View
from intelshare.store.postgres.beside import look, measure, scrub
from intelshare.store.postgres.connection import PostgresConnection, connect
from intelshare.store.postgres.database import KEYS
from intelshare.store.postgres.lease import Standby, sessions, take
from intelshare.store.postgres.schema import first_schema, migrate, migrations
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.server import Server
from postgres_server import Cluster, asked, new_cluster, new_schema, server_url
from processes import process
from store_tables import BODY, KEY, NOTE, SECRET, TABLES, TALLY, THING, Body, Note, Secret, Tally, put, thing
from waits import LIMIT, wait_until

STEPS = [first_schema(TABLES)]


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema())


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """One that is restarted and looked into."""
    return new_cluster()


@contextmanager
def opened(
    server: Server, folder: Path, on_failure: Callable[[StoreError], None] = lambda _: None, **options: Any
) -> Iterator[PostgresStore]:
    store = open_store(server, folder, TABLES, KEY, on_failure, steps=STEPS, **options)
    try:
        yield store
    finally:
        store.close()


def names(store: PostgresStore) -> list[str]:
    return store.ask_now(lambda view: [f"{row.name}{row.part}" for row in view.find(THING, "key")])


async def taken(store: PostgresStore, step: Callable[[View], Plan[Any]]) -> Any:
    """The answer of a step that is tried again while the server is away, as everything is that waits."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return (await store.perform(step)).value
        except StoreError as error:
            if error.code != "STORE_UNAVAILABLE" or time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


def test_the_first_schema_is_what_the_tables_declare() -> None:
    (first,) = migrations()
    assert first.partition("\n")[2] == first_schema(BROKER_TABLES)


async def test_what_was_answered_is_there_after_the_process_was_killed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        thing("a", due=2**64 - 1),
        Tally("n", 1),
        Secret("s", 1, b"x" * 40),
        Body("b", 1, Instant(1), b"y" * 9000),
        Note("m", 1, Instant(2**63), b"z"),
    ]
    store = open_store(server, tmp_path, TABLES, KEY, steps=STEPS)
    await store.perform(put(*rows))
    monkeypatch.setattr(store._database, "resume", lambda: False)  # it is never heard of again
    asked(server.url, f"SELECT pg_terminate_backend({_pid(store)})")
    with opened(server, tmp_path) as again:
        found = again.ask_now(
            lambda view: [
                view.get(THING, "a", 0),
                view.get(TALLY, "n"),
                view.get(SECRET, "s", 1),
                view.get(BODY, "b", 1),
                *view.find(NOTE, "due"),
            ]
        )
        assert found == rows
    store.close()


async def test_a_session_that_ended_is_opened_again_and_nobody_is_told_twice(
    server: Server, tmp_path: Path
) -> None:
    told: list[str] = []
    with opened(server, tmp_path, lambda error: told.append(error.code)) as store:
        await store.perform(put(thing("a")))
        asked(server.url, f"SELECT pg_terminate_backend({_pid(store)})")
        await taken(store, put(thing("b")))
        assert names(store) == ["a0", "b0"]
    assert set(told) <= {"STORE_UNAVAILABLE"}


@pytest.mark.parametrize("happened", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    commit = PostgresConnection._commit
    lost: list[bool] = []

    def losing(self: PostgresConnection) -> None:
        if lost or threading.current_thread().name != "store-writer":
            return commit(self)
        lost.append(True)
        if happened:
            commit(self)
        self.raw.close()
        raise psycopg.OperationalError("the line is dead")

    with opened(server, tmp_path) as store:
        monkeypatch.setattr(PostgresConnection, "_commit", losing)
        if happened:
            assert (await store.perform(put(thing("a")))).value is None
        else:
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await store.perform(put(thing("a")))
        assert lost
        await taken(store, put(thing("b")))
        assert names(store) == (["a0", "b0"] if happened else ["b0"])
    with opened(server, tmp_path) as again:
        assert names(again) == (["a0", "b0"] if happened else ["b0"])


async def test_who_was_taken_over_while_its_commit_is_in_doubt_says_that_nobody_knows(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    with opened(server, tmp_path, lambda error: failed.append(error.code)) as store:
        await store.perform(put(thing("a")))
        other: list[PostgresStore] = []

        def overtaken(self: PostgresConnection) -> None:
            monkeypatch.undo()
            self.raw.close()
            other.append(open_store(server, tmp_path, TABLES, KEY, steps=STEPS))
            raise psycopg.OperationalError("the line is dead")

        monkeypatch.setattr(PostgresConnection, "_commit", overtaken)
        with pytest.raises(StoreError, match="OUTCOME_UNKNOWN"):
            await store.perform(put(thing("b")))
        with pytest.raises(StoreError, match="DATA_LOCKED"):
            await store.perform(put(thing("c")))
        assert "DATA_LOCKED" in failed
        assert names(other[0]) == ["a0"]
        other[0].close()


async def test_a_standby_takes_over_at_once_and_the_one_before_can_commit_nothing_more(
    server: Server, tmp_path: Path
) -> None:
    with opened(server, tmp_path) as store:
        await store.perform(put(thing("a")))
        standby = Standby(server, tmp_path, "intelshare b 1")
        waiting = asyncio.ensure_future(asyncio.to_thread(standby.wait))
        looking = connect(server, tmp_path, "looking", writes=False)
        while len(sessions(looking, server.schema)) < 2:
            await asyncio.sleep(0.01)
        assert [one.active for one in sessions(looking, server.schema)] == [True, False]
        asked(server.url, f"SELECT pg_terminate_backend({_pid(store)})")
        held = await waiting
        assert held is not None
        assert [one.replica for one in sessions(looking, server.schema) if one.active] == ["b"]
        looking.close()
        with opened(server, tmp_path, held=held) as other:
            with pytest.raises(StoreError, match=r"DATA_LOCKED|STORE_UNAVAILABLE"):
                await store.perform(put(thing("b")))
            await other.perform(put(thing("c")))
            assert names(other) == ["a0", "c0"]


async def test_a_standby_ends_a_holder_that_froze_while_it_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.store.postgres.lease.IDLE", 0)
    with opened(server, tmp_path):
        pass
    holder = connect(server, tmp_path, "frozen", writes=True)
    take(holder, server.schema)
    frozen = holder.raw.pgconn
    frozen.enter_pipeline_mode()
    frozen.send_query_params(b"SELECT 1", [])
    frozen.send_flush_request()
    while frozen.flush():
        pass
    assert asked(server.url, f"SELECT state FROM pg_stat_activity WHERE pid = {frozen.backend_pid}") != [
        ("idle",)
    ]
    held = await asyncio.wait_for(asyncio.to_thread(Standby(server, tmp_path, "b").wait), LIMIT)
    assert held is not None
    held.close()
    holder.close()


async def test_a_standby_that_is_told_to_stop_gives_up(server: Server, tmp_path: Path) -> None:
    with opened(server, tmp_path):
        standby = Standby(server, tmp_path, "intelshare b 1")
        waiting = asyncio.ensure_future(asyncio.to_thread(standby.wait))
        await asyncio.sleep(0)
        standby.stop()
        assert await asyncio.wait_for(waiting, LIMIT) is None


def test_a_second_start_is_refused_and_names_the_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(server, tmp_path, name="intelshare a 1"):
        second = connect(server, tmp_path, "second", writes=True)
        with pytest.raises(StoreError, match=r"DATA_LOCKED.*intelshare a 1"):
            take(second, server.schema, patience=0.1)
        second.close()


async def test_steps_that_met_another_transaction_are_run_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = PostgresConnection._commit
    met: list[bool] = []

    def meeting(self: PostgresConnection) -> None:
        if len(met) < 2 and threading.current_thread().name == "store-writer":
            met.append(True)
            raise psycopg.errors.SerializationFailure("could not serialize access")
        commit(self)

    def count(view: View) -> Plan[int]:
        row = view.get(TALLY, "n")
        value = row.value + 1 if row is not None else 1
        return Plan((Put(TALLY, Tally("n", value)), Put(THING, thing("t", value))), value)

    with opened(server, tmp_path) as store:
        monkeypatch.setattr(PostgresConnection, "_commit", meeting)
        answers = await asyncio.gather(*(store.perform(count) for _ in range(5)))
        assert [one.value for one in answers] == [1, 2, 3, 4, 5]
        assert len(met) == 2
        assert names(store) == [f"t{n}" for n in range(1, 6)]


async def test_a_server_that_lost_what_it_confirmed_is_noticed_when_it_comes_back(
    server: Server, tmp_path: Path
) -> None:
    failed: list[str] = []
    with opened(server, tmp_path, lambda error: failed.append(error.code)) as store:
        for name in "abc":
            await store.perform(put(thing(name)))
        asked(server.url, f"DELETE FROM {server.schema}.journal WHERE id = 3")
        asked(server.url, f"UPDATE {server.schema}.store_state SET value = 1 WHERE name = 'last'")
        asked(server.url, f"SELECT pg_terminate_backend({_pid(store)})")
        with pytest.raises(StoreError, match="STORE_FORGOT"):
            await taken(store, put(thing("d")))
        assert "STORE_FORGOT" in failed


def test_a_server_of_tests_ends_with_their_process_even_by_sigkill() -> None:
    made = (
        "from postgres_server import new_cluster as n; c = n(); print(c.pid(), c.root, flush=True); input()"
    )
    found = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words, pipe = [sys.executable, "-c", made], subprocess.PIPE
    with process(words, stdin=pipe, stdout=pipe, text=True, env=found) as owner:
        assert owner.stdout is not None
        pid, root = owner.stdout.readline().split()
        owner.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and not Path(root).exists(), "the server to end")


@pytest.mark.parametrize("setting", ["fsync=off", "full_page_writes=off"])
def test_a_server_that_does_not_write_durably_is_refused(
    cluster: Cluster, tmp_path: Path, setting: str
) -> None:
    server = Server(cluster.url, new_schema())
    cluster.stop()
    cluster.start(f"-c {setting}")
    try:
        with pytest.raises(StoreError, match=f"DISK_ERROR.*{setting.partition('=')[0]}"):
            open_store(server, tmp_path, TABLES, KEY, steps=STEPS)
    finally:
        cluster.stop()
        cluster.start()


def test_rows_of_one_node_are_not_opened_by_another_whatever_its_operator_accepts(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = Server(cluster.url, new_schema())
    with opened(server, tmp_path):
        pass
    for accepts in (False, True):
        with pytest.raises(StoreError, match=r"ID_CONFLICT: .* another vault"):
            open_store(server, tmp_path, TABLES, bytes(32), steps=STEPS, accept_loss=accepts)
    with opened(server, tmp_path):
        pass


def test_what_is_unsound_about_a_server_is_said(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that may only read says STORE_UNAVAILABLE, and its server seems to be well."""
    server = Server(cluster.url, new_schema())
    with opened(server, tmp_path):
        assert measure(server, tmp_path, "test", kinds=False).remarks == ()
    real = time.time_ns
    for seconds, word in ((3600, "ahead of"), (-3600, "behind")):
        with monkeypatch.context() as patched:
            patched.setattr(time, "time_ns", lambda seconds=seconds: real() + seconds * 10**9)
            ((what, _),) = measure(server, tmp_path, "test", kinds=False).remarks
        assert word in what
    cluster.set("default_transaction_read_only", "on")
    try:
        asked(cluster.url, "SELECT pg_sleep(0.2)")  # the next session begins with it
        ((what, remedy),) = measure(server, tmp_path, "test", kinds=False).remarks
        assert "read only" in what
        assert "RESET default_transaction_read_only" in remedy
    finally:
        cluster.set("default_transaction_read_only", "off")
        asked(cluster.url, "SELECT pg_sleep(0.2)")


def test_what_a_server_sets_for_its_users_does_not_end_what_a_node_waits_for(
    cluster: Cluster, tmp_path: Path
) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    for name in limits:
        cluster.set(name, "500ms")
    try:
        for writes in (True, False):
            connection = connect(Server(cluster.url, new_schema()), tmp_path, "test", writes=writes)
            connection.execute("BEGIN")
            assert connection.execute("SELECT 1 FROM pg_sleep(0.7)").fetchall() == [(1,)]
            time.sleep(0.7)
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            connection.close()
    finally:
        for name in limits:
            cluster.set(name, "0")


def test_a_server_that_is_told_not_to_wait_for_its_disk_does_so_for_a_node(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = Server(cluster.url, new_schema())

    def setting(connection: PostgresConnection) -> list[object]:
        return connection.execute("SELECT current_setting('synchronous_commit')").fetchall()

    before = connect(server, tmp_path, "test", writes=True)
    cluster.set("synchronous_commit", "off")
    try:
        asked(cluster.url, "SELECT pg_sleep(0.2)")  # every session has read the settings again by then
        assert asked(cluster.url, "SHOW synchronous_commit") == [("off",)]
        after = connect(server, tmp_path, "test", writes=True)
        assert setting(before) == setting(after) == [("on",)]
        after.close()
    finally:
        cluster.set("synchronous_commit", "on")
        before.close()


async def test_a_server_that_crashes_under_load_loses_and_doubles_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = Server(cluster.url, new_schema())

    def count(view: View) -> Plan[int]:
        row = view.get(TALLY, "n")
        value = row.value + 1 if row is not None else 1
        return Plan((Put(TALLY, Tally("n", value)), Put(THING, thing("t", value))), value)

    with opened(server, tmp_path) as store:
        stop = asyncio.Event()
        confirmed: list[int] = []

        async def go_on() -> None:
            while not stop.is_set():
                confirmed.append(await taken(store, count))

        working = [asyncio.create_task(go_on()) for _ in range(8)]
        for _ in range(3):
            enough = len(confirmed) + 40
            while len(confirmed) < enough:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.restart)
        stop.set()
        await asyncio.gather(*working)
        total = store.ask_now(lambda view: view.get(TALLY, "n"))
        assert total is not None
        assert sorted(confirmed) == list(range(1, total.value + 1))
    with opened(server, tmp_path) as again:
        assert again.ask_now(lambda view: view.count(THING, "key")) == total.value


async def test_questions_and_steps_are_refused_while_the_server_is_away(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = Server(cluster.url, new_schema())
    told: list[str] = []
    with opened(server, tmp_path, lambda error: told.append(error.code)) as store:
        await store.perform(put(thing("a")))
        cluster.stop()
        try:
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await store.perform(put(thing("b")))
            while "STORE_UNAVAILABLE" not in told:
                await asyncio.sleep(0.01)
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                names(store)
        finally:
            cluster.start()
        await taken(store, put(thing("b")))
        assert names(store) == ["a0", "b0"]


def holds(folder: Path, needle: bytes) -> list[str]:
    """Files below a folder that have these bytes anywhere."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def test_a_destroyed_secret_opens_with_nothing_that_is_left_anywhere(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = Server(cluster.url, new_schema())
    marks = [os.urandom(40) for _ in range(40)]
    with opened(server, tmp_path) as store:
        await store.perform(put(*(Secret("s", part, mark) for part, mark in enumerate(marks))))
        old = asked(
            cluster.url, f"SELECT _place, _group, _record FROM {server.schema}.secret ORDER BY _place"
        )
        keys = dict(store._database.keys._known)
        backup = tmp_path / "base-backup"
        asked(cluster.url, "CHECKPOINT")
        shutil.copytree(cluster.data, backup, ignore_dangling_symlinks=True)
        await store.perform(put(*(Secret("s", part, bytes(40)) for part in range(20))))
        await store.shred()
        kept = store.ask_now(lambda view: [row.sealed for row in view.find(SECRET, "key", limit=100)])
        assert kept == [bytes(40)] * 20 + marks[20:]
        # Not even the database's own files ever had one, in its log or its tables.
        for mark in marks:
            assert holds(cluster.data, mark) == holds(backup, mark) == []
        # What they had is still there, as everywhere in PostgreSQL, and no key is left that opens it.
        _, group, found = old[0]
        assert isinstance(found, bytes)
        assert holds(backup, found[:64]) != []
        assert all(holds(tmp_path / KEYS, key) == [] for key in keys.values())
        assert group not in store._database.keys.groups()
        for place, group, found in old:
            assert store._database.keys.opened("secret", place, group, found) is None
    with opened(server, tmp_path) as again:
        assert again.ask_now(lambda view: [row.sealed for row in view.find(SECRET, "key", limit=100)]) == kept


async def test_a_destruction_that_a_crash_cut_short_is_whole_after_the_next_start(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(server, tmp_path) as store:
        await store.perform(put(*(Secret("s", part, b"x" * 40) for part in range(3))))
        before = store._database.keys.groups()
        monkeypatch.setattr(
            store._database.keys, "drop", lambda _: (_ for _ in ()).throw(StoreError("DISK_FULL", ""))
        )
        await store.perform(put(Secret("s", 0, bytes(40))))
        with pytest.raises(StoreError, match="DISK_FULL"):
            await store.shred()
        assert set(before) <= set(store._database.keys.groups())
    with opened(server, tmp_path) as again:
        assert not set(before) & set(again._database.keys.groups())
        assert again.ask_now(lambda view: view.get(SECRET, "s", 1)) == Secret("s", 1, b"x" * 40)
        await again.shred()


async def test_a_start_looks_through_the_secrets_once_however_many_keys_there_are(
    server: Server, tmp_path: Path
) -> None:
    """With 330 keys and 350,000 secrets it had read all of them 330 times, and took minutes."""
    with opened(server, tmp_path) as store:
        for part in range(20):
            await store.perform(put(Secret("s", part, b"x" * 40)))
            store._database.keys.end_group()
        keys = store._database.keys.groups()
    looks = f"SELECT seq_scan FROM pg_stat_user_tables WHERE relid = '{server.schema}.secret'::regclass"
    ((before,),) = asked(server.url, looks)
    with opened(server, tmp_path) as again:
        assert again._database.keys.groups() == keys
    ((after,),) = asked(server.url, looks)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before < 10


async def test_a_marked_destruction_is_carried_out_by_the_next_start_that_is_asked(
    server: Server, tmp_path: Path
) -> None:
    with opened(server, tmp_path) as store:
        await store.perform(put(*(Secret("s", part, b"x" * 40) for part in range(3))))
        before = store._database.keys.groups()
        await store.perform(put(Secret("s", 0, bytes(40))))
    with opened(server, tmp_path) as again:
        assert set(before) <= set(again._database.keys.groups())
        await again.shred()
        assert not set(before) & set(again._database.keys.groups())


async def test_shredding_waits_for_a_question_that_may_see_what_was(server: Server, tmp_path: Path) -> None:
    with opened(server, tmp_path) as store:
        await store.perform(put(Secret("s", 1, b"x" * 40), Secret("s", 2, b"y" * 40)))
    with opened(server, tmp_path) as store:
        looking, go_on = threading.Event(), threading.Event()

        def slow(view: View) -> list[Any]:
            first = view.get(SECRET, "s", 1)
            looking.set()
            go_on.wait(LIMIT)
            return [first, view.get(SECRET, "s", 2)]

        question = asyncio.ensure_future(store.query(slow))
        await asyncio.to_thread(looking.wait, LIMIT)
        await store.perform(put(Secret("s", 1, bytes(40))))
        shredding = asyncio.ensure_future(store.shred())
        await store.perform(put(thing("a")))
        assert not shredding.done()
        go_on.set()
        assert await question == [Secret("s", 1, b"x" * 40), Secret("s", 2, b"y" * 40)]
        await shredding


async def test_who_looks_from_another_process_finds_the_rows_whose_keys_changed_meanwhile(
    server: Server, tmp_path: Path
) -> None:
    """A backup under destructions: what was destroyed is not in it, and its neighbours in the group are."""
    with opened(server, tmp_path) as store:
        await store.perform(put(Secret("s", 1, b"x" * 40), Secret("s", 2, b"y" * 40)))
        with look(server, tmp_path, "backup", TABLES, KEY) as view:
            assert view is not None
            await store.perform(put(Secret("s", 1, bytes(40))))
            await store.shred()
            await store.perform(put(Secret("s", 3, b"z" * 40)))
            found = view.find(SECRET, "key")
        assert found == [Secret("s", 1, bytes(40)), Secret("s", 2, b"y" * 40)]
        assert list(scrub(server, tmp_path, "scrub", TABLES, KEY)) == []


async def test_groups_of_keys_end_when_they_are_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.store.postgres.keys.ROWS", 4)
    with opened(server, tmp_path) as store:
        await store.perform(put(*(Secret("s", part, b"x" * 40) for part in range(10))))
        assert len(store._database.keys.groups()) == 3
        await store.perform(put(Secret("s", 0, bytes(40))))
        await store.shred()
        found = store.ask_now(lambda view: [any(row.sealed) for row in view.find(SECRET, "key")])
        assert found == [False] + [True] * 9


async def test_rows_that_memory_let_go_are_found_in_their_tables(server: Server, tmp_path: Path) -> None:
    rows: list[Any] = [thing("a", part, due=part, rank=part % 2, body=b"b" * part) for part in range(50)]
    rows += [Secret("s", part, bytes([part]) * 40) for part in range(1, 50)]
    rows += [Body("b", part, Instant(part), b"y" * 100 * part) for part in range(50)]
    rows += [Note("m", part, Instant(part), b"z" * part) for part in range(50)]
    with opened(server, tmp_path, flush_bytes=1) as store:
        for at in range(0, len(rows), 20):
            await store.perform(put(*rows[at : at + 20]))
        await store.perform(lambda _: Plan((), None))
    with opened(server, tmp_path) as again:
        tables: list[tuple[Table[Any], type]] = [
            (THING, type(rows[0])),
            (SECRET, Secret),
            (BODY, Body),
            (NOTE, Note),
        ]
        for table, kind in tables:
            mine = [row for row in rows if isinstance(row, kind)]
            keys = [table.key_of(row) for row in mine]
            asked_for = [*keys, ("nobody", 1), keys[0]]
            assert again.ask_now(lambda view, t=table, k=asked_for: view.get_many(t, k)) == [
                *mine,
                None,
                mine[0],
            ]
            assert again.ask_now(lambda view, t=table: view.find(t, "key")) == mine
        assert again.ask_now(lambda view: view.count(THING, "first")) == 25


async def test_a_record_that_is_not_as_it_was_written_is_named_and_never_served(
    server: Server, tmp_path: Path
) -> None:
    with opened(server, tmp_path) as store:
        await store.perform(put(thing("a", 1), thing("a", 2), thing("a", 3), Secret("s", 1, b"x" * 40)))
    asked(server.url, f"UPDATE {server.schema}.thing SET due = due + 1 WHERE part = 2")
    asked(server.url, f"UPDATE {server.schema}.secret SET _record = '\\x00'::bytea")
    with opened(server, tmp_path) as store:
        damaged: list[StoreError] = []
        found = store.ask_now(lambda view: view.find(THING, "due", damaged=damaged))
        assert [row.part for row in found] == [1, 3]
        assert "thing" in damaged[0].message
        with pytest.raises(StoreError, match="RECORD_CORRUPT"):
            store.ask_now(lambda view: view.get(SECRET, "s", 1))


def test_a_schema_of_a_later_version_is_refused(server: Server, tmp_path: Path) -> None:
    made = connect(server, tmp_path, "test", writes=True)
    migrate(made, server.schema, [*STEPS, "SELECT 1;"])
    made.close()
    with pytest.raises(StoreError, match="SCHEMA_NEWER"):
        open_store(server, tmp_path, TABLES, KEY, steps=STEPS)


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
        open_store(Server(f"postgresql:///rows?host={tmp_path}"), tmp_path, TABLES, KEY, steps=STEPS)


def _pid(store: PostgresStore) -> int:
    return store._database._writer.raw.info.backend_pid
