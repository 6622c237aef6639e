"""Writes tables as Markdown, for pull requests, reports and the guide; all commands use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from intelshare.text import visible


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a header, a rule and the rows, without a final line end; a cell cannot break out of its
    place.
    """
    every = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in every)


def _cell(text: str) -> str:
    return visible(text).replace("|", "\\|")
