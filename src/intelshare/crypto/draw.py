"""Uniform random choices made from random bytes, without a random number generator of its own."""

from __future__ import annotations

from intelshare.crypto.suites import Random


def draw_distinct(count: int, among: int, random: Random) -> list[int]:
    """Return ``count`` distinct numbers below ``among`` (a power of two up to 256), in random order.

    Bytes that repeat a number are dropped, so every choice is equally likely.
    """
    mask = among - 1
    if count == 1:  # nearly always: the same choice from the same bytes, without the dictionary
        return [random(16)[0] & mask]
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn.update(dict.fromkeys(byte & mask for byte in random(4 * count + 12)))
    return list(drawn)[:count]


def cut(random: Random, size: int) -> Random:
    """Return a source of the same bytes in the same order that draws ``size`` at a time, because one draw
    costs as much as 200 bytes.

    It serves one batch of work; bytes left over are dropped with it.
    """
    block, at = b"", 0

    def take(length: int) -> bytes:
        nonlocal block, at
        end = at + length
        if end > len(block):
            block, at, end = block[at:] + random(max(size, length)), 0, length
        taken = block[at:end]
        at = end
        return taken

    return take
