"""Strict reading of TOML: every wrong field has a code, a line, a column and a hint. Text in, values out.

A ``Table`` is read field by field; ``close`` then finds the fields that nobody read.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from intelshare import instant
from intelshare.errors import Place, PolicyFileError
from intelshare.instant import Instant
from intelshare.toml.positions import Path, Source

MAX_FILE_BYTES = 1 << 20
MAX_TEXT = 4096
"""The most characters of one string."""
MAX_ITEMS = 4096
"""The most items of one list."""
MAX_KEY = 256
"""The most characters of one key."""
MAX_KEY_DOTS = 32
"""The most dots before an equals sign, because tomllib takes quadratic time over them."""
MAX_FILE_DOTS = 8192
"""The most dots in all keys and headers: each makes a table, which costs a kilobyte of memory."""
_GONE = object()
"""Stands for an item that was removed from a list, so that the others keep their positions."""
T = TypeVar("T")

_AT = re.compile(r" \(at line (\d{1,9}), column (\d{1,9})\)$")
_DUPLICATE = ("Cannot overwrite", "Cannot declare", "Duplicate inline table key", "Cannot redefine")
_RANGE = ("Invalid date or datetime",)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Table:
    """One table of a file. Each method reads one field and raises PolicyFileError if it is wrong."""

    def __init__(self, source: Source, path: Path, values: Mapping[str, Any]) -> None:
        self.source = source
        self.path = path
        self._values = values
        self._asked: set[str] = set()

    def has(self, name: str) -> bool:
        """Return True if the field is present."""
        return name in self._values

    def names(self) -> list[str]:
        """Return the names of all fields, for tables whose keys are data."""
        return list(self._values)

    def text(self, name: str) -> str:
        """Read a required string that is not empty. FIELD_TYPE, FIELD_RANGE, TOO_LARGE."""
        value = self._required(name)
        return self._text(name, value)

    def text_or(self, name: str, default: T) -> str | T:
        """Read a string, or return ``default`` if the field is absent."""
        return self.text(name) if self.has(name) else self._absent(name, default)

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a required list of strings."""
        value = self._list(name, self._required(name))
        return tuple(self._text(name, item) for item in value)

    def texts_or(self, name: str, default: T) -> tuple[str, ...] | T:
        """Read a list of strings, or return ``default`` if the field is absent."""
        return self.texts(name) if self.has(name) else self._absent(name, default)

    def rows(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Read a required list of lists of strings."""
        rows = [self._list(name, row) for row in self._list(name, self._required(name))]
        return tuple(tuple(self._text(name, cell) for cell in row) for row in rows)

    def one_or_more(self, name: str) -> tuple[str, ...]:
        """Read a required string or list of strings that is not empty."""
        value = self._required(name)
        if isinstance(value, str):
            return (self._text(name, value),)
        if not value:
            self.fail("FIELD_RANGE", "the list is empty", name)
        return self.texts(name)

    def flag(self, name: str) -> bool:
        """Read a boolean; an absent field is false."""
        value = self._values.get(self._absent(name, name), False)
        if not isinstance(value, bool):
            self.fail("FIELD_TYPE", "true or false is expected", name)
        return value

    def integer_or(self, name: str, default: int) -> int:
        """Read a whole number, or return ``default`` if the field is absent."""
        value = self._values.get(self._absent(name, name), default)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail("FIELD_TYPE", "a whole number is expected", name)
        return value

    def choice(self, name: str, make: Callable[[str], T], words: Iterable[str]) -> T:
        """Read one of a closed set of words, and make it into a value. FIELD_RANGE with a guess."""
        word = self.text(name)
        known = list(words)
        if word not in known:
            self.fail(
                "FIELD_RANGE", f"{word!r} is not one of {', '.join(known)}", name, guess(word, known), word
            )
        return make(word)

    def instant(self, name: str) -> Instant:
        """Read a required date (its first instant in UTC) or time with offset."""
        return self._instant(name, self._required(name))

    def instants(self, name: str) -> tuple[Instant, ...]:
        """Read a date or time, or a list of them, and return them in order; empty if absent."""
        value = self._values.get(self._absent(name, name), [])
        items = self._list(name, value) if isinstance(value, list) else [value]
        return tuple(sorted(self._instant(name, item) for item in items))

    def _instant(self, name: str, value: object) -> Instant:
        if isinstance(value, float) and not math.isfinite(value):
            self.fail("FIELD_RANGE", f"{value} is not a date", name)
        if not isinstance(value, date):
            self.fail("FIELD_TYPE", "a date or a time is expected, such as 2024-06-01", name)
        if isinstance(value, datetime) and value.tzinfo is None:
            self.fail("FIELD_TYPE", "a time needs an offset, such as 2024-06-01T12:00:00Z", name)
        return instant.of(value)

    def instant_or(self, name: str, default: T) -> Instant | T:
        """Read a date or time, or return ``default`` if the field is absent."""
        return self.instant(name) if self.has(name) else self._absent(name, default)

    def table(self, name: str) -> Table:
        """Read a table; an absent one is empty."""
        value = self._values.get(self._absent(name, name), {})
        return self._table(name, (*self.path, name), value)

    def must(self, name: str) -> Table:
        """Read a required table, which may be empty."""
        return self._table(name, (*self.path, name), self._required(name))

    def tables(self, name: str) -> list[Table]:
        """Read a list of tables; an absent one is empty."""
        value = self._list(name, self._values.get(self._absent(name, name), []))
        return [
            self._table(name, (*self.path, name, index), item)
            for index, item in enumerate(value)
            if item is not _GONE
        ]

    def with_value(self, path: Path, value: object) -> Table:
        """Return a copy in which the field or row at ``path`` (of this top table) has another value; None
        removes it.
        """
        return Table(self.source, self.path, _changed(self._values, path, value))

    def close(self) -> None:
        """Raise FIELD_UNKNOWN for the first field that nobody read."""
        for name in self._values:
            if name not in self._asked:
                known = sorted(self._asked)
                hint = guess(name, known) or f"known here: {', '.join(known)}"
                place = self.source.key((*self.path, name))
                if len(name) > MAX_KEY:
                    message = f"a key may have at most {MAX_KEY} characters"
                    raise PolicyFileError("TOO_LARGE", message, place=replace(place, field=None, width=1))
                message = f"there is no field {name!r} here"
                raise PolicyFileError("FIELD_UNKNOWN", message, place=place, hint=hint)

    def fail(
        self, code: str, message: str, name: str | None = None, hint: str | None = None, value: object = None
    ) -> NoReturn:
        """Raise PolicyFileError at a field of this table, or at the table itself."""
        path = self.path if name is None else (*self.path, name)
        raise PolicyFileError(code, message, place=self.source.place(path, value), hint=hint)

    def _required(self, name: str) -> Any:
        self._asked.add(name)
        if name not in self._values:
            self.fail("FIELD_RANGE", f"the field {name!r} is missing", name, f"add {name} = ...")
        return self._values[name]

    def _absent(self, name: str, default: T) -> T:
        self._asked.add(name)
        return default

    def _text(self, name: str, value: object) -> str:
        if isinstance(value, float) and not math.isfinite(value):
            self.fail("FIELD_RANGE", f"{value} is not a text", name)
        if not isinstance(value, str):
            self.fail("FIELD_TYPE", "a text in quotes is expected", name)
        if len(value) > MAX_TEXT:
            self.fail("TOO_LARGE", f"a text may have at most {MAX_TEXT} characters", name)
        if not value.strip():
            self.fail("FIELD_RANGE", "the text is empty", name)
        return value

    def _list(self, name: str, value: object) -> list[Any]:
        if not isinstance(value, list):
            self.fail("FIELD_TYPE", "a list is expected", name)
        if len(value) > MAX_ITEMS:
            self.fail("TOO_LARGE", f"a list may have at most {MAX_ITEMS} items", name)
        return value

    def _table(self, name: str, path: Path, value: object) -> Table:
        if not isinstance(value, dict):
            self.fail("FIELD_TYPE", "a table is expected", name)
        return Table(self.source, path, value)


def _changed(node: Any, path: Path, value: object) -> Any:
    """Return ``node`` with another value at ``path``; it is unchanged if the path leads nowhere."""
    step, rest = path[0], path[1:]
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        changed = _changed(node[step], rest, value) if rest else _GONE if value is None else value
        return [*node[:step], changed, *node[step + 1 :]]
    if not isinstance(node, Mapping) or not isinstance(step, str):
        return node
    if rest:
        return {**node, step: _changed(node[step], rest, value)} if step in node else node
    if value is None:
        return {name: item for name, item in node.items() if name != step}
    return {**node, step: value}


def read_table(text: str, name: str) -> Table:
    """Read the top table of a TOML text; ``name`` is the file's name in errors.

    Raises PolicyFileError: TOO_LARGE (over 1 MiB, or nested too deeply), FILE_SYNTAX (also a byte order mark
    or mixed line ends), DUPLICATE_KEY, FIELD_RANGE (a date that does not exist).
    """
    if len(text) > MAX_FILE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_FILE_BYTES:
        raise PolicyFileError(
            "TOO_LARGE", f"a file may have at most {MAX_FILE_BYTES} bytes", place=Place(name)
        )
    source = Source(name, text)
    if text.startswith("\ufeff"):
        raise PolicyFileError(
            "FILE_SYNTAX",
            "the file begins with a byte order mark",
            place=source.at(1, 1),
            hint="save it without one",
        )
    odd = _odd_line_end(text)
    if odd is not None:
        place = source.at(odd, 1)
        raise PolicyFileError("FILE_SYNTAX", "the line ends are mixed", place=place, hint="use LF alone")
    dots = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        own = line.partition("=")[0].count(".")
        dots += own
        if own > MAX_KEY_DOTS or dots > MAX_FILE_DOTS:
            raise PolicyFileError("TOO_LARGE", "a key has too many parts", place=source.at(number, 1))
    try:
        return Table(source, (), tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax(source, str(error), text) from None
    except ValueError:
        # tomllib passes on the ValueError of int() for a number with more digits than Python converts.
        place = source.at(_longest_line(text), 1)
        raise PolicyFileError("FIELD_RANGE", "a number has too many digits", place=place) from None
    except RecursionError:
        place = source.at(_longest_line(text), 1)
        raise PolicyFileError("TOO_LARGE", "the file is nested too deeply", place=place) from None


def quoted(text: str) -> str:
    """Return the text as a basic string of TOML that reads back as the same text."""
    # JSON escapes what TOML does, except for the one control character above the letters.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _odd_line_end(text: str) -> int | None:
    """Return the first line that does not end like the first one; None if there is none."""
    if "\r" not in text:
        return None
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1], 1):
        if "\r" in line[:-1] or line.endswith("\r") is not lines[0].endswith("\r"):
            return number
    return len(lines) if "\r" in lines[-1] else None


def _longest_line(text: str) -> int:
    """Return the line where something too long or too deep must be: a short line is neither."""
    lines = text.split("\n")
    return max(range(len(lines)), key=lambda number: len(lines[number])) + 1


def _syntax(source: Source, message: str, text: str) -> PolicyFileError:
    code = "FILE_SYNTAX"
    if message.startswith(_DUPLICATE):
        code = "DUPLICATE_KEY"
    elif message.startswith(_RANGE):
        code = "FIELD_RANGE"
    where = _AT.search(message)
    if where is None:
        return PolicyFileError(code, message, place=source.at(text.count("\n") + 1, 1))
    place = source.at(int(where.group(1)), int(where.group(2)))
    if code == "FILE_SYNTAX" and not all(map(_exists, _DATE.findall(place.excerpt or ""))):
        # tomllib reads month 13 as a number followed by something unexpected.
        return PolicyFileError("FIELD_RANGE", "that date does not exist", place=place)
    return PolicyFileError(code, message[: where.start()], place=place)


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def guess(word: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean "..."?`` for the closest known word, if one is close."""
    words = sorted(known)
    # Too many three-letter codes are close: people usually mean those that begin alike.
    alike = [other for other in words if len(word) <= 4 and len(other) <= 4 and other.startswith(word[:2])]
    close = (alike if len(word) > 1 else []) or get_close_matches(word[:64], words, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else None
