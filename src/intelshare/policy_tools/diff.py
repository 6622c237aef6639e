"""The effect of a change of policy: what becomes releasable, what no longer is, and during which period.

Every pair of members, category, flag and level that the changed files can concern is decided in both worlds,
in each period in which nothing changes for the two; the differences are merged into a few lines. Pairs in the
same state (see ``states``) are decided once. If the changed treaties alone give the same answer before and
after, then so do all treaties together, and the question is not asked further.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby

from intelshare.instant import Instant
from intelshare.labels import Reference
from intelshare.policy import Overlay, Party, Treaty, World
from intelshare.policy_tools.compared import (
    Pair,
    Worlds,
    authorities_of,
    difference,
    groups_of,
    members_of,
    rules_of,
    shared,
    written,
)
from intelshare.policy_tools.registries import changed_groups, changed_ladders
from intelshare.policy_tools.states import States

ANY_OTHER = "any other"
"""Stands for every category that neither a treaty between the two nor their law names."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effect. ``widens``: True if more is permitted than before, False if less."""

    widens: bool
    sender: str
    recipient: str
    category: str
    flag: str | None
    """The flag of the portion, if it makes the effect different from that without it."""
    levels: tuple[Reference, ...]
    start: Instant
    until: Instant
    before: str
    """``allow``, ``hold`` or the primary code, as it was before."""
    after: str


def effects(base: World, head: World) -> list[Effect]:
    """Return all differences between two worlds, those that widen first; empty if the effect is the same.

    It does not include how changed groups of the operator affect labels that name them: see
    ``registry_changes``.
    """
    both = (base, head)
    ladders = changed_ladders(base.registry, head.registry)
    changed = _Changed(both, _changed_treaties(both, ladders), _changed_overlays(both, ladders), ladders)
    states = States(both)
    lines: list[Effect] = []
    answers: dict[Hashable, _Answers] = {}
    runs: dict[tuple[int, ...], list[_Run]] = {}
    for pair in sorted(_pairs(both, changed)):
        stretches = states.stretches(pair)
        asked = []
        for start, _ in stretches:
            key = states.key(pair, start)
            if key not in answers:
                answers[key] = _answers(both, pair, changed, start)
            asked.append(answers[key])
        # ``answers`` keeps each object alive, so that its id stays unique.
        sequence = tuple(map(id, asked))
        if sequence not in runs:
            runs[sequence] = list(_runs(asked))
        lines += [
            Effect(
                run.widens,
                *pair,
                run.category,
                run.flag,
                run.levels,
                stretches[run.first][0],
                stretches[run.last][1],
                run.before,
                run.after,
            )
            for run in runs[sequence]
        ]
    return sorted(
        lines, key=lambda line: (not line.widens, line.sender, line.recipient, line.category, line.start)
    )


_Answers = dict[tuple[str, str | None, Reference], tuple[str, str, bool]]
"""The differences at an instant, by category, flag and level: before, after, and whether the latter permits
more.
"""


@dataclass(frozen=True, slots=True)
class _Run:
    """An effect on a pair, from its ``first`` period to its ``last``."""

    category: str
    flag: str | None
    levels: tuple[Reference, ...]
    first: int
    last: int
    before: str
    after: str
    widens: bool


def _answers(both: Worlds, pair: Pair, changed: _Changed, at: Instant) -> _Answers:
    found: _Answers = {}
    for category, flag, reference in _questions(both, pair, changed, at):
        differs = difference(both, (*pair, category, flag), reference, at)
        if differs is not None:
            found[category, flag, reference] = differs
    return found


def _runs(asked: Sequence[_Answers]) -> Iterator[_Run]:
    """Merge adjoining periods with the same difference, and levels that differ in the same way at the same
    times.
    """
    plain: dict[tuple[str, Reference], list[_Change]] = {}
    found: dict[tuple[str, str | None, _Change], list[Reference]] = {}
    # Questions without a flag come first; a flag that changes nothing is not reported.
    questions = sorted(
        set().union(*asked), key=lambda one: (one[0], one[2], one[1] is not None, one[1] or "")
    )
    for category, flag, reference in questions:
        changes = list(_changes([answers.get((category, flag, reference)) for answers in asked]))
        if flag is None:
            plain[category, reference] = changes
        if flag is None or changes != plain.get((category, reference), []):
            for change in changes:
                found.setdefault((category, flag, change), []).append(reference)
    for (category, flag, change), levels in found.items():
        yield _Run(category, flag, tuple(levels), *change)


_Change = tuple[int, int, str, str, bool]


def _changes(over_time: Sequence[tuple[str, str, bool] | None]) -> Iterator[_Change]:
    number = 0
    for differs, same in groupby(over_time):
        count = len(list(same))
        if differs is not None:
            yield (number, number + count - 1, *differs)
        number += count


# The questions that can have a different answer.


