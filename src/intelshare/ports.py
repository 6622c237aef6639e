"""The port of the core to the outside world: a transactional store.

The store is deliberately small: rows are named tuples of ``int | str | bytes``, a ``Table`` defines which
fields are the key and in which orders it can be read, and a step's whole effect is one ``Plan`` that is
applied in one transaction or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from intelshare.errors import RecordError, StoreError

Row = NamedTuple
"""A row of a table. It is created in a fifth of the time of a frozen dataclass, and stored as it is."""

R = TypeVar("R", bound=Row)
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

Random = Callable[[int], bytes]
"""``random(n)`` returns n bytes that nobody can guess (in the simulator: bytes from a seed)."""

Scalar = int | str | bytes


def _values_at(places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    get = itemgetter(*places)
    return get if len(places) > 1 else lambda row: (get(row),)


def changed(row: R, **changes: Any) -> R:
    """Return the row with other values in some fields. Raises TypeError for a name that is not a field."""
    kind: Any = row.__class__
    choose = _choice(kind, tuple(changes))
    made: R = tuple.__new__(kind, choose((*row, *changes.values())))
    return made


@cache
def _choice(row: type[Row], names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the picker that builds the changed row from a row's values followed by the changed ones."""
    known = row._fields
    if not set(names) <= set(known):
        raise TypeError(f"{row.__name__} has no field {sorted(set(names) - set(known))[0]}")
    places = [len(known) + names.index(name) if name in names else place for place, name in enumerate(known)]
    return _values_at(places)


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[R]):
    """A kind of row: its named tuple, the fields of its key, and the orders in which it can be read.

    Each is made once, and is equal to itself alone.

    Integers are stored in 64 bits. A field that is an Incarnation, Instant or Sequence is a u64: values from
    2^63 on keep their value but sort first, so ``after=(0,)`` leaves out NEVER. Any other integer is a signed
    64-bit one.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    """For an index, the flag that its rows have at 1: rows that no list needs cost nothing."""
    erasable: bool = False
    """True if each row is a secret that can be erased: overwrite it with one of equal size, then ``shred``.

    A row of such a table is never deleted (TypeError) and has no index. Nothing of it is copied elsewhere.
    """
    bulk: bool = False
    """True if rows are large and looked up by key alone: the engine keeps them apart from the small ones."""

    key_of: Callable[[R], tuple[Scalar, ...]] = field(init=False, repr=False, compare=False)
    """Return the key of a row."""

    lasting: bool = False
    """True if rows are written once and seldom changed: the engine may keep old versions, sealed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_of", _values_at([self.row._fields.index(name) for name in self.key]))
        if self.indexes and (self.erasable or self.bulk):
            raise TypeError(f"table {self.name} is erasable or bulk: it is read by key alone")
        if self.only and self.lasting:
            raise TypeError(f"table {self.name} is lasting: its rows have no flag that changes")

    def columns(self) -> tuple[str, ...]:
        """Return the names of all fields, in the order of the row."""
        return self.row._fields


class Rows(Protocol):
    """A source of single rows: a view, or a transaction, which also sees what it has written."""

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """Return the row with this whole key."""


EVERY_ROW: Final = 1 << 30
"""The ``limit`` of a list that needs all rows, because it would be wrong without the last one."""


class View(Protocol):
    """The rows as they are inside the running transaction (or as last committed, for a query).

    Every read checks the record's digest. Reading by key raises ``RecordError``; a list goes on without it.
    """

    @property
    def unbound(self) -> View | None:
        """None: what is read stays so until the commit. Else the step runs ahead of its turn to write.

        Then what it has read here must still be so in the turn, or it is run again there. What it says again
        in the turn (``Plan.late``) is read in this view of the committed rows, which does not bind it.
        """

    def get(self, table: Table[R], *key: Scalar) -> R | None:
        """Return the row with this whole key."""

    def get_many(self, table: Table[R], keys: Iterable[Sequence[Scalar]]) -> list[R | None]:
        """Return the rows with these whole keys, each in the place of its key; None where there is none."""

    def find(
        self,
        table: Table[R],
        index: str,
        *prefix: Scalar,
        after: Sequence[Scalar] = (),
        limit: int = 1000,
        damaged: list[StoreError] | None = None,
    ) -> list[R]:
        """Return rows whose first index fields equal ``prefix``, ordered by the rest of the index, then key.

        ``index`` is a name of ``table.indexes`` or "key". For an index named in ``table.only`` the result
        holds only rows whose flag is 1. ``after`` has values for the index fields that follow the prefix,
        then the key's (as many as given); only rows strictly greater in those are returned. A row that does
        not match its digest is left out and noted (``Store.damage``), and the list goes on. ``damaged``
        collects a RECORD_CORRUPT for each such row, which then counts for ``limit``.
        """

    def count(self, table: Table[R], index: str, *prefix: Scalar) -> int:
        """Return how many rows ``find`` would return without a limit."""


class Delete(NamedTuple):
    """A row to remove, by its whole key; it need not exist. Only erasable rows are erased for good."""

    table: Table[Any]
    key: tuple[Scalar, ...]


class Put(NamedTuple):
    """A row to insert, or to replace if its key exists."""

    table: Table[Any]
    row: Any


