"""Padding: lengths of portions and grants tell only a size class (Padmé, at most 12 % more)."""

from __future__ import annotations

from typing import Final

from intelshare.crypto.codec import malformed

PORTION_FLOOR: Final = 256
GRANT_FLOOR: Final = 1024


def padded_length(length: int, floor: int) -> int:
    """max(floor, Padmé(length)): only the highest bits of a length remain visible."""
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def pad(data: bytes, floor: int) -> bytes:
    """The data and zeros up to its padded length."""
    return data.ljust(padded_length(len(data), floor), b"\0")


def check_padding(padded: bytes, end: int, floor: int, what: str) -> None:
    """Return if nothing but the exact number of zeros follows ``end``.

    Raises EnvelopeError ENVELOPE_MALFORMED: padding is no place to hide bytes in.
    """
    if len(padded) != padded_length(end, floor):
        raise malformed(what, f"{len(padded)} bytes with padding instead of {padded_length(end, floor)}")
    if padded.count(0, end) != len(padded) - end:
        raise malformed(what, "its padding is not zero")
