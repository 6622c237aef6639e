"""Turns rows into records and back, in the same way for every store: types, 64-bit integers, order, digest.

A record is the MessagePack array of a row's fields in its order. At rest it is preceded by a digest of the
table's name and itself, which protects against decay, not against people, and so has only 16 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from intelshare.crypto.aead import TAG_LENGTH, checksum
from intelshare.crypto.changed_byte import as_checked
from intelshare.errors import RecordError
from intelshare.ids import Incarnation, ReleaseNumber
from intelshare.instant import Instant
from intelshare.ports import Scalar, Table

DIGEST_LENGTH: Final = TAG_LENGTH

Key = tuple[Scalar, ...]
"""The values of the fields of a key or an index, as they are stored."""

_U64: Final = (Incarnation, Instant, ReleaseNumber)
"""The types whose values reach 2^64 - 1 and are stored in two's complement where they sort."""

_SIGN: Final = 1 << 63

_WIDE: Final = Annotated[int, msgspec.Meta(ge=0)]
_SIGNED: Final = Annotated[int, msgspec.Meta(le=2**63 - 1)]

_UNSTORABLE: Final = (msgspec.ValidationError, TypeError, AttributeError, OverflowError, UnicodeError)

_encode = msgspec.msgpack.Encoder().encode


def stored(value: Scalar) -> Scalar:
    """Return a value as a store sorts it: integers of 2^63 and more in two's complement."""
    return value - (1 << 64) if isinstance(value, int) and value >= _SIGN else value


def digest(data: bytes) -> bytes:
    """Return the digest with which a record at rest is compared."""
    return checksum(data)


