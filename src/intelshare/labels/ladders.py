"""Classification ladders over time: levels, the reference level of each, and conversion between ladders.

A level name can be read from its first day for ever, but may be written only while it is valid. Conversion
rounds up, never down, and unclassified never rounds up (docs: policy guide, "Ladders and equivalence"; the
idea is that of Council Decision 2013/488/EU, Appendix B).
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
    """The scale on which levels are compared. "Classified" means above R0."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4

    @property
    def word(self) -> str:
        """The English word for it, used in explanations: ``R3`` is SECRET."""
        return _WORDS[self]


_WORDS = ("UNCLASSIFIED", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")


class Alias(NamedTuple):
    """Another official spelling of a level, which is read but never written, and its source."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Level:
    """One level: its canonical ASCII name, reference level, short form for portions, and display form."""

    name: str
    reference: Reference
    short: str | None = None
    display: str | None = None
    also: tuple[Alias, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that name the level, the aliases first and the name last, each as its authority spells
        it.
        """
        spelled = (*(alias.text for alias in self.also), self.short, self.display, self.name)
        return tuple(text for text in spelled if text is not None)


UNMARKED = Level(UNMARKED_NAME, Reference.R0)
"""The level with which an authority that has no R0 level, or no known ladder, writes "unclassified"."""


@dataclass(frozen=True, slots=True)
class LadderRow:
    """The levels of an authority during one interval, in ascending order; always with an R0."""

    interval: Interval
    levels: tuple[Level, ...]

    def level(self, name: str) -> Level | None:
        """Return the level with that canonical name, if the row has it."""
        return next((level for level in self.levels if level.name == name), None)

    @property
    def known(self) -> bool:
        """True if any classified level is known."""
        return self.levels[-1].reference > Reference.R0


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rows of one authority, in order of time and without gaps; make it with ``ladder``."""

    authority: str
    rows: tuple[LadderRow, ...]
    source: str = ""
    language: str = ""
    """The language whose case rules apply to its names, if they are not the common ones: ``tr`` or ``el``."""
    unverified: str = ""
    """The parts that were written from memory and not compared with a source; empty if there are none."""

    def at(self, at: Instant) -> LadderRow:
        """Return the row that holds at the instant."""
        found = self.rows[0]
        for row in self.rows:
            if row.interval.start > at:
                break
            found = row
        return found

    def read(self, name: str, at: Instant | None) -> Level | None:
        """Return the level of that name from the last row at or before ``at`` that has it; from any row if
        ``at`` is None.
        """
        for row in reversed(self.rows):
            if at is None or row.interval.start <= at:
                level = row.level(name)
                if level is not None:
                    return level
        return None


def ladder(
    authority: str, rows: Iterable[LadderRow], source: str = "", language: str = "", unverified: str = ""
) -> Ladder:
    """Return a ladder over all of time: periods without a row count as unknown, and a row without R0 gets
    UNMARKED.

    The rows must not overlap (the file reader ensures it).
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
    """Return the ladder of an authority about which nothing is published: UNMARKED alone."""
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
    """A row of a treaty: for ``origin``'s level, the member ``to`` uses ``name``. It holds in one direction
    only.
    """

    origin: str
    level: str
    to: str
    name: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A level converted into another ladder: its name and reference level there."""

    name: str
    reference: Reference


def convert_reference(
    reference: Reference, source: Ladder, target: Ladder, at: Instant, rows: Iterable[Equivalence] = ()
) -> Converted | None:
    """Return the level of ``target`` for one worth ``reference`` in ``source``; None if there is no
    equivalence.

    It tries, in this order: the treaty's exact row, the general table (the lowest level valid at ``at`` that
    is not below), the treaty's row for the lowest level above. Rows of other pairs and void rows are ignored.
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
    """Return the result of a row, or None if the row is void: below the level it converts, in a known
    ladder.
    """
    if not there.known:
        return Converted(row.name, level.reference)
    used = target.read(row.name, at)
    if used is None or used.reference < level.reference:
        return None
    return Converted(used.name, used.reference)
