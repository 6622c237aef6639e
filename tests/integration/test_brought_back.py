"""What rots in a stored record is brought back, served, told, and written again (F12, F31, promise P13)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from intelshare.errors import RecordError, StoreError
from intelshare.instant import Instant
from intelshare.ports import CHUNK, Delete, Plan, Put, Table, View
from intelshare.store.grouped import nothing
from intelshare.store.migrate import migrate
from intelshare.store.postgres.beside import scrub as scrub_server
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import open_store
from intelshare.store.row_tables import RowTable
from intelshare.store.scrub import scrub
from intelshare.store.server import Server
from postgres_server import asked, new_schema, server_url
from store_tables import (
    BODY,
    KEY,
    NOTE,
    SCHEMA,
    SECRET,
    TABLES,
    THING,
    Body,
    Note,
    Secret,
    opened,
    put,
    thing,
)

ROWS: list[tuple[Table[Any], Any]] = [
    (THING, thing("a", 1, body=b"content")),
    (SECRET, Secret("a", 1, b"s" * 60)),
    (NOTE, Note("a", 1, Instant(1), b"n" * 900)),
    (BODY, Body("a", 1, Instant(1), b"b" * 900)),
]
OF_A_CHUNK = (NOTE, BODY)
BLANK = bytes(60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "store.db", [SCHEMA])
    return tmp_path / "store.db"


async def filled(path: Path, *rows: Any) -> None:
    """A closed store in whose tables these rows stand."""
    with opened(path) as store:
        await store.perform(put(*rows))


def place_of(table: Table[Any]) -> tuple[str, str, str]:
    """The table, the column and the condition of the only record of a kind."""
    if table in OF_A_CHUNK:
        return CHUNK, "sealed", "id = 1"
    return table.name, "_record", "_place = 1" if table is SECRET else "part = 1"


def rewritten(path: Path, where: tuple[str, str, str], change: Callable[[bytes], bytes]) -> int:
    """Change what is stored there behind the store's back; return how long it is."""
    table, column, condition = where
    connection = apsw.Connection(str(path))
    ((found,),) = connection.execute(f'SELECT {column} FROM "{table}" WHERE {condition}').fetchall()
    assert isinstance(found, bytes)
    connection.execute(f'UPDATE "{table}" SET {column} = ? WHERE {condition}', (change(found),))
    connection.close()
    return len(found)


def flip(bit: int) -> Callable[[bytes], bytes]:
    """Flip a bit, counted modulo their number."""

    def flipped(data: bytes) -> bytes:
        at = bit % (8 * len(data))
        return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]

    return flipped


def blot(at: int, size: int) -> Callable[[bytes], bytes]:
    """Overwrite a stretch with something else."""
    return lambda data: data[:at] + bytes([byte ^ 0xA5 for byte in data[at : at + size]]) + data[at + size :]


def got(view: View, *, table: Table[Any]) -> Any:
    """The only row of a kind."""
    return view.get(table, "a", 1)


