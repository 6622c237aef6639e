"""The places of the keys and tables of a TOML text: line, column and the width of the caret.

A small scan of the text finds them, only when somebody asks, because tomllib does not record places.
"""

from __future__ import annotations

import re
from dataclasses import replace

from intelshare.errors import Place

MAX_EXCERPT = 4096
"""The most characters of a line that are shown."""

Path = tuple[str | int, ...]
"""The keys and list indices from the top of a file to a value."""

_NAME = r"""(?:[A-Za-z0-9_\-]+|"[^"\\]{0,256}"|'[^']{0,256}')"""
_NAMES = rf"({_NAME}(?:\s{{0,64}}\.\s{{0,64}}{_NAME})*)"
_HEADER = re.compile(rf"\s{{0,64}}(\[{{1,2}})\s{{0,64}}{_NAMES}\s{{0,64}}\]{{1,2}}")
_KEY = re.compile(rf"\s{{0,64}}{_NAMES}\s{{0,64}}=\s{{0,64}}")
_EACH = re.compile(_NAME)


class Source:
    """One file's text with the places of its keys."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines = text.split("\n")
        self._places: dict[Path, tuple[int, int]] | None = None

    def line(self, path: Path) -> int | None:
        """Return the line (from 1) of a key or table, or of its parent if it has none."""
        found = self._find(path)
        return None if found is None else found[0]

    def place(self, path: Path, value: object = None) -> Place:
        """Return the place of a value: the caret stands under it if the line shows it."""
        shown = _dotted(path)
        found = self._find(path)
        if found is None:
            return Place(self.name, field=shown)
        line, column = found
        excerpt = self._lines[line - 1].rstrip("\r")
        wanted = f'"{value}"' if isinstance(value, str) else None
        at = excerpt.find(wanted, column - 1) if wanted else -1
        if wanted and at >= 0:
            return Place(self.name, line, at + 1, shown, excerpt, len(wanted))
        width = len(excerpt[column - 1 :].split(" #")[0].rstrip())
        return Place(self.name, line, column, shown, excerpt, max(width, 1))

    def key(self, path: Path) -> Place:
        """Return the place of a key itself: the caret stands under its name."""
        value = self.place(path)
        name = str(path[-1])
        at = -1
        if value.excerpt is not None and value.column is not None:
            at = value.excerpt.rfind(name, 0, value.column - 1)
        return replace(value, column=at + 1, width=len(name)) if at >= 0 else value

    def on_line(self, line: int) -> list[Path]:
        """Return the keys and tables on a line."""
        if self._places is None:
            self._places = _scan(self._lines)
        return [path for path, (own, _) in self._places.items() if own == line]

    def at(self, line: int, column: int) -> Place:
        """Return a place given by numbers, for errors of the syntax itself."""
        excerpt = self._lines[line - 1].rstrip("\r") if line <= len(self._lines) else ""
        return Place(self.name, line, column, excerpt=excerpt[:MAX_EXCERPT])

    def _find(self, path: Path) -> tuple[int, int] | None:
        if self._places is None:
            self._places = _scan(self._lines)
        while path:
            found = self._places.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return None


def _scan(lines: list[str]) -> dict[Path, tuple[int, int]]:
    """Return the line and column of every table header, of every ``key =`` line's value, and of a list's
    ``{`` lines.
    """
    places: dict[Path, tuple[int, int]] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    listed: Path = ()
    closing: str | None = None
    for number, line in enumerate(lines, 1):
        if closing is not None:
            if closing in line:
                closing = None
            continue
        if (header := _HEADER.match(line)) is not None:
            table = _header_path(_names(header.group(2)), header.group(1) == "[[", counts)
            _put(places, table, (number, header.start(1) + 1), 0)
        elif (key := _KEY.match(line)) is not None:
            listed = (*table, *_names(key.group(1)))
            _put(places, listed, (number, key.end() + 1), len(table))
            for quotes in ('"""', "'''"):
                if line.startswith(quotes, key.end()) and line.count(quotes) == 1:
                    closing = quotes
        elif listed and line.lstrip().startswith("{"):
            # An item indented further than the first belongs to a list within an entry.
            column = line.index("{") + 1
            if places.get((*listed, 0), (number, column))[1] == column:
                counts[listed] = counts.get(listed, -1) + 1
                places[*listed, counts[listed]] = (number, column)
    return places


def _put(places: dict[Path, tuple[int, int]], path: Path, place: tuple[int, int], above: int) -> None:
    """Record the place of a path, and of its parents below the first ``above`` steps that have none yet."""
    for length in range(len(path), above, -1):
        places.setdefault(path[:length], place)


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in _EACH.findall(dotted)]


def _header_path(names: list[str], array: bool, counts: dict[Path, int]) -> Path:
    path: Path = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, names[-1])
    if not array:
        return path
    counts[path] = counts.get(path, -1) + 1
    return (*path, counts[path])


def _dotted(path: Path) -> str | None:
    shown = ""
    for step in path:
        shown += f"[{step}]" if isinstance(step, int) else f".{step}"
    return shown.lstrip(".") or None
