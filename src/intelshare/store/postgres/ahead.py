"""Steps that run ahead of the turn to write, and what makes them run again in it (decision 75).

Replicas that run together write in turns (``together``). A process runs its steps before it has the turn, on
the rows that it knows, and keeps of each what it has read and what it wants to write. In the turn, once the
process has followed the others, a step stands if nothing that it has read was written since; what it says
late is read and written then. Any other step is run again, as if it had not run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from intelshare.errors import StoreError
from intelshare.ports import Outrun, Plan, Row, Scalar, Table, View
from intelshare.store.layout import Key, stored
from intelshare.store.memory_table import Layer, MemoryRow, entry_of
from intelshare.store.postgres.views import PostgresWriting
from intelshare.store.row_tables import RowTable
from intelshare.store.views import Encoded

R = TypeVar("R", bound=Row)

STALE: Final = 1.0
"""Seconds after which a step does not stand: it went by the time of day."""


class _List(NamedTuple):
    """A list that was read, or counted."""

    table: Table[Any]
    order: str
    """An index, or "key"."""
    prefix: Sequence[Scalar]
    found: Sequence[Any] | None
    """The rows; None: they were counted."""


class Reads:
    """The keys and lists that a step has read, as it asked for them: hardly any of them is ever compared."""

    def __init__(self) -> None:
        self.keys: defaultdict[str, set[Sequence[Scalar]]] = defaultdict(set)
        """By table."""
        self.lists: list[_List] = []


class Since:
    """The rows that were written since steps ran ahead."""

    def __init__(self, tables: dict[str, RowTable]) -> None:
        self._tables = tables
        self._began = time.monotonic()
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)
        """By table."""
        self._rows: defaultdict[str, list[tuple[Key, MemoryRow | None]]] = defaultdict(list)
        """The same keys with all that was written of each, in order."""
        self._begins: dict[tuple[str, str, int], tuple[set[Key], int]] = {}
        """By table, order and number of fields: how entries begin of so many of these rows (``_may_differ``).
        """
        self.world = False
        """Something has changed by which every step goes."""

    def note_others(self, layer: Layer) -> None:
        """Others have committed this."""
        for name, memory in layer.tables.items():
            self._keys[name].update(memory.rows)
            self._rows[name] += memory.rows.items()

    def note(self, taken: Iterable[Encoded]) -> None:
        """A step of this group has written this and did not before, or the reverse."""
        for table, key, one in taken:
            self._keys[table.name].add(key)
            self._rows[table.name].append((key, one))

    def lets_stand(self, reads: Reads) -> bool:
        """Return true if a step would read the same now."""
        if self.world or time.monotonic() - self._began > STALE:
            return False
        for name, written in self._keys.items():
            asked = reads.keys.get(name, ())
            narrow = self._tables[name].layout.narrow
            if not written.isdisjoint(asked if narrow else map(_stored, asked)):
                return False
        return not any(one.table.name in self._keys and self._may_differ(one) for one in reads.lists)

    def _may_differ(self, one: _List) -> bool:
        """Return true if a row of a list was written, or has come into it: a step may have read thousands of
        lists, so that each is looked up and not compared with all that was written.
        """
        written, prefix, count = self._keys[one.table.name], _stored(one.prefix), len(one.prefix)
        if one.found is None:
            return one.order != "key" or any(key[:count] == prefix for key in written)
        if any(_stored(one.table.key_of(row)) in written for row in one.found):
            return True
        return prefix in self._beginnings(one.table.name, one.order, count)

    def _beginnings(self, name: str, order: str, count: int) -> set[Key]:
        rows, sql = self._rows[name], self._tables[name]
        found, done = self._begins.get((name, order, count), (set[Key](), 0))
        entries = [entry_of(sql, order, key, held) for key, held in rows[done:] if held is not None]
        found.update([entry[:count] for entry in entries if entry is not None])
        self._begins[name, order, count] = found, len(rows)
        return found


def _stored(values: Sequence[Scalar]) -> Key:
    return tuple(map(stored, values))


class Made(NamedTuple):
    """The plan of a step that ran ahead, encoded, and what it has read."""

    since: Since
    plan: Plan[Any]
    taken: list[Encoded]
    reads: Reads


class AheadWriting(PostgresWriting):
    """The rows that the process knows, and what the steps of the coming group have written."""

    def __init__(self, unbound: View, since: Since, *parts: Any) -> None:
        """``unbound``: the same without the group. ``parts`` as ``Writing``."""
        super().__init__(*parts)
        self.unbound = unbound
        self._since = since
        self._reads = Reads()
        self.made: Made | None = None
        """By the step that ran last, unless it failed."""

    def begin(self) -> None:
        """Another step runs."""
        self._reads, self.made = Reads(), None

    def take(self, plan: Plan[Any]) -> None:
        """See ``Writing``."""
        taken = self.encoded(plan.writes)
        self.put(taken)
        self.made = Made(self._since, plan, taken, self._reads)

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """See ports.View."""
        self._reads.keys[table.name].add(key)
        return super().get(table, *key)

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """See ports.View."""
        keys = [tuple(key) for key in keys]
        self._reads.keys[table.name].update(keys)
        return super().get_many(table, keys)

    def find(
        self,
        table: Table[R],
        index: str,
        *prefix: Scalar,
        after: Sequence[Scalar] = (),
        limit: int = 1000,
        damaged: list[StoreError] | None = None,
    ) -> list[R]:
        """See ports.View."""
        rows = super().find(table, index, *prefix, after=after, limit=limit, damaged=damaged)
        self._reads.lists.append(_List(table, index, prefix, rows))
        return rows

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """See ports.View."""
        self._reads.lists.append(_List(table, index, prefix, None))
        return super().count(table, index, *prefix)


class WritingInTurn(PostgresWriting):
    """The rows as they are in the turn, what earlier steps of the group have written included."""

    def __init__(self, since: Since, *parts: Any) -> None:
        super().__init__(*parts)
        self._since = since

    def take(self, plan: Plan[Any]) -> None:
        """See ``Writing``."""
        taken = self.encoded(plan.writes)
        self.put(taken)
        self._since.note(taken)

    def took(self, made: Made) -> bool:
        """Take what a step made ahead if it stands; False: it is to run again."""
        if made.since is not self._since:
            return False
        try:
            if self._since.lets_stand(made.reads):
                late = self.encoded(made.plan.late(self)) if made.plan.late is not None else []
                writes = self.writes
                self.put(made.taken)
                self.put(late)
                self.writes = writes  # they were counted when the group was made
                self._since.note(late)
                return True
        except (Outrun, StoreError):
            pass
        self._since.note(made.taken)  # later ones may have seen it
        return False
