"""What the embedded store promises besides the port: rot named, disks full or broken, upgrades, kill -9."""

from __future__ import annotations

import asyncio
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from intelshare.broker.kernel.tables import TABLES as BROKER_TABLES
from intelshare.errors import RecordError, StoreError
from intelshare.instant import Instant
from intelshare.patience import patient
from intelshare.ports import Delete, Plan, Put, Table, View
from intelshare.store import grouped, journal
from intelshare.store.connection import check_durable, connect
from intelshare.store.database import Database
from intelshare.store.flush import Flush
from intelshare.store.measure import measure
from intelshare.store.migrate import PAGE, differences, first_schema, migrate, migrations
from intelshare.store.scrub import scrub
from intelshare.store.sqlite import SqliteStore, open_store
from processes import ended, process
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
    opened,
    put,
    thing,
)
from waits import LIMIT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "store.db", [SCHEMA])
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, TABLES, KEY)
    yield opened
    opened.close()


def damage(path: Path, sql: str, *values: Any, rows: int = 1) -> None:
    """What rot does to so many rows, through a second connection."""
    other = apsw.Connection(str(path))
    other.execute(sql, values)
    assert other.changes() == rows
    other.close()


async def _filled(path: Path, *rows: Any, count: int = 3) -> None:
    """Rows that stand in their tables, and a store that is closed."""
    store = SqliteStore(path, TABLES, KEY)
    await store.perform(put(*(rows or [thing("a", part, body=b"body" * 10) for part in range(count)])))
    store.close()


async def crashed(path: Path, *steps: Any) -> Path:
    """The files as they are when the process ends after these steps, before anything is moved."""
    left = path.with_name("crashed.db")
    with opened(path) as store:
        for step in steps:
            await store.perform(step)
        for suffix in ("", "-wal"):
            left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    return left


DAMAGED = [
    (THING, thing("a", 2, body=b"body"), "UPDATE thing SET _record = zeroblob(20) WHERE part = 2"),
    (THING, thing("a", 2), "UPDATE thing SET _record = substr(_record, 1, 20) WHERE part = 2"),
    (THING, thing("a", 2), "UPDATE thing SET due = due + 1 WHERE part = 2"),
    (THING, thing("a", 2), "UPDATE thing SET owner = -1 WHERE part = 2"),
    (SECRET, Secret("a", 2, b"s"), "UPDATE secret SET _record = zeroblob(20) WHERE _place = 2"),
    (BODY, Body("a", 2, Instant(1), b"b"), "UPDATE body SET _place = _place - 1 WHERE part = 2"),
    (SECRET, Secret("a", 2, b"s"), "UPDATE secret_at SET _place = 1 WHERE part = 2"),
    (NOTE, Note("a", 2, Instant(1), b"n"), "UPDATE note SET _place = _place + 1 WHERE part = 2"),
]


async def test_a_record_is_damaged_until_a_commit_writes_it_anew_erases_or_deletes_it(path: Path) -> None:
    """Whoever asks for it again has deleted it, or overwritten a secret: what comes is another record."""
    notes = [Note("a", part, Instant(1), b"n") for part in (1, 2, 3)]
    await _filled(path, *notes)
    with opened(path) as store:
        await store.perform(lambda _: Plan((Put(SECRET, Secret("a", 2, b"s")),), None))
    damage(path, "UPDATE note SET _place = 0", rows=3)
    damage(path, "UPDATE secret SET _record = zeroblob(20)")
    with opened(path) as store:
        assert store.ask_now(lambda view: view.find(NOTE, "key")) == []
        assert store.ask_now(lambda view: view.find(SECRET, "key")) == []
        assert len(store.damage.known()) == 4
        erased = Put(SECRET, Secret("a", 2, bytes(1)))
        await store.perform(lambda _: Plan((Put(NOTE, notes[0]), Delete(NOTE, ("a", 2)), erased), None))
        assert [(error.table, error.key) for error in store.damage.known()] == [(NOTE.name, ("a", 3))]
        assert store.ask_now(lambda view: view.find(NOTE, "key")) == notes[:1]
        assert store.ask_now(lambda view: view.find(SECRET, "key")) == [erased.row]


@pytest.mark.parametrize(("table", "row", "change"), DAMAGED)
async def test_a_record_that_is_not_as_it_was_written_is_named_and_never_served(
    path: Path, table: Table[Any], row: Any, change: str
) -> None:
    await _filled(path, row._replace(part=1), row, row._replace(part=3))
    damage(path, change)
    index = next((name for name in ("owner", "due") if name in change and name in table.indexes), "key")
    with opened(path) as store:
        met: list[str] = []
        store.damage.follow(lambda error: met.append(error.message))
        whole = [row._replace(part=1), row._replace(part=3)]
        in_order = sorted(
            whole, key=lambda one: tuple(getattr(one, name) for name in (index,) if name != "key")
        )
        assert store.ask_now(lambda view: view.find(table, index)) == in_order
        assert len(store.ask_now(lambda view: view.find(table, index, limit=2))) == 2
        (noted,) = store.damage.known()
        assert (noted.table, noted.key, noted.code) == (table.name, ("a", 2), "RECORD_CORRUPT")
        assert met == [noted.message]
        assert store.ask_now(lambda view: view.get(table, "a", 1)) == row._replace(part=1)
        if index == "key":
            with pytest.raises(RecordError, match=rf"{table.name}.*a, 2"):
                store.ask_now(lambda view: view.get(table, "a", 2))
            with pytest.raises(RecordError):
                await store.perform(lambda view: Plan((), view.get(table, "a", 2)))
        damaged: list[StoreError] = []
        store.ask_now(lambda view: view.find(table, index, damaged=damaged))
        assert [one.message for one in damaged] == met
        await store.perform(put(thing("b", 4)))
        named = [error.message for error in store.scrub() if error.code == "RECORD_CORRUPT"]
        assert any(table.name in message and "a, 2" in message for message in named)


async def test_a_record_moved_under_another_key_is_named(path: Path) -> None:
    await _filled(path, thing("a", 1))
    damage(path, "UPDATE thing SET name = 'b'")
    with opened(path) as store, pytest.raises(StoreError, match="RECORD_CORRUPT"):
        store.ask_now(lambda view: view.get(THING, "b", 1))


async def test_a_damaged_chunk_names_each_of_its_rows_and_no_other(path: Path) -> None:
    await _filled(path, *[Note("a", part, Instant(part), bytes(20_000)) for part in range(4)])
    damage(path, "UPDATE chunk SET sealed = zeroblob(length(sealed)) WHERE id = 2")
    with opened(path) as store:
        for part in range(4):
            if part == 1:
                with pytest.raises(StoreError, match=r"note.*a, 1"):
                    store.ask_now(lambda view: view.get(NOTE, "a", 1))
            else:
                assert store.ask_now(lambda view, part=part: view.get(NOTE, "a", part)) is not None
        assert [error.message.rpartition(": ")[2] for error in store.scrub()] == ["a, 1"]
        (whole,) = scrub(path, TABLES)
        assert "chunk 2 " in whole.message


async def test_what_bulk_rows_took_is_given_back_once_all_of_a_chunk_are_deleted(path: Path) -> None:
    def chunks() -> int:
        (count,) = store._database._writer.execute("SELECT count(*) FROM chunk").fetchall()[0]
        return int(str(count))

    bodies = [Body("a", part, Instant(1), b"b" * 9000) for part in range(6)]
    with opened(path) as store:
        await store.perform(put(*bodies, Note("a", 0, Instant(1), b"n")))
        assert chunks() == 3
        await store.perform(put(bodies[0]._replace(body=b"another")))
        assert chunks() == 4
    with opened(path) as store:  # from their tables now
        for part in range(3):
            await store.perform(lambda _, part=part: Plan((Delete(BODY, ("a", part)),), None))
        assert chunks() == 2
        assert store.ask_now(lambda view: view.find(BODY, "key", "a")) == bodies[3:]
        await store.perform(lambda _: Plan((Delete(BODY, ("a", 0)),), None))
        assert list(store.scrub()) == []
    assert list(scrub(path, TABLES)) == []
    with opened(path) as store:
        await store.perform(lambda _: Plan(tuple(Delete(BODY, ("a", part)) for part in range(6)), None))
        assert chunks() == 1


async def test_a_damaged_group_of_the_journal_is_named_and_nothing_is_served(path: Path) -> None:
    left = await crashed(path, put(thing("a")), put(thing("b")), put(thing("c")))
    damage(left, "UPDATE journal SET sealed = zeroblob(length(sealed)), parity = X'00' WHERE id = 2")
    for key in (KEY, None):
        assert [error.message for error in scrub(left, TABLES, key)] == [
            "group 2 of the journal: it has changed since it was written"
        ]
    with pytest.raises(StoreError, match="group 2 of the journal") as raised:
        SqliteStore(left, TABLES, KEY)
    assert raised.value.code == "RECORD_CORRUPT"
    assert raised.value.hint


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_stretch_of_a_group_that_went_bad_is_repaired_at_the_start(path: Path, number: int) -> None:
    rows = [thing(name, body=bytes(9000)) for name in "abc"]
    left = await crashed(path, *[put(row) for row in rows])
    rot = "CAST(substr(sealed, 1, 1000) || zeroblob(4096) || substr(sealed, 5097) AS BLOB)"
    damage(left, f"UPDATE journal SET sealed = {rot} WHERE id = {number}")
    for key in (KEY, None):
        (found,) = scrub(left, TABLES, key)
        assert found.message == f"group {number} of the journal: it has changed since it was written"
        assert "nothing is lost" in str(found.hint)
    with opened(left) as store:
        assert [
            store.ask_now(lambda view, row=row: view.get(THING, row.name, row.part)) for row in rows
        ] == rows
        assert [(error.table, error.key) for error in store.damage.known()] == [("journal", (number,))]
        assert list(scrub(left, TABLES, KEY)) == []


