"""The log as it is stored: one row holds what one transaction logged, at most 256 entries under one seal.

All readers of the log ask here for entries by index; no other module knows how they are packed:

    clear     u8 type ‖ u64 time ‖ [32] hash, one after another in the order of the log
    sealed    ``SealedEntries``: the salts, then the records

The key of a row is the index of its last entry, so the first row at or after an index holds that entry.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from intelshare.audit import EntryType, entry_hash
from intelshare.audit.decided import committed
from intelshare.audit.records import SealedEntries
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import LOG, LOG_HEAD, LogHeadRow, LogRow
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.rest import open_at_rest, seal_at_rest
from intelshare.errors import StoreError
from intelshare.ids import Digest, Incarnation
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, View, changed

MAX_TOGETHER: Final = 256
"""The most entries in a row."""

_ROWS: Final = 64
"""The most rows read at a time."""

_FEW: Final = 2
"""The rows read first where only some entries are wanted."""

_KEPT: Final = 8
"""The opened rows that ``OpenedRows`` keeps."""

_ALL: Final = frozenset(EntryType)


_clear = struct.Struct(">BQ32s")
_HASH: Final = 32
"""The length of the hash, which is last."""


class Entry(NamedTuple):
    """The part of an entry that is stored in clear."""

    incarnation: Incarnation
    place: int
    type: int
    at: Instant
    leaf: Digest
    """The hash of the entry: a leaf of the log's tree."""


class OpenedEntry(NamedTuple):
    """An entry with its sealed content."""

    incarnation: Incarnation
    place: int
    type: int
    at: Instant
    leaf: Digest
    salt: bytes
    record: bytes


def entry_at(view: View, incarnation: Incarnation, place: int) -> Entry | None:
    """Return the entry with this index. Raises StoreError RECORD_CORRUPT."""
    return next(entries(view, incarnation, place, place + 1), None)


def logs(view: View) -> list[LogHeadRow]:
    """Return the heads of all logs of this node, the oldest first; each start began one."""
    return view.find(LOG_HEAD, "began", limit=EVERY_ROW)


def opened_at(node: Node, view: View, incarnation: Incarnation, place: int) -> OpenedEntry | None:
    """Return the entry with this index, opened. Raises what ``opened`` raises."""
    return OpenedRows(node, view).at(incarnation, place)


class OpenedRows:
    """Reads single entries, and opens a row once for all its entries that are read soon after each other."""

    def __init__(self, node: Node, view: View) -> None:
        self._node, self._view = node, view
        self._kept: deque[list[OpenedEntry]] = deque(maxlen=_KEPT)

    def at(self, incarnation: Incarnation, place: int) -> OpenedEntry | None:
        """Return the entry with this index, opened. Raises what ``opened`` raises."""
        for kept in self._kept:
            if kept[0].incarnation == incarnation and kept[0].place <= place <= kept[-1].place:
                return kept[place - kept[0].place]
        row = log_row_of(self._view, incarnation, place)
        found = open_row(self._node, row) if row is not None else []
        if not found or place < found[0].place:
            return None
        self._kept.append(found)
        return found[place - found[0].place]


def entries(view: View, incarnation: Incarnation, low: int = 0, high: int | None = None) -> Iterator[Entry]:
    """Yield the entries from index ``low`` up to but without ``high``, in order, skipping missing ones.

    Raises StoreError RECORD_CORRUPT.
    """
    for row in _rows(view, incarnation, low, high):
        yield from [one for one in entries_of(row) if low <= one.place and (high is None or one.place < high)]


