"""The one encoding of everything that is signed, hashed or stored: records of fixed layout.

A record is a frozen dataclass whose annotations *are* its table: their order and types are the format
(docs/format.md, "Codec")::

    @record
    class Receipt:
        to: Member                                          # s: UTF-8 with a u16 length
        leaf: Bytes32                                       # [32]
        status: Status                                      # an IntEnum: u8, from 1
        codes: Annotated[tuple[Text, ...], Count(0, 32)]    # L<s>
        decided_at: Time                                    # t64: 1970 to 9999

Each value has exactly one encoding, and nothing may follow it, so ``encode(T, decode(T, b)) == b`` for every
accepted ``b`` and no check of canonicity is needed. The steps are compiled once per record, and neighbouring
fields of fixed size are packed by one ``struct``, because tens of thousands of releases pass through here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from intelshare.errors import EnvelopeError
from intelshare.instant import LATEST, NEVER

T = TypeVar("T")

_Write = Callable[[Any, list[bytes]], None]
_Read = Callable[[bytes, int, list[Any]], int]
"""(data, where the field starts, values read so far) -> where it ends; the new value is appended to those
read.
"""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from 0 to ``most``, and optionally one number beyond them."""

    most: int
    also: int | None = None

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and (0 <= value <= self.most or value == self.also)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A field of fixed size: a ``struct`` format, and the values allowed if not every value that fits is."""

    format: str
    length: int = 0
    """For ``[n]``: n, because ``struct`` silently pads short bytes. 0 for numbers."""
    table: Mapping[int, Any] | None = None
    """A closed set, as a map from each number to the value read; None if there is none."""
    range: Range | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A field whose first bytes state its size."""

    write: _Write
    read: _Read


@dataclass(frozen=True, slots=True)
class Count:
    """The bounds of a list's length, both included; ``among`` if only certain lengths are allowed."""

    least: int = 0
    most: int = 0xFFFF
    among: Collection[int] | None = None

    def check(self, count: int) -> None:
        if not self.least <= count <= self.most or (self.among is not None and count not in self.among):
            raise ValueError(f"a list of {count} items is not allowed")


def only(value: int, form: str) -> Fixed:
    """Return the codec of a number that has one allowed value, such as a version."""
    return Fixed(form, table={value: value})


def _write_text(value: str, out: list[bytes]) -> None:
    raw = value.encode()
    out += (_LENGTHS[len(raw)] if len(raw) < 256 else _U16.pack(len(raw)), raw)


def _read_text(data: bytes, at: int, values: list[Any]) -> int:
    start = at + 2
    end = start + (data[at] << 8 | data[at + 1])
    if end > len(data):
        raise ValueError("text is cut off")
    values.append(str(data[start:end], "utf-8"))
    return end


def _short_text(most: int) -> Variable:
    def write(value: str, out: list[bytes]) -> None:
        if len(value.encode()) > most:
            raise ValueError(f"text of more than {most} bytes")
        _write_text(value, out)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        if (data[at] << 8 | data[at + 1]) > most:
            raise ValueError(f"text of more than {most} bytes")
        return _read_text(data, at, values)

    return Variable(write, read)


def _blob(prefix: struct.Struct) -> Variable:
    def write(value: bytes, out: list[bytes]) -> None:
        out.append(prefix.pack(len(value)))
        out.append(value)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        start = at + prefix.size
        end: int = start + prefix.unpack_from(data, at)[0]
        if end > len(data):
            raise ValueError("bytes are cut off")
        values.append(data[start:end])
        return end

    return Variable(write, read)


_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_LENGTHS: Final = tuple(_U16.pack(length) for length in range(256))
"""The length prefixes of nearly all texts and lists, made once."""

U8 = Annotated[int, Fixed("B")]
U16 = Annotated[int, Fixed("H")]
U32 = Annotated[int, Fixed("I")]
TIME: Final = Fixed("Q", range=Range(LATEST))
"""A time from 1970 to 9999, so that whatever is read can be displayed, stored and calculated with."""
END: Final = Fixed("Q", range=Range(LATEST, NEVER))
"""A time from 1970 to 9999, or NEVER."""
COUNTER: Final = Fixed("Q", range=Range(2**63 - 1))
"""A count, number or size: bounded so that every store and language can hold it as a signed number."""
U63 = Annotated[int, COUNTER]
TEXT: Final = Variable(_write_text, _read_text)
Text = Annotated[str, TEXT]
SHORT: Final = _short_text(64)
Word = Annotated[str, SHORT]
"""A word out of a list, such as a code."""
B16 = Annotated[bytes, _blob(_U16)]
B32 = Annotated[bytes, _blob(_U32)]
Bytes16 = Annotated[bytes, Fixed("16s", 16)]
Bytes32 = Annotated[bytes, Fixed("32s", 32)]


@lru_cache(maxsize=512)
def _many(form: str, count: int) -> struct.Struct:
    return struct.Struct(">" + form * count)


_CACHED_COUNT: Final = 256
"""The longest list that is unpacked at once; longer ones are read item by item, so that a hostile peer cannot
choose what fills the cache above.
"""


