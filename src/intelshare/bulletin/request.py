"""Requests for information: the media type of a text portion marks a bulletin that asks or answers.

To everything else they are bulletins like any other.

    text/plain; rfi=ask; due=2026-12-01T00:00:00Z
    text/plain; rfi=answer            in reply to the one that asks; also decline, close
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from intelshare.crypto.records import Portion, PortionKind
from intelshare.instant import NEVER, Instant, parse, show


class Word(StrEnum):
    """The effect of a bulletin on a request."""

    ASK = "ask"
    ANSWER = "answer"
    DECLINE = "decline"
    CLOSE = "close"
    """The member that asked no longer needs an answer."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A portion's mark. For ASK, ``due`` is when the answer is needed; NEVER if no time was given."""

    word: Word
    due: Instant = NEVER


def media_of(marked: Marked) -> str:
    """Return the media type for this mark."""
    due = f"; due={show(marked.due)}" if marked.due != NEVER else ""
    return f"text/plain; rfi={marked.word}{due}"


def marked_in(portions: Iterable[Portion]) -> Marked | None:
    """Return the first mark among the text portions.

    A mark that cannot be read is ignored: it is only text.
    """
    for portion in portions:
        if portion.kind is PortionKind.TEXT and "rfi=" in portion.media:
            found = _read(portion.media)
            if found is not None:
                return found
    return None


def _read(media: str) -> Marked | None:
    words = {
        name.strip(): value.strip()
        for name, equals, value in (part.partition("=") for part in media.split(";")[1:])
        if equals
    }
    try:
        return Marked(Word(words["rfi"]), parse(words["due"]) if "due" in words else NEVER)
    except (KeyError, ValueError):
        return None
