"""The canonical form of a treaty or overlay file: spaces, quotes, blank lines, order of fields.

Fields stand in the order of the schema, tables in the author's. A field takes the comments above it and
behind it along; what stands at the head of a file stays there. An array of several lines keeps its lines.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from intelshare.labels import Registry
from intelshare.policy_tools.schema import schema_of
from intelshare.tables import read_table

_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{},=\n]"
    r"|[^\s\[\]{},=\#\"']+",
    re.DOTALL,
)
_INDENT = "    "


@dataclass(slots=True)
class _Statement:
    """A header or a field, with the lines above it that belong to it and the comment behind it."""

    lines: list[str]
    name: str
    above: list[str]
    behind: str = ""
    column: int = 0
    """Where the comment behind stood: authors align them."""


@dataclass(slots=True)
class _Block:
    """A header with the fields below it; the first block of a file has none."""

    header: _Statement | None = None
    fields: list[_Statement] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    """Comments right below its last field."""


def formatted(text: str, name: str, kind: str, registry: Registry) -> str:
    """The canonical text of a file of ``kind`` (as ``schema_of``): it says the same, and is its own.

    Raises PolicyFileError FILE_SYNTAX, TOO_LARGE, as the reader does.
    """
    read_table(text, name)
    source = text.replace("\r\n", "\n")
    head, blocks, tail = _parsed(source)
    lines = list(head)
    schema = schema_of(kind, registry)
    for block in blocks:
        if block.header is not None:
            lines += ["", *_shown(block.header)]
        order = _order(schema, "" if block.header is None else block.header.name)
        for one in sorted(block.fields, key=lambda one: order.get(one.name, len(order))):
            lines += _shown(one)
        lines += block.tail
    result = "\n".join([*_squeezed([*lines, *tail]), ""])
    if tomllib.loads(result) != tomllib.loads(source):  # the one thing that must never happen
        raise AssertionError(f"the canonical text of {name} would say something else")
    return result


def _parsed(source: str) -> tuple[list[str], list[_Block], list[str]]:
    """The comment at the head, the blocks, and what stands behind the last field."""
    blocks, above, head = [_Block()], list[str](), list[str]()
    tokens: list[re.Match[str]] = []
    depth = 0
    for found in _TOKEN.finditer(source + "\n"):
        word = found.group()
        depth += (word in "[{") - (word in "]}")
        if word != "\n" or depth:
            tokens.append(found)
        elif not tokens:
            if above or blocks[-1].fields:
                above.append("")
            if not head and blocks == [_Block()]:
                head, above = above, []
        elif tokens[0].group().startswith("#"):
            above.append(_line_of(source, tokens[0]))
            tokens = []
        else:
            one = _statement(source, tokens, above)
            if tokens[0].group() == "[":
                if "" in above and above[0]:
                    blocks[-1].tail, one.above = above[: above.index("")], above[above.index("") :]
                blocks.append(_Block(one))
            else:
                blocks[-1].fields.append(one)
            tokens, above = [], []
    return head, blocks, above


def _line_of(source: str, comment: re.Match[str]) -> str:
    """A comment with its indentation: it may go on under one that stands behind a value."""
    start = source.rfind("\n", 0, comment.start()) + 1
    return source[start : comment.end()].rstrip()


def _statement(source: str, tokens: Sequence[re.Match[str]], above: list[str]) -> _Statement:
    words = [token.group() for token in tokens]
    last = tokens[-1]
    behind = words.pop().rstrip() if words[-1].startswith("#") else ""
    column = last.start() - source.rfind("\n", 0, last.start()) - 1
    name = "".join(words).strip("[]") if words[0] == "[" else words[0].strip("\"'").partition(".")[0]
    return _Statement(_value(words), name, above, behind, column)


def _value(words: list[str]) -> list[str]:
    """The lines of a statement: the author's, each with canonical spaces and the indent of its depth."""
    rows: list[list[str]] = [[]]
    for word in words:
        if word == "\n":
            rows.append([])
        else:
            rows[-1].append(_quoted(word))
    rows = [row for row in rows if row]
    lines: list[str] = []
    depth = 0
    for number, row in enumerate(rows):
        comment = row.pop() if row[-1].startswith("#") else ""
        closing = bool(row) and row[0] in "]}"
        if row and number + 1 < len(rows) and rows[number + 1][0] == "]" and row[-1] not in {",", "["}:
            row.append(",")
        line = _INDENT * (depth - closing) + _joined(row)
        lines.append(f"{line}  {comment}" if row and comment else line + comment)
        depth += sum((word in "[{") - (word in "]}") for word in row)
    return lines


def _joined(row: Sequence[str]) -> str:
    line = before = ""
    for word in row:
        if word == "]" and before == ",":
            line = line[:-1]
        tight = not line or word in {",", "]"} or before == "[" or (before, word) == ("{", "}")
        line += word if tight else f" {word}"
        before = word
    return line


def _quoted(word: str) -> str:
    """A literal string as a basic one, where that needs no escape."""
    literal = word.startswith("'") and not word.startswith("'''")
    return f'"{word[1:-1]}"' if literal and not set('"\\') & set(word) else word


def _shown(one: _Statement) -> list[str]:
    *first, last = one.lines
    if one.behind:
        last = f"{last:<{one.column}}" if len(last) + 2 <= one.column else f"{last}  "
    return [*one.above, *first, f"{last}{one.behind}"]


def _order(schema: dict[str, Any], path: str) -> dict[str, int]:
    """The place of each field of a table in the schema; none for a table that it does not know."""
    for step in filter(None, path.split(".")):
        schema = schema.get("properties", {}).get(step, {})
        schema = schema.get("items", schema)
    return {name: place for place, name in enumerate(schema.get("properties", {}))}


def _squeezed(lines: Sequence[str]) -> list[str]:
    """Without blank lines at the ends, and never two together."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept
