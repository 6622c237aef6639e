"""Random choices from random bytes, uniform and without a generator of our own."""

from __future__ import annotations

from intelshare.crypto.suites import Random


def draw_distinct(count: int, among: int, random: Random) -> list[int]:
    """``count`` distinct numbers below ``among`` (a power of two up to 256), in random order.

    Bytes that repeat a number are dropped, so every choice is equally likely.
    """
    mask = among - 1
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn.update(dict.fromkeys(byte & mask for byte in random(4 * count + 12)))
    return list(drawn)[:count]
