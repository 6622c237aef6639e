"""A damaged row ends no backup, and lets no secret of a received bulletin into one (promise P16)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from intelshare.broker.kernel.tables import SECRET as NODE_SECRET
from intelshare.node.backup import Backup, make_backup
from intelshare.store import backup
from intelshare.store.beside import snapshot
from intelshare.store.migrate import migrate
from node_world import PASSPHRASE, Site, now, until, word
from rot import spoil
from store_tables import SCHEMA, SECRET, TABLES, Secret, opened, put


def blanked(row: Secret) -> Secret:
    return row._replace(sealed=bytes(60)) if row.name == "received" else row


def changed(data: bytes, *places: int) -> bytes:
    return bytes(byte ^ (0x10 if at in places else 0) for at, byte in enumerate(data))


def rewrite(path: Path, place: int, change: Callable[[bytes], bytes]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        where = "WHERE _place = ?"
        ((data,),) = connection.execute(f"SELECT _record FROM secret {where}", (place,))
        connection.execute(f"UPDATE secret SET _record = ? {where}", (change(data), place))


@pytest.mark.parametrize("places", [range(16, 40), (20, 60), (3, 20), (70, 71)])
def test_p16_a_secret_beyond_repair_is_overwritten_in_a_backup_and_named(tmp_path: Path, places: Any) -> None:
    """It was decoded without its digest: that ended the backup, or took it for another bulletin's."""
    path, target = tmp_path / "store.db", tmp_path / "copy.db"
    migrate(path, [SCHEMA])
    with opened(path) as store:
        asyncio.run(store.perform(put(Secret("received", 1, b"r" * 60), Secret("own", 1, b"o" * 60))))
    rewrite(path, 1, lambda data: changed(data, *places))
    with snapshot(path) as source:
        done = backup.copy_database(source, target, TABLES, blanked, lambda *_: None)
    assert (done.blanked, [one.code for one in done.left_out]) == (1, ["RECORD_CORRUPT"])
    assert "received, 1" in done.left_out[0].message
    assert b"r" * 9 not in target.read_bytes()
    with closing(sqlite3.connect(target)) as connection:
        assert b"o" * 60 in connection.execute("SELECT _record FROM secret WHERE _place = 2").fetchone()[0]


@pytest.mark.parametrize("name", ["received", "own"])
def test_p16_one_changed_byte_of_a_secret_does_not_hide_whose_it_is(tmp_path: Path, name: str) -> None:
    path, target = tmp_path / "store.db", tmp_path / "copy.db"
    migrate(path, [SCHEMA])
    with opened(path) as store:
        asyncio.run(store.perform(put(Secret(name, 1, b"s" * 60))))

    def flipped(at: int) -> Callable[[bytes], bytes]:
        return lambda data: changed(data, at)

    with closing(sqlite3.connect(path)) as connection:
        ((size,),) = connection.execute("SELECT length(_record) FROM secret")
    for at in range(0, size, 7):
        target.unlink(missing_ok=True)
        rewrite(path, 1, flipped(at))
        with snapshot(path) as source:
            done = backup.copy_database(source, target, TABLES, blanked, lambda *_: None)
        rewrite(path, 1, flipped(at))
        assert (done.blanked, done.left_out) == (int(name == "received"), ())
        with opened(target) as copy:
            (found,) = copy.ask_now(lambda view: view.find(SECRET, "key"))
        assert found == blanked(Secret(name, 1, b"s" * 60))


async def test_p16_a_damaged_row_of_a_bulletin_ends_no_backup_and_none_has_the_secrets_of_a_received_one(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    fra, usa = pair
    async with fra.client("a") as client:
        sent = await client.send(["USA"], "from France")

    async def accepted() -> bool:
        return await word(fra, sent.bulletin, "USA") == "accepted"

    await until(accepted, "USA to accept it")
    await fra.stop()
    await usa.stop()

    def backed_up(site: Site, name: str) -> tuple[Backup, list[bytes]]:
        done = make_backup(site.root, tmp_path / name, lambda: PASSPHRASE, now(), lambda *_: None)
        return done, secrets_in(tmp_path / name / "folder" / "intelshare.db")

    whole, of_whole = backed_up(usa, "whole")
    assert (whole.left_out, whole.manifest.secrets) == ((), 1)
    for site, kind in ((usa, "inbox"), (fra, "bulletin")):
        spoil(site.root / "intelshare.db", kind, -1)
    done, found = backed_up(usa, "received")
    assert (done.manifest.secrets, found) == (1, of_whole)
    assert ["inbox" in one.message for one in done.left_out] == [True]
    done, found = backed_up(fra, "own")
    assert (done.manifest.secrets, done.left_out) == (0, ())
    assert found == secrets_in(fra.root / "intelshare.db")


def secrets_in(database: Path) -> list[bytes]:
    with closing(sqlite3.connect(database)) as connection:
        return [found for (found,) in connection.execute(f"SELECT _record FROM {NODE_SECRET.name}")]
