"""The store in memory: the same contract, deterministic, without threads. For tests and the simulator."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from intelshare.errors import StoreError
from intelshare.ports import (
    Delete,
    Durable,
    Figures,
    Plan,
    Put,
    Row,
    Scalar,
    Table,
    View,
    durable_after_commit,
)
from intelshare.store.damage import Damage
from intelshare.store.layout import Layout, picker, stored
from intelshare.store.memory_table import TOP

R = TypeVar("R", bound=Row)
A = TypeVar("A")

_Key = tuple[Scalar, ...]


_layout = lru_cache(maxsize=256)(Layout)
"""Makes a table's layout once for all stores."""


class _Rows:
    """One table: rows by key, and each index as a sorted list of (index fields, key fields)."""

    def __init__(self, table: Table[Any]) -> None:
        self.layout = _layout(table)
        self.rows: dict[_Key, Any] = {}
        self.indexes: dict[str, list[_Key]] = {}
        self._entries: list[tuple[list[_Key], Callable[[Any], _Key | None]]] = []
        self.key_in: dict[str, Callable[[_Key], _Key]] = {}
        """By index, a function that returns the key of an entry."""
        for name in ("key", *table.indexes):
            order = self.layout.order(name)
            self.indexes[name] = []
            self._entries.append((self.indexes[name], _entry(self.layout, name)))
            self.key_in[name] = picker([order.index(field) for field in table.key])

    def put(self, key: _Key, row: Any) -> None:
        old = self.rows.get(key)
        self.rows[key] = row
        for index, entry in self._entries:
            new, before = entry(row), entry(old) if old is not None else None
            if before == new:
                continue
            if before is not None:
                del index[bisect_left(index, before)]
            if new is not None:
                insort(index, new)

    def remove(self, key: _Key) -> None:
        old = self.rows.pop(key, None)
        if old is not None:
            for index, entry in self._entries:
                before = entry(old)
                if before is not None:
                    del index[bisect_left(index, before)]

    def span(
        self, index: str, prefix: Sequence[Scalar], after: Sequence[Scalar]
    ) -> tuple[list[_Key], int, int]:
        entries = self.indexes[index]
        low = bisect_right(entries, (*prefix, *after, TOP)) if after else bisect_left(entries, tuple(prefix))
        return entries, low, bisect_right(entries, (*prefix, TOP))


def _entry(layout: Layout, index: str) -> Callable[[Any], _Key | None]:
    """Return a function that returns a row's entry in an index, or None if its flag is not set."""
    entry = layout.stored_fields(layout.order(index))
    flag = layout.table.only.get(index)
    if flag is None:
        return entry
    flagged = layout.stored_fields((flag,))
    return lambda row: entry(row) if flagged(row) == (1,) else None


class MemoryStore:
    """Rows in dictionaries. Each applied plan is a commit."""

    def __init__(self, plans: Iterable[Plan[Any]] = ()) -> None:
        self._tables: dict[str, _Rows] = {}
        self.commits = 0
        self.damage = Damage()
        """See ports.Store: nothing is ever met."""
        for plan in plans:
            self.apply(plan)

    @property
    def steps(self) -> int:
        """See ports.Store."""
        return self.commits

    unbound: View | None = None
    """See ports.View."""

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        rows = self._rows(table)
        row: R | None = rows.rows.get(key if rows.layout.narrow else tuple(map(stored, key)))
        return row

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """See ports.View."""
        return [self.get(table, *key) for key in keys]

    def find(
        self,
        table: Table[R],
        index: str,
        *prefix: Scalar,
        after: Sequence[Scalar] = (),
        limit: int = 1000,
        damaged: list[StoreError] | None = None,  # noqa: ARG002
    ) -> list[R]:
        """See ports.View."""
        rows = self._rows(table)
        entries, low, high = rows.span(index, tuple(map(stored, prefix)), tuple(map(stored, after)))
        found, key_of = rows.rows, rows.key_in[index]
        return [found[key_of(entry)] for entry in entries[low : min(high, low + limit)]]

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        _, low, high = self._rows(table).span(index, tuple(map(stored, prefix)), ())
        return high - low

    def apply(self, plan: Plan[Any]) -> None:
        """Carry out all of a plan's writes, or raise TypeError and carry out none.

        It also allows what no step may do: the simulator removes an erasable row whose commit was lost.
        """
        writes: list[tuple[_Rows, _Key, Any]] = []
        for write in plan.writes:
            rows = self._rows(write.table)
            if isinstance(write, Put):
                key, _ = rows.layout.record(write.row)
                writes.append((rows, key, write.row))
            elif isinstance(write, Delete):
                writes.append((rows, rows.layout.check_key(write.key), None))
        for rows, key, row in writes:
            if row is None:
                rows.remove(key)
            else:
                rows.put(key, row)
        self.commits += 1

    def perform_now(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """Do what ``perform`` does, without an event loop."""
        plan = step(self)
        for write in plan.writes:
            if isinstance(write, Delete):
                self._rows(write.table).layout.check_delete(write.key)
        self.apply(plan)
        if plan.last and then is not None:
            then(plan.answer)
        return durable_after_commit(plan.answer)

    async def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """See ports.Store."""
        return self.perform_now(step, then)

    async def shred(self) -> None:
        """See ports.Store. No file has to be cleared."""

    async def query(self, question: Callable[[View], A]) -> A:
        """See ports.Store."""
        return question(self)

    def ask_now(self, question: Callable[[View], A]) -> A:
        """See ports.Store."""
        return question(self)

    def scrub(self) -> Iterator[StoreError]:
        """See ports.Store. Nothing here is ever damaged."""
        return iter(())

    def figures(self) -> Figures:
        """See ports.Store."""
        return Figures(0, 0, 0)

    def drain(self) -> None:
        """See ports.Store. Nothing ever waits."""

    def close(self) -> None:
        """See ports.Store."""

    def _rows(self, table: Table[Any]) -> _Rows:
        rows = self._tables.get(table.name)
        if rows is None:
            rows = self._tables[table.name] = _Rows(table)
        return rows