class Layout:
    """One table, compiled. A store does this once per table."""

    __slots__ = (
        "_decode",
        "_key",
        "_key_kinds",
        "_make",
        "_prefix",
        "_texts",
        "_wide",
        "kinds",
        "narrow",
        "stored_key",
        "table",
    )

    def __init__(self, table: Table[Any]) -> None:
        """Compile the table. Raises TypeError for a field that is not an integer, text or bytes."""
        hints = get_type_hints(table.row)
        names = table.columns()
        self.table = table
        self.kinds = {name: _kind(hints[name]) for name in names}
        self._wide = frozenset(name for name in names if hints[name] in _U64)
        typed = tuple(self._typed(name) for name in names)
        self._decode = msgspec.msgpack.Decoder(tuple[typed]).decode  # type: ignore[valid-type]
        self._key = picker([names.index(name) for name in table.key])
        self._key_kinds = tuple([self.kinds[name] for name in table.key])
        listed = dict.fromkeys((*table.key, *(name for fields in table.indexes.values() for name in fields)))
        texts = [names.index(name) for name in listed if self.kinds[name] is str]
        self._texts = picker(texts) if texts else None
        self.narrow = self.is_narrow(table.key)
        """True if the key is stored as it is."""
        self._make = table.row
        self._prefix = table.name.encode() + b"\0"
        self.stored_key = self.stored_fields(table.key)
        """Returns the key fields of a row, as they are stored."""

    def order(self, index: str) -> tuple[str, ...]:
        """Return the fields by which an index sorts: its fields, then the key's. Raises KeyError."""
        fields = self.table.key if index == "key" else self.table.indexes[index]
        return (*fields, *(name for name in self.table.key if name not in fields))

    def stored_fields(self, names: Sequence[str]) -> Callable[[Any], Key]:
        """Return a function that returns these fields of a row, as they are stored."""
        get = getter(names)
        wide = [place for place, name in enumerate(names) if name in self._wide]
        if not wide:
            return get

        def fields(row: Any) -> Key:
            found = get(row)
            for place in wide:
                if found[place] >= _SIGN:  # seldom: NEVER
                    return tuple(map(stored, found))
            return found

        return fields

    def is_narrow(self, names: Iterable[str]) -> bool:
        """Return True if these fields are stored as they are."""
        return self._wide.isdisjoint(names)

    def record(self, row: Any) -> tuple[Key, bytes]:
        """The key of a row, as it is stored, and the row as a record without its digest.

        Raises TypeError for a row that cannot be stored: a field of a type other than the table's, an integer
        out of range (such as an instant before 1970, which would be read back as another value), or a text
        with NUL in a field that rows are found by (PostgreSQL cannot hold one).
        """
        try:
            record = _encode(row)
            self._decode(record)
        except _UNSTORABLE as error:
            raise TypeError(
                f"a row of {self.table.name} cannot be stored: {self._misfit(row)}: {error}"
            ) from None
        if self._texts is not None and "\0" in "".join(self._texts(row)):
            raise TypeError(f"a row of {self.table.name} cannot be stored: NUL in a text that it is found by")
        key = self._key(row)
        return (key if self.narrow else tuple(map(stored, key))), record

    def row(self, record: bytes) -> Any:
        """Return the row of a record without digest, which has been authenticated by other means."""
        made: Any = tuple.__new__(self._make, self._decode(record))
        return made

    def rows(self, records: Iterable[bytes]) -> list[Any]:
        """Return the rows of such records."""
        new, make, decode = tuple.__new__, self._make, self._decode
        return [new(make, decode(record)) for record in records]

    def key_of_record(self, record: bytes) -> Key:
        """Return the stored form of the key of a record without digest."""
        return tuple(map(stored, self._key(self._decode(record))))

    def key_at_rest(self, found: Any) -> Key | None:
        """Return the stored form of the key of a record at rest; None if it is not as it was written."""
        if not isinstance(found, bytes) or self._digest(found[DIGEST_LENGTH:]) != found[:DIGEST_LENGTH]:
            return None
        return self.key_of_record(found[DIGEST_LENGTH:])

    def digested(self, record: bytes) -> bytes:
        """Return the record as it is at rest, preceded by its digest."""
        return self._digest(record) + record

    def checked(self, found: Any, key: Sequence[Any]) -> Any:
        """Return the row of a record at rest. Raises RecordError if it has changed since it was written.

        ``key``: where it was found, for the message; a record with another key is corrupt as well.
        """
        if not isinstance(found, bytes) or self._digest(found[DIGEST_LENGTH:]) != found[:DIGEST_LENGTH]:
            raise self.corrupt(key)
        return self._at(found[DIGEST_LENGTH:], key)

    def restored(self, found: Any, key: Sequence[Any]) -> Any:
        """Return the row of a record at rest that is not as it was written, if only one byte of it has
        changed, or of its digest; otherwise None. What was overwritten is not in it, and so never comes back.
        """
        row = self.anywhere(found)
        return row if row is not None and self.stored_key(row) == tuple(key) else None

    def anywhere(self, found: Any) -> Any:
        """Return the row of a record at rest, whatever its key, also if one byte has changed; otherwise
        None.
        """
        if not isinstance(found, bytes):
            return None
        whole = as_checked(self._prefix + found[DIGEST_LENGTH:], found[:DIGEST_LENGTH])
        if whole is None or not whole.startswith(self._prefix):
            return None
        try:
            return self.row(whole[len(self._prefix) :])
        except _UNSTORABLE:
            return None

    def _at(self, record: bytes, key: Sequence[Any]) -> Any:
        try:
            row = self.row(record)
        except _UNSTORABLE:
            raise self.corrupt(key) from None
        if self.stored_key(row) != tuple(key):
            raise self.corrupt(key)
        return row

    def named(self, found: tuple[str, bytes] | None, key: Sequence[Any]) -> Any:
        """Return the row of a record that is stored with its table's name; otherwise like ``checked``."""
        if found is None or found[0] != self.table.name:
            raise self.corrupt(key)
        return self._at(found[1], key)

    def check_key(self, key: Sequence[Scalar]) -> Key:
        """Return a whole key as it is stored. Raises TypeError if it is not a key of this table."""
        expected = self._key_kinds
        if tuple(map(type, key)) == expected and int not in expected:
            return tuple(key)  # nearly always: digests and codes
        found = tuple(map(stored, key))
        if len(found) != len(expected) or not all(map(isinstance, found, expected)):
            raise TypeError(f"this is not a key of {self.table.name}")
        if any(isinstance(part, int) and not -(1 << 63) <= part < 1 << 63 for part in found):
            raise TypeError(f"a number in a key of {self.table.name} does not fit in 64 bits")
        return found

    def check_delete(self, key: Sequence[Scalar]) -> Key:
        """Return the stored form of the key of a row to delete. Raises TypeError also for an erasable
        table.
        """
        if self.table.erasable:
            raise TypeError(f"a row of {self.table.name} is overwritten, never deleted")
        return self.check_key(key)

    def corrupt(self, key: Sequence[Any]) -> RecordError:
        """Return RECORD_CORRUPT, naming table and key (``key``: as it is stored)."""
        return self._error(key, "a record of {} does not match its digest: {}")

    def brought_back(self, key: Sequence[Any]) -> RecordError:
        """Return the same of a record that was restored."""
        return self._error(
            key, "a byte of a record of {} had changed, and its digest told which: {}", repaired=True
        )

    def unread(self, key: Sequence[Any]) -> RecordError:
        """Return the same where a page cannot be read (``key``: as much of it as is known)."""
        return self._error(key, "a page of {} cannot be read: {}", page=True)

    def _error(
        self, key: Sequence[Any], message: str, *, repaired: bool = False, page: bool = False
    ) -> RecordError:
        wide = [name in self._wide for name in self.table.key] + [False] * len(key)
        key = [
            part + (1 << 64) if is_wide and isinstance(part, int) and part < 0 else part
            for part, is_wide in zip(key, wide, strict=False)
        ]
        shown = ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
        message = message.format(self.table.name, shown).removesuffix(": ")
        return RecordError(self.table.name, tuple(key), message, repaired=repaired, page=page)

    def _misfit(self, row: Any) -> str:
        """Return the first field of a row whose type does not allow its value."""
        for name in self.table.columns():
            try:
                msgspec.msgpack.decode(_encode(getattr(row, name)), type=self._typed(name))
            except _UNSTORABLE:
                return name
        return "the row"

    def _digest(self, record: bytes) -> bytes:
        return digest(self._prefix + record)

    def _typed(self, name: str) -> Any:
        kind = self.kinds[name]
        if kind is not int:
            return kind
        return _WIDE if name in self._wide else _SIGNED


def getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return an ``attrgetter`` that returns a tuple even for one name."""
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Return an ``itemgetter`` that returns a tuple even for one index."""
    get = itemgetter(*places)
    return get if len(places) > 1 else lambda row: (get(row),)


def _kind(hint: Any) -> type:
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if hint not in (int, str, bytes):
        raise TypeError(f"a row contains integers, texts and bytes, not {hint}")
    kind: type = hint
    return kind
