"""Wire messages as JSON, by the rules of docs/json.md: what a field becomes is decided here, once.

``documents.py`` makes the published schemas from the same decision.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from intelshare.instant import NEVER, Instant, show

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message


class Form(Enum):
    """Form of a field in JSON."""

    TEXT = auto()
    HEX = auto()
    BASE64 = auto()
    TIME = auto()
    """RFC 3339 in UTC."""
    SECONDS = auto()
    """A number; the member's name ends in ``_seconds``."""
    WIDE = auto()
    """A 64-bit number: its decimal digits as a text."""
    RANDOM = auto()
    """Random 64 bits that name something: 16 hexadecimal digits."""
    PLACE = auto()
    """A place in reading order, from 1; the member is called ``number``."""
    NUMBER = auto()
    FLAG = auto()
    WORD = auto()
    MESSAGE = auto()


_BASE64 = frozenset(("content",))
_SECONDS = frozenset(("took", "clock_offset", "again"))
_TIMES = frozenset(
    (
        *(
            "at",
            "since",
            "until",
            "effective",
            "due",
            "expires",
            "now",
            "expected",
            "last_seen",
            "valid_until",
        ),
        *("counts_from", "counts_until", "witnessed_until", "directory_expires", "certificate_expires"),
        "believed_until",
        "valid_from",
        *("oldest_queued", "oldest_unacknowledged"),
    )
)
_TYPE_MESSAGE, _TYPE_BYTES, _TYPE_ENUM, _TYPE_BOOL, _TYPE_STRING = 11, 12, 14, 8, 9
_WIDE_TYPES = frozenset((3, 4, 16, 18))
_FIXED64 = 6


def form_of(field: FieldDescriptor) -> Form:
    """The form of a field."""
    kind, name = field.type, field.name
    fixed = {
        _TYPE_MESSAGE: Form.MESSAGE,
        _TYPE_BYTES: Form.BASE64 if name in _BASE64 else Form.HEX,
        _TYPE_ENUM: Form.WORD,
        _TYPE_BOOL: Form.FLAG,
        _TYPE_STRING: Form.TEXT,
        _FIXED64: Form.RANDOM,
    }
    if kind in fixed:
        return fixed[kind]
    if name in _SECONDS:
        return Form.SECONDS
    if name == "position":
        return Form.PLACE
    if kind not in _WIDE_TYPES:
        return Form.NUMBER
    return Form.TIME if name in _TIMES or name.endswith("_at") else Form.WIDE


def name_of(field: FieldDescriptor) -> str:
    """The name of the member of a field."""
    form = form_of(field)
    if form is Form.SECONDS:
        return f"{field.name}_seconds"
    return "number" if form is Form.PLACE else str(field.name)


def is_map(field: FieldDescriptor) -> bool:
    """Return True for a map of numbers by text."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def plain(message: Message) -> dict[str, Any]:
    """Every field, also those that are empty, as null: a reader of JSON should not have to know defaults."""
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    return {name_of(field): _member(message, field) for field in fields}


def _member(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if is_map(field):
        return {key: str(number) for key, number in value.items()}
    form = form_of(field)
    if field.is_repeated:
        return [_value(field, form, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, form, value)


def _value(field: FieldDescriptor, form: Form, value: Any) -> Any:
    match form:
        case Form.MESSAGE:
            return plain(value)
        case Form.HEX:
            return value.hex() or None
        case Form.BASE64:
            return b64encode(value).decode("ascii") or None
        case Form.TEXT:
            return value or None
        case Form.TIME:
            return time_text(value)
        case Form.SECONDS:
            return value / 1_000_000
        case Form.WIDE:
            return str(value)
        case Form.RANDOM:
            return f"{value:016x}"
        case Form.PLACE:
            return value + 1
        case Form.WORD:
            from intelshare.wire import enum_word

            assert field.enum_type is not None  # noqa: S101 - it is an enum
            return enum_word(field.enum_type, value)
        case _:
            return value


def time_text(instant: int) -> str | None:
    """An instant as RFC 3339 in UTC; None for none (0), for never, and for one that no calendar has."""
    if instant in (0, NEVER):
        return None
    shown = show(Instant(instant))
    return shown if shown.endswith("Z") else None
