"""Fits a table into a terminal's width: one line an entry, and nothing broken in the middle.

Where it is too wide times lose year and seconds, long heads are shortened, then free text is cut at its end
with "…", and at last the columns go that are looked at least; a line below says which. What names something
(an id, a code, a word, a fingerprint) is whole or not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from intelshare.text import width

GAP: Final = 2
"""Spaces between two columns."""

_FREE: Final = {
    name: floor
    for floor, names in (
        (
            10,
            (
                "title found message about because note what reason means excerpt meaning recipients "
                "name origin result difference treaties nodes"
            ),
        ),
        (
            16,
            "basis|basis or reason|last error|what it is|got to|codes|value|seen to by|would be|categories",
        ),
        (24, "banner label object selector source place where then check"),
    )
    for name in (names.split("|") if "|" in names else names.split())
}
"""Columns of free text, which may be cut, and to how little."""

_LEAST: Final = (
    *(
        "digest",
        "signature",
        "number",
        "hash",
        "where",
        "node",
        "size",
        "clock",
        "steps",
        "suite",
        "directory",
    ),
    *(
        "nodes",
        "treaties",
        "origin",
        "nationality",
        "root",
        "unacknowledged",
        "oldest",
        "alone",
        "first",
        "last",
    ),
    *(
        "decided",
        "asked",
        "reply",
        "note",
        "since",
        "categories",
        "person",
        "portions",
        "received",
        "created",
    ),
    *(
        "at",
        "until",
        "directory until",
        "treaty",
        "text",
        "counts from",
        "succeeded",
        "destroyed",
        "articles",
    ),
    *("banner", "last seen", "last error", "means", "queued", "numbers", "certificate", "source", "because"),
)
"""Columns in the order in which they go."""

_HEADS: Final = {
    "precedence": "prec.",
    "unacknowledged": "unackn.",
    "nationality": "nation",
    "directory until": "until",
}

_TIME: Final = re.compile(r"\b\d{4}-(\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?Z")


class Fitted(NamedTuple):
    """The rows as they are shown, heads first, and the columns that had no room."""

    rows: list[list[str]]
    left_out: list[str]


def fit(rows: Sequence[Sequence[str]], room: int) -> Fitted:
    """The rows, of which the first has the heads, so that they are not wider than ``room``.

    Every row has as many cells; ``room`` in columns, gaps counted in. One column always stays.
    """
    names = list(rows[0])
    shown = [list(row) for row in rows]
    if _total(_widths(shown)) > room:
        shown = [
            [_HEADS.get(name, name) for name in names],
            *([_short(cell) for cell in row] for row in shown[1:]),
        ]
    left_out: list[str] = []
    while _total(_least(names, shown)) > room and len(names) > 1:
        place = _least_wanted(names)
        if place is None:
            break
        left_out.append(names.pop(place))
        for row in shown:
            del row[place]
    widths = _shrunk(_widths(shown), _least(names, shown), room)
    return Fitted([[cut(cell, widths[n]) for n, cell in enumerate(row)] for row in shown], left_out)


def cut(cell: str, room: int) -> str:
    """The cell if it fits; its beginning with "…" if not."""
    if width(cell) <= room:
        return cell
    kept = ""
    for letter in cell:
        if width(kept) + width(letter) > room - 1:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def _short(cell: str) -> str:
    return _TIME.sub(r"\1 \2Z", cell)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(width(row[n]) for row in rows) for n in range(len(rows[0]))]


def _least(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """To what each column may shrink."""
    return [
        min(natural, max(_FREE[name], width(rows[0][n]))) if name in _FREE else natural
        for n, (name, natural) in enumerate(zip(names, _widths(rows), strict=True))
    ]


def _least_wanted(names: Sequence[str]) -> int | None:
    """The column that goes first: by the list, or the last one. None if only one is left to lose."""
    for name in _LEAST:
        if name in names[1:]:
            return len(names) - 1 - list(reversed(names)).index(name)
    return len(names) - 1 if len(names) > 2 else None


def _shrunk(widths: list[int], floors: Sequence[int], room: int) -> list[int]:
    """The widest first; where even the floors are too wide, every column gives."""
    for least in (floors, [1] * len(widths)):
        while _total(widths) > room:
            over = [n for n in range(len(widths)) if widths[n] > least[n]]
            if not over:
                break
            widths[max(over, key=widths.__getitem__)] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
