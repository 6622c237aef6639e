"""All rows of one store into another, by table and key, and what tells that they are the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from intelshare.errors import StoreError
from intelshare.ports import Plan, Put, Store, Table, View
from intelshare.store.layout import Layout
from intelshare.store.sqlite import open_store

_PAGE: Final = 500

Ask = Callable[[Callable[[View], list[Any]]], list[Any]]
"""Reads rows of one store: ``Store.ask_now``."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One table as it was read."""

    table: str
    rows: int
    digest: str
    """SHA-256, hexadecimal, over the records in the order of their keys."""


async def copy_rows(source: Store, target: Store, tables: Sequence[Table[Any]]) -> None:
    """Put every row of one store into another. Raises what either raises, RECORD_CORRUPT among it."""
    for plan in copies(source.ask_now, tables):
        await target.perform(lambda _, plan=plan: plan)  # type: ignore[misc]


def copies(ask: Ask, tables: Sequence[Table[Any]]) -> Iterator[Plan[None]]:
    """Yield what puts every row of a store into another, page by page. Raises StoreError RECORD_CORRUPT at a
    row that cannot be read: it would be left behind, and nobody would ask for it again.
    """
    for table in tables:
        for rows in _pages(ask, table):
            yield _put(table, rows)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The outcome of copying a view."""

    blanked: int
    """The erasable rows that were changed."""
    left_out: tuple[StoreError, ...]
    """A RECORD_CORRUPT for each row that could not be read, in the order of their keys; of very many in a row
    only the first are named.
    """


def copy_view(
    view: View, target: Path, tables: Sequence[Table[Any]], key: bytes, blanked: Callable[[Any], Any]
) -> Snapshot:
    """Put every row that a view shows into a new file, erasable ones as ``blanked`` returns them.

    Raises StoreError.
    """
    store = open_store(target, tables, key)
    count, bad = 0, dict[str, StoreError]()

    async def copy() -> None:
        nonlocal count
        for table in tables:
            after: tuple[Any, ...] = ()
            while rows := _readable(view, table, after, bad):
                made = [blanked(row) for row in rows] if table.erasable else rows
                count += sum(one != row for one, row in zip(made, rows, strict=True))
                await store.perform(lambda _, made=made, table=table: _put(table, made))  # type: ignore[misc]
                after = table.key_of(rows[-1])

    try:
        asyncio.run(copy())
    finally:
        store.close()
    return Snapshot(count, tuple(bad.values()))


def _readable(view: View, table: Table[Any], after: tuple[Any, ...], bad: dict[str, StoreError]) -> list[Any]:
    """Return the next rows that can be read; note in ``bad``, by its text, each error on the way there."""
    met: list[StoreError] = []
    rows = view.find(table, "key", after=after, limit=_PAGE, damaged=met)
    bad |= {str(error): error for error in met}
    return rows or view.find(table, "key", after=after, limit=_PAGE)  # beyond a page of nothing but damage


def described(ask: Ask, tables: Sequence[Table[Any]]) -> list[Copied]:
    """All tables of a store, read once. Raises StoreError RECORD_CORRUPT."""
    return [_described(ask, table) for table in tables]


def _described(ask: Ask, table: Table[Any]) -> Copied:
    layout, seen, count = Layout(table), hashlib.sha256(), 0
    for rows in _pages(ask, table):
        for row in rows:
            _, record = layout.record(row)
            seen.update(len(record).to_bytes(8, "big") + record)
            count += 1
    return Copied(table.name, count, seen.hexdigest())


def _pages(ask: Ask, table: Table[Any]) -> Iterator[list[Any]]:
    after: tuple[Any, ...] = ()
    bad: list[StoreError] = []
    while rows := ask(
        lambda view, after=after: view.find(table, "key", after=after, limit=_PAGE, damaged=bad)  # type: ignore[misc]
    ):
        if bad:
            break
        yield rows
        after = table.key_of(rows[-1])
    if bad:
        raise bad[0]


def _put(table: Table[Any], rows: Sequence[Any]) -> Plan[None]:
    return Plan(tuple(Put(table, row) for row in rows), None)
