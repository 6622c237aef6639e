"""The words in which policy is written: categories, flags and obligations, each dated and with its meaning.

An unknown word is a typing mistake: a rule for the flag ``personl-data`` would never match, and nobody would
notice. So every word is checked where it is written. ``labels/data/words.toml`` has the words that ship;
files beside the treaties add more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from intelshare.instant import Instant
from intelshare.labels.intervals import ALWAYS, Interval, when

MAX_DAYS = 36_500
"""The largest number of days that an obligation can name."""

_DAYS = "{days}"


class WordKind(Enum):
    """The kind of a word; the value is what people call it."""

    CATEGORY = "category"
    FLAG = "flag"
    OBLIGATION = "obligation"


@dataclass(frozen=True, slots=True)
class Word:
    """One word. The ``name`` of an obligation may contain ``{days}``, which stands for a number."""

    name: str
    means: str
    during: Interval = ALWAYS
    enforced: str = ""
    """For an obligation: what the node does about it by itself; empty if people carry it out."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words by kind and name. A kind for which no word is stated is not checked."""

    words: Mapping[WordKind, Mapping[str, Word]] = field(default_factory=dict)

    def of(self, kind: WordKind) -> Mapping[str, Word]:
        """Return all words of a kind."""
        return self.words.get(kind, {})

    def find(self, kind: WordKind, text: str) -> Word | None:
        """Return the word that a text is; None if it is not a known word."""
        known = self.of(kind)
        return known.get(text) or known.get(_without_days(text))

    def wrong(self, kind: WordKind, text: str, at: Instant | None = None) -> str | None:
        """Say why a text may not be written, at ``at`` or, if that is None, at any time; None if it may be
        written.
        """
        word = self.find(kind, text)
        if word is not None:
            if at is None or word.during.holds(at):
                return None
            start, until = word.during
            said = f"begins at {when(start)}" if at < start else f"ended at {when(until)}"
            return f"the {kind.value} {text!r} {said}"
        return f"{text!r} is not a known {kind.value}" if self.of(kind) else None

    def names(self, kind: WordKind) -> list[str]:
        """Return the names of a kind, with a number of days where one belongs, for guesses and completion."""
        return sorted(name.replace(_DAYS, "30") for name in self.of(kind))

    def nearest(self, kind: WordKind, text: str) -> Iterable[str]:
        """Return the names that a mistyped word may have meant, with the number of days that it has."""
        days = _days(text) or "30"
        return [name.replace(_DAYS, days) for name in self.of(kind)]


def _without_days(text: str) -> str:
    """Return ``retention-30d`` as ``retention-{days}d``."""
    days = _days(text)
    return text if days is None else f"{text[: len(text) - len(days) - 1]}{_DAYS}d"


def _days(text: str) -> str | None:
    """Return the number of days at the end of an obligation."""
    number = text.rpartition("-")[2].removesuffix("d")
    if (
        not text.endswith("d")
        or not (number.isascii() and number.isdigit())
        or number != str(int(number[:6]))
    ):
        return None
    return number if int(number) <= MAX_DAYS else None
