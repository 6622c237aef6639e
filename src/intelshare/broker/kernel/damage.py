"""Damage: reading on where a stored record has changed since it was written (promise P13).

One damaged record takes away what needs it, and nothing else: a step goes on without it and its plan reports
it; a list leaves its line out and names it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from intelshare.broker.kernel.transaction import Transaction
from intelshare.errors import RecordError, StoreError
from intelshare.ports import Row, Rows, Scalar, Table, View

A = TypeVar("A")
T = TypeVar("T")
R = TypeVar("R", bound=Row)

PAGE: Final = 256
"""The rows that one query reads."""

MAX_NAMED: Final = 20
"""The most damaged records that one answer names."""


def is_damaged(rows: Rows, table: Table[Any], *key: Any) -> bool:
    """Return whether the row is damaged."""
    try:
        rows.get(table, *key)
    except RecordError:
        return True
    return False


def is_there(tx: Transaction, table: Table[Any], *key: Any) -> bool:
    """Return whether the row exists, damaged or not."""
    try:
        return tx.get(table, *key) is not None
    except RecordError:
        return True


def unless_damaged(tx: Transaction, read: Callable[[], A]) -> A | None:
    """Return what ``read`` returns, or None if a record is damaged: the step goes on, the plan reports it.

    ``read`` writes nothing.
    """
    try:
        return read()
    except StoreError as error:
        if error.code != "RECORD_CORRUPT":
            raise
        tx.damaged.append(error.message)
        return None


@contextlib.contextmanager
def noting_damage(damaged: list[StoreError]) -> Iterator[None]:
    """End the work on one bulletin if a record of it is damaged, and note the error."""
    try:
        yield
    except StoreError as error:
        if error.code != "RECORD_CORRUPT":
            raise
        damaged.append(error)


def each_readable(rows: Iterable[T], make: Callable[[T], A | None], damaged: list[StoreError]) -> list[A]:
    """Return what ``make`` returns for each row, in their order. Left out are those for which it is None, and
    those for which a record is damaged: these errors are noted.
    """
    found: list[A] = []
    for row in rows:
        with noting_damage(damaged):
            one = make(row)
            if one is not None:
                found.append(one)
    return found


def next_rows(
    view: View,
    table: Table[R],
    index: str,
    after: Sequence[Scalar],
    size: int,
    damaged: list[StoreError],
) -> tuple[Sequence[R], bool]:
    """Return the next rows of an index, at most ``size``, and whether there may be more.

    The damaged ones among them count, and are noted; if all are, more is read, since only a row says where to
    go on.
    """
    while True:
        met: list[StoreError] = []
        rows: Sequence[R] = view.find(table, index, after=after, limit=size, damaged=met)
        more = len(rows) + len(met) >= size
        if rows or not more:
            damaged += met
            return rows, more
        size *= 2


def every_row(
    view: View, table: Table[R], index: str, damaged: list[StoreError], *, first: int = PAGE
) -> Iterator[R]:
    """Yield all rows in the order of an index, without those that are damaged: these are noted.

    ``first``: the most rows that the first query reads.
    """
    after: tuple[Scalar, ...] = ()
    size, order, more = min(max(first, 1), PAGE), (*table.indexes.get(index, ()), *table.key), True
    while more:
        rows, more = next_rows(view, table, index, after, size, damaged)
        yield from rows
        if rows:
            after, size = tuple([getattr(rows[-1], name) for name in order]), PAGE


def damaged_records(damaged: Iterable[StoreError]) -> tuple[str, ...]:
    """Name what a list lacks: each record once, and at most ``MAX_NAMED``, so that no answer grows without
    bound.
    """
    return tuple(dict.fromkeys([error.message for error in damaged]))[:MAX_NAMED]