def leaves(
    view: View, incarnation: Incarnation, low: int = 0, high: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield index and hash of the ``entries``, which a proof needs nothing else of."""
    for row in _rows(view, incarnation, low, high):
        first = _first(row)
        start, stop = max(low - first, 0), row.last + 1 if high is None else min(high, row.last + 1)
        for place in range(start, stop - first):
            end = (place + 1) * _clear.size
            yield first + place, row.entries[end - _HASH : end]


def opened(
    node: Node,
    view: View,
    incarnation: Incarnation,
    low: int = 0,
    high: int | None = None,
    *,
    types: Collection[EntryType] = _ALL,
    lost: list[range] | None = None,
) -> Iterator[OpenedEntry]:
    """Yield the ``entries`` of these types, opened. ``lost`` collects the indexes whose rows are damaged.

    Raises StoreError RECORD_CORRUPT, CryptoError OPEN_FAILED.
    """
    for row in _rows(view, incarnation, low, high, lost):
        if types is _ALL or any(one.type in types for one in entries_of(row)):
            for one in open_row(node, row):
                if one.type in types and low <= one.place and (high is None or one.place < high):
                    yield one


def entries_of(row: LogRow) -> list[Entry]:
    """Return the entries of one row. Raises StoreError RECORD_CORRUPT."""
    first = _first(row)
    return [
        Entry(row.incarnation, first + place, *clear)
        for place, clear in enumerate(_clear.iter_unpack(row.entries))
    ]


def _first(row: LogRow) -> int:
    """Return the index of the row's first entry. Raises StoreError RECORD_CORRUPT."""
    if len(row.entries) % _clear.size:
        raise _damaged(row)
    return row.last + 1 - len(row.entries) // _clear.size


def open_row(node: Node, row: LogRow) -> list[OpenedEntry]:
    """Return the entries of one row, opened. Raises StoreError RECORD_CORRUPT, CryptoError OPEN_FAILED."""
    found = entries_of(row)
    at = _row_id(row.incarnation, row.last)
    sealed = decode(
        SealedEntries,
        open_at_rest(node.storage_key, row.sealed_entries, table=LOG.name, row=at, slot=0),
    )
    if not len(found) == len(sealed.salts) == len(sealed.records):
        raise _damaged(row)
    return [
        OpenedEntry(*one, salt, record)
        for one, salt, record in zip(found, sealed.salts, sealed.records, strict=True)
    ]


def hash_of(entry: OpenedEntry) -> Digest:
    """Compute an entry's hash from its content. Raises EnvelopeError ENVELOPE_MALFORMED."""
    return entry_hash(entry.type, entry.at, entry.salt, committed(entry.type, entry.record))


def make_row(storage_key: bytes, nonce: bytes, written: Sequence[OpenedEntry]) -> LogRow:
    """Return the row that holds these entries: 1 to 256 of them, in order and without a gap."""
    incarnation, last = written[-1].incarnation, written[-1].place
    sealed = SealedEntries(tuple([one.salt for one in written]), tuple([one.record for one in written]))
    return LogRow(
        incarnation,
        last,
        b"".join([_clear.pack(one.type, one.at, one.leaf) for one in written]),
        seal_at_rest(
            storage_key, nonce, encode(SealedEntries, sealed),
            table=LOG.name, row=_row_id(incarnation, last), slot=0,
        ),
    )  # fmt: skip


def log_row_of(view: View, incarnation: Incarnation, place: int) -> LogRow | None:
    """Return the row that holds the entry with this index."""
    return next((row for row in _rows(view, incarnation, place, place + 1)), None)


def rewritten(row: LogRow, entry: Entry) -> LogRow:
    """Return the row with another entry in clear, for tests that forge; the sealed part stays as it was."""
    clear = [entry if one.place == entry.place else one for one in entries_of(row)]
    return changed(row, entries=b"".join([_clear.pack(one.type, one.at, one.leaf) for one in clear]))


def _rows(
    view: View, incarnation: Incarnation, low: int, high: int | None, lost: list[range] | None = None
) -> Iterator[LogRow]:
    """Yield the rows with entries from ``low`` on. ``lost`` collects the indexes that no row holds."""
    due = low
    for row in _found(view, incarnation, low, high):
        if lost is not None and _first(row) > due:
            lost.append(range(due, _first(row)))
        due = row.last + 1
        yield row
    if lost is not None and high is not None and due < high:
        lost.append(range(due, high))


def _found(view: View, incarnation: Incarnation, low: int, high: int | None) -> Iterator[LogRow]:
    after, limit = low - 1, _ROWS if high is None else min(_FEW, high - low)
    while high is None or after + 1 < high:
        rows = view.find(LOG, "key", incarnation, after=(after,), limit=limit)
        yield from rows
        if len(rows) < limit:
            return
        after = rows[-1].last
        if high is not None:
            # As many as hold the rest if they are as long as this one: what is read beyond it is wasted.
            limit = min(_ROWS, 1 + (high - after) // max(1, len(rows[-1].entries) // _clear.size))


def _row_id(incarnation: int, last: int) -> bytes:
    """Return the row id under which the entries are sealed."""
    return incarnation.to_bytes(8, "big") + last.to_bytes(8, "big")


def _damaged(row: LogRow) -> StoreError:
    return StoreError(
        "RECORD_CORRUPT",
        f"the row of log {row.incarnation:016x} that ends at {row.last} does not hold its entries",
    )
