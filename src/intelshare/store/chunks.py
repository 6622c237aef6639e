"""Keeps rows that are written once: many in one sealed record, never moved and never changed.

    chunk       id      1, 2, 3 ...
                digest  of what is sealed, so that damage shows without the key
                sealed  MessagePack of (table, record) for each row: crypto.rest.seal_group
                parity  of what is sealed: a bad sector of it is brought back (``parity.folded``)
    chunk_left  id      of a chunk of bulk rows
                rows    how many of them are not deleted: at none the chunk goes, and this too unless its id
                        is the highest: a deleted row leads to that id until it is out of its table

A row's place is the chunk's id and its number in it. One tag stands for the digests of all rows of a chunk. A
row that is replaced later or deleted stays in its chunk, sealed and with no way to it: no secret stands here.
Bulk rows have chunks of their own, because what they take is given back: packed so, three of 2 KiB take
6 KiB, where as rows of a table each would take a page of 4 KiB.

A chunk of which one byte has changed is brought back by its digest, and one with a bad sector by its parity:
its rows are served, and it is noted as damaged until a commit has written it again in its place (``mend``).
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from intelshare.crypto.changed_byte import as_checked
from intelshare.crypto.rest import open_group, seal_group
from intelshare.errors import CryptoError, RecordError, StoreError
from intelshare.ports import CHUNK
from intelshare.store.layout import digest
from intelshare.store.parity import folded, unfolded
from intelshare.store.sql import UNREADABLE, Connection

SCHEMA: Final = """\
CREATE TABLE "chunk" (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    parity BLOB NOT NULL
) STRICT;
CREATE TABLE "chunk_left" (
    id INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL
) STRICT;
"""

MAX_ROWS: Final = 256
MAX_BYTES: Final = 32 << 10
"""The bound on a chunk's bytes, which is what one look-up has to open; only a single larger row
exceeds it.
"""

REMEMBERED: Final = 4 << 20
"""The bytes of chunks that are kept open in memory: rows that are asked for together were written
together.
"""

LANES: Final = 2
"""A sector of 512 bytes that begins in the middle of a block: 1 KiB of parity. More would bring nothing back
in SQLite, whose page of 4 KiB also says where the next one is.
"""

_WHAT: Final = b"chunk"

_ONE: Final = "SELECT digest, sealed, parity FROM chunk WHERE id = ?"
_SOME: Final = "SELECT id, digest, sealed, parity FROM chunk WHERE id > ? ORDER BY id LIMIT 100"
_RENEW: Final = "UPDATE chunk SET digest = ?, sealed = ?, parity = ? WHERE id = ?"

LAST: Final = """\
SELECT coalesce(max(id), 0)
FROM (SELECT max(id) AS id FROM chunk UNION ALL SELECT max(id) FROM chunk_left) AS given"""
"""The highest id that was given and that a row may still lead to."""

_LEFT_GONE: Final = (
    "DELETE FROM chunk_left WHERE id = ? AND rows = 0 AND id < (SELECT max(id) FROM chunk_left)"
)
_HIGHEST_GONE: Final = "DELETE FROM chunk_left WHERE id = (SELECT max(id) FROM chunk_left) AND rows = 0"

Row = tuple[str, bytes]
"""The name of the table, and the record without its digest."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode


