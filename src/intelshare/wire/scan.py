"""Reads what a peer sends, strictly and in one pass over the bytes: check 2 of attacks.md.

protobuf's parser is not used: it makes an object of every empty sub-message (4 MiB of them cost 80 MiB), and
accepts duplicates, unknown fields and non-minimal numbers without complaint. Here every field is counted
before anything is built from it, the depth is exactly that of ``peer.proto``, and protobuf reads what is
accepted in the same way (a test verifies this). Nothing here is trusted: statements stay opaque until they
are verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import (
    SLICE,
    Ack,
    Acks,
    Carried,
    Frame,
    Gap,
    Hello,
    Message,
    Slice,
    SliceAsk,
)
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Trust
from intelshare.delivery import MAX_ASKED
from intelshare.errors import EnvelopeError
from intelshare.ids import Digest
from intelshare.instant import LATEST, Instant
from intelshare.trust import DirectoriesHeld

MAX_MESSAGE: Final = 1 << 20
MAX_STATEMENTS: Final = 256
MAX_BODIES: Final = 64

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_TEXT: Final = 3
_MESSAGE: Final = 4
_WIRE_TYPE: Final = {_VARINT: 0, _FIXED64: 1, _BYTES: 2, _TEXT: 2, _MESSAGE: 2}

_U32: Final = 2**32 - 1
_U64: Final = 2**64 - 1
_COUNTER: Final = 2**63 - 1
_TEXT_LIMIT: Final = 1024
"""The most bytes of a code or a URI."""


def read_message(raw: bytes) -> Message:
    """Return the one message in these bytes.

    Raises EnvelopeError TOO_LARGE over 1 MiB, ENVELOPE_MALFORMED for anything that ``peer.proto`` does not
    allow: an unknown field, a count above its bound, a repeated scalar, a number in more bytes than it needs.
    """
    if len(raw) > MAX_MESSAGE:
        raise EnvelopeError("TOO_LARGE", f"a message of {len(raw)} bytes; the bound is {MAX_MESSAGE}")
    fields = _fields(raw, 0, len(raw), _LINK_MESSAGE)
    hello, frame, acks, gaps, ask, path, slice_ask, part, directories, directory = fields
    if sum(field is not None for field in fields) != 1:
        raise _malformed("a message holds exactly one body")
    if frame is not None:
        return _frame(raw, *frame)
    if acks is not None:
        return _acks(raw, *acks)
    if gaps is not None:
        return _gaps(raw, *gaps)
    if ask is not None:
        return decode(LogAsk, ask)
    if path is not None:
        return decode(LogPath, path)
    if slice_ask is not None:
        return _slice_ask(raw, *slice_ask)
    if part is not None:
        return _slice(raw, *part)
    if directories is not None:
        return decode(DirectoriesHeld, directories)
    if directory is not None:
        return decode(Trust, directory)
    return Hello(hello)


def _frame(raw: bytes, at: int, end: int) -> Frame:
    batch, key, spans = _fields(raw, at, end, _FRAME)
    if not spans:
        raise _malformed("a frame without a statement")
    statements = []
    for start, stop in spans:
        kind, nonce, data, proof, grant, bodies = _fields(raw, start, stop, _STATEMENT)
        if (kind or 0) > _U32:
            raise _malformed("a kind of more than 32 bits")
        statements.append(
            Carried(kind or 0, nonce or b"", data or b"", proof or b"", grant or b"", tuple(bodies))
        )
    return Frame(batch or b"", key or b"", tuple(statements))


def _acks(raw: bytes, at: int, end: int) -> Acks:
    time, spans = _fields(raw, at, end, _ACKS)
    if not spans:
        raise _malformed("no acknowledgement in it")
    if (time or 0) > LATEST:
        raise _malformed("time is after the year 9999")
    acks = []
    for start, stop in spans:
        digest, code = _fields(raw, start, stop, _ACK)
        if digest is None or len(digest) != 32:
            raise _malformed("a digest is not 32 bytes")
        acks.append(Ack(digest, code or "", Instant(time or 0)))
    return Acks(tuple(acks))


def _gaps(raw: bytes, at: int, end: int) -> Gap:
    origin, incarnation, spans, acts = _fields(raw, at, end, _GAPS)
    if acts is not None:
        if not 0 < acts <= _COUNTER or spans or origin is not None or incarnation is not None:
            raise _malformed("a request for acts beside one for numbers, or for act 0 or one beyond any")
        return Gap.of_acts(acts)
    missing = []
    for start, stop in spans:
        first, last = _fields(raw, start, stop, _RANGE)
        if not 0 < (first or 0) <= (last or 0) <= _COUNTER:
            raise _malformed("a range of numbers that is none")
        missing.append((first, last))
    if not missing:
        raise _malformed("a gap request without a range")
    return Gap(origin or "", incarnation or 0, tuple(missing))


def _slice_ask(raw: bytes, at: int, end: int) -> SliceAsk:
    pieces, number = _fields(raw, at, end, _SLICE_ASK)
    return SliceAsk(*_part_of_file(pieces, number))


def _slice(raw: bytes, at: int, end: int) -> Slice:
    pieces, number, data = _fields(raw, at, end, _SLICE)
    if len(data or b"") > SLICE:
        raise _malformed(f"a part of a file of more than {SLICE} bytes")
    return Slice(*_part_of_file(pieces, number), data or b"")


def _part_of_file(pieces: bytes | None, number: int | None) -> tuple[Digest, int]:
    if pieces is None or len(pieces) != 32 or (number or 0) > _U32:
        raise _malformed("a part of a file that cannot be one")
    return Digest(pieces), number or 0


class _Row(NamedTuple):
    slot: int
    type: int
    limit: int
    """The most occurrences of a repeated field; 0 for a scalar."""


class _Shape(NamedTuple):
    rows: Mapping[int, _Row]
    """The rows by the first byte of a field, which is its whole tag: no message of ours has 16 fields."""
    repeated: tuple[int, ...]
    width: int


def _shape(*fields: tuple[int, int]) -> _Shape:
    """Return the shape of a message whose fields, from 1, have these types and, if repeated, most
    occurrences.
    """
    rows = {
        (number << 3) | _WIRE_TYPE[type_]: _Row(number - 1, type_, limit)
        for number, (type_, limit) in enumerate(fields, 1)
    }
    return _Shape(rows, tuple(i for i, (_, limit) in enumerate(fields) if limit), len(fields))


_LINK_MESSAGE: Final = _shape(
    (_BYTES, 0), (_MESSAGE, 0), (_MESSAGE, 0), (_MESSAGE, 0), (_BYTES, 0), (_BYTES, 0), (_MESSAGE, 0),
    (_MESSAGE, 0), (_BYTES, 0), (_BYTES, 0),
)  # fmt: skip
_FRAME: Final = _shape((_BYTES, 0), (_BYTES, 0), (_MESSAGE, MAX_STATEMENTS))
_STATEMENT: Final = _shape(
    (_VARINT, 0), (_BYTES, 0), (_BYTES, 0), (_BYTES, 0), (_BYTES, 0), (_BYTES, MAX_BODIES)
)
_ACKS: Final = _shape((_VARINT, 0), (_MESSAGE, MAX_STATEMENTS))
_ACK: Final = _shape((_BYTES, 0), (_TEXT, 0))
_GAPS: Final = _shape((_TEXT, 0), (_FIXED64, 0), (_MESSAGE, MAX_ASKED), (_VARINT, 0))
_SLICE_ASK: Final = _shape((_BYTES, 0), (_VARINT, 0))
_SLICE: Final = _shape((_BYTES, 0), (_VARINT, 0), (_BYTES, 0))
_RANGE: Final = _shape((_VARINT, 0), (_VARINT, 0))


def _fields(raw: bytes, at: int, end: int, shape: _Shape) -> list[Any]:
    """Return the values by field; for a sub-message, its span. One loop for all: links spend their
    time here.
    """
    rows = shape.rows
    values: list[Any] = [None] * shape.width
    for slot in shape.repeated:
        values[slot] = []
    while at < end:
        row = rows.get(raw[at])
        if row is None:
            raise _malformed("a field that it cannot have")
        slot, type_, limit = row
        at += 1
        if type_ == _FIXED64:
            number, at = int.from_bytes(raw[at : at + 8], "little"), at + 8
        elif at < end and raw[at] < 0x80:
            number, at = raw[at], at + 1
        else:
            number, at = _varint(raw, at, end)
        value: Any = number
        if type_ >= _BYTES:
            start, at = at, at + number
            value = (start, at) if type_ == _MESSAGE else raw[start:at]
        if at > end:
            raise _malformed("it ends in the middle of a field")
        if type_ == _TEXT:
            value = _text(value)
        if limit:
            values[slot].append(value)
            if len(values[slot]) > limit:
                raise _malformed(f"a repeated field more than {limit} times")
        elif values[slot] is not None:
            raise _malformed("a field twice")
        else:
            values[slot] = value
    return values


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _U64 or (byte == 0 and shift):
                break
            return value, at
        shift += 7
    raise _malformed("a number that is cut, too long, or in more bytes than it needs")


def _text(value: bytes) -> str:
    if len(value) > _TEXT_LIMIT:
        raise _malformed("a text that is too long")
    try:
        return value.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _malformed("a text that is not UTF-8") from None


def _malformed(why: str) -> EnvelopeError:
    return EnvelopeError("ENVELOPE_MALFORMED", f"a link message cannot be read: {why}")
