"""The canonical form of a treaty or overlay file: spaces, quotes, blank lines, order of fields.

Fields are in the order of the schema, tables in the author's order. A field keeps the comments above and
beside it; a comment at the head of a file stays there. An array of several lines keeps its lines.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from intelshare.labels import Registry
from intelshare.policy_tools.schema import schema_of
from intelshare.toml import read_table

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
    """A header or a field: its lines, and the lines above it that belong to it."""

    name: str
    above: list[str]
    lines: list[str]


@dataclass(slots=True)
class _Block:
    """A header with the fields below it; the first block of a file has no header."""

    header: _Statement | None = None
    fields: list[_Statement] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    """The comments right below its last field."""


def formatted(text: str, name: str, kind: str, registry: Registry) -> str:
    """Return the canonical text of a file of ``kind`` (as in ``schema_of``): it has the same meaning, and
    formatting it again changes nothing.

    Raises PolicyFileError FILE_SYNTAX, TOO_LARGE, as the reader does.
    """
    read_table(text, name)
    source = text.replace("\r\n", "\n")
    head, blocks, tail = _parsed(source)
    lines = list(head)
    schema = schema_of(kind, registry)
    for block in blocks:
        if block.header is not None:
            lines += ["", *block.header.above, *block.header.lines]
        order = _order(schema, "" if block.header is None else block.header.name)
        for one in sorted(block.fields, key=lambda one: order.get(one.name, len(order))):
            lines += [*one.above, *one.lines]
        lines += block.tail
    result = "\n".join([*_squeezed([*lines, *tail]), ""])
    if tomllib.loads(result) != tomllib.loads(source):  # the one thing that must never happen
        raise AssertionError(f"the canonical text of {name} would have a different meaning")
    return result


def _parsed(source: str) -> tuple[list[str], list[_Block], list[str]]:
    """Return the comment at the head, the blocks, and the lines after the last field."""
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
            one = _Statement(_name([token.group() for token in tokens]), above, _laid_out(source, tokens))
            if tokens[0].group() == "[":
                if "" in above and above[0]:
                    blocks[-1].tail, one.above = above[: above.index("")], above[above.index("") :]
                blocks.append(_Block(one))
            else:
                blocks[-1].fields.append(one)
            tokens, above = [], []
    return head, blocks, above


def _line_of(source: str, comment: re.Match[str]) -> str:
    """Return a comment with its indentation: it may continue one that stands beside a value."""
    return source[_line_start(source, comment) : comment.end()].rstrip()


def _line_start(source: str, token: re.Match[str]) -> int:
    return source.rfind("\n", 0, token.start()) + 1


def _name(words: Sequence[str]) -> str:
    return "".join(words).strip("[]") if words[0] == "[" else words[0].strip("\"'").partition(".")[0]


def _laid_out(source: str, tokens: Sequence[re.Match[str]]) -> list[str]:
    """Return the author's lines with canonical spaces, indented once under the line that opened their
    bracket.
    """
    rows = _rows(tokens)
    lines: list[str] = []
    opened: list[int] = []
    for row, following in zip(rows, [*rows[1:], None], strict=False):
        words = [_quoted(token.group()) for token in row]
        comment = words.pop().rstrip() if words[-1].startswith("#") else ""
        closing = bool(words) and words[0] in "]}"
        indent = opened[-1] + (not closing) if opened else 0
        ends = following is not None and following[0].group() == "]"
        if words and ends and words[-1] not in {",", "["}:
            words.append(",")
        line = _INDENT * indent + _joined(words)
        if comment:
            start = _line_start(source, row[0])
            moved = len(_INDENT) * indent - (row[0].start() - start)
            line = _with_comment(line, comment, row[-1].start() - start + moved if words else 0)
        lines.append(line)
        for word in words:
            if word in "[{":
                opened.append(indent)
            elif word in "]}":
                opened.pop()
    return lines


def _rows(tokens: Iterable[re.Match[str]]) -> list[list[re.Match[str]]]:
    """Return the tokens of each line that has any."""
    rows: list[list[re.Match[str]]] = [[]]
    for token in tokens:
        if token.group() == "\n":
            rows.append([])
        else:
            rows[-1].append(token)
    return [row for row in rows if row]


def _with_comment(line: str, comment: str, column: int) -> str:
    """Place the comment where it stood, because authors align comments; two spaces after the line if there is
    no room.
    """
    if not line.strip():
        return line + comment
    return f"{line:<{column}}{comment}" if len(line) < column else f"{line}  {comment}"


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
    """Return a literal string as a basic one, if that needs no escape."""
    literal = word.startswith("'") and not word.startswith("'''")
    return f'"{word[1:-1]}"' if literal and not set('"\\') & set(word) else word


def _order(schema: dict[str, Any], path: str) -> dict[str, int]:
    """Return the position of each field of a table in the schema; empty for a table that it does not know."""
    for step in filter(None, path.split(".")):
        schema = schema.get("properties", {}).get(step, {})
        schema = schema.get("items", schema)
    return {name: place for place, name in enumerate(schema.get("properties", {}))}


def _squeezed(lines: Sequence[str]) -> list[str]:
    """Remove blank lines at both ends, and repeated ones in between."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept
