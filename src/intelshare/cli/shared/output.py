"""Prints what a command produces: documents and tables on stdout, everything else on stderr.

On a terminal rich draws tables; in a pipe they are aligned as plain text; with ``--json``, stdout carries
exactly one document with a ``schema`` member. Only this module makes foreign text visible.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from intelshare.cli.shared.codes import catalogue
from intelshare.cli.shared.columns import fit
from intelshare.cli.shared.named_commands import complete
from intelshare.errors import IntelshareError, Place
from intelshare.text import visible, width

if TYPE_CHECKING:
    from intelshare.wire.v1 import user_pb2 as pb

MAX_EXCERPT = 160

PROGRESS_AFTER = 1.0
"""The seconds after which progress is shown."""

WORD_STYLES = {
    "released": "green",
    "accepted": "green",
    "read": "green",
    "held": "yellow",
    "queued": "yellow",
    "sent": "yellow",
    "in doubt": "yellow",
    "withheld": "red",
    "refused": "red",
    "expired": "red",
    "undeliverable": "red",
    "recalled": "red",
    "destroyed": "red",
    "FLASH": "bold red",
    "IMMEDIATE": "bold",
    "ok": "green",
    "linked": "green",
    "open": "yellow",
    "warning": "yellow",
    "dialling": "yellow",
    "waiting": "yellow",
    "suspended": "yellow",
    "overdue": "red",
    "wrong": "red",
    "removed": "red",
    "revoked": "red",
}
"""Colours only repeat what the words say."""


def style_of(cell: str) -> str:
    """Of a cell that is such a word, or a list that ends in one ("open, overdue")."""
    return WORD_STYLES.get(cell) or WORD_STYLES.get(cell.rpartition(", ")[2], "")


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows of cells; an empty cell repeats nothing."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Out:
    """The output options of one command."""

    json: bool = False
    quiet: bool = False

    def document(self, schema: str, content: Mapping[str, Any]) -> None:
        """With ``--json``: print the one document of this command."""
        if self.json:
            sys.stdout.write(json.dumps(_document(schema, content), indent=2, ensure_ascii=False) + "\n")

    def event(self, schema: str, content: Mapping[str, Any]) -> None:
        """With ``--json``: print one document of a stream at once, on one line (NDJSON)."""
        if self.json:
            sys.stdout.write(json.dumps(_document(schema, content), ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def table(self, table: Table, *, indent: int = 0) -> None:
        """Without ``--json``: print a table."""
        if not self.json:
            draw(table, sys.stdout, indent=indent)

    def line(self, text: str = "") -> None:
        """Without ``--json``: print a line that is part of the answer."""
        if not self.json:
            sys.stdout.write(visible(text) + "\n")

    def block(self, text: str) -> None:
        """Without ``--json``: print foreign text of several lines."""
        if not self.json:
            sys.stdout.write(visible(text, lines=True).rstrip("\n") + "\n")

    def note(self, text: str) -> None:
        """Print a note, with its commands completed, on stderr, unless ``--quiet`` is given."""
        if not self.quiet:
            sys.stderr.write(visible(complete(text)) + "\n")


def _document(schema: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """With its schema; what is absent is null and never an empty text (docs/json.md)."""
    return {"schema": f"intelshare/{schema}/1", **_with_nulls(content)}


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nulls(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_nulls(one) for one in value]
    return None if isinstance(value, str) and not value else value


def note_damaged(out: Out, damaged: Iterable[str]) -> None:
    """Name the damaged records because of which a list lacks entries."""
    for record in damaged:
        out.note(f"an entry is left out: {record}; see `intelshare doctor --deep`")


def note_waiting(out: Out, waiting: Iterable[pb.ReadingWaits]) -> None:
    """Name what a list lacks because its sender was not heard since the node lost memory."""
    for one in waiting:
        out.note(reading_waits(one.member, one.bulletins, more=one.more))


def reading_waits(member: str, bulletins: int, *, more: bool = False) -> str:
    """Say that bulletins of a member wait, why, and which command ends it."""
    return (
        f"{bulletins}{' or more' if more else ''} bulletins of {member} cannot be read yet: this node lost "
        f"memory, and {member} may have recalled some. It ends once {member} was linked for a minute, or by "
        f"an operator: `intelshare node allow-reading {member} --reason TEXT`  [READING_WAITS]"
    )


class Progress:
    """Shows the progress of a command that takes longer than a second, on stderr; nothing with ``--quiet`` or
    if stderr is not a terminal.
    """

    def __init__(self, out: Out, what: str) -> None:
        self._shown = not out.quiet and sys.stderr.isatty()
        self._what = what
        self._began = time.monotonic()
        self._drawn = False

    def at(self, count: int, of: int | None = None) -> None:
        """Show how far the command has got."""
        if self._shown and time.monotonic() - self._began >= PROGRESS_AFTER:
            total = f" of {of}" if of is not None else ""
            sys.stderr.write(f"\r{count}{total} {self._what} ")
            sys.stderr.flush()
            self._drawn = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            # The line is erased: only the answer stays.
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show what a command waits for, with the seconds on stderr, once it has waited for one second.

    Shows nothing with ``--quiet`` or if stderr is not a terminal. Nothing else may be written to stderr
    meanwhile.
    """
    context = click.get_current_context(silent=True)
    quiet = context is not None and (context.find_root().obj or {}).get("quiet", False)
    if quiet or not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    began = time.monotonic()

    def tick() -> None:
        while not ended.wait(PROGRESS_AFTER):
            sys.stderr.write(f"\r{what}, {time.monotonic() - began:.0f} s ")
            sys.stderr.flush()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        ended.set()
        ticking.join()
        if time.monotonic() - began >= PROGRESS_AFTER:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def draw(table: Table, stream: TextIO, *, indent: int = 0) -> None:
    """Draw a table on a stream, with rich if it is a terminal."""
    if stream.isatty():
        _draw_rich(table, stream, indent)
        return
    for line in align([table.columns, *table.rows]):
        stream.write(" " * indent + line + "\n")


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns, two spaces between them and no trailing spaces."""
    shown = [[visible(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in shown), default=0)
    widths = [max(width(row[n]) if n < len(row) else 0 for row in shown) for n in range(columns)]
    return [
        "  ".join(cell + " " * (widths[n] - width(cell)) for n, cell in enumerate(row)).rstrip()
        for row in shown
    ]


def _draw_rich(table: Table, stream: TextIO, indent: int) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    # Without colour, other styles are off too: the words say everything.
    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(file=stream, color_system=None if plain else "auto", highlight=False)
    rows = [[visible(cell) for cell in row] for row in table.rows]
    (names, *cells), left_out = fit([table.columns, *rows], console.width - indent)
    kept = [n for n, name in enumerate(table.columns) if name not in left_out]
    drawn = RichTable(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        drawn.add_column(Text(name), no_wrap=True)
    for row, shown in zip(rows, cells, strict=True):
        # A Text is never read as markup: a title "[link=...]" stays a title.
        whole = [row[n] for n in kept]
        drawn.add_row(*(Text(cell, style=style_of(was)) for was, cell in zip(whole, shown, strict=True)))
    console.print(Padding(drawn, (0, 0, 0, indent)))
    if left_out:
        console.print(Padding(Text(f"no room for: {', '.join(left_out)}", style="dim"), (0, 0, 0, indent)))


def give_hint(error: IntelshareError) -> None:
    """Give an error that has no hint the catalogue's, and complete the commands that its hint names: to be
    called while the command runs.
    """
    if not error.hint and (known := catalogue().get(error.code)) is not None:
        error.hint = known.next
    if error.hint:
        error.hint = complete(error.hint)


def print_error(error: IntelshareError, *, as_json: bool) -> None:
    """Print an error on stderr: what, where, what next; with ``--json`` also as a document on stdout: one
    line, because a stream may end by it before anything else was in it.

    If the error has no hint, the catalogue's hint for its code is printed.
    """
    give_hint(error)
    sys.stderr.write("\n".join(error_lines(error)) + "\n")
    if as_json:
        content = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "place": _plain(error.place),
            "retry_after_seconds": error.retry_after,
        }
        Out(json=True).event("error", content)


def error_lines(error: IntelshareError) -> list[str]:
    """Return the three parts as lines, with a caret under the place."""
    lines = [f"error[{error.code}]: {visible(error.message)}"]
    place = error.place
    if place is not None:
        number = "" if place.line is None else str(place.line)
        where = ":".join(str(part) for part in (place.source, place.line, place.column) if part is not None)
        field = f"   {visible(place.field)}" if place.field else ""
        lines.append(f"  --> {visible(where)}{field}")
        if place.excerpt is not None:
            lines += _excerpt(place, place.excerpt, number)
    if error.hint:
        lines.append(f"hint: {visible(error.hint)}")
    if error.retry_after is not None:
        lines.append(f"hint: try again in {error.retry_after} s")
    return lines


def _excerpt(place: Place, excerpt: str, number: str) -> list[str]:
    start = (place.column or 1) - 1
    # A long line is shown starting shortly before the place.
    cut = max(0, start - MAX_EXCERPT // 2) if len(excerpt) > MAX_EXCERPT else 0
    head = visible(excerpt[cut:start])
    marked = visible(excerpt[start : start + min(place.width, MAX_EXCERPT)])
    tail = visible(excerpt[start + place.width : cut + MAX_EXCERPT])
    margin = " " * max(len(number), 2)
    lines = [f" {number:>{len(margin)}} | {head}{marked}{tail}"]
    if place.column is not None:
        lines.append(f" {margin} | {' ' * width(head)}{'^' * max(width(marked), 1)}")
    return lines


def _plain(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "source": place.source,
        "line": place.line,
        "column": place.column,
        "field": place.field,
        "excerpt": place.excerpt,
        "width": place.width,
    }
