"""Bytes beside a record that bring back a stretch of it: a sector or a page that went bad.

The record is cut into blocks. Beside it stand a check of each block, which tells which ones have changed, and
the exclusive or of all blocks that are the same number of blocks apart. So any damage of up to ``LANES``
consecutive blocks is undone. Nothing here proves anything: the record's tag does.

    parity  check of each block (4 bytes each), then LANES blocks

What is written for good has only the exclusive or (``folded``), of fewer lanes. It tells what has changed but
not where: each place is tried (``unfolded``), and the record's tag or digest tells which is right.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Final

BLOCK: Final = 512
"""The bytes of a block: the smallest sector of a disk."""

LANES: Final = 9
"""The consecutive blocks that can be brought back: a page of 4 KiB that begins in the middle of a block."""

MOST: Final = 128
"""The blocks of a record that has only the exclusive or: in one of more than 64 KiB they are longer."""

_CHECK: Final = 4
_STRIDE: Final = BLOCK * LANES


def parity_of(record: bytes) -> bytes:
    """Return the parity of a record: at most 4.5 KiB, and 4 bytes for each block."""
    checks = b"".join([_check(record[at : at + BLOCK]) for at in range(0, len(record), BLOCK)])
    return checks + _folded(record, _STRIDE)


def repaired(record: bytes, parity: bytes) -> bytes | None:
    """Return the record as it was, as far as its parity can tell; None if too much of it has changed."""
    count = (len(record) + BLOCK - 1) // BLOCK
    checks, lanes = parity[: count * _CHECK], parity[count * _CHECK :]
    if len(lanes) != min(len(record), _STRIDE):
        return None
    changed = [
        number
        for number in range(count)
        if _check(record[number * BLOCK : number * BLOCK + BLOCK])
        != checks[number * _CHECK : number * _CHECK + _CHECK]
    ]
    if not changed or len({number % LANES for number in changed}) != len(changed):
        return None
    whole = bytearray(record)
    for number in changed:
        at = number * BLOCK
        whole[at : at + BLOCK] = bytes(len(record[at : at + BLOCK]))
    rest = _folded(bytes(whole), _STRIDE)
    for number in changed:
        at, lane = number * BLOCK, number % LANES * BLOCK
        size = len(record[at : at + BLOCK])
        missing = zip(lanes[lane : lane + size], rest[lane : lane + size], strict=True)
        whole[at : at + size] = bytes([one ^ other for one, other in missing])
    return bytes(whole)


def _check(block: bytes) -> bytes:
    return binascii.crc32(block).to_bytes(_CHECK)


def folded(record: bytes, lanes: int) -> bytes:
    """Return the exclusive or of all blocks that are so many blocks apart: so many blocks."""
    return _folded(record, lanes * _block_of(record))


def unfolded(record: bytes, parity: bytes, lanes: int) -> Iterator[bytes]:
    """Yield what a record may have been, if at most so many consecutive blocks of it have changed."""
    if len(parity) != min(len(record), lanes * _block_of(record)):
        return
    size = _block_of(record)
    change = _xor(folded(record, lanes), parity)
    changes = [change[lane * size : lane * size + size] for lane in range(lanes)]
    changed = {lane for lane, one in enumerate(changes) if any(one)}
    count = (len(record) + size - 1) // size
    for first in range(count):
        blocks = [block for block in range(first, min(first + lanes, count)) if block % lanes in changed]
        if first not in blocks or len(blocks) < len(changed):
            continue
        whole = bytearray(record)
        for block in blocks:
            at = block * size
            whole[at : at + size] = _xor(record[at : at + size], changes[block % lanes])
        yield bytes(whole)


def _block_of(record: bytes) -> int:
    return BLOCK * max(1, -(-len(record) // (MOST * BLOCK)))


def _xor(one: bytes, other: bytes) -> bytes:
    """Return their exclusive or, as long as the first one."""
    return bytes([left ^ right for left, right in zip(one, other, strict=False)]) + one[len(other) :]


def _folded(record: bytes, stride: int) -> bytes:
    size = min(len(record), stride)
    whole = 0
    for at in range(0, len(record), stride):
        part = record[at : at + stride]
        whole ^= int.from_bytes(part, "little")
    return whole.to_bytes(size, "little")
