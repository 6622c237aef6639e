"""All errors of a file at once: read, put a stand-in where it was wrong, read again.

The reader of policy files stops at its first error, which keeps it simple and strict. Here that error is
recorded, its field replaced by something harmless, and the file read again, until nothing is wrong. So it is
with what TOML itself refuses, where one line is at fault: a mark before the first, mixed line ends, a key
that stands twice, a date that no calendar has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from intelshare.errors import PolicyFileError
from intelshare.labels import Registry
from intelshare.toml import Path, Table, read_table

T = TypeVar("T")

MAX_ERRORS = 100
"""Errors that are looked for in one file."""
MAX_WORK = 4 << 20
"""Characters read over and over in one file: of a long file fewer errors are looked for."""

_STEP = re.compile(r"([A-Za-z0-9_\-]+)|\[(\d+)\]")
_ONE_KEY = re.compile(r"\s{0,64}[A-Za-z0-9_\-]{1,256}\s{0,64}=")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATES = frozenset(
    ("in_force", "withdrawn", "ratified", "periods", "terminated", "from", "until", "reinstated")
)
_STAND_INS: dict[str, object] = {
    "id": "stand-in",
    "title": "stand-in",
    "source": "stand-in",
    "article": "stand-in",
    "name": "stand-in",
    "obligation": "no-onward-release",
    "kind": "multilateral",
    "ceiling": "R0",
    "categories": ["*"],
    "when": {},
    "in_force": date(1, 1, 1),
    "at": date(2000, 1, 1),
}
"""What is harmless in a field that must be there; other fields are taken out."""
_OF_CASES: dict[str, object] = {
    "from": "FRA",
    "to": "FRA",
    "label": "TLP:CLEAR",
    "category": "cyber",
    "expect": "allow",
}
"""The same in a case of a test."""


def gather(
    text: str, name: str, registry: Registry, read: Callable[[Table], T]
) -> tuple[T | None, list[PolicyFileError]]:
    """What ``read`` makes of the file, or None and every error, in the order of lines."""
    limit = max(1, min(MAX_ERRORS, MAX_WORK // max(len(text), 1)))
    top, errors, lines = _parse(text, name, limit)
    if top is None:
        return None, errors
    members = sorted(registry.states, reverse=True)
    mended: set[Path] = {path for line in lines for path in top.source.on_line(line)}
    for _ in range(2 * limit):
        if len(errors) >= limit:
            break
        try:
            value = read(top)
        except PolicyFileError as error:
            path = _path(error)
            if path in mended:
                # The stand-in did not help: the whole row goes, and what holds it if that is not enough.
                while path in mended:
                    path = _row(path)
            elif not _follows(error, path, mended, lines):
                errors.append(_alone(error))
            if not path:
                break
            mended.add(path)
            top = top.with_value(path, _stand_in(path, members)).with_value(("text",), None)
        else:
            return (None if errors else value), _by_line(errors)
    return None, _by_line(errors)


def _parse(text: str, name: str, limit: int) -> tuple[Table | None, list[PolicyFileError], set[int]]:
    """The top table, if TOML can be made of the text; what was wrong; the lines that were mended."""
    errors: list[PolicyFileError] = []
    lines: set[int] = set()
    while True:
        try:
            return read_table(text, name), errors, lines
        except PolicyFileError as error:
            errors.append(_alone(error))
            mended = _mended(text, error)
            if mended is None or mended == text or len(errors) == limit:
                return None, errors, lines
            text = mended
            lines |= set() if error.place is None or error.place.line is None else {error.place.line}


def _mended(text: str, error: PolicyFileError) -> str | None:
    """The text without what is wrong, line for line the same; None if more than a line is at fault."""
    if text.startswith("\ufeff"):
        return text[1:]
    if error.code == "FILE_SYNTAX" and "\r" in text:
        return text.replace("\r\n", "\n").replace("\r", " ")
    if error.place is None or error.place.line is None:
        return None
    lines = text.split("\n")
    line = lines[error.place.line - 1]
    if error.code == "DUPLICATE_KEY" and _ONE_KEY.match(line):
        lines[error.place.line - 1] = ""
    elif error.code == "FIELD_RANGE":
        lines[error.place.line - 1] = _DAY.sub(_existing, line)
    return "\n".join(lines)


def _existing(day: re.Match[str]) -> str:
    try:
        date.fromisoformat(day.group())
    except ValueError:
        return "0001-01-01"
    return day.group()


def _alone(error: PolicyFileError) -> PolicyFileError:
    """Without its traceback, which would keep every table that was read on the way."""
    error.__context__ = None
    return error.with_traceback(None)


def _follows(error: PolicyFileError, path: Path, mended: set[Path], lines: set[int]) -> bool:
    """Whether it may only be due to a stand-in: what one row says is held together."""
    if error.place is not None and error.place.line in lines:
        return True
    if error.code == "FIELD_RANGE" and (*path[:-1], "expect") in mended:
        return True
    if error.code != "FIELD_RANGE" or not path or path[-1] not in _DATES:
        return False
    return any(other[:-1] == path[:-1] and other[-1] in _DATES for other in mended if other)


def _stand_in(path: Path, members: list[str]) -> object:
    field = path[-1]
    if field == "member" and len(path) == 3:
        # A code of its own for every row, so that no second error comes of it.
        return members[int(path[1]) % len(members)]
    if path[0] == "case" and field in _OF_CASES:
        return _OF_CASES[field]
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
