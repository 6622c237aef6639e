"""All rows of one store into another, by table and key, and what tells that they are the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from intelshare.ports import Plan, Put, Store, Table, View
from intelshare.store.layout import Layout
from intelshare.store.sqlite import open_store

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Copied:
    """One table as it was read."""

    table: str
    rows: int
    digest: str
    """SHA-256, hexadecimal, over the records in the order of their keys."""


async def copy_rows(source: Store, target: Store, tables: Sequence[Table[Any]]) -> None:
    """Put every row of one store into another. Raises what either raises."""
    for table in tables:
        for rows in _pages(source, table):
            await target.perform(lambda _, rows=rows, table=table: _put(table, rows))  # type: ignore[misc]


def copy_view(
    view: View, target: Path, tables: Sequence[Table[Any]], key: bytes, blanked: Callable[[Any], Any]
) -> int:
    """Put every row that a view shows into a new file; how many erasable ones were changed by ``blanked``.

    Raises StoreError.
    """
    store = open_store(target, tables, key)
    count = 0

    async def copy() -> None:
        nonlocal count
        for table in tables:
            after: tuple[Any, ...] = ()
            while rows := view.find(table, "key", after=after, limit=_PAGE):
                made = [blanked(row) for row in rows] if table.erasable else rows
                count += sum(one != row for one, row in zip(made, rows, strict=True))
                await store.perform(lambda _, made=made, table=table: _put(table, made))  # type: ignore[misc]
                after = table.key_of(rows[-1])

    try:
        asyncio.run(copy())
    finally:
        store.close()
    return count


def described(store: Store, tables: Sequence[Table[Any]]) -> list[Copied]:
    """All tables of a store, read once. Raises StoreError RECORD_CORRUPT."""
    return [_described(store, table) for table in tables]


def _described(store: Store, table: Table[Any]) -> Copied:
    layout, seen, count = Layout(table), hashlib.sha256(), 0
    for rows in _pages(store, table):
        for row in rows:
            _, record = layout.record(row)
            seen.update(len(record).to_bytes(8, "big") + record)
            count += 1
    return Copied(table.name, count, seen.hexdigest())


def _pages(store: Store, table: Table[Any]) -> Iterator[list[Any]]:
    after: tuple[Any, ...] = ()
    while rows := store.ask_now(
        lambda view, after=after: view.find(table, "key", after=after, limit=_PAGE)  # type: ignore[misc]
    ):
        yield rows
        after = table.key_of(rows[-1])


def _put(table: Table[Any], rows: Sequence[Any]) -> Plan[None]:
    return Plan(tuple(Put(table, row) for row in rows), None)
