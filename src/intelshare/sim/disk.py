"""A disk at the level of transactions: a crash leaves a prefix of the unsynced commits.

Overwritten or deleted data stays in the files, as in a write-ahead log, until the disk is shredded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeVar

from intelshare.broker.kernel.tables import BULLETIN, PORTION, RECEIVED, SECRET
from intelshare.broker.lifecycle.mend import MendResult
from intelshare.errors import RecordError, StoreError
from intelshare.ids import LeafId, ManifestDigest
from intelshare.ports import Delete, Plan, Put, Row, Scalar, Table, View
from intelshare.store.memory import MemoryStore

R = TypeVar("R", bound=Row)

Place = tuple[str, tuple[Scalar, ...]]
"""Table and key of a row."""


ROTS: Final[tuple[Table[Any], ...]] = (BULLETIN, PORTION)
"""The tables whose rows may rot."""


class _Commit(NamedTuple):
    plan: Plan[Any]
    effect: Callable[[], None]
    wrote_over: frozenset[Place]
    """The damaged records that it has replaced or deleted."""


def _place(write: Put | Delete) -> Place:
    return write.table.name, write.table.key_of(write.row) if isinstance(write, Put) else write.key


def _released(plan: Plan[Any]) -> list[LeafId]:
    """Return the digests of the received statements that a plan deletes."""
    gone = [write.key for write in plan.writes if write.table is RECEIVED and isinstance(write, Delete)]
    return [LeafId(leaf) for _, leaf in gone if isinstance(leaf, bytes)]


class _Checked:
    """A view that checks digests, as ``ports.View`` says."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(self, view: View, rotten: Collection[Place], damage: dict[Place, RecordError]) -> None:
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
        return (table.name, table.key_of(row)) in self._rotten

    def _noted(self, table: Any, row: Any) -> RecordError:
        place = table.name, table.key_of(row)
        what = f"a record of {table.name} does not match its digest"
        return self._damage.setdefault(place, RecordError(*place, what))


class Disk:
    """The rows as the running process sees them, and as a loss of power now would leave them at worst."""

    def __init__(
        self, rows: MemoryStore, rotten: Collection[Place] = (), mended: Counter[LeafId] | None = None
    ) -> None:
        """Make a disk on which ``rows`` are durable from the beginning; those in ``rotten`` places are
        damaged. ``mended`` counts each received release when a commit is durable that has forgotten it in
        order to ask for it again.
        """
        self._synced = rows.copy()
        self._store = rows.copy()
        self._unsynced: list[_Commit] = []
        self._mended = Counter[LeafId]() if mended is None else mended
        self.commits = 0
        """The number of plans ever applied."""
        self.rotten: set[Place] = set(rotten)
        """The rows that do not match their digest."""
        self.damage: dict[Place, RecordError] = {}
        """The damaged records that the running process has met, and not written or deleted since."""
        self.remains: list[Any] = []
        """Rows with keys that were overwritten or deleted, and are still in the files."""
        self.schema = 0
        """1: its rows were migrated by a newer version, which keeps up ``kept``."""
        self.kept = 0
        """The rows of the log, as each commit of the newer version has counted them."""
        self.left: list[Any] = []
        """Rows with keys that the place still has where all rows were before: a planted bug."""

    @property
    def view(self) -> View:
        """The rows as the writer sees them: everything applied, synced or not."""
        return self._store

    @property
    def durable(self) -> View:
        """The rows as a question sees them: what is synced, and nothing else (see ``ports.Store``)."""
        return self._synced

    @property
    def checked(self) -> View:
        """The rows as the writer sees them, with the digest of every record checked."""
        return self.check(self._store)

    def check(self, view: View) -> View:
        """Return rows that somebody has read of this disk, with the digest of every record checked."""
        return _Checked(view, self.rotten, self.damage) if self.rotten else view

    def rot(self, table: Table[Any], md: ManifestDigest) -> None:
        """Make the rows of this bulletin fail their digest from now on."""
        self.rotten.update([(table.name, table.key_of(row)) for row in self._store.find(table, "key", md)])

    def is_rotten(self, md: ManifestDigest) -> bool:
        """Return True if a row of this bulletin does not match its digest."""
        return any(key[0] == md for _, key in self.rotten)

    def durably_rotten(self) -> frozenset[Place]:
        """Return those of the durable rows that are damaged."""
        return frozenset(self.rotten).union(*(commit.wrote_over for commit in self._unsynced))

    def scrub(self) -> None:
        """Meet every damaged record, as when an operator lets a node read all of them."""
        for table in ROTS if self.rotten else ():
            self.checked.find(table, "key", limit=1 << 30)

    @property
    def unsynced(self) -> int:
        """The number of commits that a crash may undo."""
        return len(self._unsynced)

    def apply(self, plan: Plan[Any], effect: Callable[[], None]) -> None:
        """Apply a plan; ``effect`` may happen once it is synced."""
        before = self._store.apply(plan)
        self.commits += 1
        wrote_over: set[Place] = set()
        for write, old in zip(plan.writes, before, strict=True):
            if write.table is SECRET and old is not None:
                self.remains.append(old)
            if self.rotten and (place := _place(write)) in self.rotten:
                self.rotten.discard(place)
                wrote_over.add(place)
            if self.damage:
                self.damage.pop(_place(write), None)
        self._unsynced.append(_Commit(plan, effect, frozenset(wrote_over)))

    def sync(self, count: int) -> list[Callable[[], None]]:
        """Make the first ``count`` commits durable; return their effects, in order."""
        done, self._unsynced = self._unsynced[:count], self._unsynced[count:]
        for commit in done:
            self._synced.repeat(commit.plan.writes)
            if isinstance(commit.plan.answer, MendResult):
                # Here and not among the effects: a crash may keep the commit, and nobody hears of it.
                self._mended.update(_released(commit.plan))
        return [commit.effect for commit in done]

    def shred(self) -> None:
        """Remove everything overwritten from the files."""
        self.remains.clear()

    def crash(self, keep: int) -> None:
        """Lose power: the first ``keep`` unsynced commits happen to be durable, the rest is gone."""
        self.sync(keep)
        self.rotten = set(self.durably_rotten())
        if self._unsynced:
            self._unsynced, self._store = [], self._synced.copy()
        self.damage.clear()

    def copy(self) -> MemoryStore:
        """Return all durable rows: a snapshot of the disk."""
        return self._synced.copy()
