"""One schema that several processes write, in turns of one commit (decision 67).

A commit takes the turn, which is a lock of its transaction; reads the groups that others have committed
since; takes what its steps made ahead of the turn, or runs them on what is there now (``ahead``); and ends
the turn by its COMMIT. So steps are as serial as with one process, and nobody can write who has lost its
session. Between commits a process follows the others, told by NOTIFY.

One of them leads (a lock of its session): only it moves rows into their tables and erases. The others drop
from memory what it has moved. Links are divided among them, by other locks of their sessions (``Claim``).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from intelshare.errors import StoreError
from intelshare.ports import Durable, Table, durable_after_commit
from intelshare.store import journal
from intelshare.store.grouped import FLUSH_BYTES
from intelshare.store.journal import DamagedGroup
from intelshare.store.layered import LayeredDatabase
from intelshare.store.layout import Key, digest, picker
from intelshare.store.memory_table import Layer
from intelshare.store.postgres.ahead import AheadWriting, Since, WritingInTurn
from intelshare.store.postgres.connection import PostgresConnection
from intelshare.store.postgres.database import Moved, PostgresDatabase
from intelshare.store.postgres.lease import (
    TURN,
    Division,
    Links,
    begin_turn,
    open_to_others,
    took_lead,
    took_together,
)
from intelshare.store.postgres.schema import newer
from intelshare.store.row_tables import Kept
from intelshare.store.server import Server
from intelshare.store.sql import Connection
from intelshare.store.views import Reading, Writing

A = TypeVar("A")

ATTEMPTS: Final = 40
"""Times that a question is asked again because rows were moved meanwhile."""

_PAUSE: Final = 0.05
"""Seconds for which such a question waits for its process to follow."""

LOOK: Final = 0.5
"""Seconds after which a process looks what others did, who leads, and which links they hold."""

_LEAD: Final = 0.4
"""Seconds between two attempts to lead."""

GIVEN_UP: Final = "links"
"""Notified besides commits: a process has given up links, and others may take them."""

_NEWS: Final = """\
SELECT name, value, 0, ''::bytea, ''::bytea, ''::bytea FROM store_state
UNION ALL SELECT '', id, epoch, digest, sealed, parity FROM journal WHERE id > ?"""
"""The state, and the groups after one: of one moment, in one question."""

_GIVEN: Final = "UPDATE store_state SET value = ? WHERE name = 'chunks'"
"""The last number of a chunk: others remember chunks that are gone by now, and follow some of which they
never learn."""

_MOVED_SOON: Final = (
    "the replica that leads has these rows, and moves them into their tables once it is idle, or when it is "
    "stopped in order: then start this one again"
)
_NOTIFY: Final = "/* told at the commit */ SELECT pg_notify('intelshare.' || ?, '')"
_TELL: Final = "SELECT pg_notify('intelshare.' || ?, ?)"


@dataclass(frozen=True, slots=True)
class Claim:
    """The links that this process wants to hold (decision 80)."""

    members: frozenset[str]
    """All that are divided."""
    hold: frozenset[str]
    call: frozenset[str]
    """The members that others are to give up."""
    part: bool
    """It takes part."""


class Followed:
    """Groups that other processes have committed."""

    def __init__(self, layer: Layer, newest: Layer) -> None:
        """``newest``: the layer in which readers find these rows, unless they were moved meanwhile."""
        self._layer = layer
        self._newest = newest

    @staticmethod
    def durable(value: A) -> Durable[A]:
        """Return a value that was taken from these groups: they are committed."""
        return durable_after_commit(value)

    def touch(self, *tables: Table[Any]) -> bool:
        """Return true if a row of one of these tables was written."""
        return any(table.name in self._layer.tables for table in tables)

    def keys(self, table: Table[Any]) -> list[Key]:
        """Return the keys of the rows that were written or deleted, as they are stored."""
        memory = self._layer.tables.get(table.name)
        return list(memory.rows) if memory is not None else []

    def gone(self, table: Table[Any]) -> list[Key]:
        """Return the keys of the rows that were deleted, as they are stored."""
        memory = self._layer.tables.get(table.name)
        return memory.gone() if memory is not None else []

    def fields(self, table: Table[Any], *names: str) -> list[Key]:
        """Return these fields of the rows that were written, which have columns, as they are stored."""
        memory = self._layer.tables.get(table.name)
        if memory is None:
            return []
        of = picker([memory.sql.columns.index(name) for name in names])
        return [of(one.columns) for one in memory.rows.values() if one is not None]

    def rows(self, table: Table[Any]) -> list[Any]:
        """Return the rows that were written, of a table that has its records in place."""
        memory = self._layer.tables.get(table.name)
        if memory is None:
            return []
        made = self._newest.tables.get(table.name, memory).made
        return [made(key, one) for key, one in memory.rows.items() if one is not None]


class SharedDatabase(PostgresDatabase):
    """An open schema that others may write too. ``close`` it."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        name: str,
        tables: Sequence[Table[Any]],
        key: bytes,
        writer: PostgresConnection,
        *,
        first: bool,
        version: int,
        accept_loss: bool = False,
    ) -> None:
        """``first``: nobody else has the schema open, and ``writer`` has it alone until ``share``: only then
        ``accept_loss`` counts.

        ``version``: of the schema that this program knows; one who knows more may migrate meanwhile.
        """
        self._alone = first
        self._begun = False
        self._version = version
        self._shared = not first
        self.leads = False
        """This process moves rows and erases."""
        self.behind = False
        """Others have committed since this process looked."""
        self.followed_at = time.monotonic()
        """When this process last knew all that others had committed."""
        self.followed: Callable[[Followed], bool] = lambda _: False
        """Called by the writer, before its next step, with what others have committed; returns true if
        something has changed by which every step goes.
        """
        self.undone: Callable[[], None] = lambda: None
        """Called by the writer after steps that were not committed."""
        self._flushed = self._erased = 0
        self._sealed = b""
        self.claimed: Claim | None = None
        """Carried out at each look; None: nothing is divided yet."""
        self.divided: Callable[[Division, frozenset[str]], None] = lambda *_: None
        """Called by the writer with what all hold, and with what this process does."""
        self.tells: deque[str] = deque()
        """Words for the other processes that were not sent yet."""
        self.division_is_due = False
        """Others have given up links since this process looked."""
        self._links = Links(server.schema)
        self._carried_out: Claim | None = None
        self._divided_at = self._lead_at = 0.0
        self._since: Since | None = None
        """Steps run ahead of the coming turn, or have."""
        self._came_up = threading.Condition()
        super().__init__(server, folder, name, tables, key, writer, accept_loss=accept_loss and first)
        self._begun = True

    def _begin(self) -> None:
        if self._alone:
            super()._begin()
            self._read_state()
            return
        self._writer.execute("BEGIN")  # one snapshot of all
        try:
            self._check_version(self._state("schema"))
            LayeredDatabase._begin(self)
            self._read_state()
        except DamagedGroup as error:
            error.hint = _MOVED_SOON
            raise
        finally:
            self._writer.execute("ROLLBACK")
        self._open_keys()

    def _write_back(self, mended: Iterable[tuple[int, bytes]]) -> None:
        if self._alone:  # those that run have these rows, and move them
            super()._write_back(mended)

    def _read_state(self) -> None:
        self._changes, self._flushed = self._state("changes"), self._state("flushed")
        self._erased = self._state("erased")
        self._chunks.used(self._state("chunks"))

    def _take_over(self) -> int:
        return super()._take_over() if self._alone else self._state("epoch")

    # --- questions ----------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Reading], A]) -> A:
        """See ``PostgresDatabase``."""
        for _ in range(ATTEMPTS):
            changes = self._changes
            try:
                with self.looking(at_once=False) as view:
                    return question(view)
            except Moved:
                self.behind = True
                with self._came_up:
                    self._came_up.wait_for(lambda: self._changes != changes, _PAUSE)  # noqa: B023
        raise self.unavailable()

    def begun(self, since: int) -> PostgresConnection:
        """See ``PostgresDatabase``."""
        connection, state = self._snapshot(since)
        if state["changes"] != since:
            self.ended(connection)
            raise Moved
        return connection

    def moved(self) -> None:
        """See ``PostgresDatabase``."""
        raise Moved

    @property
    def session(self) -> int:
        """The server's number of the session that writes."""
        return self._writer.raw.info.backend_pid

    # --- turns --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Have the turn, and know all that was committed before. It is rolled back on an error."""
        if not self._begun:  # who writes while it opens is alone
            with super()._transaction():
                yield
            return
        self._take_turn()
        try:
            yield
        except BaseException:
            self.undone()
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with contextlib.suppress(*self.errors):
                self._writer.execute("ROLLBACK")

    def _take_turn(self) -> None:
        try:
            begin_turn(self._writer, self._server.schema, self.follow)
        except BaseException:
            self._roll_back()
            raise

    def follow(self) -> None:
        """Take in what others have committed. Raises StoreError, psycopg.Error."""
        self.behind = False
        news = self._writer.execute(_NEWS, (self._last,)).fetchall()
        state = {name: int(value) for name, value, *_ in news if name}
        if state["epoch"] != self._epoch or state["last"] < self._last:
            raise StoreError(
                "DATA_LOCKED",
                "another process has taken this database over",
                hint="this one stops; its service manager starts it again",
            )
        self._check_version(state["schema"])
        layer = None
        if state["last"] > self._last:
            layer = self._layer()
            groups = sorted(group for name, *group in news if not name)
            journal.follow(groups, self._key, self._tables, layer, self._last, state["last"])
            self._count_places(layer)
        self._chunks.used(state["chunks"])
        if state["erased"] != self._erased:
            # Rows of the present group stand elsewhere by now, and its key ends.
            self._erased = state["erased"]
            self.keys.end_group()
            self.keys.forget()
        with self._showing:
            if layer is not None:
                self._show(layer)
                self._last = state["last"]
            self._changes = state["changes"]
        if not self.leads:
            self._drop_moved(state["flushed"])
        self._flushed = state["flushed"]
        self.followed_at = time.monotonic()
        with self._came_up:
            self._came_up.notify_all()
        if layer is not None:
            world = self.followed(Followed(layer, self._fresh[0]))
            if self._since is not None:
                self._since.note_others(layer)
                self._since.world |= world

    def _check_version(self, found: int) -> None:
        if found != self._version:
            raise newer(self._server.schema, found, self._version)

    def _count_places(self, layer: Layer) -> None:
        """Note the places of erasable rows, so that later ones get others."""
        for name, memory in layer.tables.items():
            if memory.sql.kept is Kept.APART:
                last = max([one.place for one in memory.rows.values() if one is not None], default=0)
                self._next[name] = max(self._next[name], last + 1)

    def _drop_moved(self, flushed: int) -> None:
        """Drop from memory what the one who leads has moved."""
        if self._flush is not None and flushed >= self._flush.upto:
            moved, self._flush = self._flush, None
            moved.learn()
            with self._showing:
                self._filled = {**self._filled, **moved.filled}
                self._layers = tuple(self._fresh)
        if self._flush is None and (flushed > self._flushed or super().fresh >= FLUSH_BYTES):
            super().begin_flush()  # of those that wait here: nothing is written

    def _may_be_below(self, name: str, key: Key) -> bool:
        """Anything may be: another process may have moved the row, and ended before it said so."""
        del name, key
        return True

    # --- what only the one who leads does -----------------------------------------------------------------

    @property
    def flushing(self) -> bool:
        """See ``LayeredDatabase``."""
        return self.leads and super().flushing

    @property
    def holds_rows(self) -> bool:
        """See ``LayeredDatabase``."""
        return self.leads and super().holds_rows

    @property
    def fresh(self) -> int:
        """See ``LayeredDatabase``."""
        return super().fresh if self.leads else 0

    def begin_flush(self) -> None:
        """See ``LayeredDatabase``."""
        if self.leads and self._flush is None:
            super().begin_flush()
        if self.leads and self._flush is not None:
            # Who lags may read for one more flush what this one makes good.
            self._flush.delete = self._flushed

    def share(self) -> None:
        """Let others join soon: this process has done what only the first one does. In any thread."""
        self._alone = False

    @property
    def is_due(self) -> bool:
        """There is something to ``look`` for at once."""
        claims = self.claimed is not None and (self.division_is_due or self.claimed is not self._carried_out)
        return self.behind or claims or bool(self.tells)

    def look(self) -> bool:
        """Follow, and try to lead; return true if this process does from now on.

        Raises StoreError, psycopg.Error.
        """
        self.follow()
        if not self._alone and not self._shared:
            self._shared = True
            open_to_others(self._writer, self._server.schema)
        while self.tells:
            self._writer.execute(_TELL, (self._server.schema, self.tells.popleft())).fetchall()
        self._divide()
        now = time.monotonic()
        if self.leads or now < self._lead_at:
            return False
        # Nobody says so who has ended, so there is no reason to try at every commit of others.
        self._lead_at = now + _LEAD
        if not took_lead(self._writer, self._server.schema):
            return False
        self._end_unused()
        self.leads = True
        return True

    def _divide(self) -> None:
        """Carry out the claim, and say what all hold now."""
        claim, now = self.claimed, time.monotonic()
        changed = claim is not self._carried_out
        if claim is None or not (changed or self.division_is_due or now - self._divided_at >= LOOK):
            return
        self.division_is_due, self._divided_at, self._carried_out = False, now, claim
        if self._links.claim(self._writer, claim.hold, claim.call, part=claim.part):
            self._writer.execute(_TELL, (self._server.schema, GIVEN_UP)).fetchall()
        self.divided(self._links.division(self._writer, claim.members), self._links.held)

    def _end_unused(self) -> None:
        """End keys that no row needs: the one that led may have ended just before it did. Others, and this
        process, seal nothing more under a key that they have made and not used.
        """
        with self._transaction():
            unused = self._unused()
            self._erasing()
            self._writer.execute("COMMIT")
        self.keys.end_group()
        self.keys.drop(unused)

    # --- commits ------------------------------------------------------------------------------------------

    def run_ahead(self, fill: Callable[[AheadWriting], None]) -> None:
        """Run steps before this process has the turn; the next ``commit`` may take what they made."""
        self._since = since = Since(self._tables)
        group = self._layer()

        def shown(snapshot: Connection) -> AheadWriting:
            parts = (snapshot, self._tables, self._chunks, self._layers, self._filled, group, self.damage)
            return AheadWriting(self._view(snapshot), since, *parts)

        with self.looking(at_once=False, shown=shown) as view:
            assert isinstance(view, AheadWriting)  # noqa: S101
            fill(view)

    def commit(self, fill: Callable[[Writing], None]) -> None:
        """See ``LayeredDatabase``."""
        try:
            super().commit(fill)
        finally:
            self._since = None

    def _filling(self, group: Layer) -> Writing:
        since = self._since or Since(self._tables)
        parts = (self._writer, self._tables, self._chunks, self._layers, self._filled, group, self.damage)
        return WritingInTurn(since, *parts)

    def _change(self) -> None:
        super()._change()
        self._writer.execute("UPDATE store_state SET value = value + 1 WHERE name = 'changes'")

    def _erasing(self) -> None:
        self._erased += 1
        self._writer.execute("UPDATE store_state SET value = value + 1 WHERE name = 'erased'")

    def _place(self, group: Layer) -> bool:
        last = self._chunks.last
        changed = super()._place(group)
        if self._chunks.last != last:
            self._writer.execute(_GIVEN, (self._chunks.last,))
        return changed

    def _append(self, group: Layer) -> int:
        self._sealed = journal.append(self._writer, self._key, self._last + 1, self._epoch, group)
        self._writer.execute(_NOTIFY, (self._server.schema,))
        return len(self._sealed)

    def _moving(self) -> None:
        super()._moving()
        self._writer.execute(_NOTIFY, (self._server.schema,))

    def _is_there(self) -> bool:
        sql = "SELECT digest FROM journal WHERE id = ?"
        found = self._writer.execute(sql, (self._last + 1,)).fetchall()
        if found:
            return bool(bytes(found[0][0]) == digest(self._sealed))
        if self._state("last") == self._last:
            return False
        raise StoreError(
            "DATA_LOCKED",
            "this process was away while others moved rows that it has not seen",
            hint="it stops; its service manager starts it again",
        )

    def _took_again(self) -> bool:
        schema = self._server.schema
        if not took_together(self._writer, schema):
            return False
        if self.leads and not took_lead(self._writer, schema):
            raise StoreError(
                "DATA_LOCKED",
                "another replica leads since",
                hint="this one stops; its service manager starts it again",
            )
        self._links.take_again(self._writer)
        # Who had the turn in the session before may still be committing.
        self._writer.execute("BEGIN TURN")
        self._writer.execute(TURN, (schema,))
        self._writer.execute("COMMIT")
        return True

    def _fits(self, last: int) -> bool:
        return last >= self._last