def again(table: Table[Any], row: Any) -> Callable[[View], Plan[None]]:
    """What the mending step does with a record that reads as it should."""

    def step(view: View) -> Plan[None]:
        found = view.get(table, *table.key_of(row))
        assert found == row
        return Plan((Put(table, found),) if table not in OF_A_CHUNK else (), None)

    return step


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[table.name for table, _ in ROWS])
async def test_f12_any_flipped_bit_of_a_record_is_served_told_and_written_again(
    path: Path, table: Table[Any], row: Any
) -> None:
    await filled(path, row)
    size = rewritten(path, place_of(table), lambda data: data)
    for bit in range(0, 8 * size, max(1, 8 * size // 12)):
        rewritten(path, place_of(table), flip(bit))
        with opened(path) as store:
            told: list[RecordError] = []
            store.damage.follow(told.append)
            for key in (KEY, None):
                (said,) = scrub(path, TABLES, key)
                assert isinstance(said, RecordError)
                assert said.repaired
                assert "nothing is lost" in str(said.hint)
            assert store.ask_now(lambda view: view.find(table, "key")) == [row]
            (met,) = told
            assert (met.table, met.key) == ((CHUNK, (1,)) if table in OF_A_CHUNK else (table.name, ("a", 1)))
            await store.perform(again(table, row))
        assert [*scrub(path, TABLES, KEY), *scrub(path, TABLES)] == []


@pytest.mark.parametrize(("table", "row"), ROWS[2:], ids=["note", "body"])
async def test_a_bad_sector_of_a_chunk_is_brought_back_by_its_parity(
    path: Path, table: Table[Any], row: Any
) -> None:
    rows = [row._replace(part=part) for part in range(1, 31)]
    await filled(path, *rows)
    for at in (0, 700, 5_000, 26_900):
        rewritten(path, place_of(table), blot(at, 512))
        (said,) = scrub(path, TABLES)
        assert "its parity brought it back" in said.message
        with opened(path) as store:
            assert store.ask_now(lambda view: view.find(table, "key")) == rows
            await store.perform(nothing)
        assert [*scrub(path, TABLES, KEY), *scrub(path, TABLES)] == []


@pytest.mark.parametrize("column", ["digest", "parity"])
async def test_what_stands_beside_a_chunk_is_made_again_once_a_scrub_has_met_it(
    path: Path, column: str
) -> None:
    row = Note("a", 1, Instant(1), b"n" * 900)
    await filled(path, row)
    rewritten(path, (CHUNK, column, "id = 1"), flip(77))
    for key in (KEY, None):
        (said,) = scrub(path, TABLES, key)
        assert "its rows are whole" in said.message
    with opened(path) as store:
        assert store.ask_now(lambda view: view.get(NOTE, "a", 1)) == row
        (error,) = store.scrub()
        assert isinstance(error, RecordError)
        store.damage.note(error)
        await store.perform(nothing)
    assert [*scrub(path, TABLES, KEY), *scrub(path, TABLES)] == []


async def test_what_is_beyond_repair_is_named_and_never_served(path: Path) -> None:
    await filled(path, *[row for _, row in ROWS[:3]])
    for table, _ in ROWS[:2]:
        rewritten(path, place_of(table), lambda data: flip(3)(flip(150)(data)))
    for column in ("sealed", "parity"):
        rewritten(path, (CHUNK, column, "id = 1"), blot(100, 900))
    with opened(path) as store:
        for table, _ in ROWS[:3]:
            with pytest.raises(StoreError, match="RECORD_CORRUPT"):
                store.ask_now(partial(got, table=table))
        await store.perform(nothing)
        assert {one.table for one in store.damage.known()} == {"thing", "secret", "note"}
        assert not any(one.repaired for one in store.damage.known())
    assert len(list(scrub(path, TABLES, KEY))) == len(list(scrub(path, TABLES))) == 3


async def test_i8_a_destroyed_secret_that_rots_comes_back_as_what_it_was_overwritten_with(path: Path) -> None:
    with opened(path) as store:
        await store.perform(put(Secret("a", 1, b"s" * 60)))
    with opened(path) as store:
        await store.perform(put(Secret("a", 1, BLANK)))
        await store.shred()
    size = rewritten(path, place_of(SECRET), lambda data: data)
    for bit in range(0, 8 * size, 53):
        rewritten(path, place_of(SECRET), flip(bit))
        with opened(path) as store:
            assert store.ask_now(lambda view: view.get(SECRET, "a", 1)) == Secret("a", 1, BLANK)
        rewritten(path, place_of(SECRET), flip(bit))


async def test_i8_a_flipped_bit_in_what_leads_to_a_secret_neither_hides_it_nor_destroys_another(
    path: Path,
) -> None:
    secrets = [Secret("a", part, bytes([part]) * 60) for part in range(1, 5)]
    for bit in (0, 1, 2, 5, 12, 30):
        rows = [one._replace(name=f"{bit}") for one in secrets]
        await filled(path, *rows)
        connection = apsw.Connection(str(path))
        where = "WHERE part = 3 AND name = ?"
        ((place,),) = connection.execute(f"SELECT _place FROM secret_at {where}", (f"{bit}",)).fetchall()
        assert isinstance(place, int)
        connection.execute(f"UPDATE secret_at SET _place = ? {where}", (place ^ 1 << bit, f"{bit}"))
        connection.close()
        with opened(path) as store:
            assert [one.repaired for one in store.scrub() if isinstance(one, RecordError)] == [True]
            found = store.ask_now(lambda view, bit=bit: view.find(SECRET, "key", str(bit)))
            assert found == rows
            assert [one.key for one in store.damage.known()] == [(str(bit), 3)]
            await store.perform(put(rows[2]._replace(sealed=BLANK)))
            await store.shred()
        with opened(path) as store:
            found = store.ask_now(lambda view, bit=bit: view.find(SECRET, "key", str(bit)))
            assert found == [rows[0], rows[1], rows[2]._replace(sealed=BLANK), rows[3]]
            assert list(store.scrub()) == []
    assert b"\3" * 60 not in path.read_bytes()


async def test_a_flipped_bit_in_what_leads_to_a_bulk_row_takes_no_other_row_with_it(path: Path) -> None:
    bodies = [Body("a", part, Instant(1), b"b" * 900) for part in range(1, 4)]
    for body in bodies:
        await filled(path, body)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE body SET _place = _place + 512 WHERE part = 1")
    connection.close()
    with opened(path) as store:
        with pytest.raises(RecordError):
            store.ask_now(lambda view: view.get(BODY, "a", 1))
        await store.perform(lambda _: Plan((Delete(BODY, ("a", 1)),), None))
    with opened(path) as store:
        assert store.ask_now(lambda view: view.find(BODY, "key")) == bodies[1:]


async def test_f12_a_flipped_bit_in_postgresql_is_served_told_and_written_again(tmp_path: Path) -> None:
    server = Server(server_url(), new_schema())
    steps = [first_schema(TABLES)]
    store = open_store(server, tmp_path, TABLES, KEY, steps=steps)
    await store.perform(put(*[row for _, row in ROWS]))
    store.close()
    for table, row in ROWS:
        kind, column, condition = place_of(table)
        if table is BODY:
            condition = "id = 2"
        named = f'"{server.schema}"."{kind}"'
        flipped = f"set_bit({column}, 131, 1 - get_bit({column}, 131))"
        asked(server.url, f"UPDATE {named} SET {column} = {flipped} WHERE {condition}")
        (said,) = scrub_server(server, tmp_path, "test", TABLES, KEY)
        assert isinstance(said, RecordError)
        assert said.repaired
        store = open_store(server, tmp_path, TABLES, KEY, steps=steps)
        assert store.ask_now(partial(got, table=table)) == row
        assert [one.repaired for one in store.damage.known()] == [True]
        await store.perform(again(table, row))
        store.close()
        assert list(scrub_server(server, tmp_path, "test", TABLES, KEY)) == []


async def test_i8_a_secret_whose_key_has_ended_stays_gone_although_a_bit_of_it_flipped(
    tmp_path: Path,
) -> None:
    server = Server(server_url(), new_schema())
    store = open_store(server, tmp_path, TABLES, KEY, steps=[first_schema(TABLES)])
    await store.perform(put(Secret("a", 1, b"s" * 60)))
    ((group, old),) = asked(server.url, f'SELECT _group, _record FROM "{server.schema}".secret')
    await store.perform(put(Secret("a", 1, BLANK)))
    await store.shred()
    keys = store._database.keys
    assert isinstance(group, int)
    assert isinstance(old, bytes)
    for found in (old, flip(900)(old)):
        assert keys.opened("secret", 1, group, found) is None
        assert keys.restored("secret", 1, group, found) is None
    store.close()


def test_the_restored_row_has_to_be_of_its_table_and_key() -> None:
    layout = RowTable(THING).layout
    found = layout.digested(layout.record(thing("a", 1))[1])
    assert layout.restored(flip(200)(found), ("a", 1)) == thing("a", 1)
    assert layout.restored(flip(200)(found), ("a", 2)) is None
    assert layout.restored("text", ("a", 1)) is None
