"""Brings back bytes of which one has changed since their ``aead.checksum`` was made, as by a flipped bit.

GMAC is linear. If a block of a message changes by E, its checksum changes by E·H^n in GF(2^128): H is the
block of zeros under the key, and n grows by one with each block from the end. So the difference of two
checksums, divided by the power of H that belongs to the block that has changed, is E. All blocks are tried: a
quotient with bits in one byte alone is the change. That takes about 1.5 µs for each 16 bytes.

The checksum has 128 bits. In a message of N bytes 255·N changes are recognised, so other random damage is
taken for one of them with a chance of 255·N / 2^128: 2^-108 at 4 KiB, 2^-102 at ``LONGEST``. The chance that
there are two bytes at all whose change looks like that of a third one is below 2^-50. People can make a
checksum for anything: it protects against decay alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from intelshare.crypto.aead import CHECKSUM_KEY, TAG_LENGTH, checksum

LONGEST: Final = 256 << 10
"""The bytes up to which the changed one is looked for: about 25 ms."""

_BITS: Final = 128
_REDUCED: Final = 0xE1 << 120
"""x^128, in the order of bits in GCM: the first bit is the coefficient of x^0."""

_NEAREST: Final = 2
"""The power of H that the last block of a message is multiplied by: after it comes the block of lengths."""


def as_checked(data: bytes, kept: bytes) -> bytes | None:
    """Return the bytes whose checksum was kept, if at most one byte of them or of it has changed.

    None: more has changed, or there is too much to look through. Never raises.
    """
    if len(kept) != TAG_LENGTH or len(data) > LONGEST:
        return None
    change = int.from_bytes(checksum(data)) ^ int.from_bytes(kept)
    if not change or _in_one_byte(change):
        return data
    blocks = (len(data) + TAG_LENGTH - 1) // TAG_LENGTH
    tables = _quotients()
    for _ in range(_NEAREST - 1):
        change = _divided(tables, change)
    for block in range(blocks - 1, -1, -1):
        change = _divided(tables, change)
        if _in_one_byte(change):
            return _changed(data, block * TAG_LENGTH, change, kept)
    return None


def _changed(data: bytes, at: int, change: int, kept: bytes) -> bytes | None:
    block = data[at : at + TAG_LENGTH]
    was = (int.from_bytes(block.ljust(TAG_LENGTH, b"\0")) ^ change).to_bytes(TAG_LENGTH)
    whole = data[:at] + was[: len(block)] + data[at + len(block) :]
    return whole if checksum(whole) == kept else None  # otherwise it was in the zeros after the end


def _in_one_byte(change: int) -> bool:
    """Return true if all bits that are set are in one byte; some are."""
    return not change & ((1 << (change.bit_length() - 1 & ~7)) - 1)


def _divided(tables: Sequence[Sequence[int]], value: int) -> int:
    quotient = 0
    for table, byte in zip(tables, value.to_bytes(TAG_LENGTH), strict=True):
        quotient ^= table[byte]
    return quotient


@cache
def _quotients() -> tuple[tuple[int, ...], ...]:
    """For each byte of a block, and each of its values: that divided by H."""
    cipher = Cipher(algorithms.AES(CHECKSUM_KEY), modes.ECB())  # noqa: S305 - one block, of zeros
    h = int.from_bytes(cipher.encryptor().update(bytes(TAG_LENGTH)))
    inverse, power = 1 << _BITS - 1, h
    for _ in range(_BITS - 1):  # h^(2^128 - 2)
        power = _product(power, power)
        inverse = _product(inverse, power)
    bits = [inverse]
    while len(bits) < _BITS:
        bits.append(_times_x(bits[-1]))
    tables = []
    for first in range(0, _BITS, 8):
        table = [0] * 256
        for value in range(1, 256):
            lowest = (value & -value).bit_length() - 1
            table[value] = table[value & value - 1] ^ bits[first + 7 - lowest]
        tables.append(tuple(table))
    return tuple(tables)


def _product(one: int, other: int) -> int:
    product = 0
    for bit in range(_BITS - 1, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = _times_x(other)
    return product


def _times_x(value: int) -> int:
    return value >> 1 ^ (_REDUCED if value & 1 else 0)
