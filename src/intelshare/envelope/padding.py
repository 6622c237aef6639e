"""Padding: the lengths of portions and grants reveal only a size class (Padmé, at most 12 % more)."""

from __future__ import annotations

from typing import Final

from intelshare.crypto.codec import malformed

PORTION_FLOOR: Final = 256
GRANT_FLOOR: Final = 1024


def padded_length(length: int, floor: int) -> int:
    """Return max(floor, Padmé(length)): only the highest bits of a length remain visible."""
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def pad(data: bytes, floor: int) -> bytes:
    """Return the data with zeros up to its padded length."""
    return data.ljust(padded_length(len(data), floor), b"\0")


def check_padding(padded: bytes, end: int, floor: int, what: str) -> None:
    """Return if exactly the right number of zeros follows ``end``, and nothing else.

    Raises EnvelopeError ENVELOPE_MALFORMED: padding must not hide bytes.
    """
    if len(padded) != padded_length(end, floor):
        raise malformed(what, f"{len(padded)} bytes with padding instead of {padded_length(end, floor)}")
    if padded.count(0, end) != len(padded) - end:
        raise malformed(what, "its padding is not zero")
