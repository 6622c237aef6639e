"""Fits a table into a terminal's width: widest columns first, broken where a reader would break.

A time breaks before its hour, an address after a slash, a fingerprint between its groups, words at spaces;
only what has no such place is cut anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from intelshare.text import width

GAP = 2
"""Spaces between two columns."""

LONGEST_WORD = 24
"""A longer piece without a place to break, such as a digest, is cut rather than pushing others aside."""

NARROWEST = 6

_BREAKS = re.compile(r"(?<= )(?! )|(?<=\d\dT)(?=\d\d:)|(?<=/)(?=[^/])|(?<=[A-Z0-9]{5}-)(?=[A-Z0-9]{5}\b)")


def fit(rows: Sequence[Sequence[str]], room: int) -> list[list[str]]:
    """The rows with line ends in their cells, so that they are not wider than ``room`` if that is possible.

    Every row has as many cells; ``room`` in columns, gaps counted in.
    """
    count = len(rows[0])
    widths = [max(width(row[n]) for row in rows) for n in range(count)]
    floors = [
        min(max(width(piece.rstrip()) for row in rows for piece in _pieces(row[n])), LONGEST_WORD, widths[n])
        for n in range(count)
    ]
    excess = sum(widths) + GAP * (count - 1) - room
    for least in (floors, [min(floor, NARROWEST) for floor in floors]):
        while excess > 0:
            over = [n for n in range(count) if widths[n] > least[n]]
            if not over:
                break
            widths[max(over, key=widths.__getitem__)] -= 1
            excess -= 1
    return [["\n".join(_wrapped(cell, widths[n])) for n, cell in enumerate(row)] for row in rows]


def _pieces(cell: str) -> list[str]:
    return _BREAKS.split(cell)


def _wrapped(cell: str, room: int) -> list[str]:
    """The cell's lines, none wider than ``room`` (but at least one letter)."""
    if width(cell) <= room:
        return [cell]
    lines = [""]
    for piece in _pieces(cell):
        if width(lines[-1]) + width(piece.rstrip()) <= room:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for letter in piece:
            if lines[-1] and width(lines[-1]) + width(letter) > room:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines]
