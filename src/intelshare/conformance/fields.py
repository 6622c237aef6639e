"""Records as JSON and back: bytes in hexadecimal, enums by name, integers from 2^53 on as text."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from intelshare.crypto.codec import Encoded, encoded

EXACT = 2**53
"""From this value on, JSON numbers lose digits in many readers."""


def plain(value: Any) -> Any:
    """Return a record as JSON."""
    if isinstance(value, Encoded):
        return plain(value.value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, int) and value >= EXACT:
        return str(value)
    return value


def unplain(kind: Any, value: Any) -> Any:
    """Return the record, or the part of one, that ``plain`` shows in this way. Raises KeyError, ValueError,
    TypeError.
    """
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Encoded:
        (inner,) = get_args(kind)
        return encoded(inner, unplain(inner, value))
    if get_origin(kind) is tuple:
        return tuple(unplain(get_args(kind)[0], item) for item in value)
    kind = getattr(kind, "__supertype__", kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        if hints.keys() != value.keys():
            raise ValueError(f"a {getattr(kind, '__name__', kind)} has {sorted(hints)}")
        return kind(**{name: unplain(hint, value[name]) for name, hint in hints.items()})  # type: ignore[operator]
    if issubclass(kind, IntEnum):
        return kind[value]
    if issubclass(kind, bytes):
        return bytes.fromhex(value)
    return int(value) if issubclass(kind, int) else str(value)
