"""The journal: one sealed record for each group of plans, in the order of the commits.

    journal  id    1, 2, 3 ...: never reused, never a gap
             epoch of the process that wrote it
             digest  of what is sealed, so that damage shows without the key
             sealed  MessagePack of [table, rows put, keys deleted] for each table: crypto.rest.seal_group
             parity  of what is sealed: a stretch of it that went bad is brought back (``parity``)
    journal_aside    groups that an operator's start has set aside, never applied (``set_aside``)

A row put is [record, place, columns]. Of one that has a place of its own the record is empty: no secret is
in a group. The columns (``RowTable.columns``) begin with the key: whoever loads a group makes no row before
somebody asks for it. A group is deleted once all of it stands in the tables; ``flushed`` is the last one of
those, ``last`` the last that was written. A group that its tag does not authenticate is never applied.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from intelshare.crypto.rest import open_group, seal_group
from intelshare.errors import CryptoError, StoreError
from intelshare.store.layout import Key, digest
from intelshare.store.memory_table import COST, Layer, MemoryRow
from intelshare.store.parity import parity_of, repaired
from intelshare.store.row_tables import RowTable
from intelshare.store.sql import UNREADABLE, Connection

SCHEMA: Final = """\
CREATE TABLE "journal" (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    parity BLOB NOT NULL
) STRICT;
CREATE TABLE "journal_aside" (
    id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE "store_state" (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "store_state" VALUES ('epoch', 0), ('flushed', 0), ('last', 0);
"""
"""The SQL of the tables besides the declared ones."""

RESTORE: Final = "restore the data folder from its backup; peers send again what it lacks"

ASIDE: Final = (
    "start once with --accept-loss: this group and those after it are set aside, a new incarnation "
    "begins, and peers send again what is missing; or restore the data folder from its backup"
)

_Group = list[tuple[str, list[MemoryRow], list[tuple[Any, ...]]]]

_WHAT: Final = b"journal"
_CHANGED: Final = "it has changed since it was written"
_REPAIRED: Final = "nothing is lost: its parity repairs it at the next start"

_WAITING: Final = "id > (SELECT value FROM store_state WHERE name = 'flushed')"
"""Groups whose rows are not all in their tables. Some others may still be there (``forget``)."""

_ALL: Final = f"SELECT id, epoch, digest, sealed, parity FROM journal WHERE {_WAITING} ORDER BY id"  # noqa: S608 - own words

_SINCE: Final = "SELECT id, epoch, digest, sealed, parity FROM journal WHERE id > ? ORDER BY id"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Group).decode


class DamagedGroup(StoreError):
    """A group is missing, or has rotted beyond what its parity brings back: RECORD_CORRUPT."""

    def __init__(self, place: int, why: str, hint: str = ASIDE) -> None:
        super().__init__("RECORD_CORRUPT", f"group {place} of the journal: {why}", hint=hint)
        self.number = place


class Replayed(NamedTuple):
    """The journal as it was read."""

    last: int
    """The number of the last group."""
    repaired: tuple[tuple[int, bytes], ...]
    """The groups that were damaged and are whole again, by number, as they were sealed."""


def raise_epoch(connection: Connection) -> int:
    """Take the database over from any earlier opening; return the number of this opening, durably."""
    return raise_state(connection, "epoch")


def raise_state(connection: Connection, name: str, begin: str = "BEGIN IMMEDIATE") -> int:
    """Raise a number of the database by one; return it, durably. ``begin``: the transaction's beginning."""
    connection.execute(begin)
    connection.execute("UPDATE store_state SET value = value + 1 WHERE name = ?", (name,))
    value = _state(connection, name)
    connection.execute("COMMIT")
    return value


def check_epoch(connection: Connection, epoch: int) -> None:
    """Raise StoreError DATA_LOCKED if another opening has taken the database over."""
    if _state(connection, "epoch") != epoch:
        raise StoreError(
            "DATA_LOCKED",
            "another process has opened this database and now writes to it",
            hint="stop one of the two; only the one that opened it last may continue",
        )


def append(connection: Connection, key: bytes, place: int, epoch: int, group: Layer) -> bytes:
    """Write a group in a running transaction; return it as it is stored."""
    content: _Group = []
    for name, memory in group.tables.items():
        gone = [one for one, held in memory.rows.items() if held is None]
        content.append((name, [held[:-1] for held in memory.rows.values() if held], gone))  # type: ignore[misc]
    sealed = seal_group(key, os.urandom(32), _encode(content), what=_WHAT, place=place, epoch=epoch)
    row = (place, epoch, digest(sealed), sealed, parity_of(sealed))
    connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", row)
    connection.execute("UPDATE store_state SET value = ? WHERE name = 'last'", (place,))
    return sealed


def replay(connection: Connection, key: bytes, tables: Mapping[str, RowTable], layer: Layer) -> Replayed:
    """Load all groups into a layer.

    Raises StoreError RECORD_CORRUPT naming the group that is missing, or damaged beyond repair: later groups
    may depend on it, so nothing is served (``DamagedGroup``).
    """
    last = flushed_upto(connection)
    mended: list[tuple[int, bytes]] = []
    for place, whole, content in groups(connection, key, last, mended):
        _apply(place, content, tables, layer)
        layer.size += len(whole)
        last = place
    return Replayed(last, tuple(mended))


def follow(
    found: Iterable[Sequence[Any]],
    key: bytes,
    tables: Mapping[str, RowTable],
    layer: Layer,
    after: int,
    last: int,
) -> None:
    """Load the groups from one number up to another into a layer. Raises StoreError RECORD_CORRUPT;
    DATA_LOCKED if they were moved into their tables already.

    ``found``: rows of the journal after that number, in order.
    """
    for place, epoch, kept, sealed, parity in found:
        if place != after + 1:
            break
        whole, content = _opened(key, place, epoch, kept, sealed, parity)
        _apply(place, content, tables, layer)
        layer.size += len(whole)
        after = place
    if after != last:
        raise StoreError(
            "DATA_LOCKED",
            "this process was away while others moved rows that it has not seen",
            hint="it stops; its service manager starts it again",
        )


def _apply(place: int, content: _Group, tables: Mapping[str, RowTable], layer: Layer) -> None:
    for name, put, gone in content:
        sql = tables.get(name)
        if sql is None:
            raise corrupt(place, f"there is no table {name}")
        memory = layer.table(sql.layout.table)
        for one in gone:
            memory.put(one, None)
        memory.put_all(put)
        layer.size += COST * len(put)


def groups(
    connection: Connection, key: bytes, flushed: int, mended: list[tuple[int, bytes]] | None = None
) -> Iterator[tuple[int, bytes, _Group]]:
    """Yield all groups after ``flushed``, in order: number, what is sealed, content. Add to ``mended`` those
    that their parity repaired.

    Raises StoreError RECORD_CORRUPT as ``replay`` does.
    """
    expected = flushed
    try:
        for place, epoch, kept, sealed, parity in connection.execute(_ALL):
            expected += 1
            if place != expected:
                raise DamagedGroup(expected, "it is missing")
            whole, content = _opened(key, place, epoch, kept, sealed, parity)
            if whole != sealed and mended is not None:
                mended.append((place, whole))
            yield place, whole, content
        if expected != _state(connection, "last"):
            raise DamagedGroup(expected + 1, "it is missing")
    except UNREADABLE as error:
        raise corrupt(expected + 1, str(error)) from None


def write_back(connection: Connection, groups_: Iterable[tuple[int, bytes]]) -> None:
    """Write repaired groups as they were, inside a running transaction."""
    for place, sealed in groups_:
        connection.execute(
            "UPDATE journal SET sealed = ?, digest = ? WHERE id = ?", (sealed, digest(sealed), place)
        )


def set_aside(connection: Connection, first: int) -> int:
    """Take this group and all after it out of the journal, inside a running transaction; return their number.

    They stay in the database for whoever looks for the cause. What they held is lost: an operator decides.
    """
    where = " FROM journal WHERE id >= ?"
    count = len(connection.execute(f"SELECT id{where}", (first,)).fetchall())
    connection.execute(f"INSERT INTO journal_aside SELECT id, epoch, sealed{where}", (first,))
    connection.execute(f"DELETE{where}", (first,))
    connection.execute("UPDATE store_state SET value = ? WHERE name = 'last'", (first - 1,))
    return count


def examine(connection: Connection, key: bytes | None) -> Iterator[StoreError]:
    """Yield a RECORD_CORRUPT for each missing or damaged group, also beside a process that goes on writing.

    The key is not needed.
    """
    expected = None
    connection.execute("BEGIN")  # one state of groups and numbers
    try:
        for place, epoch, kept, sealed, parity in connection.execute(_ALL):
            if expected not in (None, place):
                yield DamagedGroup(place - 1, "it is missing")
            expected = place + 1
            try:
                if key is not None and _opened(key, place, epoch, kept, sealed, parity)[0] != sealed:
                    yield DamagedGroup(place, _CHANGED, _REPAIRED)
            except StoreError as error:
                yield error
        if expected is None:
            expected = flushed_upto(connection) + 1
        if expected <= _state(connection, "last"):
            yield DamagedGroup(_state(connection, "last"), "it is missing")
        for place, _, kept, sealed, parity in connection.execute(_SINCE, (-1,)):
            if key is None and digest(sealed) != kept:
                whole = repaired(sealed, parity)
                is_whole = whole is not None and digest(whole) == kept
                yield DamagedGroup(place, _CHANGED, _REPAIRED if is_whole else ASIDE)
    except UNREADABLE as error:
        yield corrupt(expected or 0, str(error))
    finally:
        connection.execute("ROLLBACK")


def may_move(connection: Connection, key: bytes | None, table: str, row: Key) -> bool:
    """Return true if a group deletes or moves this row; without the storage key, if there is any group. Only
    for tables whose rows have separate places.
    """
    for place, epoch, kept, sealed, parity in connection.execute(_ALL):
        if key is None:
            return True
        try:
            _, content = _opened(key, place, epoch, kept, sealed, parity)
        except StoreError:
            continue
        written = [(put, gone) for name, put, gone in content if name == table]
        moved = [key for put, gone in written for key in (*[one.columns for one in put], *gone)]
        if any(key[: len(row)] == row for key in moved):
            return True
    return False


def _opened(
    key: bytes, place: int, epoch: int, kept: bytes, sealed: bytes, parity: bytes
) -> tuple[bytes, _Group]:
    """Return a group as it was sealed, and what is in it: repaired if its parity can do that."""
    for whole in _readings(sealed, parity):
        try:
            return whole, _decode(open_group(key, whole, what=_WHAT, place=place, epoch=epoch))
        except (CryptoError, msgspec.MsgspecError):
            continue
    if digest(sealed) == kept:  # no rot: an edit, or the key of another store
        raise corrupt(place, _CHANGED)
    raise DamagedGroup(place, _CHANGED)


def _readings(sealed: bytes, parity: bytes) -> Iterator[bytes]:
    """As it is, and only if that does not open, as its parity can tell: to compute that takes longer."""
    yield sealed
    if (whole := repaired(sealed, parity)) is not None:
        yield whole


def forget(connection: Connection, upto: int, delete: int) -> None:
    """Note, inside a running transaction, that all rows of the groups up to one are in their tables.

    ``delete``: the last group that is deleted; other processes may still want to read those after it.
    """
    connection.execute("DELETE FROM journal WHERE id <= ?", (delete,))
    connection.execute("UPDATE store_state SET value = ? WHERE name = 'flushed'", (upto,))


def only_adds(sql: str) -> bool:
    """Return true if a migration only makes tables and indexes: rows that wait in the journal stay right."""
    without = re.sub(r"^--.*$", "", sql, flags=re.MULTILINE)
    statements = filter(None, map(str.strip, without.split(";")))
    return all(re.match(r"CREATE (TABLE|INDEX)\b", one) for one in statements)


def is_empty(connection: Connection) -> bool:
    """Return true if all rows are in their tables."""
    found = connection.execute(f"SELECT 1 FROM journal WHERE {_WAITING} LIMIT 1")  # noqa: S608 - own words
    return not found.fetchall()


def corrupt(place: int, why: str) -> StoreError:
    """Return RECORD_CORRUPT, naming the group."""
    return StoreError("RECORD_CORRUPT", f"group {place} of the journal: {why}", hint=RESTORE)


def flushed_upto(connection: Connection) -> int:
    """Return the last group whose rows are all in their tables."""
    return _state(connection, "flushed")


def _state(connection: Connection, name: str) -> int:
    for (value,) in connection.execute("SELECT value FROM store_state WHERE name = ?", (name,)):
        return int(value)
    raise StoreError("RECORD_CORRUPT", f"the database does not contain its {name}", hint=RESTORE)
