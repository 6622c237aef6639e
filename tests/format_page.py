"""Reads the tables of docs/format.md, and bytes by them: what somebody implements who has only that page."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")


@dataclass(frozen=True)
class Layout:
    """How a field is written: a scalar or [n] by its name, an enum, a list, a record; what is inside."""

    name: str
    names: tuple[str, ...] = ()
    fields: tuple[tuple[str, Layout], ...] = ()
    bounds: str = ""
    only: str = ""
    """The one value that is allowed."""

    def __str__(self) -> str:
        if self.name == "enum":
            return f"enum({','.join(self.names)})"
        inside = ", ".join(str(layout) for _, layout in self.fields)
        return f"L<{inside}>{self.bounds}" if self.name == "L" else inside or self.name + self.only


def tables(header: str) -> Iterator[list[str]]:
    """The rows of every table of the page with this header, their cells without markup."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line == header:
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                bare = re.sub(r"(\d),(\d{3})", r"\1\2", row.replace("\\<", "<").replace("\\>", ">"))
                yield [cell.strip() for cell in bare.replace("`", "").strip("|").split(" | ")]


RECORDS = {row[0].split(" (")[0]: row[1] for row in tables("| record | fields |")}
ENTRIES = {int(row[0]): (row[1], row[2]) for row in tables("| type | record | fields |")}
KINDS = {int(row[0]): (row[1], row[2].split(":")[0]) for row in tables("| kind | | signed by a key of use |")}
_FIELD = re.compile(
    r"(?P<name>[^<\[{(]*?) ?"
    r"(?P<type>\[\d+\]|\b(?:enum|u8|u16|u32|u63|u64|t64|e64|s64|s|b16|b32|[A-Z]\w+)(?![<\w]))(?P<rest>.*)"
)
_LIST = re.compile(r"(?P<name>[^<\[{(]*?) ?\bL<(?P<rest>.*)")
_BOUNDS = re.compile(r" (?:≤ (?P<most>\d+)|(?P<both>\d+\.\.\d+)|\((?P<among>\d[\d, or]+)\))")


def fields(text: str) -> tuple[tuple[str, Layout], ...]:
    """Name and layout of each field of a row."""
    return tuple(_field(part) for part in _split(text.split("; at most", maxsplit=1)[0]))


def _split(text: str) -> list[str]:
    """At the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "<({") - (sign in ">)}")
        if sign == "," and not depth:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:])]


def _field(text: str) -> tuple[str, Layout]:
    if text in RECORDS:
        return text, _record(RECORDS[text])
    found = _LIST.match(text)
    if found is not None:
        inner, rest = _bracket(found["rest"])
        return found["name"], Layout("L", fields=(("", _item(inner)),), bounds=_bounds(rest))
    found = re.match(r"(?P<name>\w+) \{(?P<inner>.*)\}$", text)
    if found is not None:
        return found["name"], _record(found["inner"])
    found = _FIELD.match(text)
    if found is None:
        raise ValueError(f"no type in {text!r}")
    kind = found["type"]
    if kind == "enum":
        listed = found["rest"].split("(")[1].split(")")[0]
        return found["name"], Layout("enum", names=tuple(listed.split(", ")))
    value = re.match(r" \((\d+)\)$", found["rest"])
    return found["name"], Layout(kind, only=f"={value[1]}") if value else _item(kind)


def _bracket(text: str) -> tuple[str, str]:
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "<") - (sign == ">")
        if not depth:
            return text[:place], text[place + 1 :]
    raise ValueError(f"no end of a list in {text!r}")


def _item(text: str) -> Layout:
    if text.startswith("{"):
        return _record(text[1:-1])
    return _record(RECORDS[text]) if text in RECORDS else Layout(text)


def _record(text: str) -> Layout:
    return Layout("record", fields=fields(text))


def _bounds(text: str) -> str:
    found = _BOUNDS.match(text)
    if found is None:
        return ""
    if found["among"]:
        return "|".join(re.findall(r"\d+", found["among"]))
    return f"0..{found['most']}" if found["most"] else str(found["both"])


# --- bytes, by "Codec" -----------------------------------------------------------------------------

_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u63": 8, "u64": 8, "t64": 8, "e64": 8}
_MOST = {
    row[0]: int(re.findall(r"\d{9,}", row[1])[0]) for row in tables("| type | bytes |") if row[0] == "t64"
}
_MOST["e64"], _MOST["u63"] = _MOST["t64"], 2**63 - 1
_BESIDES = {"e64": 2**64 - 1}


class MalformedError(ValueError):
    """These bytes have not the layout of the table."""


def read(record: str, data: bytes) -> dict[str, Any]:
    """The record of these bytes, as JSON shows it. Raises MalformedError."""
    return read_row(RECORDS[record], data)


def read_start(record: str, data: bytes) -> tuple[dict[str, Any], int]:
    """The record at the start of these bytes, and where it ends. Raises MalformedError."""
    return _read_all(fields(RECORDS[record]), data, 0)


def start(record: str, data: bytes, names: Collection[str]) -> dict[str, Any]:
    """The first fields of a record, as far as these, whatever follows. Raises MalformedError."""
    return _read_all(fields(RECORDS[record])[: len(names)], data, 0)[0]


def read_row(row: str, data: bytes) -> dict[str, Any]:
    """The same, by the fields of a row: also for log entries."""
    values, end = _read_all(fields(row), data, 0)
    if end != len(data):
        raise MalformedError("bytes after the end")
    return values


def _read_all(row: tuple[tuple[str, Layout], ...], data: bytes, at: int) -> tuple[dict[str, Any], int]:
    values = {}
    for name, layout in row:
        values[name], at = _read(layout, data, at)
    return values, at


def _read(layout: Layout, data: bytes, at: int) -> tuple[Any, int]:
    match layout.name:
        case "record":
            return _read_all(layout.fields, data, at)
        case "L":
            count, at = _number(data, at, 2)
            if not _allowed(count, layout.bounds):
                raise MalformedError("a list out of bounds")
            items = []
            for _ in range(count):
                item, at = _read(layout.fields[0][1], data, at)
                items.append(item)
            return items, at
        case "enum":
            number, at = _number(data, at, 1)
            if not 1 <= number <= len(layout.names):
                raise MalformedError("an unknown value")
            return layout.names[number - 1].upper().replace("-", "_"), at
        case "s" | "s64" | "b16" | "b32":
            length, at = _number(data, at, 4 if layout.name == "b32" else 2)
            if layout.name == "s64" and length > 64:
                raise MalformedError("a word that is too long")
            raw = _take(data, at, length)
            try:
                return raw.decode() if layout.name in ("s", "s64") else raw.hex(), at + length
            except UnicodeDecodeError:
                raise MalformedError("no UTF-8") from None
        case width if width in _WIDTHS:
            number, at = _number(data, at, _WIDTHS[width])
            if layout.only not in ("", f"={number}"):
                raise MalformedError("another value than the only one")
            if number > _MOST.get(width, number) and number != _BESIDES.get(width):
                raise MalformedError("a number out of its range")
            return str(number) if number >= 2**53 else number, at
        case fixed:
            length = int(fixed.strip("[]"))
            return _take(data, at, length).hex(), at + length


def _number(data: bytes, at: int, width: int) -> tuple[int, int]:
    return int.from_bytes(_take(data, at, width), "big"), at + width


def _take(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise MalformedError("cut off")
    return data[at : at + length]


def _allowed(count: int, bounds: str) -> bool:
    if not bounds:
        return True
    if "|" in bounds:
        return str(count) in bounds.split("|")
    least, most = bounds.split("..")
    return int(least) <= count <= int(most)
