"""No signature and no OK leaves before its state is durable: only a store's commit makes a Durable value."""

from __future__ import annotations

import ast
from pathlib import Path

import intelshare
from source_files import nodes_with

SOURCE = Path(intelshare.__file__).parent

MAY_MAKE_DURABLE = {"store", "sim"}
"""Rooms that are stores. ``sim`` is one of its own disk."""

MAKERS = {"durable_after_commit", "_MADE_BY_COMMIT"}


def test_nobody_but_a_store_makes_durable_values() -> None:
    makers = set()
    for path, node in nodes_with(SOURCE, *MAKERS):
        names = (
            {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom)
            else {node.attr}
            if isinstance(node, ast.Attribute)
            else set()
        )
        if names & MAKERS:
            makers.add(path.relative_to(SOURCE).parts[0])
    assert makers
    assert makers <= MAY_MAKE_DURABLE
