"""Requests for information: a bulletin that asks says so in the media type of a text portion, and so does
what answers it. To everything else they are bulletins like any other.

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
    """What a bulletin does to a request."""

    ASK = "ask"
    ANSWER = "answer"
    DECLINE = "decline"
    CLOSE = "close"
    """The one who asked needs no answer any more."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A portion's mark. ``due``: of ASK, when the answer is needed; NEVER if nothing was said."""

    word: Word
    due: Instant = NEVER


def media_of(marked: Marked) -> str:
    """The media type that says this."""
    due = f"; due={show(marked.due)}" if marked.due != NEVER else ""
    return f"text/plain; rfi={marked.word}{due}"


def marked_in(portions: Iterable[Portion]) -> Marked | None:
    """The first mark among the text portions. What cannot be read as one is none: it is only text."""
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