def _list_of_fixed(item: Fixed, bounds: Count) -> Variable:
    one = struct.Struct(">" + item.format)

    def write(values: tuple[Any, ...], out: list[bytes]) -> None:
        bounds.check(len(values))
        if item.length and any(length != item.length for length in map(len, values)):
            raise ValueError(f"an item is not {item.length} bytes long")
        for allowed in (item.table, item.range):
            if allowed is not None and any(v not in allowed for v in values):
                raise ValueError("an item is not one of the allowed values")
        out.append(_U16.pack(len(values)))
        if len(values) <= _CACHED_COUNT:
            out.append(_many(item.format, len(values)).pack(*values))
        else:
            out.extend(one.pack(v) for v in values)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        count = data[at] << 8 | data[at + 1]
        bounds.check(count)
        start, end = at + 2, at + 2 + count * one.size
        if end > len(data):
            raise ValueError("a list is cut off")
        if count <= _CACHED_COUNT:
            items: tuple[Any, ...] = _many(item.format, count).unpack_from(data, start)
        else:
            items = tuple(v for (v,) in one.iter_unpack(data[start:end]))
        if item.table is not None:
            items = tuple(item.table[v] for v in items)
        if item.range is not None and any(v not in item.range for v in items):
            raise ValueError("an item is out of range")
        values.append(items)
        return end

    return Variable(write, read)


def _list_of_variable(item: Variable, bounds: Count) -> Variable:
    def write(values: tuple[Any, ...], out: list[bytes]) -> None:
        count = len(values)
        bounds.check(count)
        out.append(_LENGTHS[count] if count < 256 else _U16.pack(count))
        for value in values:
            item.write(value, out)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        count = data[at] << 8 | data[at + 1]
        bounds.check(count)
        at += 2
        items: list[Any] = []
        for _ in range(count):
            at = item.read(data, at, items)
        values.append(tuple(items))
        return at

    return Variable(write, read)


@dataclass(frozen=True, slots=True)
class Encoded(Generic[T]):
    """A record with its bytes, for one that is written many times. ``encoded`` makes it."""

    value: T
    data: bytes


def encoded(kind: type[T], value: T) -> Encoded[T]:
    """Return the record with its bytes. Raises EnvelopeError ENVELOPE_MALFORMED as ``encode`` does."""
    return Encoded(value, encode(kind, value))


def kept(kind: type[Any]) -> Variable:
    """Return the codec of an ``Encoded`` record: its encoding is the record's bytes."""

    def write(value: Encoded[Any], out: list[bytes]) -> None:
        out.append(value.data)

    def read(data: bytes, at: int, values: list[Any]) -> int:
        found: list[Any] = []
        end: int = kind.__record__.read(data, at, found)
        values.append(Encoded(found[0], data[at:end]))
        return end

    return Variable(write, read)


def _field(hint: Any) -> Fixed | Variable:
    """Return the codec of an annotation: the one that marks it, or that of an IntEnum, a record, or a list of
    these.
    """
    bounds = Count()
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, (Fixed, Variable)):
                return mark
            if isinstance(mark, Count):
                bounds = mark
    if get_origin(hint) is tuple:
        item = _field(get_args(hint)[0])
        return _list_of_fixed(item, bounds) if isinstance(item, Fixed) else _list_of_variable(item, bounds)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return Fixed("B", table={member.value: member for member in hint})
    nested: Variable = hint.__record__
    return nested


_MALFORMED: Final = (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error)


class _Misfit(ValueError):
    """A field has a value that its layout does not allow; the message begins with the field's name."""


def _write_run(names: list[str], run: list[Fixed]) -> _Write:
    pack = struct.Struct(">" + "".join(f.format for f in run)).pack
    lengths = [(i, f.length) for i, f in enumerate(run) if f.length]
    tables = [(i, f.table) for i, f in enumerate(run) if f.table is not None]
    ranges = [(i, f.range.most, f.range.also) for i, f in enumerate(run) if f.range is not None]

    def write(values: tuple[Any, ...], out: list[bytes]) -> None:
        for i, length in lengths:
            if len(values[i]) != length:
                raise _Misfit(f"{names[i]} is {len(values[i])} bytes long instead of {length}")
        for i, table in tables:
            if values[i] not in table:
                raise _Misfit(f"{names[i]} is {values[i]}")
        for i, most, also in ranges:
            if values[i] > most and values[i] != also:
                raise _Misfit(f"{names[i]} is {values[i]}")
        try:
            out.append(pack(*values))
        except struct.error:
            raise _first_misfit(names, run, values) from None

    return write


def _first_misfit(names: list[str], run: list[Fixed], values: tuple[Any, ...]) -> _Misfit:
    for name, codec, value in zip(names, run, values, strict=True):
        try:
            struct.pack(">" + codec.format, value)
        except struct.error as error:
            return _Misfit(f"{name}: {error}")
    return _Misfit("a field does not fit")


def _cut_off(names: list[str], run: list[Fixed], left: int) -> _Misfit:
    for name, codec in zip(names, run, strict=True):
        left -= struct.calcsize(">" + codec.format)
        if left < 0:
            return _Misfit(f"{name} is cut off")
    return _Misfit("it is cut off")


