"""A disk at the level of transactions: a crash leaves a prefix of the unsynced commits.

Overwritten or deleted data stays in the files, as in a write-ahead log, until the disk is shredded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from intelshare.broker.kernel.tables import PORTION, SECRET, TABLES
from intelshare.errors import RecordError, StoreError
from intelshare.ids import ManifestDigest
from intelshare.ports import Delete, Plan, Put, Scalar, View
from intelshare.store.memory import MemoryStore

Key = tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    undo: Plan[None]
    effect: Callable[[], None]


class _Checked:
    """A view that checks digests, as ``ports.View`` says. Only content can rot: rows of PORTION."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(
        self, view: View, rotten: Collection[ManifestDigest], damage: dict[Key, RecordError]
    ) -> None:
        self._view = view
        self._rotten = rotten
        self._damage = damage
        self.count = view.count

    def get(self, table: Any, *key: Any) -> Any:
        """See ports.View."""
        row = self._view.get(table, *key)
        if row is not None and self._is_bad(table, row):
            raise self._noted(table, row)
        return row

    def get_many(self, table: Any, keys: Any) -> Any:
        """See ports.View."""
        return [self.get(table, *key) for key in keys]

    def find(self, table: Any, *args: Any, damaged: list[StoreError] | None = None, **kwargs: Any) -> Any:
        """See ports.View."""
        rows = self._view.find(table, *args, **kwargs)
        bad = [self._noted(table, row) for row in rows if self._is_bad(table, row)]
        if damaged is not None:
            damaged += bad
        return [row for row in rows if not self._is_bad(table, row)]

    def _is_bad(self, table: Any, row: Any) -> bool:
        return table is PORTION and row.md in self._rotten

    def _noted(self, table: Any, row: Any) -> RecordError:
        key = table.key_of(row)
        what = f"a record of {table.name} does not match its digest"
        return self._damage.setdefault(key, RecordError(table.name, key, what))


class Disk:
    """The rows as the running process sees them, and a way back to what is durable."""

    def __init__(self, rows: Plan[None]) -> None:
        """Make a disk on which ``rows`` are durable from the beginning."""
        self._store = MemoryStore([rows])
        self._unsynced: list[_Commit] = []
        self.rotten: set[ManifestDigest] = set()
        """The bulletins whose content does not match its digest."""
        self.damage: dict[Key, RecordError] = {}
        """The damaged records that were met and not written since, by key."""
        self.remains: list[Any] = []
        """Rows with keys that were overwritten or deleted, and are still in the files."""

    @property
    def view(self) -> View:
        """The rows as the writer sees them: everything applied, synced or not."""
        return self._store

    @property
    def checked(self) -> View:
        """The same rows, with the digest of every record checked."""
        return _Checked(self._store, self.rotten, self.damage) if self.rotten else self._store

    def rot(self, md: ManifestDigest) -> None:
        """Make the content of this bulletin fail its digest from now on."""
        self.rotten.add(md)

    @property
    def commits(self) -> int:
        """The number of plans ever applied."""
        return self._store.commits

    @property
    def unsynced(self) -> int:
        """The number of commits that a crash may undo."""
        return len(self._unsynced)

    def apply(self, plan: Plan[Any], effect: Callable[[], None]) -> None:
        """Apply a plan; ``effect`` may happen once it is synced."""
        undo: list[Put | Delete] = []
        for write in plan.writes:
            table = write.table
            key = table.key_of(write.row) if isinstance(write, Put) else write.key
            old = self._store.get(table, *key)
            if table is PORTION and key[0] in self.rotten:
                self.rotten.discard(ManifestDigest(key[0]))
                self.damage = {one: error for one, error in self.damage.items() if one[0] != key[0]}
            undo.append(Delete(table, key) if old is None else Put(table, old))
            if table is SECRET and old is not None:
                self.remains.append(old)
        self._store.apply(plan)
        self._unsynced.append(_Commit(Plan(tuple(reversed(undo)), None), effect))

    def sync(self, count: int) -> list[Callable[[], None]]:
        """Make the first ``count`` commits durable; return their effects, in order."""
        done, self._unsynced = self._unsynced[:count], self._unsynced[count:]
        return [commit.effect for commit in done]

    def shred(self) -> None:
        """Remove everything overwritten from the files."""
        self.remains.clear()

    def crash(self, keep: int) -> None:
        """Lose power: the first ``keep`` unsynced commits happen to be durable, the rest is gone."""
        for commit in reversed(self._unsynced[keep:]):
            self._store.apply(commit.undo)
        self._unsynced = []

    def copy(self) -> Plan[None]:
        """Return all durable rows: a snapshot of the disk."""
        copy = MemoryStore([self._rows(self._store)])
        for commit in reversed(self._unsynced):
            copy.apply(commit.undo)
        return self._rows(copy)

    @staticmethod
    def _rows(store: MemoryStore) -> Plan[None]:
        return Plan(tuple(Put(t, row) for t in TABLES for row in store.find(t, "key", limit=1 << 30)), None)
