"""Numbers of the core as values of the wire's enums, and those as words. The numbers are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

    from intelshare.wire.v1 import user_pb2 as pb


def precedence_value(number: int) -> pb.Precedence.ValueType:
    """A precedence, 1 to 4."""
    return cast("pb.Precedence.ValueType", number)


def kind_value(number: int) -> pb.PortionKind.ValueType:
    """A kind of portion, 1 to 5."""
    return cast("pb.PortionKind.ValueType", number)


def enum_word(kind: EnumDescriptor, number: int) -> str | None:
    """The name of a value without that of its enum; None for 0 and for a number without a word."""
    value = kind.values_by_number.get(number)
    if value is None or number == 0:
        return None
    unspecified: str = kind.values_by_number[0].name
    return str(value.name).removeprefix(unspecified.removesuffix("UNSPECIFIED"))