def _read_run(names: list[str], run: list[Fixed]) -> _Read:
    packed = struct.Struct(">" + "".join(f.format for f in run))
    unpack_from, size = packed.unpack_from, packed.size
    tables = [(i, f.table) for i, f in enumerate(run) if f.table is not None]
    ranges = [(i, f.range.most, f.range.also) for i, f in enumerate(run) if f.range is not None]

    def plain(data: bytes, at: int, values: list[Any]) -> int:
        try:
            values += unpack_from(data, at)
        except struct.error:
            raise _cut_off(names, run, len(data) - at) from None
        return at + size

    def checked(data: bytes, at: int, values: list[Any]) -> int:
        base = len(values)
        try:
            values += unpack_from(data, at)
        except struct.error:
            raise _cut_off(names, run, len(data) - at) from None
        for i, most, also in ranges:
            if (value := values[base + i]) > most and value != also:
                raise _Misfit(f"{names[i]} is {value}")
        for i, table in tables:
            if (value := values[base + i]) not in table:
                raise _Misfit(f"{names[i]} is {value}")
            values[base + i] = table[value]
        return at + size

    return checked if tables or ranges else plain


def _tuple_of(name: str) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(name)
    return lambda value: (get(value),)


def _compile(cls: type) -> Variable:
    hints = get_type_hints(cls, include_extras=True)
    table = [(f.name, _field(hints[f.name])) for f in fields(cls)]
    every = [name for name, _ in table]
    writers: list[tuple[str, Callable[[Any], Any], _Write]] = []
    readers: list[_Read] = []
    for is_fixed, group in groupby(table, key=lambda row: isinstance(row[1], Fixed)):
        rows = list(group)
        names = [name for name, _ in rows]
        if is_fixed:
            run = [codec for _, codec in rows if isinstance(codec, Fixed)]
            values_of = _tuple_of(names[0]) if len(names) == 1 else attrgetter(*names)
            writers.append((names[0], values_of, _write_run(names, run)))
            readers.append(_read_run(names, run))
        else:
            for name, codec in rows:
                if isinstance(codec, Variable):
                    writers.append((name, attrgetter(name), codec.write))
                    readers.append(codec.read)

    def write(value: Any, out: list[bytes]) -> None:
        for name, get, step in writers:
            try:
                step(get(value), out)
            except _Misfit:
                raise
            except _MALFORMED as error:
                raise _Misfit(f"{name}: {error}") from None

    def read(data: bytes, at: int, values: list[Any]) -> int:
        own: list[Any] = []
        try:
            for step in readers:
                at = step(data, at, own)
        except _Misfit:
            raise
        except _MALFORMED as error:
            # A step appends its values only at its end, so the count is the number of fields before this one.
            raise _Misfit(f"{every[len(own)]}: {error}") from None
        values.append(cls(*own))
        return at

    return Variable(write, read)


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen, slotted dataclass whose annotations are its wire layout."""
    made = dataclass(frozen=True, slots=True)(cls)
    made.__record__ = _compile(made)  # type: ignore[attr-defined]
    return made


def encode(kind: type[T], value: T) -> bytes:
    """Return the bytes of a record.

    Raises EnvelopeError ENVELOPE_MALFORMED for a value that its layout cannot carry: a number or text too
    large, a list out of bounds, bytes of a wrong length.
    """
    out: list[bytes] = []
    try:
        kind.__record__.write(value, out)  # type: ignore[attr-defined]
    except _MALFORMED as error:
        raise malformed(kind.__name__, str(error)) from None
    return b"".join(out)


def decode(kind: type[T], data: bytes) -> T:
    """Return the record that exactly these bytes encode.

    Raises EnvelopeError ENVELOPE_MALFORMED for anything else: truncated or trailing bytes, a list out of
    bounds, an unknown enum value, text that is not UTF-8. Allocates no more than the size of the bytes given
    justifies.
    """
    value, end = decode_prefix(kind, data)
    if end != len(data):
        raise malformed(kind.__name__, f"{len(data) - end} bytes after the end")
    return value


def decode_prefix(kind: type[T], data: bytes) -> tuple[T, int]:
    """Return the record at the start of these bytes and where it ends, whatever follows it.

    This is for padded records, and for looking at the authentic part of a statement. Raises EnvelopeError
    ENVELOPE_MALFORMED as ``decode`` does.
    """
    values: list[T] = []
    try:
        end = kind.__record__.read(data, 0, values)  # type: ignore[attr-defined]
    except _MALFORMED as error:
        raise malformed(kind.__name__, str(error)) from None
    return values[0], end


def malformed(what: str, why: str) -> EnvelopeError:
    """Return ENVELOPE_MALFORMED with the one wording used for it; the bytes themselves are never quoted."""
    return EnvelopeError(
        "ENVELOPE_MALFORMED",
        f"{what} does not have the layout of its kind: {why}",
        hint="the sender uses another version of the format, or what it sent was damaged",
    )
