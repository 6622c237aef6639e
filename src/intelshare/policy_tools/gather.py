"""All errors of a file at once: read it, replace what is wrong, read it again.

The reader of policy files stops at its first error, which keeps it simple and strict. This module records
that error, replaces its field with something harmless, and reads the file again, until nothing is wrong. It
does the same for what TOML itself refuses, if a single line is at fault: a byte order mark, mixed line ends,
a repeated key, a date that does not exist.
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
"""The most errors that are looked for in one file."""
MAX_WORK = 4 << 20
"""The most characters read in repeated passes over one file: fewer errors are looked for in a long file."""

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
"""The harmless values of required fields; other fields are removed."""
_OF_CASES: dict[str, object] = {
    "from": "FRA",
    "to": "FRA",
    "label": "TLP:CLEAR",
    "category": "cyber",
    "expect": "allow",
}
"""The harmless values of required fields in a test case."""


def gather(
    text: str, name: str, registry: Registry, read: Callable[[Table], T]
) -> tuple[T | None, list[PolicyFileError]]:
    """Return the result of ``read`` for the file, or None and every error, in the order of lines."""
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
                # The stand-in did not help: drop the whole row, and what contains it if that is not enough.
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
    """Return the top table, if the text can be made valid TOML; the errors; and the lines that were
    mended.
    """
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
    """Return the text without the error, with the same lines; None if more than one line is at fault."""
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
    """Return the error without its traceback, which would keep every table that was read on the way alive."""
    error.__context__ = None
    return error.with_traceback(None)


def _follows(error: PolicyFileError, path: Path, mended: set[Path], lines: set[int]) -> bool:
    """Return True if the error may only be due to a stand-in, because the fields of a row are checked
    together.
    """
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
        # Every row gets a different code, so that the stand-in causes no second error.
        return members[int(path[1]) % len(members)]
    if path[0] == "case" and field in _OF_CASES:
        return _OF_CASES[field]
    return _STAND_INS.get(field) if isinstance(field, str) and "equivalence" not in path else None


def _row(path: Path) -> Path:
    """Return the nearest row or table that contains the path; empty for the file itself."""
    shorter = path[:-1]
    while shorter and not isinstance(shorter[-1], int):
        shorter = shorter[:-1]
    return shorter


def _path(error: PolicyFileError) -> Path:
    shown = "" if error.place is None or error.place.field is None else error.place.field
    return tuple(int(index) if index else name for name, index in _STEP.findall(shown))


def _by_line(errors: list[PolicyFileError]) -> list[PolicyFileError]:
    return sorted(errors, key=lambda error: 0 if error.place is None else error.place.line or 0)
