"""`doctor --deep` finds on a stopped node what `node repair` finds there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from intelshare.cli.operator.doctor_records import records
from intelshare.cli.shared.findings import WARNING, WRONG, Finding
from intelshare.cli.shared.node_folder import Passphrase
from intelshare.node.offline import operate_offline
from intelshare.store.row_tables import Kept, RowTable
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, send_accepted
from rot import KINDS, kinds


@contextmanager
def another_value(database: Path, kind: str, column: str) -> Iterator[bool]:
    """Within the block the first row of a table has another value in a column that leads to its record.

    Yields false if no question reads that column of the row: it is in no index.
    """
    table, sql = KINDS[kind], RowTable(KINDS[kind])
    name = f"{kind}_at" if sql.kept is Kept.APART else kind
    with closing(sqlite3.connect(database)) as connection:
        ((*values, _),) = connection.execute(sql.scrub(0), (1,)).fetchall()
    row = dict(zip(sql.columns, values, strict=True))
    flags = set(table.only.values())
    listed = {
        field
        for index, fields in table.indexes.items()
        if row.get(table.only.get(index, ""), 1) == 1
        for field in fields
    }
    after = _another(row[column], flag=column in flags)
    for values_now, value in ((row, after), ({**row, column: after}, row[column])):
        where = " AND ".join(f'"{field}" = ?' for field in table.key)
        with closing(sqlite3.connect(database)) as connection, connection:
            change = f'UPDATE "{name}" SET "{column}" = ? WHERE {where}'
            assert connection.execute(change, (value, *map(values_now.get, table.key))).rowcount == 1
        if values_now is row:
            yield column in {*table.key, *listed, *flags}


def _another(value: Any, *, flag: bool) -> Any:
    if isinstance(value, int):
        return 1 - value if flag else value + 1000
    return value[:-1] + ("?" if isinstance(value, str) else b"?")


def named(found: list[Finding], kind: str) -> bool:
    return any(one.state == WRONG and f"a record of {kind} " in one.found for one in found)


async def stopped(pair: tuple[Site, Site]) -> None:
    """Both, after USA has accepted a bulletin of FRA."""
    await send_accepted(pair[0])
    for site in pair:
        await site.stop()


async def test_deep_finds_a_changed_column_of_each_kind_as_the_repair_does(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    await stopped(pair)
    phrase = tmp_path / "passphrase"
    phrase.write_bytes(PASSPHRASE)
    phrase.chmod(0o600)
    (said,) = records(pair[0].root, Passphrase.of_file(None))
    assert (said.state, "--passphrase-file" in said.remedy) == (WARNING, True)
    for site in pair:
        database = site.root / "intelshare.db"
        for kind in sorted(kinds(database)):
            for column in RowTable(KINDS[kind]).columns:
                with another_value(database, kind, column) as is_read:
                    found = list(records(site.root, Passphrase.of_file(phrase)))
                    assert named(found, kind) == is_read, (kind, column)
        with another_value(database, *(("bulletin", "bulletin") if site is pair[0] else ("inbox", "md"))):
            call = partial(operate_offline, site.root, lambda: PASSPHRASE, "Repair", pb.RepairRequest())
            assert (await asyncio.to_thread(call)).records
