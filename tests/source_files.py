"""Reads the source as trees, for tests of what it may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def nodes_with(folder: Path, *words: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the modules below a folder in whose text one of these words stands, with its path.

    To parse the whole source costs more than a second, and a module without the word has nothing to show.
    """
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text("utf-8")
        if any(word in text for word in words):
            for node in ast.walk(ast.parse(text)):
                yield path, node