async def test_an_operator_starts_without_the_groups_that_nothing_repairs(path: Path) -> None:
    kept, lost = Secret("a", 1, b"kept"), Secret("b", 1, b"lost-secret")
    left = await crashed(path, put(thing("a"), kept), put(thing("b"), lost), put(thing("c")))
    damage(left, "UPDATE journal SET sealed = zeroblob(length(sealed)), parity = X'00' WHERE id = 2")
    with pytest.raises(StoreError, match="group 2 of the journal") as raised:
        SqliteStore(left, TABLES, KEY)
    assert "--accept-loss" in raised.value.hint
    with closing(SqliteStore(left, TABLES, KEY, accept_loss=True)) as store:
        assert store.ask_now(lambda view: view.find(THING, "key")) == [thing("a")]
        assert store.ask_now(lambda view: view.find(SECRET, "key")) == [kept]
        assert [(error.table, error.key) for error in store.damage.known()] == [("journal", (2, "set aside"))]
        await store.perform(put(thing("d")))
    with opened(left) as store:
        assert store.ask_now(lambda view: view.find(THING, "key")) == [thing("a"), thing("d")]
        assert list(scrub(left, TABLES, KEY)) == []
    assert b"lost-secret" not in left.read_bytes()
    other = apsw.Connection(str(left))
    assert other.execute("SELECT id FROM journal_aside").fetchall() == [(2,), (3,)]
    other.close()


async def test_another_key_is_no_loss_that_an_operator_may_accept(path: Path) -> None:
    left = await crashed(path, put(thing("a")))
    with pytest.raises(StoreError, match="group 1 of the journal"):
        SqliteStore(left, TABLES, bytes(32), accept_loss=True)
    with opened(left) as store:
        assert store.ask_now(lambda view: view.get(THING, "a", 0)) == thing("a")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("DELETE FROM journal WHERE id = 2", 2),
        ("DELETE FROM journal WHERE id = 1", 1),
        ("UPDATE journal SET id = 9 WHERE id = 3", 3),
        ("DELETE FROM journal WHERE id = 3", 3),
        ("UPDATE journal SET epoch = 7 WHERE id = 1", 1),
    ],
)
async def test_a_group_that_is_missing_or_moved_is_named(path: Path, change: str, place: int) -> None:
    left = await crashed(path, put(thing("a")), put(thing("b")), put(thing("c")))
    damage(left, change)
    with pytest.raises(StoreError, match=f"group {place} of the journal"):
        SqliteStore(left, TABLES, KEY)


async def test_the_journal_opens_under_its_own_key_alone(path: Path) -> None:
    left = await crashed(path, put(thing("a")))
    with pytest.raises(StoreError, match="group 1 of the journal"):
        SqliteStore(left, TABLES, bytes(32))
    with opened(left) as store:
        assert store.ask_now(lambda view: view.get(THING, "a", 0)) == thing("a")


