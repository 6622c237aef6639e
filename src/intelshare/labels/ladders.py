"""Classification ladders in time: levels, what each is worth, and how one converts into another.

A level name is readable for ever from its first day and may be written only while valid; converting
rounds up, never down; unclassified never rounds up (docs: policy guide, "Ladders and equivalence";
the idea of Council Decision 2013/488/EU, Appendix B).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from intelshare.instant import NEVER, Instant
from intelshare.labels.intervals import ALWAYS, BEGINNING, Interval

JOINT = "JOINT"
"""The authority of a label that several states own together."""

UNMARKED_NAME = "UNMARKED"


class Reference(IntEnum):
    """What levels are compared by. Classified means above R0."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4

    @property
    def word(self) -> str:
        """The English word for it, for explanations: ``R3`` is SECRET."""
        return _WORDS[self]


_WORDS = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")


class Alias(NamedTuple):
    """A further official spelling of a level, read and never written, and where it stands so."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Level:
    """One rung: canonical ASCII name, what it is worth, short form for portions, what people are shown."""

    name: str
    reference: Reference
    short: str | None = None
    display: str | None = None
    also: tuple[Alias, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All that names it, the aliases first and the name last, each as its authority spells it."""
        spelled = (*(alias.text for alias in self.also), self.short, self.display, self.name)
        return tuple(text for text in spelled if text is not None)


UNMARKED = Level(UNMARKED_NAME, Reference.R0)
"""How an authority without an R0 level, or with no known ladder, writes unclassified."""


@dataclass(frozen=True, slots=True)
class LadderRow:
    """The levels of an authority during one interval, in ascending order; always with an R0."""

    interval: Interval
    levels: tuple[Level, ...]

    def level(self, name: str) -> Level | None:
        """The level of that canonical name, if the row has it."""
        return next((level for level in self.levels if level.name == name), None)

    @property
    def known(self) -> bool:
        """Whether classified levels are known at all."""
        return self.levels[-1].reference > Reference.R0


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rows of one authority, in order of time and without gaps; make it with ``ladder``."""

    authority: str
    rows: tuple[LadderRow, ...]
    source: str = ""
    language: str = ""
    """Whose rules of case hold for its names, where they are not the common ones: ``tr`` or ``el``."""
    unverified: str = ""
    """What of it was written from memory and compared with no source; empty: nothing."""

    def at(self, at: Instant) -> LadderRow:
        """The row that holds at the instant."""
        found = self.rows[0]
        for row in self.rows:
            if row.interval.start > at:
                break
            found = row
        return found

    def read(self, name: str, at: Instant | None) -> Level | None:
        """The level of the last row at or before ``at`` that has the name; of any row if ``at`` is None."""
        for row in reversed(self.rows):
            if at is None or row.interval.start <= at:
                level = row.level(name)
                if level is not None:
                    return level
        return None


def ladder(
    authority: str, rows: Iterable[LadderRow], source: str = "", language: str = "", unverified: str = ""
) -> Ladder:
    """A ladder over all of time: what the rows leave open is unknown there, and no R0 means UNMARKED.

    The rows must not overlap (the file reader sees to it).
    """
    filled: list[LadderRow] = []
    reached = BEGINNING
    for row in sorted(rows, key=lambda row: row.interval):
        if row.interval.start > reached:
            filled.append(LadderRow(Interval(reached, row.interval.start), (UNMARKED,)))
        filled.append(_with_r0(row))
        reached = row.interval.until
    if reached < NEVER:
        filled.append(LadderRow(Interval(reached, NEVER), (UNMARKED,)))
    return Ladder(authority, tuple(filled), source, language, unverified)


def _with_r0(row: LadderRow) -> LadderRow:
    levels = sorted(row.levels, key=lambda level: level.reference)
    if not levels or levels[0].reference > Reference.R0:
        levels.insert(0, UNMARKED)
    return LadderRow(row.interval, tuple(levels))


@lru_cache(maxsize=1024)
def unknown_ladder(authority: str) -> Ladder:
    """The ladder of an authority of which nothing is published: UNMARKED alone."""
    return ladder(authority, ())


JOINT_LADDER = ladder(
    JOINT,
    [
        LadderRow(
            ALWAYS,
            tuple(
                Level(word, reference, short)
                for reference, word, short in zip(Reference, _WORDS, ("U", "R", "C", "S", "TS"), strict=True)
            ),
        )
    ],
    "CAPCO Register and Manual, JOINT markings",
)


@dataclass(frozen=True, slots=True)
class Equivalence:
    """A treaty's own row: for ``origin``'s level the member ``to`` uses ``name``. One direction only."""

    origin: str
    level: str
    to: str
    name: str


@dataclass(frozen=True, slots=True)
class Converted:
    """What a level is in another ladder: the name there, and what it is worth there."""

    name: str
    reference: Reference


def convert_reference(
    reference: Reference, source: Ladder, target: Ladder, at: Instant, rows: Iterable[Equivalence] = ()
) -> Converted | None:
    """The level of ``target`` for one worth ``reference`` in ``source``; None if there is no equivalence.

    In this order: the treaty's exact row, the general table (lowest level valid at ``at`` that is not
    below), the treaty's row of the lowest level above. Rows of other pairs and void rows are ignored.
    """
    there = target.at(at)
    usable = [
        (level.reference, converted)
        for row in rows
        if row.origin == source.authority and row.to == target.authority
        if (level := source.read(row.level, at)) is not None
        if (converted := _row_result(row, level, there, target, at)) is not None
    ]
    exact = [converted for own, converted in usable if own == reference]
    if exact:
        return min(exact, key=lambda converted: (converted.reference, converted.name))
    for level in there.levels:
        if level.reference >= reference:
            return Converted(level.name, level.reference)
    above = [(own, converted.reference, converted.name) for own, converted in usable if own > reference]
    if not above:
        return None
    _, worth, name = min(above)
    return Converted(name, worth)


def _row_result(
    row: Equivalence, level: Level, there: LadderRow, target: Ladder, at: Instant
) -> Converted | None:
    """What a row gives, or None if it is void: below its own level in a known ladder."""
    if not there.known:
        return Converted(row.name, level.reference)
    used = target.read(row.name, at)
    if used is None or used.reference < level.reference:
        return None
    return Converted(used.name, used.reference)
