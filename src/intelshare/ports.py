"""What the core asks of the world outside: a transactional store and a vault.

The store is deliberately small: rows are named tuples of ``int | str | bytes``, a ``Table``
says which fields are the key and which orders can be asked for, and a step's whole effect is one
``Plan`` that is applied in one transaction or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from intelshare.errors import StoreError

if TYPE_CHECKING:
    from intelshare.crypto.suites import Signer
    from intelshare.envelope import SealingKeyHeld
    from intelshare.ids import KeyId

Row = NamedTuple
"""What a table holds. Made in a fifth of the time of a frozen dataclass, and stored as it is."""

R = TypeVar("R", bound=Row)
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

Random = Callable[[int], bytes]
"""``random(n)`` gives n bytes that nobody can guess (the simulator: that a seed gives)."""

Scalar = int | str | bytes


def _values_at(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    get = itemgetter(*places)
    return get if len(places) > 1 else lambda row: (get(row),)


def changed(row: R, **changes: Any) -> R:
    """The row with other values in some fields. Raises TypeError for the name of no field."""
    kind: Any = row.__class__
    choose = _choice(kind, tuple(changes))
    made: R = tuple.__new__(kind, choose((*row, *changes.values())))
    return made


@cache
def _choice(row: type[Row], names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Of the values of a row and the changed ones behind them those of the changed row."""
    known = row._fields
    if not set(names) <= set(known):
        raise TypeError(f"{row.__name__} has no field {sorted(set(names) - set(known))[0]}")
    places = [len(known) + names.index(name) if name in names else place for place, name in enumerate(known)]
    return _values_at(places)


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """A kind of row: its named tuple, the fields of its key, and the orders in which it can be read.

    Integers are stored in 64 bits. A field that is an Incarnation, Instant or Sequence is a u64: 2^63 and
    more keep their value but sort first, so ``after=(0,)`` leaves out NEVER. Any other is a signed 64-bit.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    """Of an index the flag that a row must have at 1 to stand in it: what no list asks for costs nothing."""
    erasable: bool = False
    """Each row is a secret that can be erased for good: overwrite it by one of the same size, then ``shred``.

    A row of such a table is never deleted (TypeError) and has no index. Nothing of it is copied elsewhere.
    """
    bulk: bool = False
    """Rows are large and looked up by key alone: the engine keeps them apart from the small ones."""

    key_of: Callable[[R], tuple[Scalar, ...]] = field(init=False, repr=False, compare=False)
    """The key of a row."""

    lasting: bool = False
    """Rows are written once, and seldom replaced or deleted: the engine may keep what was, sealed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_of", _values_at([self.row._fields.index(name) for name in self.key]))
        if self.indexes and (self.erasable or self.bulk):
            raise TypeError(f"table {self.name} is erasable or bulk: it is read by key alone")
        if self.only and self.lasting:
            raise TypeError(f"table {self.name} is lasting: its rows have no flag that changes")

    def columns(self) -> tuple[str, ...]:
        """Names of all fields, in the order of the row."""
        return self.row._fields


class Rows(Protocol):
    """Whatever can be asked for one row: a view, or a transaction, which sees what it has written too."""

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """The row with this whole key."""


class View(Protocol):
    """The rows as they are inside the running transaction (or as last committed, for a query).

    Every read checks the record's digest and raises ``StoreError`` RECORD_CORRUPT naming table and key.
    """

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """The row with this whole key."""

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """The rows with these whole keys, each in the place of its key; None where there is none."""

    def find(
        self,
        table: Table[R],
        index: str,
        *prefix: Scalar,
        after: Sequence[Scalar] = (),
        limit: int = 1000,
        damaged: list[StoreError] | None = None,
    ) -> list[R]:
        """Rows whose first index fields equal ``prefix``, in the order of the rest of the index, then key.

        ``index`` is a name of ``table.indexes`` or "key". Of an index that ``table.only`` names it gives the
        rows whose flag is 1. ``after``: values for the index fields that
        follow the prefix, then the key's (as many as given); only rows strictly greater in those are
        returned. ``damaged``: takes a RECORD_CORRUPT for each row that does not match its digest, which is
        left out (and counts for ``limit``); without it the first one is raised.
        """

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """How many rows ``find`` would give without a limit."""


class Delete(NamedTuple):
    """A row to remove, by its whole key; absent is fine. Only erasable rows are erased for good."""

    table: Table[Any]
    key: tuple[Scalar, ...]


