"""The effect of a change of policy: what becomes releasable, what no longer is, and from when until when.

Every pair of members, category, flag and level that the changed files can concern is decided in both worlds,
in each stretch of time in which nothing changes for the two; what differs is put together into few lines.
What the changed treaties alone answer alike before and after is answered alike by all, and not asked further.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from intelshare.instant import Instant
from intelshare.labels import Reference
from intelshare.policy import ANY_CATEGORY, Overlay, Treaty, World
from intelshare.policy_tools.compared import (
    Pair,
    Question,
    Stretch,
    Worlds,
    difference,
    members_of,
    rules_of,
    shared,
    stretches_of,
    written,
)

ANY_OTHER = "any other"
"""Stands for every category that no treaty of the two and no law of theirs names."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effect. ``widens``: more goes through than before; else less."""

    widens: bool
    sender: str
    recipient: str
    category: str
    flag: str | None
    """Of the portion, where it makes the effect another one than without."""
    levels: tuple[Reference, ...]
    start: Instant
    until: Instant
    before: str
    """``allow``, ``hold`` or the primary code, as it was."""
    after: str


def effects(base: World, head: World) -> list[Effect]:
    """All that differs between two worlds of one registry, widening first. Empty: the same effect."""
    both = (base, head)
    changed = _Changed(both, _changed_treaties(base, head), _changed_overlays(base, head))
    found: dict[tuple[Question, _Change], list[Reference]] = {}
    for pair in sorted(_pairs(both, changed)):
        questions = list(_questions(both, pair, changed))
        stretches = stretches_of(both, pair) if questions else []
        plain: dict[tuple[str, Reference], list[_Change]] = {}
        for question, reference in questions:
            changes = list(_over_time(both, question, reference, stretches))
            # Without a flag comes first; what a flag makes no other is told once.
            if changes != plain.setdefault((question[2], reference), changes) or question[3] is None:
                for change in changes:
                    found.setdefault((question, change), []).append(reference)
    lines = [
        Effect(widens, sender, recipient, category, flag, tuple(levels), start, until, before, after)
        for (
            ((sender, recipient, category, flag), (start, until, before, after, widens)),
            levels,
        ) in found.items()
    ]
    return sorted(
        lines, key=lambda line: (not line.widens, line.sender, line.recipient, line.category, line.start)
    )


_Change = tuple[Instant, Instant, str, str, bool]


def _over_time(
    both: Worlds, question: Question, reference: Reference, stretches: list[Stretch]
) -> Iterator[_Change]:
    """The differences for one question, stretches that adjoin and differ alike as one."""
    running: _Change | None = None
    for start, until in stretches:
        differs = difference(both, question, reference, start)
        if running is not None and differs is not None and running[2:] == differs and running[1] == start:
            running = (running[0], until, *differs)
            continue
        if running is not None:
            yield running
        running = None if differs is None else (start, until, *differs)
    if running is not None:
        yield running


# What can differ at all.


@dataclass(frozen=True, eq=False)
class _Changed:
    """What is not the same before and after."""

    both: Worlds
    treaties: list[tuple[Treaty | None, Treaty | None]]
    overlays: list[Overlay]
    _known: dict[Hashable, frozenset[tuple[str, Reference]]] = field(default_factory=dict)

    @cached_property
    def by_law(self) -> frozenset[str]:
        """Members whose own law changed."""
        return frozenset(overlay.member for overlay in self.overlays)

    @cached_property
    def alone(self) -> Worlds:
        """Both worlds with the changed treaties and nothing else."""
        old = tuple(treaty for treaty, _ in self.treaties if treaty is not None)
        new = tuple(treaty for _, treaty in self.treaties if treaty is not None)
        base, head = self.both
        return World(base.registry, base.members, old), World(head.registry, head.members, new)

    @cached_property
    def named(self) -> frozenset[str]:
        """Members that a changed treaty names otherwise than as a party."""
        found: set[str] = set()
        for treaty in chain.from_iterable(world.treaties for world in self.alone):
            found |= {code for row in treaty.equivalence for code in (row.origin, row.to)}
            for reservation in chain.from_iterable(party.reservations for party in treaty.parties):
                found |= reservation.counterparties or set()
        return frozenset(found)

    def alike(self, member: str) -> Hashable:
        """Members of whom this is equal are treated alike by the changed treaties."""
        if member in self.named:
            return member
        ladder = self.both[1].registry.ladders.get(member)
        parties = [
            (number, treaty.id, replace(party, member=""))
            for number, world in enumerate(self.alone)
            for treaty in world.treaties
            for party in treaty.parties
            if party.member == member
        ]
        return (None if ladder is None else member, tuple(parties))

    def answers(self, pair: Pair) -> frozenset[tuple[str, Reference]]:
        """Categories and levels that the changed treaties alone answer otherwise for the two."""
        key = tuple(map(self.alike, pair))
        if key not in self._known:
            stretches = stretches_of(self.alone, pair)
            self._known[key] = frozenset(
                (category, reference)
                for category in _categories(chain.from_iterable(shared(own, pair) for own in self.alone))
                for reference in written(self.both[1], pair[0])
                if any(_scope(old, new, pair, category, reference) for old, new in self.treaties)
                and any(
                    difference(self.alone, (*pair, category, None), reference, start)
                    for start, _ in stretches
                )
            )
        return self._known[key]


def _questions(both: Worlds, pair: Pair, changed: _Changed) -> Iterator[tuple[Question, Reference]]:
    """What the changes can concern between the two: by law whatever any treaty of theirs lets through.

    Categories that only an unchanged treaty names may be let through by that one, so each is asked by name.
    """
    own = [overlay for world in both for member in pair if (overlay := world.overlays.get(member))]
    words = _categories(chain.from_iterable(shared(world, pair) for world in both), own)
    asked = set(changed.answers(pair))
    asked |= {(word, reference) for category, reference in asked if category == ANY_OTHER for word in words}
    if changed.by_law & set(pair):
        asked |= {(category, reference) for category in words for reference in written(both[1], pair[0])}
    flags = (
        {flag for overlay in own for rule in rules_of(overlay) for flag in rule.when.flags or ()}
        if asked
        else ()
    )
    for category, reference in sorted(asked):
        for flag in (None, *sorted(flags)):
            yield (*pair, category, flag), reference


def _changed_treaties(base: World, head: World) -> list[tuple[Treaty | None, Treaty | None]]:
    old = {treaty.id: treaty for treaty in base.treaties}
    new = {treaty.id: treaty for treaty in head.treaties}
    ids = sorted(old.keys() | new.keys())
    return [(old.get(name), new.get(name)) for name in ids if old.get(name) != new.get(name)]


def _changed_overlays(base: World, head: World) -> list[Overlay]:
    members = sorted(base.overlays.keys() | head.overlays.keys())
    return [
        overlay
        for member in members
        if base.overlays.get(member) != head.overlays.get(member)
        for world in (base, head)
        if (overlay := world.overlays.get(member)) is not None
    ]


def _pairs(both: Worlds, changed: _Changed) -> set[Pair]:
    """Who is concerned: the parties whose part changed with all others, all if the text did, and by law."""
    pairs: set[Pair] = set()
    for old, new in changed.treaties:
        was = {} if old is None else {party.member: party for party in old.parties}
        now = {} if new is None else {party.member: party for party in new.parties}
        members = was.keys() | now.keys()
        same_text = old is not None and new is not None and _body(old) == _body(new)
        touched = (
            {member for member in members if was.get(member) != now.get(member)} if same_text else members
        )
        pairs |= {(one, other) for one in members for other in members if {one, other} & touched}
    for member in changed.by_law:
        listing = [treaty for world in both for treaty in world.treaties if member in members_of(treaty)]
        for other in set().union(*map(members_of, listing)):
            pairs |= {(member, other), (other, member)}
    return {pair for pair in pairs if pair[0] != pair[1]}


def _scope(old: Treaty | None, new: Treaty | None, pair: Pair, category: str, reference: Reference) -> bool:
    """Whether a treaty may treat a category and level otherwise: its dates, rows or either party changed, or
    the articles that reach so high.
    """
    if old is None or new is None:
        return True
    frame = [
        (
            treaty.kind,
            treaty.in_force,
            treaty.terminated,
            frozenset(treaty.equivalence),
            # A party that adopted the text of its file is no other for another text.
            {
                replace(party, text="" if party.text == treaty.text else party.text)
                for party in treaty.parties
                if party.member in pair
            },
            {
                (one.start, one.until, one.reinstated, one.ceiling)
                if one.ceiling not in Reference.__members__
                else (one.start, one.until, one.reinstated)
                for one in treaty.provisions
                if (category in one.categories or ANY_CATEGORY in one.categories)
                and not (one.ceiling in Reference.__members__ and Reference[one.ceiling] < reference)
            },
        )
        for treaty in (old, new)
    ]
    return frame[0] != frame[1]


def _body(treaty: Treaty) -> tuple[object, ...]:
    """All of a treaty but its parties."""
    return (
        treaty.kind,
        treaty.in_force,
        treaty.terminated,
        frozenset(treaty.provisions),
        frozenset(treaty.equivalence),
    )


def _categories(treaties: Iterable[Treaty], overlays: Iterable[Overlay] = ()) -> set[str]:
    """Every category that one of these names, and one for all that none does."""
    words: set[str] = {ANY_OTHER}
    for treaty in treaties:
        words |= {word for provision in treaty.provisions for word in provision.categories}
        for reservation in chain.from_iterable(party.reservations for party in treaty.parties):
            words |= reservation.categories or set()
    for overlay in overlays:
        words |= {word for rule in rules_of(overlay) for word in rule.when.categories or ()}
    return words - {"*"}
