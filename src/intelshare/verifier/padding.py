"""Padded records: exactly max(floor, Padmé(n)) bytes, the rest zeros (docs/format.md, "Padding")."""

from __future__ import annotations

from typing import TypeVar

from intelshare.crypto.codec import decode_prefix, malformed

T = TypeVar("T")


def unpadded(kind: type[T], padded: bytes, floor: int) -> T:
    """Return the record. Raises EnvelopeError ENVELOPE_MALFORMED for a wrong length or a padding byte that is
    not zero.
    """
    found, end = decode_prefix(kind, padded)
    if len(padded) != max(floor, padme(end)) or any(padded[end:]):
        raise malformed(kind.__name__, "its padding is not right for its length")
    return found


def padme(length: int) -> int:
    """Round ``length`` up to a multiple of 2^(E - S)."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    unit = 1 << exponent - exponent.bit_length()
    return -(-length // unit) * unit
