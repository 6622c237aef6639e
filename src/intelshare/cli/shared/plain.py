"""Writes wire messages as JSON: the wire's field names, ids in hexadecimal, contents in base64, times as
numbers.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

_BASE64 = frozenset(("content", "log_entry"))


def plain(message: Message) -> dict[str, Any]:
    """Return every field, even if empty: a reader of the JSON should not have to know defaults."""
    return {
        field.name: _value(field.name, getattr(message, field.name), repeated=field.is_repeated)
        for field in message.DESCRIPTOR.fields
    }


def _value(name: str, value: Any, *, repeated: bool) -> Any:
    if repeated:
        return [_value(name, item, repeated=False) for item in value]
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii") if name in _BASE64 else value.hex()
    return plain(value) if hasattr(value, "DESCRIPTOR") else value
