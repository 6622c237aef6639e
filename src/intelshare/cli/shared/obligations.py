"""States who fulfils an obligation: the node, or people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intelshare.labels import Registry


def seen_to(obligations: Iterable[str], registry: Registry) -> list[str]:
    """Return a line for each obligation: what the node does about it, or that it is for people."""
    from intelshare.labels import WordKind

    lines = []
    for name in obligations:
        word = registry.words.find(WordKind.OBLIGATION, name)
        if word is None:
            lines.append(f"{name}: for people; its meaning is in a file of words/")
        elif word.enforced:
            lines.append(f"{name}: {word.enforced}")
        else:
            lines.append(f"{name}: for people: {word.means}")
    return lines
