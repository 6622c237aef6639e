"""The meaning of codes and levels at an instant: states, groups with their memberships, ladders. A pure
value.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from intelshare.errors import LabelError
from intelshare.instant import NEVER, Instant
from intelshare.labels.intervals import BEGINNING, Interval, in_force
from intelshare.labels.ladders import (
    JOINT,
    JOINT_LADDER,
    UNMARKED_NAME,
    Converted,
    Equivalence,
    Ladder,
    Level,
    Reference,
    convert_reference,
    unknown_ladder,
)
from intelshare.labels.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of states over time; an ``organisation`` also has a node."""

    code: str
    organisation: bool
    members: Mapping[str, tuple[Interval, ...]]
    name: str = ""
    source: str = ""
    unverified: str = ""
    """The parts that were written from memory and not compared with a source; empty if there are none."""

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of its members and their times: members with equal digests expand a label alike.

        It is computed over ``intelshare/group/1`` LF, then JSON as for a treaty's text: [code, organisation,
        [[state, [[from, until]...]]...]], with states and intervals sorted, in microseconds since 1970 or
        null where open.
        """
        members = [
            [
                state,
                [
                    [None if start == BEGINNING else start, None if until == NEVER else until]
                    for start, until in sorted(self.members[state])
                ],
            ]
            for state in sorted(self.members)
        ]
        document = [self.code, self.organisation, members]
        encoded = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")
        return "sha256:" + hashlib.sha256(b"intelshare/group/1\n" + encoded).hexdigest()


@dataclass(frozen=True, eq=False)
class Registry:
    """States (code to English name), groups, ladders and words. It never changes; a new file makes a new
    registry.
    """

    states: Mapping[str, str]
    groups: Mapping[str, Group]
    ladders: Mapping[str, Ladder]
    words: Vocabulary = field(default_factory=Vocabulary, repr=False)
    """Categories, flags and obligations."""
    own: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The files, name to text, that add to the shipped ones: whoever reads the same files has the same
    registry.
    """
    nodes: frozenset[str] = field(init=False, repr=False)
    """Codes that can have a node: states and organisations."""
    known: frozenset[str] = field(init=False, repr=False)
    """Codes that a REL TO may name: states, groups and organisations."""
    level_names: Mapping[str, Mapping[str, str]] = field(init=False, repr=False)
    """For each authority, every text that names a level (full, short, shown), folded, and the level's
    canonical name.
    """
    organisation_levels: Mapping[str, tuple[str, str]] = field(init=False, repr=False)
    """Texts that name authority and level at once (``NS``, ``EU UNMARKED``), and both of these."""

    changes: frozenset[Instant] = field(init=False, repr=False)
    """The instants at which a membership, a level or a word begins or ends to count."""

    def __post_init__(self) -> None:
        ladders = {**self.ladders, JOINT: JOINT_LADDER}
        organisations = [group.code for group in self.groups.values() if group.organisation]
        for code in organisations:
            ladders.setdefault(code, unknown_ladder(code))
        names = {authority: dict(level_texts(ladder)) for authority, ladder in ladders.items()}
        whole = {
            (f"{code} {text}" if text == name == "UNMARKED" else text): (code, name)
            for code in organisations
            for text, name in names[code].items()
        }
        counts = [
            *(span for group in self.groups.values() for spans in group.members.values() for span in spans),
            *(row.interval for ladder in ladders.values() for row in ladder.rows),
            *(word.during for words in self.words.words.values() for word in words.values()),
        ]
        object.__setattr__(self, "changes", frozenset(instant for span in counts for instant in span))
        object.__setattr__(self, "nodes", frozenset((*self.states, *organisations)))
        object.__setattr__(self, "known", frozenset((*self.states, *self.groups)))
        object.__setattr__(self, "ladders", ladders)
        object.__setattr__(self, "level_names", names)
        object.__setattr__(self, "organisation_levels", whole)

    def is_state(self, code: str) -> bool:
        """Return True if the code is a state's."""
        return code in self.states

    def is_organisation(self, code: str) -> bool:
        """Return True if the code is a group that has a node."""
        group = self.groups.get(code)
        return group is not None and group.organisation

    def is_member(self, code: str) -> bool:
        """Return True if the code can have a node: a state or an organisation."""
        return code in self.nodes

    def is_known(self, code: str) -> bool:
        """Return True if REL TO may name the code: a state, a group or an organisation."""
        return code in self.known

    def ladder(self, authority: str) -> Ladder:
        """Return the ladder of the authority; one of UNMARKED alone if none is known."""
        return self.ladders.get(authority) or unknown_ladder(authority)

    def level_named(self, authority: str, text: str, at: Instant | None) -> str | None:
        """Return the canonical name of the level that the folded text means; None if there is none.

        If a state's ladder has no level of that name, an English word (``//DEU SECRET``, as the United States
        write it) means the level with that reference at ``at``; at the ladder's last row if ``at`` is None.
        """
        names = self.level_names.get(authority)
        if names is None:
            return UNMARKED_NAME if text == UNMARKED_NAME else None
        if (
            text in names
            or text not in ENGLISH_WORDS
            or authority in _NOT_TRANSLATED
            or authority in self.groups
        ):
            return names.get(text)
        ladder = self.ladders[authority]
        row = ladder.rows[-1] if at is None else ladder.at(at)
        found = next((level for level in row.levels if level.reference == ENGLISH_WORDS[text]), None)
        return None if found is None else found.name

    def english_meaning(self, authority: str, name: str, at: Instant | None) -> Reference | None:
        """Return what the United States would mean by a state's level of an English name, if that differs."""
        if authority in _NOT_TRANSLATED or not self.is_state(authority) or name not in ENGLISH_WORDS:
            return None
        level = self.ladder(authority).read(name, at)
        meant = ENGLISH_WORDS[name]
        return meant if level is not None and level.reference != meant else None

    def english_ended(self, authority: str, text: str) -> Level | None:
        """Return the last level, no longer in use, that a state had for the reference that an English word
        means.
        """
        ladder = self.ladders.get(authority)
        if ladder is None or text not in ENGLISH_WORDS or not self.is_state(authority):
            return None
        levels = (level for row in reversed(ladder.rows) for level in row.levels)
        return next((level for level in levels if level.reference == ENGLISH_WORDS[text]), None)

    def expand(self, code: str, at: Instant) -> frozenset[str]:
        """Return the members that a code stands for at ``at``: itself, or a group's states and, for an
        organisation, its node.
        """
        group = self.groups.get(code)
        if group is None:
            return frozenset((code,))
        states = {state for state, intervals in group.members.items() if in_force(intervals, at)}
        if group.organisation:
            states.add(code)
        return frozenset(states)