async def test_scrub_finds_every_flipped_bit_of_a_body(path: Path) -> None:
    await _filled(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"body" * 10)
    for bit in range(0, 8 * 40, 7):
        flipped = bytearray(data)
        flipped[at + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        store = SqliteStore(path, TABLES, KEY)
        assert [error.code for error in store.scrub()] == ["RECORD_CORRUPT"]
        store.close()


async def test_scrub_names_a_damaged_page_and_goes_on(path: Path) -> None:
    await _filled(path, count=400)
    store = SqliteStore(path, TABLES, KEY)
    await store.perform(put(Tally("good", 1), Tally("bad", 2)))
    store.close()
    damage(path, "UPDATE tally SET _record = X'00' WHERE name = 'bad'")
    data = bytearray(path.read_bytes())
    at = data.index(b"body" * 10) // PAGE * PAGE
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    store = SqliteStore(path, TABLES, KEY)
    found = [error.message for error in store.scrub()]
    store.close()
    assert any("thing" in message for message in found)
    assert any("tally" in message and "bad" in message for message in found)


async def test_a_group_that_is_written_while_a_scrub_reads_is_not_missing(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a node under load `doctor --deep` had named a group that was there."""
    await store.perform(put(thing("a")))
    read, loop, left = journal._state, asyncio.get_running_loop(), [put(thing("b"))]

    def later(connection: Any, name: str) -> int:
        if left:  # the store asks too
            asyncio.run_coroutine_threadsafe(store.perform(left.pop()), loop).result(LIMIT)
        return read(connection, name)

    monkeypatch.setattr(journal, "_state", later)
    assert await asyncio.to_thread(lambda: list(scrub(path, TABLES, KEY))) == []


async def test_many_steps_share_one_commit(store: SqliteStore) -> None:
    assert await commits_of(store, [put(thing("a", part)) for part in range(100)]) == 1


async def test_steps_that_take_long_do_not_all_wait_for_one_commit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.store.grouped.MAX_TIME", 0.001)

    def long(_: View) -> Plan[None]:
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        return Plan((), None)

    # The first one joins the group of the step that they wait for.
    assert await commits_of(store, [long] * 5) == 4 + 1


async def commits_of(store: SqliteStore, steps: Sequence[Callable[[View], Plan[None]]]) -> int:
    """How many commits these steps need that all wait while another one runs, that one's included."""
    held, release = threading.Event(), threading.Event()

    def hold(_: View) -> Plan[None]:
        held.set()
        assert release.wait(patient(LIMIT))
        return Plan((), None)

    waiting = [asyncio.ensure_future(store.perform(hold))]
    assert await asyncio.to_thread(held.wait, patient(LIMIT))
    waiting += [asyncio.ensure_future(store.perform(step)) for step in steps]
    await asyncio.sleep(0)
    before = store.commits
    release.set()
    await asyncio.gather(*waiting)
    return store.commits - before


async def test_a_question_sees_one_snapshot_and_holds_up_nobody(store: SqliteStore) -> None:
    await store.perform(put(Tally("n", 1)))
    asked, go_on = threading.Event(), threading.Event()

    def question(view: View) -> tuple[Any, Any]:
        first = view.get(TALLY, "n")
        asked.set()
        assert go_on.wait(patient(LIMIT))
        return first, view.get(TALLY, "n")

    slow = asyncio.ensure_future(asyncio.to_thread(store.ask_now, question))
    await asyncio.to_thread(asked.wait, 10)
    await store.perform(put(Tally("n", 2)))
    assert store.ask_now(lambda view: view.get(TALLY, "n")) == Tally("n", 2)
    go_on.set()
    assert await slow == (Tally("n", 1), Tally("n", 1))


async def test_a_question_that_cannot_begin_keeps_no_connection(store: SqliteStore) -> None:
    await store.perform(put(thing("a")))
    assert store.ask_now(lambda view: view.get(THING, "a", 0)) == thing("a")
    database = store._database
    database._readers[0].execute("BEGIN")  # as after a rollback that failed
    with pytest.raises(StoreError, match="DISK_ERROR"):
        store.ask_now(lambda _: None)
    assert (database._readers, database._seen) == ([], {})


async def test_what_takes_the_room_is_measured_beside_a_store_that_runs(path: Path) -> None:
    with opened(path) as store:
        await store.perform(put(thing("a", body=b"b" * 5000)))
        beside = measure(path, kinds=False)
        assert (beside.groups, beside.kinds) == (1, {})
        assert beside.journal >= 5000
        assert beside.wal > beside.journal
        assert store.figures().journalled == beside.journal
    after = measure(path, kinds=True)
    assert (after.groups, after.journal, after.wal) == (0, 0, 0)
    assert after.database == path.stat().st_size
    assert after.kinds["thing"] > 5000
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="RECORD_CORRUPT"):
        measure(path, kinds=True)


async def test_a_full_disk_refuses_what_does_not_fit_and_recovers_by_itself(store: SqliteStore) -> None:
    await store.perform(put(thing("a")))
    pages = store._database._writer.pragma("page_count")
    store._database._writer.pragma("max_page_count", pages + 2)
    big, small, bigger = await asyncio.gather(
        store.perform(put(thing("big", body=bytes(100_000)))),
        store.perform(put(thing("small"))),
        store.perform(put(thing("bigger", body=bytes(200_000)))),
        return_exceptions=True,
    )
    assert isinstance(big, StoreError)
    assert isinstance(bigger, StoreError)
    assert big.code == bigger.code == "DISK_FULL"
    assert not isinstance(small, BaseException)
    assert [row.name for row in store.ask_now(lambda view: view.find(THING, "key"))] == ["a", "small"]
    store._database._writer.pragma("max_page_count", 1 << 30)
    await store.perform(put(thing("big", body=bytes(100_000))))
    assert store.ask_now(lambda view: view.count(THING, "key")) == 3


async def test_rows_that_cannot_be_moved_for_lack_of_room_stay_readable_and_are_moved_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "FLUSH_RETRY", 0.05)
    store = SqliteStore(path, TABLES, KEY, flush_bytes=1)
    full = threading.Event()
    full.set()
    write = Flush.write

    def no_room(self: Flush, connection: apsw.Connection) -> bool:
        if full.is_set():
            raise apsw.FullError("database or disk is full")
        return write(self, connection)

    monkeypatch.setattr(Flush, "write", no_room)
    await store.perform(put(thing("a")))
    await store.perform(put(thing("b")))
    assert store.ask_now(lambda view: view.count(THING, "key")) == 2
    assert store.figures().flushed == 0
    left = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    with opened(left) as other:
        assert other.ask_now(lambda view: view.count(THING, "key")) == 2
    full.clear()
    for _ in range(200):
        if store.figures().flushed == 2:
            break
        await asyncio.sleep(0.02)
    assert store.figures().flushed == 2
    assert store.ask_now(lambda view: view.count(THING, "key")) == 2
    store.close()


