"""Two worlds asked the same question; and when anything changes for two members in either of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise

from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Label, Reference
from intelshare.policy import Decision, Outcome, Overlay, Request, Rule, Treaty, World, decide

Worlds = tuple[World, World]
Pair = tuple[str, str]
Question = tuple[str, str, str, str | None]
"""Sender, recipient, category and flag."""
Stretch = tuple[Instant, Instant]

_LAST = Instant(253_402_300_800_000_000)
_RANK = {Outcome.DENY: 0, Outcome.HOLD: 1, Outcome.ALLOW: 2}


def difference(
    both: Worlds, question: Question, reference: Reference, at: Instant
) -> tuple[str, str, bool] | None:
    """What came of it before, what comes of it after, and whether that is more; None: the same outcome.

    Asked with a label of the sender that names both in REL TO; None also where its ladder has no such level.
    """
    sender, recipient, category, flag = question
    base, head = both
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


def stretches_of(both: Worlds, pair: Pair) -> list[Stretch]:
    """Spans in which nothing changes for the two. Labels name both, so groups count only where a law does."""
    changes = {change for world in both for change in _changes(world, pair) if BEGINNING < change < _LAST}
    return list(pairwise((Instant(min(changes, default=Instant(0)) - 1), *sorted(changes), NEVER)))


def _changes(world: World, pair: Pair) -> Iterator[Instant]:
    registry = world.registry
    for authority in (*pair, *_authorities(world)):
        yield from chain.from_iterable(row.interval for row in registry.ladder(authority).rows)
    for treaty in shared(world, pair):
        parties = tuple(party for party in treaty.parties if party.member in pair)
        alone = replace(treaty, parties=parties)
        yield from World(replace(registry, groups={}, ladders={}), frozenset(), (alone,)).changes
    for member in pair:
        for rule in rules_of(world.overlays.get(member)):
            for code in (*(rule.when.to_group or ()), *(rule.when.not_to_group or ())):
                for spans in registry.groups[code].members.values():
                    yield from chain.from_iterable(spans)


def _authorities(world: World) -> set[str]:
    """The organisations whose levels some article, reservation or rule is written in."""
    words = {provision.ceiling for treaty in world.treaties for provision in treaty.provisions}
    parties = chain.from_iterable(treaty.parties for treaty in world.treaties)
    words |= {reservation.level_at_least or "" for party in parties for reservation in party.reservations}
    words |= {rule.when.level_at_least or "" for own in world.overlays.values() for rule in rules_of(own)}
    known = world.registry.organisation_levels
    return {known[word][0] for word in words if word in known}


def written(world: World, sender: str) -> set[Reference]:
    """What the sender can write at any time; R0 always, be it as UNMARKED."""
    return {Reference.R0} | {
        level.reference for row in world.registry.ladder(sender).rows for level in row.levels
    }


def shared(world: World, pair: Pair) -> list[Treaty]:
    """The treaties that list both."""
    wanted = set(pair)
    return [treaty for treaty in world.treaties if wanted <= members_of(treaty)]


def members_of(treaty: Treaty) -> set[str]:
    """All that the treaty lists."""
    return {party.member for party in treaty.parties}


def rules_of(overlay: Overlay | None) -> tuple[Rule, ...]:
    """The rules that can change an outcome; ``oblige`` cannot."""
    return () if overlay is None else (*overlay.forbid, *overlay.hold, *overlay.refuse)
