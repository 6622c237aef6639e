"""Padded records: exactly max(floor, Padmé(n)) bytes, the rest zeros (docs/format.md, "Padding")."""

from __future__ import annotations

from typing import TypeVar

from intelshare.crypto.codec import decode_prefix, malformed

T = TypeVar("T")


def unpadded(kind: type[T], padded: bytes, floor: int) -> T:
    """The record. Raises EnvelopeError ENVELOPE_MALFORMED for another length or a byte that is not zero."""
    found, end = decode_prefix(kind, padded)
    if len(padded) != max(floor, padme(end)) or any(padded[end:]):
        raise malformed(kind.__name__, "its padding is not the one that this length has")
    return found


def padme(length: int) -> int:
    """``length`` rounded up to a multiple of 2^(E - S)."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    unit = 1 << exponent - exponent.bit_length()
    return -(-length // unit) * unit
