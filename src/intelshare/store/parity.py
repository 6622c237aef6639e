"""Bytes beside a record that bring back a stretch of it: a sector or a page that went bad.

The record is cut into blocks. Beside it stand a check of each block, which tells which ones have changed, and
the exclusive or of all blocks that are the same number of blocks apart, its lanes. So any damage of up to as
many consecutive blocks as there are lanes is undone. Nothing here proves anything: the record's tag does.

    parity  check of each block (4 bytes each), then a block for each lane
"""

from __future__ import annotations

import struct
from binascii import crc32
from typing import Final

BLOCK: Final = 512
"""The bytes of a block: the smallest sector of a disk."""

LANES: Final = 9
"""The lanes of what stays for a short time only: a page of 4 KiB that begins in the middle of a block."""

_CHECK: Final = 4


def parity_of(record: bytes, lanes: int = LANES) -> bytes:
    """Return the parity of a record: at most 512 bytes for each lane, and 4 bytes for each block."""
    checks = [crc32(record[at : at + BLOCK]) for at in range(0, len(record), BLOCK)]
    return struct.pack(f">{len(checks)}I", *checks) + _folded(record, lanes * BLOCK)


def repaired(record: bytes, parity: bytes, lanes: int = LANES) -> bytes | None:
    """Return the record as it was, as far as its parity can tell; None if too much of it has changed."""
    count = (len(record) + BLOCK - 1) // BLOCK
    checks, folded = parity[: count * _CHECK], parity[count * _CHECK :]
    if len(folded) != min(len(record), lanes * BLOCK):
        return None
    changed = [
        number
        for number in range(count)
        if crc32(record[number * BLOCK : number * BLOCK + BLOCK])
        != int.from_bytes(checks[number * _CHECK : number * _CHECK + _CHECK])
    ]
    if not changed or len({number % lanes for number in changed}) != len(changed):
        return None
    whole = bytearray(record)
    for number in changed:
        at = number * BLOCK
        whole[at : at + BLOCK] = bytes(len(record[at : at + BLOCK]))
    rest = _folded(bytes(whole), lanes * BLOCK)
    for number in changed:
        at, lane = number * BLOCK, number % lanes * BLOCK
        size = len(record[at : at + BLOCK])
        missing = zip(folded[lane : lane + size], rest[lane : lane + size], strict=True)
        whole[at : at + size] = bytes([one ^ other for one, other in missing])
    return bytes(whole)


def _folded(record: bytes, stride: int) -> bytes:
    size = min(len(record), stride)
    folded = 0
    for at in range(0, len(record), stride):
        part = record[at : at + stride]
        folded ^= int.from_bytes(part, "little")
    return folded.to_bytes(size, "little")
