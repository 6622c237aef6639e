"""How a row becomes columns and back, the same for every store: types, order, 64-bit integers, digest.

The digest is over the table's name, all integers, the length of every text and blob, and then those: with
the table's columns known no two rows share an input. It is against rot, not against people, hence 16 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, get_type_hints

from intelshare.errors import StoreError
from intelshare.ids import Incarnation, ReleaseNumber
from intelshare.instant import Instant
from intelshare.ports import Scalar, Table

DIGEST_LENGTH: Final = 16

_U64: Final = (Incarnation, Instant, ReleaseNumber)
"""Types whose values reach 2^64 - 1 and are kept in two's complement."""

_UNSTORABLE: Final = (struct.error, TypeError, AttributeError, UnicodeError)


def stored(value: Scalar) -> Scalar:
    """A value as a store keeps it: integers of 2^63 and more in two's complement."""
    return value - (1 << 64) if isinstance(value, int) and value >= 1 << 63 else value


class Layout:
    """One table, compiled. A store does it once per table.

    ``columns`` are the table's, integers first, then texts, then blobs: few calls read, pack and hash them.
    """

    __slots__ = (
        "_blobs", "_integers", "_make", "_pack", "_prefix", "_restore", "_signed", "_text_at", "_texts",
        "_wide", "_wide_names", "columns", "key", "kinds", "stored_key", "table",
    )  # fmt: skip

    def __init__(self, table: Table[Any]) -> None:
        """Raises TypeError for a field that is not an integer, text or bytes."""
        hints = get_type_hints(table.row)
        names = table.columns()
        kinds = {name: _kind(hints[name]) for name in names}
        groups = [[name for name in names if kinds[name] is kind] for kind in (int, str, bytes)]
        integers, texts, blobs = groups
        self.table = table
        self.columns = tuple(integers + texts + blobs)
        self.kinds = kinds
        self._integers, self._texts, self._blobs = map(_getter, groups)
        self._text_at = slice(len(integers), len(integers) + len(texts))
        self._wide = tuple(place for place, name in enumerate(integers) if hints[name] in _U64)
        lengths = f"{len(texts) + len(blobs)}I"
        self._pack = struct.Struct(
            ">" + "".join("Q" if hints[name] in _U64 else "q" for name in integers) + lengths
        ).pack
        self._signed = struct.Struct(f">{len(integers)}q{lengths}")
        self._prefix = table.name.encode() + b"\0"
        self._restore = _picker([self.columns.index(name) for name in names])
        self._make = table.row
        self._wide_names = frozenset(name for name in integers if hints[name] in _U64)
        self.stored_key = self.stored_fields(table.key)
        """The key fields of a row, as they are stored."""
        self.key = _picker([self.columns.index(name) for name in table.key])
        """The key fields of the values of ``encode``."""

    def order(self, index: str) -> tuple[str, ...]:
        """The fields by which an index sorts: its own, then the key's. Raises KeyError."""
        own = self.table.key if index == "key" else self.table.indexes[index]
        return (*own, *(name for name in self.table.key if name not in own))

    def stored_fields(self, names: Sequence[str]) -> Callable[[Any], tuple[Scalar, ...]]:
        """A function that gives these fields of a row, as they are stored."""
        get = _getter(list(names))
        if self._wide_names.isdisjoint(names):
            return get
        return lambda row: tuple(map(stored, get(row)))

    def check(self, row: Any) -> None:
        """Raises TypeError for what ``encode`` refuses, without its work."""
        try:
            raw = [text.encode() for text in self._texts(row)]
            blobs = self._blobs(row)
            self._pack(*self._integers(row), *map(len, raw), *map(len, blobs))
            b"".join(blobs)
        except _UNSTORABLE as error:
            raise TypeError(f"a row of {self.table.name} cannot be stored: {error}") from None

    def check_key(self, key: Sequence[Scalar]) -> tuple[Scalar, ...]:
        """A whole key as it is stored. Raises TypeError if it is none of this table."""
        found = tuple(map(stored, key))
        expected = tuple([self.kinds[name] for name in self.table.key])
        if len(found) != len(expected) or not all(map(isinstance, found, expected)):
            raise TypeError(f"this is no key of {self.table.name}")
        if any(isinstance(part, int) and not -(1 << 63) <= part < 1 << 63 for part in found):
            raise TypeError(f"a number in a key of {self.table.name} does not fit in 64 bits")
        return found

    def encode(self, row: Any) -> tuple[Any, ...]:
        """The values to store, in the order of ``columns``, and the digest.

        Raises TypeError for a row that cannot be stored: a field of another type than the table's, an integer
        out of range (an instant before 1970 is: it would come back as another).
        """
        try:
            texts, blobs = self._texts(row), self._blobs(row)
            raw = [text.encode() for text in texts]
            head = self._pack(*self._integers(row), *map(len, raw), *map(len, blobs))
            digest = hashlib.sha256(b"".join((self._prefix, head, *raw, *blobs))).digest()
        except _UNSTORABLE as error:
            raise TypeError(f"a row of {self.table.name} cannot be stored: {error}") from None
        integers = self._signed.unpack(head)[: self._text_at.start]
        return (*integers, *texts, *blobs, digest[:DIGEST_LENGTH])

    def decode(self, found: Sequence[Any]) -> Any:
        """The row that was stored. Raises StoreError RECORD_CORRUPT if it does not match its digest."""
        at = self._text_at
        integers, blobs = found[: at.start], found[at.stop : -1]
        try:
            raw = [text.encode() for text in found[at]]
            head = self._signed.pack(*integers, *map(len, raw), *map(len, blobs))
            digest = hashlib.sha256(b"".join((self._prefix, head, *raw, *blobs))).digest()
        except _UNSTORABLE:
            raise self.corrupt(self.key(found)) from None
        if digest[:DIGEST_LENGTH] != found[-1]:
            raise self.corrupt(self.key(found))
        for place in self._wide:
            if integers[place] < 0:
                found = list(found)
                for wide in self._wide:
                    found[wide] &= (1 << 64) - 1
                break
        return self._make(*self._restore(found))

    def corrupt(self, key: Sequence[Any]) -> StoreError:
        """RECORD_CORRUPT, naming table and key."""
        shown = ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
        return StoreError(
            "RECORD_CORRUPT",
            f"a record of {self.table.name} does not match its digest: {shown}",
            hint="it is not served; `intelshare doctor` tells how it is fetched again",
        )


def _kind(hint: Any) -> type:
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if hint not in (int, str, bytes):
        raise TypeError(f"a row holds integers, texts and bytes, not {hint}")
    kind: type = hint
    return kind


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """``attrgetter`` that gives a tuple for any number of names."""
    if not names:
        return lambda _: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _picker(places: list[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    get = itemgetter(*places)
    return get if len(places) > 1 else lambda row: (get(row),)
