"""The store in memory: the same contract, deterministic, without threads. For tests and the simulator."""

from __future__ import annotations

from bisect import bisect_left, insort
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

R = TypeVar("R", bound=Row)
A = TypeVar("A")

_Key = tuple[Scalar, ...]


_Entry = Callable[[Any], _Key | None]
"""Returns a row's entry in an index, or None if its flag is not set."""


class _Index:
    """One index of one table, compiled; or its key, in whose order every entry is a key."""

    __slots__ = ("entry", "key_of", "narrow")

    def __init__(self, layout: Layout, name: str) -> None:
        order = layout.order(name)
        self.entry: _Entry = layout.stored_fields(order)
        flag = layout.table.only.get(name)
        if flag is not None:
            self.entry = _flagged(self.entry, layout.stored_fields((flag,)))
        self.key_of = None if name == "key" else picker([order.index(field) for field in layout.table.key])
        """Returns the key of an entry; None if that is the entry itself."""
        self.narrow = layout.is_narrow(order)
        """True if its entries hold values as they are."""


def _flagged(entry: _Entry, flag: _Entry) -> _Entry:
    return lambda row: entry(row) if flag(row) == (1,) else None


class _Compiled:
    """One table, compiled once for all stores."""

    __slots__ = ("indexes", "layout", "narrow")

    def __init__(self, table: Table[Any]) -> None:
        self.layout = Layout(table)
        self.narrow = self.layout.narrow
        self.indexes = {name: _Index(self.layout, name) for name in ("key", *table.indexes)}


_compiled = lru_cache(maxsize=256)(_Compiled)


class _Rows:
    """One table: rows by key, and each index as a sorted list of (index fields, key fields).

    An index is made when somebody first reads by it.
    """

    __slots__ = ("compiled", "narrow", "orders", "others", "rows")

    def __init__(self, compiled: _Compiled) -> None:
        self.compiled = compiled
        self.narrow = compiled.narrow
        self.rows: dict[_Key, Any] = {}
        self.orders: dict[str, tuple[list[_Key], _Index]] = {}
        self.others: list[tuple[list[_Key], _Entry]] = []
        """The indexes made so far, except the key's."""

    def copy(self) -> _Rows:
        made = _Rows(self.compiled)
        made.rows = dict(self.rows)
        return made

    def put(self, key: _Key, row: Any) -> Any:
        """Return the row that was there."""
        old = self.rows.get(key)
        self.rows[key] = row
        if old is None and "key" in self.orders:
            insort(self.orders["key"][0], key)
        for entries, entry in self.others:
            new, before = entry(row), entry(old) if old is not None else None
            if before == new:
                continue
            if before is not None:
                del entries[bisect_left(entries, before)]
            if new is not None:
                insort(entries, new)
        return old

    def remove(self, key: _Key) -> Any:
        """Return the row that was there."""
        old = self.rows.pop(key, None)
        if old is not None:
            if "key" in self.orders:
                entries = self.orders["key"][0]
                del entries[bisect_left(entries, key)]
            for entries, entry in self.others:
                before = entry(old)
                if before is not None:
                    del entries[bisect_left(entries, before)]
        return old

    def order(self, name: str) -> tuple[list[_Key], _Index]:
        """Return an index, which is made if it is not there. Raises KeyError."""
        found = self.orders.get(name)
        if found is None:
            index = self.compiled.indexes[name]
            entries = sorted([made for made in map(index.entry, self.rows.values()) if made is not None])
            found = self.orders[name] = entries, index
            if name != "key":
                self.others.append((entries, index.entry))
        return found


def _span(entries: list[_Key], prefix: _Key, after: Sequence[Scalar]) -> tuple[int, int]:
    """Return where the entries lie that begin with ``prefix`` and come after ``after``."""
    low = bisect_left(entries, _behind((*prefix, *after)) if after else prefix)
    if low == len(entries) or entries[low][: len(prefix)] != prefix:
        return low, low
    return low, bisect_left(entries, _behind(prefix), low) if prefix else len(entries)


def _behind(begin: _Key) -> _Key:
    """Return the least key behind all that begin with these values."""
    *before, last = begin
    if isinstance(last, int):
        return (*before, last + 1)
    return (*before, last + "\0" if isinstance(last, str) else last + b"\0")


class _Tables(dict[Table[Any], _Rows]):
    """The rows of each table; none of a table that was never written."""

    def __missing__(self, table: Table[Any]) -> _Rows:
        made = self[table] = _Rows(_compiled(table))
        return made


class MemoryStore:
    """Rows in dictionaries. Each applied plan is a commit."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(self, plans: Iterable[Plan[Any]] = ()) -> None:
        self._tables = _Tables()
        self.commits = 0
        self.damage = Damage()
        """See ports.Store: nothing is ever met."""
        for plan in plans:
            self.apply(plan)

    @property
    def steps(self) -> int:
        """See ports.Store."""
        return self.commits

    def copy(self) -> MemoryStore:
        """Return a store with the same rows; what is written to one is not seen in the other."""
        made = MemoryStore()
        made._tables.update({table: rows.copy() for table, rows in self._tables.items()})
        return made

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        rows = self._tables[table]
        row: R | None = rows.rows.get(key if rows.narrow else tuple(map(stored, key)))
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
        rows = self._tables[table]
        entries, compiled = rows.orders.get(index) or rows.order(index)
        if not entries:
            return []
        if not compiled.narrow:
            prefix, after = tuple(map(stored, prefix)), tuple(map(stored, after))
        low, high = _span(entries, prefix, after)
        entries, found = entries[low : min(high, low + limit)], rows.rows
        if (key_of := compiled.key_of) is None:
            return [found[entry] for entry in entries]
        return [found[key_of(entry)] for entry in entries]

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        entries, compiled = self._tables[table].order(index)
        low, high = _span(entries, prefix if compiled.narrow else tuple(map(stored, prefix)), ())
        return high - low

    def apply(self, plan: Plan[Any]) -> list[Any]:
        """Carry out all of a plan's writes, or raise TypeError and carry out none.

        Returns for each write, in their order, the row that it replaced or removed; None if there was none.
        It also allows what no step may do: the simulator removes an erasable row whose commit was lost.
        """
        writes: list[tuple[_Rows, _Key, Any]] = []
        for write in plan.writes:
            rows = self._tables[write.table]
            if isinstance(write, Put):
                key, _ = rows.compiled.layout.record(write.row)
                writes.append((rows, key, write.row))
            else:
                writes.append((rows, rows.compiled.layout.check_key(write.key), None))
        self.commits += 1
        return [rows.remove(key) if row is None else rows.put(key, row) for rows, key, row in writes]

    def repeat(self, writes: Iterable[Put | Delete]) -> None:
        """Carry out writes that another store has carried out: its rows are known to be storable."""
        for write in writes:
            rows = self._tables[write.table]
            if isinstance(write, Put):
                rows.put(rows.compiled.layout.stored_key(write.row), write.row)
            else:
                rows.remove(rows.compiled.layout.check_key(write.key))

    def perform_now(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Durable[A]:
        """Do what ``perform`` does, without an event loop."""
        plan = step(self)
        for write in plan.writes:
            if isinstance(write, Delete):
                self._tables[write.table].compiled.layout.check_delete(write.key)
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
