"""One changed byte that keeps SQLite from reading its file is found by the rest of the file (decision 92)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from intelshare.errors import RecordError, StoreError
from intelshare.node.mending import record_of
from intelshare.ports import Delete, Plan, Put, Table, View
from intelshare.services.operator_acts import _remedy
from intelshare.store.indexes import astray, make_again
from intelshare.store.journal import RESTORE
from intelshare.store.layout import Layout
from intelshare.store.migrate import first_schema, migrate, migrations
from intelshare.store.pages import (
    LARGEST,
    SIZE,
    Changed,
    _guesses,
    _Guessing,
    _texts,
    doubt,
    is_doubted,
    mend,
    sound,
)
from intelshare.store.postgres.views import UNREAD, unread_here
from intelshare.store.scrub import scrub
from intelshare.store.sqlite import open_store
from store_tables import KEY, SCHEMA, TABLES, THING, opened, put, thing

STEPS = (SCHEMA,)


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with trees of several pages, cells that go on in others, and free pages."""
    path = tmp_path_factory.mktemp("pages") / "store.db"
    migrate(path, STEPS)
    rows = [thing(f"{n:04}" * 40, n, due=n, rank=n % 2, body=bytes(n * 40)) for n in range(150)]
    with opened(path) as store:
        asyncio.run(store.perform(put(*rows)))
    with opened(path) as store:
        gone = tuple(Delete(THING, (row.name, row.part)) for row in rows[100:140])
        asyncio.run(store.perform(lambda _: Plan(gone, None)))
    return path