class Outrun(Exception):
    """A step that ran ahead of its turn is to run again in it: others have written meanwhile, or it must."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[A_co]):
    """All that a step wants: writes for one transaction, and the answer that may be given after it."""

    writes: tuple[Put | Delete, ...]
    answer: A_co
    last: bool = False
    """No later step shares its commit: its changes in memory must be made before a later one runs."""
    damaged: tuple[str, ...] = ()
    """The damaged records that the step left out, by table and key: an operator is told."""
    late: Callable[[View], tuple[Put | Delete, ...]] | None = None
    """Of a step that ran ahead: returns, in the turn to write, the writes that rest on rows which it has read
    unbound. It changes nothing, and raises ``Outrun``.
    """


_MADE_BY_COMMIT = object()


class Durable(Generic[A_co]):
    """An answer whose writes survive loss of power. Only a store's commit makes one.

    Frames and answers to clients take ``Durable`` values: no signature and no OK leaves before the state that
    makes it true is on disk (promises P1, P5, P7).
    """

    __slots__ = ("value",)

    def __init__(self, value: A_co, proof: object) -> None:
        if proof is not _MADE_BY_COMMIT:
            raise TypeError("only a store's commit makes a Durable value")
        self.value: A_co = value

    def part(self, pick: Callable[[A_co], A]) -> Durable[A]:
        """Return a part of the answer, which is as durable as the whole."""
        return Durable(pick(self.value), _MADE_BY_COMMIT)


def durable_after_commit(value: A) -> Durable[A]:
    """For store adapters, after their commit has returned; a test ensures that no other module imports it."""
    return Durable(value, _MADE_BY_COMMIT)


@dataclass(frozen=True, slots=True)
class Figures:
    """The amounts that a store has moved since it was opened, and has still to move, for ``doctor``."""

    journalled: int
    """The bytes of sealed groups."""
    flushed: int
    """The rows written from memory into their tables."""
    waiting: int
    """The bytes of rows in memory that are not in their tables yet."""
    most_waiting: int = 0
    """The bytes of such rows at which a full disk has steps refused; 0: there is no bound."""
    steps_waiting: int = 0
    """The steps that wait for the writer."""
    followed: float | None = None
    """The seconds since this process knew all that others had committed; None: it writes alone."""


JOURNAL: Final = "journal"
"""The table of a RecordError about a group of rows that only the store knows (its key is its number)."""

CHUNK: Final = "chunk"
"""The same of a chunk that was brought back: a commit while it is known (``Damaged``) writes it again."""


PAGE: Final = "page"
"""The same of a page of the file in which a start has put one changed byte right (its key is its number)."""


class Damaged(Protocol):
    """The records of a store that were met damaged and are not settled. For any thread."""

    def note(self, error: RecordError) -> None:
        """A record was met that is not as it was written."""

    def follow(self, tell: Callable[[RecordError], None]) -> None:
        """Call this for what is known, and from now on once for each that is met, in any thread."""

    def known(self) -> tuple[RecordError, ...]:
        """Return the records that were found damaged and are not settled."""

    def forget(self, table: str, key: tuple[Scalar, ...]) -> None:
        """Remove a record. A store does so itself when a commit has written or deleted it; others do for what
        the store had brought back, and for what another process has committed.
        """


class NoMoreStepsError(RuntimeError):
    """The store was drained: the process ends, and what it would have written is left to the next start."""


class Store(Protocol):
    """A transactional store with one writer. ``tests/integration/test_store.py`` states its promises.

    A second process that opens the same store takes it over: from then on every commit of the first one fails
    with StoreError DATA_LOCKED.
    """

    @property
    def damage(self) -> Damaged:
        """The records that were found damaged since the store was opened."""

    @property
    def commits(self) -> int:
        """The number of transactions committed since it was opened."""

    @property
    def steps(self) -> int:
        """The number of steps in those transactions, including those that raised."""

    def perform(
        self, step: Callable[[View], Plan[A]], then: Callable[[A], None] | None = None
    ) -> Awaitable[Durable[A]]:
        """Run ``step`` in the writer, apply its plan, commit durably, then resolve.

        Steps run one after the other; several may share one commit. A step that raises, or whose plan holds a
        row that cannot be stored (TypeError), changes nothing, and only its caller gets the error. On a full
        disk a step may be run again: it must do nothing but return a plan. ``then`` runs only for a plan that
        is ``last``, right after the commit and before any later step: with it, what the core holds in memory
        (world, trust) never differs from what is durable; if it raises, the store stops with DISK_ERROR.

        Raises StoreError DISK_FULL (nothing changed, try again later), DISK_ERROR (stop the process).
        """

    async def query(self, question: Callable[[View], A]) -> A:
        """Run a query on the committed rows; it changes nothing.

        The whole query sees one state, and no commit waits for it.
        """

    def scrub(self) -> Iterator[StoreError]:
        """Read every row again: a RECORD_CORRUPT for each that is not as it was written. In any thread; it
        ends with ``drain``.
        """

    def ask_now(self, question: Callable[[View], A]) -> A:
        """Run a query for a caller that cannot wait yet. Only an engine in this process can offer it."""

    def shred(self) -> Awaitable[None]:
        """Resolve once nothing that was overwritten in erasable tables before this call is kept anywhere.

        The engine decides how it erases. Only after this may a node sign that something is destroyed (crash
        point c16). Waits for readers that still look at older rows. Raises what ``perform`` raises.
        """

    def figures(self) -> Figures:
        """Return the figures since the store was opened."""

    def drain(self) -> None:
        """Accept no more steps (NoMoreStepsError), and return once all accepted ones are carried out.
        Idempotent.

        Nothing is written after this; queries are still answered. May take as long as the disk is slow.
        """

    def close(self) -> None:
        """Drain, and release everything. Idempotent."""
