"""All errors of a file at once: read, put a stand-in where it was wrong, read again.

The reader of policy files stops at its first error, which keeps it simple and strict. Here that error is
recorded, its field replaced by something harmless, and the file read again, until nothing is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from intelshare.errors import PolicyFileError
from intelshare.labels import Registry
from intelshare.tables import Path, Table, read_table

T = TypeVar("T")

MAX_ERRORS = 100
"""Errors that are looked for in one file."""

_STEP = re.compile(r"([A-Za-z0-9_\-]+)|\[(\d+)\]")
_DATES = frozenset(
    ("in_force", "withdrawn", "ratified", "periods", "terminated", "from", "until", "reinstated")
)
_STAND_INS: dict[str, object] = {
    "id": "stand-in",
    "title": "stand-in",
    "source": "stand-in",
    "article": "stand-in",
    "name": "stand-in",
    "obligation": "stand-in",
    "kind": "multilateral",
    "ceiling": "R0",
    "categories": ["*"],
    "when": {},
    "in_force": date(1, 1, 1),
    "at": date(2000, 1, 1),
}
"""What is harmless in a field that must be there; other fields are taken out."""


def gather(
    text: str, name: str, registry: Registry, read: Callable[[Table], T]
) -> tuple[T | None, list[PolicyFileError]]:
    """What ``read`` makes of the file, or None and every error, in the order of lines."""
    try:
        top = read_table(text, name)
    except PolicyFileError as error:
        return None, [error]
    members = sorted(registry.states, reverse=True)
    errors: list[PolicyFileError] = []
    mended: set[Path] = set()
    while len(errors) < MAX_ERRORS:
        try:
            value = read(top)
        except PolicyFileError as error:
            path = _path(error)
            if path in mended:
                # The stand-in did not help: the whole row goes, and what holds it if that is not enough.
                while path in mended:
                    path = _row(path)
            elif not _follows(error, path, mended):
                errors.append(error)
            if not path:
                break
            mended.add(path)
            top = top.with_value(path, _stand_in(path, members)).with_value(("text",), None)
        else:
            return (None if errors else value), _by_line(errors)
    return None, _by_line(errors)


def _follows(error: PolicyFileError, path: Path, mended: set[Path]) -> bool:
    """Whether it may only be due to a stand-in: dates of one row are held against each other."""
    if error.code != "FIELD_RANGE" or not path or path[-1] not in _DATES:
        return False
    return any(other[:-1] == path[:-1] and other[-1] in _DATES for other in mended if other)


def _stand_in(path: Path, members: list[str]) -> object:
    field = path[-1]
    if field == "member" and len(path) == 3:
        # A code of its own for every row, so that no second error comes of it.
        return members[int(path[1]) % len(members)]
    return _STAND_INS.get(field) if isinstance(field, str) and "equivalence" not in path else None


def _row(path: Path) -> Path:
    """The nearest row or table that holds the path; empty: the file itself."""
    shorter = path[:-1]
    while shorter and not isinstance(shorter[-1], int):
        shorter = shorter[:-1]
    return shorter


def _path(error: PolicyFileError) -> Path:
    shown = "" if error.place is None or error.place.field is None else error.place.field
    return tuple(int(index) if index else name for name, index in _STEP.findall(shown))


def _by_line(errors: list[PolicyFileError]) -> list[PolicyFileError]:
    return sorted(errors, key=lambda error: 0 if error.place is None else error.place.line or 0)
