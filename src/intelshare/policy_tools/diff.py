"""The effect of a change of policy: what becomes releasable, what no longer is, and from when until when.

Every pair of members, category, flag and level that the changed files can concern is decided in both worlds,
in each stretch of time in which nothing changes; what differs is put together into few lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Label, Reference
from intelshare.policy import Decision, Outcome, Overlay, Request, Rule, Treaty, World, decide

ANY_OTHER = "any other"
"""Stands for every category that no file names."""

_LAST = Instant(253_402_300_800_000_000)
_RANK = {Outcome.DENY: 0, Outcome.HOLD: 1, Outcome.ALLOW: 2}


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effect. ``widens``: more goes through than before; else less."""

    widens: bool
    sender: str
    recipient: str
    category: str
    flag: str | None
    levels: tuple[Reference, ...]
    start: Instant
    until: Instant
    before: str
    """``allow``, ``hold`` or the primary code, as it was."""
    after: str


def effects(base: World, head: World) -> list[Effect]:
    """All that differs between two worlds of one registry, widening first. Empty: the same effect."""
    treaties = _changed_treaties(base, head)
    overlays = _changed_overlays(base, head)
    stretches = list(_stretches(base, head))
    # A rule may concern whatever any treaty lets through.
    asked = [(treaty, None) for world in (base, head) for treaty in world.treaties] if overlays else treaties
    categories = sorted(_categories(asked, overlays))
    found: dict[tuple[str, str, str, str | None, Instant, Instant, str, str, bool], list[Reference]] = {}
    for sender, recipient in sorted(_pairs(base, head, treaties, overlays)):
        for category in categories:
            for flag in (None, *sorted(_flags(overlays))):
                for reference in Reference:
                    question = (sender, recipient, category, flag)
                    for change in _over_time(base, head, question, reference, stretches):
                        found.setdefault((*question, *change), []).append(reference)
    lines = [
        Effect(widens, sender, recipient, category, flag, tuple(levels), start, until, before, after)
        for (
            (sender, recipient, category, flag, start, until, before, after, widens),
            levels,
        ) in found.items()
    ]
    return sorted(
        lines, key=lambda line: (not line.widens, line.sender, line.recipient, line.category, line.start)
    )


_Question = tuple[str, str, str, str | None]
_Change = tuple[Instant, Instant, str, str, bool]


def _over_time(
    base: World,
    head: World,
    question: _Question,
    reference: Reference,
    stretches: list[tuple[Instant, Instant]],
) -> Iterator[_Change]:
    """The differences for one question, stretches that adjoin and differ alike as one."""
    running: _Change | None = None
    for start, until in stretches:
        differs = _difference(base, head, question, reference, start)
        if running is not None and differs is not None and running[2:] == differs and running[1] == start:
            running = (running[0], until, *differs)
            continue
        if running is not None:
            yield running
        running = None if differs is None else (start, until, *differs)
    if running is not None:
        yield running


def _difference(
    base: World, head: World, question: _Question, reference: Reference, at: Instant
) -> tuple[str, str, bool] | None:
    sender, recipient, category, flag = question
    level = next(
        (level for level in head.registry.ladder(sender).at(at).levels if level.reference == reference), None
    )
    if level is None:
        return None
    label = Label(sender, level.name, (sender, recipient))
    flags = frozenset() if flag is None else frozenset((flag,))
    request = Request(label, category, at, sender, recipient, flags=flags)
    before, after = decide(base, request), decide(head, request)
    change = _RANK[after.outcome] - _RANK[before.outcome]
    return None if change == 0 else (_word(before), _word(after), change > 0)


def _word(decision: Decision) -> str:
    return decision.codes[0] if decision.codes else decision.outcome.value


def _stretches(base: World, head: World) -> Iterator[tuple[Instant, Instant]]:
    """Spans in which no decision changes. Both members are named, so groups count only where a law does."""
    changes = {change for world in (base, head) for change in _changes(world) if BEGINNING < change < _LAST}
    first = Instant(min(changes, default=Instant(0)) - 1)
    yield from pairwise((first, *sorted(changes), NEVER))


def _changes(world: World) -> Iterator[Instant]:
    yield from World(replace(world.registry, groups={}), world.members, world.treaties).changes
    for overlay in world.overlays.values():
        for rule in _rules(overlay):
            for code in (*(rule.when.to_group or ()), *(rule.when.not_to_group or ())):
                for spans in world.registry.groups[code].members.values():
                    yield from (bound for span in spans for bound in span)


# What can differ at all.


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


def _pairs(
    base: World,
    head: World,
    treaties: Iterable[tuple[Treaty | None, Treaty | None]],
    overlays: Iterable[Overlay],
) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for old, new in treaties:
        was = {} if old is None else {party.member: party for party in old.parties}
        now = {} if new is None else {party.member: party for party in new.parties}
        members = was.keys() | now.keys()
        same_text = old is not None and new is not None and _body(old) == _body(new)
        touched = (
            {member for member in members if was.get(member) != now.get(member)} if same_text else members
        )
        pairs |= {(one, other) for one in members for other in members if {one, other} & touched}
    everybody = {
        party.member for world in (base, head) for treaty in world.treaties for party in treaty.parties
    }
    for overlay in overlays:
        pairs |= {pair for other in everybody for pair in ((overlay.member, other), (other, overlay.member))}
    return {pair for pair in pairs if pair[0] != pair[1]}


def _body(treaty: Treaty) -> tuple[object, ...]:
    """All of a treaty but its parties."""
    return (
        treaty.kind,
        treaty.in_force,
        treaty.terminated,
        frozenset(treaty.provisions),
        frozenset(treaty.equivalence),
    )


def _categories(
    treaties: Iterable[tuple[Treaty | None, Treaty | None]], overlays: Iterable[Overlay]
) -> set[str]:
    words: set[str] = {ANY_OTHER}
    for treaty in [treaty for both in treaties for treaty in both if treaty is not None]:
        words |= {word for provision in treaty.provisions for word in provision.categories}
        words |= {
            word
            for party in treaty.parties
            for reservation in party.reservations
            for word in reservation.categories or ()
        }
    for overlay in overlays:
        for rule in _rules(overlay):
            words |= rule.when.categories or set()
    return words - {"*"}


def _flags(overlays: Iterable[Overlay]) -> set[str]:
    return {flag for overlay in overlays for rule in _rules(overlay) for flag in rule.when.flags or ()}


def _rules(overlay: Overlay) -> tuple[Rule, ...]:
    """The rules that can change an outcome; ``oblige`` cannot."""
    return (*overlay.forbid, *overlay.hold, *overlay.refuse)