class Put(NamedTuple):
    """A row to insert, or to replace where its key exists."""

    table: Table[Any]
    row: Any


@dataclass(frozen=True, slots=True)
class Plan(Generic[A_co]):
    """All that a step wants: writes for one transaction, and the answer that may be given after it."""

    writes: tuple[Put | Delete, ...]
    answer: A_co
    last: bool = False
    """No later step shares its commit: what it changes in memory must be there before that one runs."""
    damaged: tuple[str, ...] = ()
    """Damaged records that the step left out, by table and key: an operator is told."""


_MADE_BY_COMMIT = object()


class Durable(Generic[A_co]):
    """An answer whose writes survive loss of power. Only a store's commit makes one.

    Frames and answers to clients take ``Durable`` values: no signature and no OK leaves before the
    state that makes it true is on disk (promises P1, P5, P7).
    """

    __slots__ = ("value",)

    def __init__(self, value: A_co, proof: object) -> None:
        if proof is not _MADE_BY_COMMIT:
            raise TypeError("only a store's commit makes a Durable value")
        self.value: A_co = value

    def part(self, pick: Callable[[A_co], A]) -> Durable[A]:
        """A part of the answer is as durable as the whole."""
        return Durable(pick(self.value), _MADE_BY_COMMIT)


def durable_after_commit(value: A) -> Durable[A]:
    """For store adapters, after their commit returned; a test holds that nobody else imports it."""
    return Durable(value, _MADE_BY_COMMIT)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a store has moved since it was opened, and what it still has to move: for ``doctor``, metrics."""

    journalled: int
    """Bytes of sealed groups."""
    flushed: int
    """Rows written from memory into their tables."""
    waiting: int
    """Bytes of rows in memory that are not in their tables yet."""


class Store(Protocol):
    """A transactional store with one writer. See ``tests/integration/test_store.py`` for its promises.

    A second process that opens the same store takes it over: from then on every commit of the first one fails
    with StoreError DATA_LOCKED.
    """

    @property
    def commits(self) -> int:
        """Transactions committed since it was opened."""

    @property
    def steps(self) -> int:
        """Steps that those transactions held, those that raised included."""

    def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Awaitable[Durable[A]]:
        """Run ``step`` in the writer, apply its plan, commit durably, then resolve.

        Steps run one after the other; several may share one commit. A step that raises, or whose plan holds
        a row that cannot be stored (TypeError), changes nothing and its error is the caller's alone. On a
        full disk a step may be run again: it must do nothing but return a plan. ``then`` runs only for
        a plan that is ``last``, right after the commit and before any later step: with it, what the core
        holds in memory (world, trust) never differs from what is durable; if it raises, the store stops with
        DISK_ERROR.
        Raises StoreError DISK_FULL (nothing changed, try again later), DISK_ERROR (stop the process).
        """

    async def query(self, question: Callable[[View], A]) -> A:
        """Ask something of the committed rows; changes nothing.

        All of a question sees one state, and no commit waits for it.
        """

    def ask_now(self, question: Callable[[View], A]) -> A:
        """``query`` for a caller that cannot wait yet. Only an engine in this process can offer it."""

    def shred(self) -> Awaitable[None]:
        """Resolve once what was overwritten in erasable tables before this call is kept nowhere any more.

        How the engine erases is its own affair. Only after this may it be signed that something is destroyed
        (crash point c16). Waits for readers that still look at older rows. Raises what ``perform`` raises.
        """

    def figures(self) -> Figures:
        """What the store has done since it was opened."""

    def drain(self) -> None:
        """Take no more steps, and return once all that were taken are carried out. Idempotent.

        Nothing is written after this; questions are still answered. May take as long as the disk is slow.
        """

    def close(self) -> None:
        """Drain, and release everything. Idempotent."""


class Vault(Protocol):
    """Private keys, wherever they live: what it gives can sign and open, and never shows a secret.

    The exception is the storage key, because everything at rest passes under it.
    """

    def signer(self, key_id: KeyId) -> Signer:
        """The signer of a signing, directory or root key. Raises VaultError NOT_FOUND."""

    def sealing_keys(self) -> Mapping[KeyId, SealingKeyHeld]:
        """All sealing keys that can still open, for ``envelope.Opener``."""

    def retired(self) -> Collection[KeyId]:
        """Ids of sealing keys that were ours and are destroyed."""

    def storage_key(self) -> bytes:
        """The 32 bytes for ``crypto.rest``. Raises VaultError NOT_FOUND."""