async def test_while_memory_cannot_be_moved_it_takes_no_more_than_its_bound(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "MAX_BYTES", 2500)
    store = SqliteStore(path, TABLES, KEY, flush_bytes=1)

    def no_room(self: Flush, connection: apsw.Connection) -> bool:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(Flush, "write", no_room)
    await store.perform(put(thing("a", body=bytes(2500))))
    await asyncio.sleep(0.05)  # it has tried to move that
    with pytest.raises(StoreError, match="DISK_FULL"):
        await store.perform(put(thing("b")))
    assert store.ask_now(lambda view: view.get(THING, "a", 0)) is not None
    store.close()


async def test_a_second_opening_takes_over_and_the_first_cannot_write_any_more(path: Path) -> None:
    failures: list[StoreError] = []
    first = SqliteStore(path, TABLES, KEY, failures.append)
    await first.perform(put(thing("a")))
    second = SqliteStore(path, TABLES, KEY)
    assert second.ask_now(lambda view: view.get(THING, "a", 0)) == thing("a")
    for _ in range(2):
        with pytest.raises(StoreError, match="another process") as raised:
            await first.perform(put(thing("b")))
        assert raised.value.code == "DATA_LOCKED"
    assert [error.code for error in failures] == ["DATA_LOCKED"]
    first.close()
    await second.perform(put(thing("c")))
    second.close()
    with opened(path) as third:
        assert [row.name for row in third.ask_now(lambda view: view.find(THING, "key"))] == ["a", "c"]


class Traced(apsw.VFS):
    """Notes every fsync of the WAL; ``fails``: the next one does its work, and says that it failed."""

    def __init__(self, name: str) -> None:
        self.syncs: list[str] = []
        self.fails = False
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _TracedFile(self, name, flags)


