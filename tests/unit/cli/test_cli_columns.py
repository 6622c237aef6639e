"""A table fits the terminal: one line an entry, nothing broken in the middle, at 80 columns and at 200."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest

from intelshare import cli
from intelshare.cli.shared.columns import cut, fit
from intelshare.cli.shared.output import Table, draw
from intelshare.text import width

TIME = "2026-11-26T03:20:00Z"
MARK = "YW88A-03C2C-N5QR6-X0R75-JGCM2-M249K-ZPP6T-P38ST"
BANNER = "//FRA SECRET//REL TO FRA, USA"
WORDS = "Phishing kit against the operators of the grid, sold since May"

CELLS = {
    "": "*",
    "id": "3f9a1c22",
    "bulletin": "3f9a1c22",
    "request": "3f9a1c22",
    "reply": "3f9a1c22",
    "digest": "52a0ff8c",
    "from": "FRA",
    "to": "USA",
    "for": "USA",
    "member": "FRA",
    "recipient": "USA",
    "precedence": "IMMEDIATE",
    "receipt": "DESTROYED",
    "codes": "EXCEEDS_CEILING",
    "code": "EXCEEDS_CEILING",
    "state": "undeliverable",
    "recipients": "USA accepted, KEN withheld",
    "banner": BANNER,
    "label": BANNER,
    "portions": "12 of 12",
    "decision": "withheld",
    "time": "41 ms",
    "number": "1204",
    "signature": "holds",
    "basis": "EXCEEDS_CEILING: SECRET > RESTRICTED",
    "basis or reason": "EXCEEDS_CEILING",
    "title": WORDS,
    "fingerprint": MARK,
    "node": "intelshare://fra.intelshare.internal/node/one",
    "certificate": "52a0ff8c52a0ff8c",
    "key": "52a0ff8c52a0ff8c",
    "role": "releasing-officer",
    "name": "m.durand",
    "clearance": "SECRET",
    "categories": "cyber terrorism climate-disaster",
    "log": "0c5e8f5a9b7d1e22",
    "kind": "multilateral",
    "last error": "TLS_REFUSED",
    "obligation": "report-use-30d",
    "due": TIME,
    "use": "signing",
    "queued": "12",
}
TIMES = (
    "received",
    "created",
    "decided",
    "since",
    "at",
    "until",
    "in force",
    "asked",
    "first",
    "last",
    "seen",
    "signed",
)
FREE = (
    "what",
    "about",
    "found",
    "means",
    "because",
    "note",
    "message",
    "excerpt",
    "reason",
    "change",
    "where",
)
"""What stands in a column, by its name; in every other one a short word."""


def cell(name: str) -> str:
    if name in CELLS:
        return CELLS[name]
    return TIME if name in TIMES else WORDS if name in FREE else "word"


def heads() -> list[tuple[str, ...]]:
    """The columns of every table in the source of the commands."""
    found = set()
    for path in Path(cli.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            named = {
                target.id: node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name)
            }
            for node in ast.walk(function):
                called = (
                    node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                )
                if called in ("Table", "_without_empty") and isinstance(node, ast.Call) and node.args:
                    columns = node.args[0]
                    columns = named.get(columns.id, columns) if isinstance(columns, ast.Name) else columns
                    if isinstance(columns, ast.Tuple) and all(
                        isinstance(one, ast.Constant) for one in columns.elts
                    ):
                        found.add(
                            tuple(str(one.value) for one in columns.elts if isinstance(one, ast.Constant))
                        )
    return sorted(found)


class Terminal(io.StringIO):
    """Looks like one."""

    def isatty(self) -> bool:
        return True


def drawn(table: Table, columns: int, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    """What a terminal of so many columns shows."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    draw(table, stream)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def _keeps_its_shape(names: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[cell(name) for name in names]] * 3
    head, *lines = drawn(Table(names, rows), columns, monkeypatch, NO_COLOR="1")
    missing = lines.pop() if lines[-1].startswith("no room for: ") else ""
    assert len(lines) == len(rows)
    assert all(width(line) <= columns for line in (head, *lines, missing)), lines
    for name, value in zip(names, rows[0], strict=True):
        if " " not in value and name not in missing:
            assert value in lines[0] or (value == TIME and "11-26 03:20Z" in lines[0]), (name, lines[0])
    if sum(max(width(name), width(cell(name))) + 2 for name in names) - 2 <= columns:
        assert not missing
        assert "…" not in lines[0]


@pytest.mark.parametrize("columns", [80, 200])
def test_every_table_has_one_line_an_entry_and_breaks_nothing(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = heads()
    assert len(tables) > 30
    for names in tables:
        _keeps_its_shape(names, columns, monkeypatch)


def test_an_inbox_at_80_columns_keeps_what_names_and_what_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("", "id", "from", "precedence", "received", "title", "banner")
    row = ["*", "3f9a1c22", "USA", "FLASH", TIME, WORDS, BANNER]
    (_, line, *_) = drawn(Table(names, [row]), 80, monkeypatch, NO_COLOR="1")
    for part in ("3f9a1c22", "USA", "FLASH", "11-26 03:20Z", "Phishing", "//FRA SECRET//REL TO"):
        assert part in line


def test_colour_means_what_the_word_says_and_no_color_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(("id", "state"), [("3f9a1c22", "withheld")])
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = "".join(drawn(table, 80, monkeypatch))
    plain = "".join(drawn(table, 80, monkeypatch, NO_COLOR="1"))
    assert "\x1b[31mwithheld" in coloured
    assert "\x1b" not in plain
    assert "withheld" in plain


def test_what_fits_is_left_alone() -> None:
    assert fit([("a", "b c"), ("", TIME)], 40).rows == [["a", "b c"], ["", TIME]]


def test_a_cut_text_says_so_and_wide_letters_count_twice() -> None:
    assert cut("Phishing kit", 9) == "Phishing…"
    assert cut("日本語です", 6) == "日本…"
    assert cut("abc", 3) == "abc"