@dataclass(frozen=True, eq=False)
class _Changed:
    """The parts that differ between before and after."""

    both: Worlds
    treaties: list[tuple[Treaty | None, Treaty | None]]
    overlays: list[Overlay]
    ladders: frozenset[str]
    """The authorities whose levels differ."""

    @cached_property
    def by_law(self) -> frozenset[str]:
        """The members whose law changed."""
        return frozenset(overlay.member for overlay in self.overlays)

    @cached_property
    def alone(self) -> Worlds:
        """Both worlds with only the changed treaties."""
        old = tuple(treaty for treaty, _ in self.treaties if treaty is not None)
        new = tuple(treaty for _, treaty in self.treaties if treaty is not None)
        base, head = self.both
        return World(base.registry, base.members, old), World(head.registry, head.members, new)

    def answers(self, pair: Pair, at: Instant) -> set[tuple[str, Reference]]:
        """Return the categories and levels for which the changed treaties alone answer differently at an
        instant.
        """
        return {
            (category, reference)
            for category in _categories(chain.from_iterable(shared(own, pair) for own in self.alone))
            for reference in written(self.both, pair[0])
            if difference(self.alone, (*pair, category, None), reference, at)
        }


def _questions(
    both: Worlds, pair: Pair, changed: _Changed, at: Instant
) -> Iterator[tuple[str, str | None, Reference]]:
    """Yield the questions between the two that the changes can affect; after a change of law, all that their
    treaties permit.

    Categories that only an unchanged treaty names may be permitted by that treaty, so each is asked by name.
    """
    own = [overlay for world in both for member in pair if (overlay := world.overlays.get(member))]
    asked = changed.answers(pair, at)
    by_law = changed.by_law & set(pair)
    if not asked and not by_law:
        return
    words = _categories(chain.from_iterable(shared(world, pair) for world in both), own)
    asked |= {(word, reference) for category, reference in asked if category == ANY_OTHER for word in words}
    if by_law:
        asked |= {(category, reference) for category in words for reference in written(both, pair[0])}
    flags = {flag for overlay in own for rule in rules_of(overlay) for flag in rule.when.flags or ()}
    for category, reference in asked:
        for flag in (None, *flags):
            yield category, flag, reference


def _changed_treaties(both: Worlds, ladders: frozenset[str]) -> list[tuple[Treaty | None, Treaty | None]]:
    """Return the treaties whose text or parties changed, or for which the levels of a party or of a named
    organisation changed.
    """
    old, new = ({treaty.id: treaty for treaty in world.treaties} for world in both)
    ids = sorted(old.keys() | new.keys())
    pairs = [(old.get(name), new.get(name)) for name in ids]
    return [(was, now) for was, now in pairs if was != now or _levels_of(both, (was, now)) & ladders]


def _levels_of(both: Worlds, treaties: tuple[Treaty | None, Treaty | None]) -> set[str]:
    """Return the authorities whose levels count in a treaty: its parties, and the organisations that it
    names.
    """
    listed = [one for one in treaties if one is not None]
    named = set().union(*(authorities_of(world, listed, ()) for world in both))
    return named.union(*map(members_of, listed))


def _changed_overlays(both: Worlds, ladders: frozenset[str]) -> list[Overlay]:
    """Return the overlays that changed, or that name a changed group or a changed level."""
    base, head = both
    groups = changed_groups(base.registry, head.registry)
    members = sorted(base.overlays.keys() | head.overlays.keys())
    return [
        overlay
        for member in members
        if base.overlays.get(member) != head.overlays.get(member)
        or groups_of(head.overlays.get(member)) & groups
        or any(authorities_of(world, (), [world.overlays[member]]) & ladders for world in both)
        for world in both
        if (overlay := world.overlays.get(member)) is not None
    ]


def _pairs(both: Worlds, changed: _Changed) -> set[Pair]:
    """Return the pairs affected: parties whose part changed with all others, all parties if the text changed,
    and by law.
    """
    pairs: set[Pair] = set()
    for old, new in changed.treaties:
        was, now = _parties(old), _parties(new)
        members = was.keys() | now.keys()
        listed = [one for one in (old, new) if one is not None]
        named = set().union(*(authorities_of(world, listed, ()) for world in both))
        touched = set(members)
        if old is not None and new is not None and _body(old) == _body(new) and not named & changed.ladders:
            touched = {m for m in members if was.get(m) != now.get(m) or m in changed.ladders}
        pairs |= {(one, other) for one in members for other in members if {one, other} & touched}
    for member in changed.by_law:
        listing = [treaty for world in both for treaty in world.treaties if member in members_of(treaty)]
        for other in set().union(*map(members_of, listing)):
            pairs |= {(member, other), (other, member)}
    return {pair for pair in pairs if pair[0] != pair[1]}


def _parties(treaty: Treaty | None) -> dict[str, Party]:
    return {} if treaty is None else {party.member: party for party in treaty.parties}


def _body(treaty: Treaty) -> tuple[object, ...]:
    """Return all of a treaty except its parties."""
    return (
        treaty.kind,
        treaty.in_force,
        treaty.terminated,
        frozenset(treaty.provisions),
        frozenset(treaty.equivalence),
        treaty.ladders,
    )


def _categories(treaties: Iterable[Treaty], overlays: Iterable[Overlay] = ()) -> set[str]:
    """Return every category that one of these names, and one that stands for all others."""
    words: set[str] = {ANY_OTHER}
    for treaty in treaties:
        words |= {word for provision in treaty.provisions for word in provision.categories}
        for reservation in chain.from_iterable(party.reservations for party in treaty.parties):
            words |= reservation.categories or set()
    for overlay in overlays:
        words |= {word for rule in rules_of(overlay) for word in rule.when.categories or ()}
    return words - {"*"}