class _TracedFile(apsw.VFSFile):
    def __init__(self, vfs: Traced, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._vfs.syncs.append(self._name)
        if self._vfs.fails:
            self._vfs.fails = False
            raise apsw.IOError("disk I/O error")


async def test_every_answer_follows_an_fsync_of_the_log_that_holds_its_rows(path: Path) -> None:
    vfs = Traced(f"traced-{path}")
    store = SqliteStore(path, TABLES, KEY, vfs=f"traced-{path}")
    for part in range(5):
        for row in (thing("a", part), Secret("a", part, b"s"), Note("a", part, Instant(1), b"n")):
            before = len(vfs.syncs)
            await store.perform(put(row))
            assert any(name.endswith("-wal") for name in vfs.syncs[before:])
    store.close()
    del vfs


async def test_after_an_fsync_that_failed_nobody_is_told_that_nothing_was_stored(path: Path) -> None:
    vfs = Traced(f"failing-{path}")
    failures: list[StoreError] = []
    store = SqliteStore(path, TABLES, KEY, failures.append, vfs=f"failing-{path}")
    await store.perform(put(thing("a")))
    vfs.fails = True
    with pytest.raises(StoreError) as raised:
        await store.perform(put(thing("b")))
    assert raised.value.code == "OUTCOME_UNKNOWN"
    with pytest.raises(StoreError, match="DISK_ERROR"):
        await store.perform(put(thing("c")))
    assert [error.code for error in failures] == ["DISK_ERROR"]
    store.close()
    del vfs
    with opened(path) as again:
        assert [row.name for row in again.ask_now(lambda view: view.find(THING, "key"))] == ["a", "b"]


@pytest.mark.parametrize("name", ["synchronous", "secure_delete", "wal_autocheckpoint"])
def test_a_database_that_cannot_be_written_durably_is_refused(path: Path, name: str) -> None:
    connection = connect(path, writes=True)
    connection.pragma(name, 1)
    with pytest.raises(StoreError, match=f"{name} = 1") as raised:
        check_durable(connection, path)
    assert raised.value.code == "DISK_ERROR"
    connection.close()


async def test_after_an_io_error_the_store_answers_nothing_any_more(path: Path) -> None:
    failures: list[StoreError] = []
    store = SqliteStore(path, TABLES, KEY, failures.append)
    await store.perform(put(thing("a")))

    def broken(_: View) -> Plan[None]:
        raise apsw.IOError("disk I/O error")

    results = await asyncio.gather(
        store.perform(put(thing("b"))),
        store.perform(broken),
        store.perform(put(thing("c"))),
        return_exceptions=True,
    )
    assert all(isinstance(result, StoreError) and result.code == "DISK_ERROR" for result in results)
    for refused in (lambda: store.ask_now(lambda view: view.get(THING, "a", 0)),):
        with pytest.raises(StoreError, match="DISK_ERROR"):
            refused()
    with pytest.raises(StoreError, match="DISK_ERROR"):
        await store.perform(put(thing("d")))
    assert [error.code for error in failures] == ["DISK_ERROR"]
    store.close()
    again = SqliteStore(path, TABLES, KEY)
    assert [row.name for row in again.ask_now(lambda view: view.find(THING, "key"))] == ["a"]
    again.close()


async def test_when_memory_cannot_follow_the_commit_the_store_stops(store: SqliteStore) -> None:
    def then(_: None) -> None:
        raise LookupError("mine")

    with pytest.raises(StoreError, match="OUTCOME_UNKNOWN"):
        await store.perform(lambda _: Plan((Put(THING, thing("a")),), None, last=True), then)
    with pytest.raises(StoreError, match="DISK_ERROR"):
        await store.perform(put(thing("b")))


async def test_a_caller_that_gave_up_does_not_disturb_the_others(store: SqliteStore) -> None:
    first = asyncio.ensure_future(store.perform(put(thing("a"))))
    await asyncio.sleep(0)
    first.cancel()
    await store.perform(put(thing("b")))
    assert store.ask_now(lambda view: view.count(THING, "key")) == 2


async def test_the_wal_stays_bounded_under_load(store: SqliteStore, path: Path) -> None:
    for part in range(100):
        await store.perform(put(thing("a", part, body=os.urandom(1_000_000))))
    assert path.with_name("store.db-wal").stat().st_size < 64_000_000


async def test_a_drained_store_takes_no_step(store: SqliteStore) -> None:
    store.drain()
    with pytest.raises(RuntimeError):
        await store.perform(put(thing("a")))
    with pytest.raises(RuntimeError):
        await store.shred()
    assert store.ask_now(lambda view: view.count(THING, "key")) == 0


async def test_what_is_deleted_stays_deleted_in_its_table(path: Path) -> None:
    rows = (thing("a"), Body("a", 0, Instant(1), b"b"), Note("a", 0, Instant(1), b"n"))
    await _filled(path, *rows)
    with opened(path) as store:
        gone = tuple(Delete(table, ("a", 0)) for table in (THING, BODY, NOTE))
        await store.perform(lambda _: Plan(gone, None))
    with opened(path) as store:
        for table in (THING, BODY, NOTE):
            assert store.ask_now(lambda view, table=table: view.find(table, "key")) == []
            assert store.ask_now(lambda view, table=table: view.get(table, "a", 0)) is None
        assert list(store.scrub()) == []


async def test_a_closed_store_refuses_instead_of_waiting_for_ever(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(RuntimeError):
        await store.perform(put(thing("a")))
    with pytest.raises(RuntimeError):
        store.ask_now(lambda _: None)


def test_the_schema_is_what_the_broker_declares(tmp_path: Path) -> None:
    migrate(tmp_path / "store.db")
    assert differences(tmp_path / "store.db", BROKER_TABLES) == []


def test_a_schema_that_differs_from_its_tables_is_noticed(tmp_path: Path) -> None:
    wrong = SCHEMA.replace('"rank" INTEGER', '"rank" TEXT').replace('"tally"', '"tale"')
    wrong = wrong.replace('("owner",', '("due",').replace('WHERE "rank" = 1', "")
    migrate(tmp_path / "store.db", [wrong])
    found = "\n".join(differences(tmp_path / "store.db", TABLES))
    for part in (
        "table tale is not declared",
        "table tally is missing",
        "table thing: ",
        "index thing_owner: ",
        "index thing_first: ",
    ):
        assert part in found


def test_the_first_schema_is_what_the_tables_declare() -> None:
    assert migrations()[0].partition("\n")[2] == first_schema(BROKER_TABLES)


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    migrate(tmp_path / "store.db", [SCHEMA, "SELECT 1;"])
    with pytest.raises(StoreError, match="SCHEMA_NEWER") as raised:
        migrate(tmp_path / "store.db", [SCHEMA])
    assert raised.value.hint


async def test_rows_that_only_the_journal_has_are_not_changed_past(path: Path) -> None:
    left = await crashed(path, put(thing("a")))
    with pytest.raises(StoreError, match="SCHEMA_OLDER") as raised:
        migrate(left, [SCHEMA, 'UPDATE "thing" SET "rank" = 2;'])
    assert raised.value.hint
    await _filled(left, thing("b"))
    migrate(left, [SCHEMA, 'UPDATE "thing" SET "rank" = 2;'])


async def test_rows_that_only_the_journal_has_are_there_after_an_upgrade_that_only_adds(path: Path) -> None:
    left = await crashed(path, put(thing("a")))
    migrate(left, [SCHEMA, "CREATE TABLE more (a TEXT) STRICT;"])
    with opened(left) as store:
        assert store.ask_now(lambda view: view.find(THING, "key")) == [thing("a")]


async def test_an_upgrade_keeps_a_private_copy_of_what_was(path: Path) -> None:
    await _filled(path)
    old_umask = os.umask(0)
    try:
        migrate(path, [SCHEMA, "CREATE TABLE more (a TEXT) STRICT;"])
    finally:
        os.umask(old_umask)
    assert {file.name for file in path.parent.iterdir()} == {"store.db", "store.before-2"}
    copy = path.with_name("store.before-2")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert differences(copy, TABLES) == []
    assert differences(path, TABLES) == ["table more is not declared"]


async def test_an_upgrade_that_fails_leaves_the_old_schema_and_can_be_repeated(path: Path) -> None:
    await _filled(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="DISK_ERROR"):
            migrate(path, [SCHEMA, "CREATE TABLE more (a TEXT) STRICT;", "CREATE NONSENSE;"])
        assert differences(path, TABLES) == []
    migrate(path, [SCHEMA, "CREATE TABLE more (a TEXT) STRICT;", "DROP TABLE more;"])
    assert differences(path, TABLES) == []
    assert apsw.Connection(str(path)).pragma("user_version") == 3


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 30, None])
async def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes | None) -> None:
    await _filled(path, count=400)
    path.write_bytes(content or path.read_bytes()[:9000])
    with pytest.raises(StoreError, match="RECORD_CORRUPT") as raised:
        open_store(path, TABLES, KEY)
    assert raised.value.hint


