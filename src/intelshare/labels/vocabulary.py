"""The words that policy is written in: categories, flags and obligations, each dated and with its meaning.

A word that nobody knows is a slip of the pen: a rule for the flag ``personl-data`` would never match, and
nobody would notice. So every word is checked where it is written. ``labels/data/words.toml`` is what ships;
files beside the treaties add words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from intelshare.instant import Instant
from intelshare.labels.intervals import ALWAYS, Interval, when

MAX_DAYS = 36_500
"""Most days that an obligation can name."""

_DAYS = "{days}"


class WordKind(Enum):
    """What a word is; the value is what people call it."""

    CATEGORY = "category"
    FLAG = "flag"
    OBLIGATION = "obligation"


@dataclass(frozen=True, slots=True)
class Word:
    """One word. ``name`` of an obligation may hold ``{days}``, which stands for a number."""

    name: str
    means: str
    during: Interval = ALWAYS
    enforced: str = ""
    """Of an obligation: what the node does about it by itself; empty: people see to it."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words by kind and name. A kind of which no word is stated is not checked."""

    words: Mapping[WordKind, Mapping[str, Word]] = field(default_factory=dict)

    def of(self, kind: WordKind) -> Mapping[str, Word]:
        """All words of a kind."""
        return self.words.get(kind, {})

    def find(self, kind: WordKind, text: str) -> Word | None:
        """The word that a text is; None if it is none."""
        known = self.of(kind)
        return known.get(text) or known.get(_without_days(text))

    def wrong(self, kind: WordKind, text: str, at: Instant | None = None) -> str | None:
        """Why a text may not be written, in words; None if it may: at ``at``, or at any time if None."""
        word = self.find(kind, text)
        if word is not None:
            if at is None or word.during.holds(at):
                return None
            start, until = word.during
            said = f"begins at {when(start)}" if at < start else f"ended at {when(until)}"
            return f"the {kind.value} {text!r} {said}"
        return f"{text!r} is no {kind.value} that is known here" if self.of(kind) else None

    def names(self, kind: WordKind) -> list[str]:
        """The names of a kind, with a number of days where one belongs, for guesses and completion."""
        return sorted(name.replace(_DAYS, "30") for name in self.of(kind))

    def nearest(self, kind: WordKind, text: str) -> Iterable[str]:
        """What a slip may have meant: the names, with the number of days that it has."""
        days = _days(text) or "30"
        return [name.replace(_DAYS, days) for name in self.of(kind)]


def _without_days(text: str) -> str:
    """``retention-30d`` as ``retention-{days}d``."""
    days = _days(text)
    return text if days is None else f"{text[: len(text) - len(days) - 1]}{_DAYS}d"


def _days(text: str) -> str | None:
    """The number of days at the end of an obligation."""
    number = text.rpartition("-")[2].removesuffix("d")
    if (
        not text.endswith("d")
        or not (number.isascii() and number.isdigit())
        or number != str(int(number[:6]))
    ):
        return None
    return number if int(number) <= MAX_DAYS else None