def page_of(path: Path, name: str, kind: str) -> int:
    """A page of a tree, by the tables that SQLite shows of its own file."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        ((number,),) = connection.execute(
            "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = ?", (name, kind)
        )
        return int(number)


def leaves_of(path: Path, name: str) -> list[int]:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        found = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (name,))
        return [int(number) for (number,) in found]


def places(data: bytes) -> Iterator[int]:
    """Where each page keeps what leads to the rest, and in the page of the map all entries that it has."""
    chosen = random.Random(92)
    yield from range(3, 100, 8)
    for page in range(1, len(data) // SIZE, 7):
        yield page * SIZE + chosen.randrange(12)
        yield page * SIZE + chosen.randrange(12, 40)
        yield SIZE + 5 * (page - 1) + chosen.randrange(5)


def flip(path: Path, place: int, bit: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        (was,) = file.read(1)
        file.seek(place)
        file.write(bytes((was ^ 1 << bit,)))


def test_whatever_byte_keeps_sqlite_from_reading_a_file_is_put_right(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    copy = tmp_path / path.name
    copy.write_bytes(whole)
    met = 0
    for place in places(whole):
        flip(copy, place, place % 8)
        if not sound(copy):
            met += 1
            where = f"byte {place % SIZE} of page {place // SIZE + 1}"
            assert mend(copy, STEPS) is not None, where
            assert copy.read_bytes() == whole, where
        with copy.open("r+b") as file:
            file.seek(place // SIZE * SIZE)
            file.write(whole[place // SIZE * SIZE :][:SIZE])
    assert met > 10
    assert copy.read_bytes() == whole, "nothing else was touched"


def test_a_length_that_has_changed_is_not_put_right_by_a_gap(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    copy.write_bytes(whole)
    page = (page_of(path, "thing_due", "leaf") - 1) * SIZE
    length = page + int.from_bytes(whole[page + 8 : page + 10], "big") + 1
    assert whole[length - 1] == 0x81, "a length of two bytes"
    shorter = [bit for bit in range(3, 7) if whole[length] & 1 << bit]
    assert shorter
    for bit in shorter:
        flip(copy, length, bit)
        assert not sound(copy)
        assert mend(copy, STEPS) == Changed(length, whole[length])
        assert copy.read_bytes() == whole


def test_a_count_of_lone_bytes_is_put_right_there_or_in_a_free_block_never_in_a_cell(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    copy.write_bytes(whole)
    for name in ("thing_due", "thing_owner"):
        page = (page_of(path, name, "leaf") - 1) * SIZE
        lengths, at = {page + 7}, page + 1
        while block := int.from_bytes(whole[at : at + 2], "big"):
            at = page + block
            lengths |= {at + 2, at + 3}
        for bit in (3, 5, 7):
            flip(copy, page + 7, bit)
            found = mend(copy, STEPS)
            assert found is not None
            assert found.place in lengths
            copy.write_bytes(whole)


def test_a_text_of_the_schema_is_put_right(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    copy.write_bytes(whole)
    flip(copy, whole.index(b"CREATE INDEX"))
    assert not sound(copy)
    mend(copy, STEPS)
    assert copy.read_bytes() == whole


def is_left_as_it_is(copy: Path, path: Path) -> None:
    """Two more bytes of one page change: then nothing is found, and nothing written."""
    page = (page_of(path, "thing_due", "leaf") - 1) * SIZE
    flip(copy, page)
    flip(copy, page + 4)
    spoiled = copy.read_bytes()
    assert mend(copy, STEPS) is None
    assert copy.read_bytes() == spoiled


def test_of_two_changed_bytes_nothing_is_written(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    is_left_as_it_is(copy, path)


def test_a_count_of_pages_is_written_only_if_the_whole_file_is_then_sound(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    copy.write_bytes(whole)
    flip(copy, 31)
    assert mend(copy, STEPS) == Changed(31, whole[31])
    assert copy.read_bytes() == whole
    flip(copy, 31)
    is_left_as_it_is(copy, path)


@pytest.mark.parametrize("place", [3, 18, 47, None], ids=["mark", "version", "format", "page"])
async def test_what_was_committed_beside_a_file_is_in_it_before_a_byte_is_searched(
    path: Path, tmp_path: Path, place: int | None
) -> None:
    first, copy = tmp_path / "first.db", tmp_path / path.name
    first.write_bytes(path.read_bytes())
    with opened(first) as store:
        await store.perform(put(thing("new", due=5, rank=1)))
        copy.write_bytes(first.read_bytes())
        beside = copy.with_name(f"{copy.name}-wal")
        beside.write_bytes(first.with_name("first.db-wal").read_bytes())
    assert beside.stat().st_size
    flip(copy, (page_of(path, "note", "leaf") - 1) * SIZE if place is None else place)
    assert mend(copy, STEPS) is not None
    assert not beside.exists()
    assert sound(copy)
    with opened(copy) as store:
        assert store.ask_now(lambda view: view.get(THING, "new", 0)) is not None


def test_a_search_ends_in_time_and_writes_nothing(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    flip(copy, (page_of(path, "thing_due", "leaf") - 1) * SIZE)
    spoiled = copy.read_bytes()
    assert mend(copy, STEPS, seconds=0) is None
    assert copy.read_bytes() == spoiled


def test_nothing_is_searched_in_a_file_that_is_too_large_for_it(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    flip(copy, 3)
    with copy.open("r+b") as file:
        file.truncate(LARGEST + SIZE)  # takes no room
    assert mend(copy, STEPS) is None
    with copy.open("rb") as file:
        assert file.read(4) != b"SQLi"


def test_lists_of_free_pages_that_are_right_are_no_guess(path: Path) -> None:
    whole = path.read_bytes()
    assert int.from_bytes(whole[36:40], "big"), "there are free pages"
    assert not list(_guesses(path, _texts(STEPS), lambda: False))


async def test_a_page_that_a_list_met_is_put_right_at_the_next_start(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    flip(copy, (page_of(path, "thing_due", "internal") - 1) * SIZE)
    with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
        with pytest.raises(RecordError) as unread:
            store.ask_now(lambda view: view.find(THING, "due", 0))
        assert (unread.value.page, unread.value.message) == (True, "a page of thing cannot be read: 0")
        assert unread.value.hint is not None
        assert "start the node again" in unread.value.hint
    with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
        assert len(store.ask_now(lambda view: view.find(THING, "due", 0))) == 55
        (said,) = store.damage.known()
        assert (said.table, said.repaired) == ("page", True)
    with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
        assert not store.damage.known(), "and no start looks for it again"


def test_a_byte_is_put_right_whatever_the_name_of_the_file(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a?b#c%41.db"
    whole = path.read_bytes()
    copy.write_bytes(whole)
    flip(copy, 3)
    assert mend(copy, STEPS) == Changed(3, whole[3])


def test_a_number_of_a_page_that_is_0_ends_no_search(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrate(path)
    assert path.read_bytes()[100] == 5, "the schema has an inner page"
    with path.open("r+b") as file:
        file.seek(108)
        file.write(bytes(4))
    flip(path, 2 * SIZE)  # a page of the schema too, so that no guess is right
    flip(path, 2 * SIZE + 4)
    spoiled = path.read_bytes()
    assert mend(path, migrations()) is None
    assert path.read_bytes() == spoiled


def test_a_mark_without_a_file_keeps_nothing_from_starting(tmp_path: Path) -> None:
    doubt(tmp_path / "store.db")
    with closing(open_store(tmp_path / "store.db", TABLES, KEY, steps=STEPS)) as store:
        assert not store.damage.known()
    assert not is_doubted(tmp_path / "store.db")


def test_beside_a_reader_a_start_says_so_and_keeps_the_mark(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.store.pages.BUSY", 10)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    with opened(copy) as store, closing(apsw.Connection(str(copy))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM thing").fetchall()
        asyncio.run(store.perform(put(thing("new", due=5, rank=1))))
        doubt(copy)
        with pytest.raises(StoreError) as refused:
            open_store(copy, TABLES, KEY, steps=STEPS)
    assert refused.value.code == "DISK_ERROR"
    assert is_doubted(copy)


def test_two_searches_at_once_read_only_their_own_guesses() -> None:
    one, other = _Guessing(None), _Guessing(Changed(0, 0))
    try:
        assert one.name != other.name
    finally:
        one.unregister()
        other.unregister()


def test_a_scrub_sends_to_the_next_start_only_for_what_that_can_put_right(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    index, table = [(page_of(path, name, "leaf") - 1) * SIZE for name in ("thing_due", "thing")]
    cell = index + int.from_bytes(whole[index + 8 : index + 10], "big")
    first = table + int.from_bytes(whole[table + 8 : table + 10], "big")
    order = whole.index(b"014", first)
    for place, again in ((index, True), (cell + 20, True), (order, False)):
        copy.write_bytes(whole)
        flip(copy, place)
        with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
            found = list(store.scrub())
        hints = {error.hint or "" for error in found if "is damaged" in error.message}
        assert hints
        assert all(("start the node again" in hint) is again for hint in hints), hints
        assert all((RESTORE in hint) is not again for hint in hints), hints
        assert is_doubted(copy) is again
        copy.with_name(f"{copy.name}.doubt").unlink(missing_ok=True)


class Sent(NamedTuple):
    """A row that is found by a text."""

    number: int
    member: str


SENT = Table("sent", Sent, ("number",), {"member": ("member",)})


@pytest.mark.parametrize("bit", [1, 7], ids=["ASCII", "not UTF-8"])
def test_an_index_whose_entries_have_changed_is_made_again_at_the_start_after_it_was_met(
    tmp_path: Path, bit: int
) -> None:
    """Rows were missing in lists, or lists ended, at each start, and a restore was proposed."""
    path, steps = tmp_path / "store.db", (first_schema([SENT]),)
    rows = [Sent(number, member) for number, member in enumerate(["MMM"] * 10 + ["QQQ"] * 40)]

    def step(_: View) -> Plan[None]:
        return Plan(tuple(Put(SENT, row) for row in rows), None)

    def listed(view: View) -> list[Sent]:
        return view.find(SENT, "member", "QQQ") + view.find(SENT, "member", "MMM")

    with closing(open_store(path, [SENT], KEY, steps=steps)) as store:
        asyncio.run(store.perform(step))
    with closing(open_store(path, [SENT], KEY, steps=steps)) as store:
        assert len(store.ask_now(listed)) == 50
    page = (page_of(path, "sent_member", "leaf") - 1) * SIZE
    pointer = page + 8 + 2 * 30
    cell = page + int.from_bytes(path.read_bytes()[pointer : pointer + 2], "big")
    flip(path, path.read_bytes().index(b"QQQ", cell), bit)
    assert sound(path)
    assert not sound(path, check="integrity_check")
    with closing(open_store(path, [SENT], KEY, steps=steps)) as store:
        if bit == 7:
            with pytest.raises(RecordError, match="cannot be read"):
                store.ask_now(lambda view: view.find(SENT, "member"))
        else:
            assert len(store.ask_now(listed)) < 50
            assert any("missing from index" in one.message for one in store.scrub())
    assert is_doubted(path)
    with closing(open_store(path, [SENT], KEY, steps=steps)) as store:
        assert len(store.ask_now(listed)) == 50
        assert [(one.table, one.repaired) for one in store.damage.known()] == [("page", True)]
        assert not list(store.scrub())
    assert sound(path, check="integrity_check")


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_a_scrub_goes_on_after_a_text_that_cannot_be_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """P13: the first one ended it for the whole table, and other damage was not named."""
    copy = tmp_path / path.name
    whole = path.read_bytes()
    copy.write_bytes(whole)
    tables = [(number - 1) * SIZE for number in leaves_of(path, "thing")]
    for name in (b"0020" * 40, b"0090" * 40, b"0149" * 40):
        place = next(whole.index(name, at) for at in tables if name in whole[at:][:SIZE])
        flip(copy, place + 3, 7)
    with closing(apsw.Connection(str(copy))) as connection:
        connection.execute("UPDATE thing SET _record = zeroblob(20) WHERE part = 50")
    monkeypatch.setattr("intelshare.store.scrub.ROWS", rows)
    named = [error for error in scrub(copy, TABLES, KEY) if isinstance(error, RecordError)]
    assert [error.key[1] for error in named] == [20, 50, 90, 149]
    assert {error.page for error in named} == {False}


def test_an_index_is_left_as_it_is_if_that_is_not_all_or_takes_too_long(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    whole = path.read_bytes()
    page = (page_of(path, "thing_due", "leaf") - 1) * SIZE
    cell = page + int.from_bytes(whole[page + 8 : page + 10], "big")
    copy.write_bytes(whole)
    flip(copy, cell + 20)
    assert make_again(copy, seconds=0) == {}
    assert not sound(copy, check="integrity_check")
    other = (page_of(path, "thing", "leaf") - 1) * SIZE
    flip(copy, other + 4)
    assert make_again(copy) == {}
    flip(copy, other + 4)
    assert list(make_again(copy)) == ["thing_due"]
    assert make_again(copy) == {}


def test_what_sqlite_finds_of_an_index_alone_is_told_from_rows_that_are_gone() -> None:
    missing, count = "row 7 missing from index thing_due", "wrong # of entries in index thing_due"
    assert astray([missing, count]) == astray([missing]) == {"thing_due"}
    assert astray([count]) == astray([missing, "wrong # of entries in index thing_owner"]) == set()
    assert astray([missing, "*** in database main ***"]) == astray([]) == set()


def test_a_page_of_a_server_is_not_promised_to_a_start() -> None:
    """Neither where it is met nor by ``node repair``, which says what the store says of it."""
    error = unread_here(Layout(THING).unread(("a",)))
    assert (error.page, error.hint) == (True, UNREAD)
    assert "start the node again" not in UNREAD
    assert _remedy(record_of(error)) == UNREAD
    assert _remedy(record_of(Layout(THING).unread(("a",)))).startswith("start the node again")


async def test_a_page_that_a_commit_met_ends_the_node_and_is_put_right_at_the_next_start(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    failed: list[StoreError] = []
    flip(copy, (page_of(path, "thing_due", "internal") - 1) * SIZE)
    with closing(open_store(copy, TABLES, KEY, failed.append, steps=STEPS)) as store:
        await store.perform(put(thing("new", due=5, rank=1)))
    assert [error.code for error in failed] == ["DISK_ERROR"]
    with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
        assert len(store.ask_now(lambda view: view.find(THING, "due", 0))) == 55


async def test_a_file_whose_header_has_changed_opens(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    flip(copy, 3)
    with pytest.raises(sqlite3.DatabaseError), closing(sqlite3.connect(copy)) as connection:
        connection.execute("SELECT * FROM thing").fetchall()
    with closing(open_store(copy, TABLES, KEY, steps=STEPS)) as store:
        assert len(store.ask_now(lambda view: view.find(THING, "due", 0))) == 55