ENGLISH_WORDS = {
    **{reference.word: reference for reference in Reference if reference > Reference.R0},
    "R": Reference.R1,
    "C": Reference.R2,
    "S": Reference.R3,
    "TS": Reference.R4,
}
"""The words with which the United States write another state's level (CAPCO Manual, A.6), in full and in
portions.
"""

_NOT_TRANSLATED = ("USA", JOINT)


def level_texts(ladder: Ladder) -> Iterator[tuple[str, str]]:
    """Yield every folded text of every level with its canonical name; a text of two levels comes with
    both.
    """
    for row in ladder.rows:
        for level in row.levels:
            for text in level.texts:
                for spelled in _in_every_case(text, ladder.language):
                    yield spelled, level.name


def _in_every_case(text: str, language: str) -> Iterator[str]:
    """Yield the text folded as written, and folded after the language's rules for capitals and small
    letters.
    """
    yield fold(text)
    if language == "tr":
        yield fold(text.replace("İ", "i").replace("I", "ı").lower())
        yield fold(text.replace("i", "İ").replace("ı", "I").upper())
    elif language == "el":
        # Capitals drop the accent, which is a separate character after the decomposition.
        bare = "".join(each for each in unicodedata.normalize("NFD", text) if each != "\u0301")
        yield fold(unicodedata.normalize("NFC", bare))


def fold(text: str) -> str:
    """Fold to upper case, except that a non-ASCII letter never becomes an ASCII one (``ſ``, ``ı``, ``ß``
    stay).
    """
    if text.isascii():
        return text.upper()
    return "".join(_fold_letter(letter) for letter in text)


def _fold_letter(letter: str) -> str:
    upper = letter.upper()
    return upper if letter.isascii() or (len(upper) == 1 and not upper.isascii()) else letter


def convert(
    registry: Registry,
    authority: str,
    level: str,
    to: str,
    at: Instant,
    *,
    rows: tuple[Equivalence, ...] = (),
) -> Converted:
    """Convert a level of ``authority`` into the ladder of ``to`` at ``at``: rounded up, never down.

    ``level`` is any text that names one; ``rows`` are those of the treaty that is relied on. Raises
    LabelError UNKNOWN_LEVEL (no such name, or before its first day) or NO_EQUIVALENCE.
    """
    source = registry.ladder(authority)
    name = registry.level_named(authority, fold(unicodedata.normalize("NFC", level)), at)
    known = None if name is None else source.read(name, at)
    if known is None:
        raise LabelError("UNKNOWN_LEVEL", f"{authority} has no level {level!r} at that time")
    converted = convert_reference(known.reference, source, registry.ladder(to), at, rows)
    if converted is None:
        raise LabelError(
            "NO_EQUIVALENCE",
            f"{authority} {level} has no equivalent for {to}",
            hint="an equivalence row in a treaty between the two can state one",
        )
    return converted
