"""Tables as Markdown, for pull requests, reports and the guide: the one writer of all commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from intelshare.text import visible


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A header, a rule and the rows, without a line end at the end; a cell cannot leave its place."""
    every = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in every)


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|")