async def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    old_umask = os.umask(0)
    try:
        migrate(tmp_path / "store.db", [SCHEMA])
        store = SqliteStore(tmp_path / "store.db", TABLES, KEY)
        await store.perform(put(thing("a")))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(old_umask)
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)


_CHILD = """
import asyncio, sys
from pathlib import Path
from intelshare.ports import Plan, Put
from intelshare.store.sqlite import SqliteStore
from store_tables import KEY, TABLES, THING, thing

async def main():
    store = SqliteStore(Path(sys.argv[1]), TABLES, KEY)
    async def write(part):
        await store.perform(lambda _: Plan((Put(THING, thing("a", part, body=bytes(500))),), None))
        print(part, flush=True)
    for start in range(0, 1 << 30, 20):
        await asyncio.gather(*(write(part) for part in range(start, start + 20)))

asyncio.run(main())
"""


class Leaf(NamedTuple):
    """A row that is found by what is random."""

    leaf: bytes
    member: str
    other: bytes


LEAF = Table("leaf", Leaf, ("leaf",), {"other": ("member", "other")}, lasting=True)


async def test_a_key_that_no_table_has_is_told_without_a_look_into_any_and_every_other_is_found(
    tmp_path: Path,
) -> None:
    path, asked = tmp_path / "store.db", list[str]()
    migrate(path, [first_schema([LEAF])])
    rows = [Leaf(os.urandom(32), "FRA", os.urandom(16)) for _ in range(6)]

    def look(view: View) -> Plan[list[Any]]:
        asked.clear()
        found: list[Any] = [view.get(LEAF, row.leaf) for row in rows]
        found += [one for row in rows for one in view.find(LEAF, "other", "FRA", row.other)]
        return Plan((), found)

    for known in (2, 4, 6):
        # Each opening finds what the one before has moved into the tables.
        with closing(SqliteStore(path, [LEAF], KEY)) as store:
            store._database._writer.exec_trace = lambda _, sql, __: asked.append(sql) is None
            filled = store._database._at_start.get("leaf")
            while filled is not None and filled.may_hold("key", (bytes(32),)):
                await asyncio.sleep(0.01)
            before = rows[: known - 2]
            assert (await store.perform(look)).value == before + [None] * (8 - known) + before
            assert sum('FROM "leaf"' in sql for sql in asked) == 2 * len(before)
            await store.perform(
                lambda _, known=known: Plan(tuple(Put(LEAF, row) for row in rows[known - 2 : known]), ())
            )
            held = rows[:known]
            assert (await store.perform(look)).value == held + [None] * (6 - known) + held


async def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    acknowledged: set[int] = set()
    command = process(
        [sys.executable, "-c", _CHILD, path],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[1]), *sys.path))},
        text=True,
    )
    with command as child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged.add(int(line))
            if len(acknowledged) >= 500:
                child.kill()
                break
        acknowledged |= {int(line) for line in child.stdout if line.endswith("\n")}
        ended(child)
    store = SqliteStore(path, TABLES, KEY)
    kept = {row.part for row in store.ask_now(lambda view: view.find(THING, "key", limit=1 << 30))}
    findings = list(store.scrub())
    store.close()
    assert acknowledged <= kept
    assert findings == []


@pytest.mark.parametrize("size", [72, 200, 2300, 9000])
async def test_i8_what_was_overwritten_in_its_place_is_in_no_file_after_shredding(
    path: Path, size: int
) -> None:
    drawn = random.Random(size)
    alive: dict[str, bytes] = {}
    gone: list[bytes] = []
    # A small memory, so that rows that lead to the secrets are moved all the time.
    store = SqliteStore(path, TABLES, KEY, flush_bytes=4000)
    for round_ in range(20):
        fresh = {f"{round_}/{number}": drawn.randbytes(size) for number in range(20)}
        await store.perform(put(*[Secret(name, 0, body) for name, body in fresh.items()]))
        alive |= fresh
        chosen = drawn.sample(sorted(alive), drawn.choice([4, 10, 18]))
        gone += [alive.pop(name) for name in chosen]
        await store.perform(put(*[Secret(name, 0, bytes(size)) for name in chosen]))
    # What is larger than a page does not stand in one piece.
    pieces = [piece for body in gone for piece in (body[:40], body[-40:])]
    assert all(found(path, piece) for piece in pieces), "the check could not fail"
    await store.shred()
    assert not any(found(path, piece) for piece in pieces)
    assert all(found(path, body[:40]) for body in alive.values())
    assert store.figures().flushed > 0
    store.close()
    assert not any(found(path, piece) for piece in pieces)


async def test_no_secret_is_in_the_journal_or_in_a_chunk(path: Path) -> None:
    left = await crashed(path, put(Secret("a", 0, b"the secret"), thing("a", body=b"not secret")))
    connection = apsw.Connection(str(left))
    groups = str(list(journal.groups(connection, KEY, 0)))
    connection.close()
    assert "not secret" in groups, "the check could not fail"
    assert "the secret" not in groups
    with opened(left) as store:
        assert store.ask_now(lambda view: view.get(SECRET, "a", 0)) == Secret("a", 0, b"the secret")


async def test_shredding_waits_for_a_reader_of_older_rows_and_holds_up_no_step(
    store: SqliteStore, path: Path
) -> None:
    secret = b"what was erased " * 4
    await store.perform(put(Secret("a", 0, secret)))
    reading, release = threading.Event(), threading.Event()

    def slow(view: View) -> tuple[Any, Any]:
        count = view.count(SECRET, "key")
        reading.set()
        assert release.wait(patient(LIMIT))
        return count, view.get(SECRET, "a", 0)

    asked = asyncio.create_task(store.query(slow))
    assert await asyncio.to_thread(reading.wait, patient(LIMIT))
    await store.perform(put(Secret("a", 0, bytes(len(secret)))))
    shredding = asyncio.create_task(store.shred())
    # Each is written after one more attempt to shred: both go through the one writer, in order.
    for part in range(3):
        before = store.commits
        while store.commits == before and not shredding.done():
            await asyncio.sleep(0.001)
        await store.perform(put(thing("b", part)))
    assert not shredding.done()
    assert found(path, secret)
    release.set()
    assert await asked == (1, Secret("a", 0, secret))
    await shredding
    assert not found(path, secret)


async def test_shredding_on_a_broken_disk_stops_the_store_and_never_says_done(path: Path) -> None:
    failures: list[StoreError] = []
    store = SqliteStore(path, TABLES, KEY, failures.append)
    await store.perform(put(thing("a")))
    store._failed = StoreError("DISK_ERROR", "as after an I/O error")
    with pytest.raises(StoreError, match="I/O"):
        await store.shred()
    store.close()


def found(path: Path, content: bytes) -> bool:
    """Whether the database or its WAL has these bytes."""
    files = [path, path.with_name(path.name + "-wal")]
    return any(content in file.read_bytes() for file in files if file.exists())


async def test_p16_the_file_shrinks_when_what_is_large_has_gone_and_nobody_asks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "FLUSH_IDLE", 0.2)
    with opened(path) as store:
        rows = [Body("a", part, Instant(1), os.urandom(64 << 10)) for part in range(400)]
        for start in range(0, len(rows), 50):
            await store.perform(put(*rows[start : start + 50]))
        await store.shred()
        full = path.stat().st_size
        assert full > 400 * 64 << 10
        await store.perform(lambda _: Plan(tuple(Delete(BODY, ("a", part)) for part in range(400)), None))
        await store.shred()
        smaller = await until_smaller(path, full // 3)
        assert store.ask_now(lambda view: view.count(BODY, "key", "a")) == 0
        await store.perform(put(thing("a", 1)))
    assert smaller < full // 3
    with opened(path) as store:
        assert store.ask_now(lambda view: view.get(THING, "a", 1)) is not None
        assert list(store.scrub()) == []


async def until_smaller(path: Path, size: int) -> int:
    """Wait until the file is smaller; its size."""
    for _ in range(int(patient(200))):
        if path.stat().st_size < size:
            break
        await asyncio.sleep(0.05)
    return path.stat().st_size


def test_a_list_that_is_read_from_its_beginning_again_and_again_does_not_pass_what_was_taken_before(
    path: Path,
) -> None:
    count, most = 400, 8
    database = Database(path, TABLES, KEY)
    with ExitStack() as stack:
        stack.callback(database.close, failed=False)
        database.commit(
            lambda view: view.take(put(*(thing("a", part, rank=1) for part in range(count)))(view))
        )
        database.begin_flush()
        while database.flushing:
            database.flush_slice()
        asked: list[str] = []
        database._writer.exec_trace = lambda _, sql, __: asked.append(sql) or True
        taken: list[int] = []

        def some(view: Any) -> None:
            rows = view.find(THING, "first", 1, limit=most)
            taken.extend(row.part for row in rows)
            view.take(put(*(row._replace(rank=0) for row in rows))(view))

        for _ in range(count // most):
            database.commit(some)
        assert taken == list(range(count))
        lists = [sql for sql in asked if sql.startswith("SELECT") and '"thing"' in sql]
        assert len(lists) <= 4 * count // most
