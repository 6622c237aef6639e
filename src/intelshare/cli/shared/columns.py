"""Fits a table into a terminal's width: the widest columns are wrapped first, where a reader expects it.

A time is wrapped before its hour, an address after a slash, a fingerprint between its groups, words at
spaces; a cell without such a place is cut anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from intelshare.text import width

GAP = 2
"""The number of spaces between two columns."""

LONGEST_WORD = 24
"""The longest piece without a break, such as a digest, that is kept whole at the expense of other columns."""

NARROWEST = 6

_BREAKS = re.compile(r"(?<= )(?! )|(?<=\d\dT)(?=\d\d:)|(?<=/)(?=[^/])|(?<=[A-Z0-9]{5}-)(?=[A-Z0-9]{5}\b)")


def fit(rows: Sequence[Sequence[str]], room: int) -> list[list[str]]:
    """Return the rows with line breaks in their cells, so that they are at most ``room`` wide if possible.

    All rows have the same number of cells; ``room`` is in columns and includes the gaps.
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
    """Return the lines of a cell, none wider than ``room``, or than one letter if that is more."""
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