class Chunks:
    """The chunks of one database."""

    def __init__(self, key: bytes, last: int) -> None:
        """``last``: the highest id that was given; none is given again while somebody may remember it."""
        self._key = key
        self.last = last
        self._opened: OrderedDict[int, tuple[list[Row], int]] = OrderedDict()
        """The rows by id, with the bytes that they take."""
        self._size = 0
        self._lock = threading.Lock()

    def write(self, connection: Connection, rows: Sequence[Row], *, bulk: bool = False) -> list[int]:
        """Write rows inside a running transaction; return the place of each."""
        places: list[int] = []
        made, left = [], []
        for cut in _cut(rows):
            self.last += 1
            sealed = seal_group(self._key, os.urandom(32), _encode(cut), what=_WHAT, place=self.last)
            made.append((self.last, digest(sealed), sealed, folded(sealed, LANES)))
            places += range(self.last * MAX_ROWS, self.last * MAX_ROWS + len(cut))
            left.append((self.last, len(cut)))
        connection.executemany("INSERT INTO chunk VALUES (?, ?, ?, ?)", made)
        if bulk and left:
            connection.execute(_HIGHEST_GONE)
            connection.executemany("INSERT INTO chunk_left VALUES (?, ?)", left)
        return places

    def used(self, number: int) -> None:
        """Note an id that another process has given."""
        self.last = max(self.last, number)

    @staticmethod
    def drop(connection: Connection, places: Sequence[int]) -> None:
        """Delete bulk rows, inside a running transaction."""
        for number, count in Counter(place // MAX_ROWS for place in places).items():
            connection.execute("UPDATE chunk_left SET rows = rows - ? WHERE id = ?", (count, number))
            connection.execute(
                "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk_left WHERE id = ? AND rows = 0)",
                (number,),
            )
            connection.execute(_LEFT_GONE, (number,))

    def read(self, connection: Connection, place: int, note: Callable[[RecordError], object]) -> Row | None:
        """Return the row in a place, or None if it is missing or damaged. Raises errors of the engine.

        ``note`` is called with a chunk that had to be brought back.
        """
        number, at = divmod(place, MAX_ROWS)
        with self._lock:
            known = self._opened.get(number)
            if known is not None:
                self._opened.move_to_end(number)
        if known is None:
            rows = self._open(connection, number, note)
            known = rows, sum([len(record) for _, record in rows])
            self._remember({number: known})
        rows = known[0]
        return rows[at] if at < len(rows) else None

    def unknown(self, places: Iterable[int]) -> list[int]:
        """Return the ids of the chunks of these places that are not open."""
        with self._lock:
            return sorted({place // MAX_ROWS for place in places} - self._opened.keys())

    def learn(self, sealed: Iterable[tuple[int, bytes]]) -> None:
        """Open chunks that somebody has read, with their ids, if they are whole. Nothing of it may be rolled
        back: its numbers would be given again.
        """
        found = {}
        for number, what in sealed:
            rows = opened(self._key, number, what)
            if rows is not None:
                found[number] = rows, len(what)
        self._remember(found)

    def _remember(self, found: dict[int, tuple[list[Row], int]]) -> None:
        with self._lock:
            for number, one in found.items():
                self._size += one[1] - self._opened.get(number, ((), 0))[1]
                self._opened[number] = one
            while self._size > REMEMBERED:
                self._size -= self._opened.popitem(last=False)[1][1]

    def _open(self, connection: Connection, number: int, note: Callable[[RecordError], object]) -> list[Row]:
        for (sealed,) in connection.execute("SELECT sealed FROM chunk WHERE id = ?", (number,)).fetchall():
            rows = opened(self._key, number, sealed)
            if rows is not None:
                return rows
        for kept, sealed, parity in connection.execute(_ONE, (number,)).fetchall():
            found = _as_written(number, kept, sealed, parity, self._key)
            if found is not None:
                whole, by = found
                note(_brought_back(number, by))
                return opened(self._key, number, whole) or []
        return []

    def mend(self, connection: Connection, number: int) -> None:
        """Write a chunk again in its place, inside a running transaction, if it can be brought back."""
        for kept, sealed, parity in connection.execute(_ONE, (number,)).fetchall():
            found = _as_written(number, kept, sealed, parity, self._key)
            if found is not None:
                whole = found[0]
                row = (digest(whole), whole, folded(whole, LANES))
                if row != (kept, sealed, parity):
                    connection.execute(_RENEW, (*row, number))


def examine(connection: Connection, key: bytes | None, ended: Callable[[], bool]) -> Iterator[StoreError]:
    """Yield a RECORD_CORRUPT for each chunk that is not as it was written, until it has ``ended``.

    With the storage key, only for those that can be brought back: the rows of others are named one by one.
    """
    last = 0
    try:
        while not ended() and (found := connection.execute(_SOME, (last,)).fetchall()):
            for number, kept, sealed, parity in found:
                last = number
                if digest(sealed) == kept and folded(sealed, LANES) == parity:
                    continue
                whole = _as_written(number, kept, sealed, parity, key)
                if whole is not None:
                    yield _brought_back(number, whole[1])
                elif key is None:
                    yield _corrupt(number)
    except UNREADABLE:
        if key is None:
            yield _corrupt(last + 1)


def _as_written(
    number: int, kept: bytes, sealed: bytes, parity: bytes, key: bytes | None
) -> tuple[bytes, str] | None:
    """Return a chunk as it was written, and what brought it back (``_readings``); None if nothing does.

    Without the key two of three have to agree: what is sealed, its digest, its parity.
    """
    for whole, by in _readings(kept, sealed, parity):
        agree = digest(whole) == kept or (not by and folded(whole, LANES) == parity)
        if agree if key is None else opened(key, number, whole) is not None:
            return whole, by
    return None


def _readings(kept: bytes, sealed: bytes, parity: bytes) -> Iterator[tuple[bytes, str]]:
    """A chunk as it is, and only if that does not open as its digest and its parity can tell."""
    yield sealed, ""
    whole = as_checked(sealed, kept)
    if whole is not None and whole != sealed:
        yield whole, "its digest"
    for one in unfolded(sealed, parity, LANES):
        yield one, "its parity"


def _brought_back(number: int, by: str) -> RecordError:
    """``by``: empty where only the digest or the parity has changed."""
    told = f"chunk {number} had changed, and {by} brought it back"
    beside = f"the digest or the parity of chunk {number} had changed, and its rows are whole"
    return RecordError(CHUNK, (number,), told if by else beside, repaired=True)


def _corrupt(number: int) -> StoreError:
    return StoreError(
        "RECORD_CORRUPT",
        f"chunk {number} does not match its digest: up to {MAX_ROWS} rows have changed since they were "
        f"written",
        hint="none of them is served; start the node, which reports which rows they are",
    )


def opened(key: bytes, number: int, sealed: object) -> list[Row] | None:
    """Return the rows of a chunk, or None if it is damaged."""
    try:
        return _decode(open_group(key, bytes(sealed), what=_WHAT, place=number))  # type: ignore[call-overload]
    except (CryptoError, msgspec.MsgspecError, TypeError):
        return None


def is_there(connection: Connection, place: int) -> bool:
    """Return true if the chunk of a place has not been given back."""
    return bool(connection.execute("SELECT 1 FROM chunk WHERE id = ?", (place // MAX_ROWS,)).fetchall())


def _cut(rows: Sequence[Row]) -> Iterator[list[Row]]:
    cut: list[Row] = []
    size = 0
    for row in rows:
        if cut and (len(cut) == MAX_ROWS or size + len(row[1]) > MAX_BYTES):
            yield cut
            cut, size = [], 0
        cut.append(row)
        size += len(row[1])
    if cut:
        yield cut
