"""The same question asked in two worlds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from intelshare.instant import Instant
from intelshare.labels import Label, Reference
from intelshare.policy import Decision, Outcome, Overlay, Request, Rule, Treaty, World, decide

Worlds = tuple[World, World]
Pair = tuple[str, str]
Question = tuple[str, str, str, str | None]
"""The sender, recipient, category and flag of a question."""
Stretch = tuple[Instant, Instant]

LAST = Instant(253_402_300_800_000_000)
"""The year 10000: anything beyond it counts as for ever."""
_RANK = {Outcome.DENY: 0, Outcome.HOLD: 1, Outcome.ALLOW: 2}


def difference(
    both: Worlds, question: Question, reference: Reference, at: Instant
) -> tuple[str, str, bool] | None:
    """Return the outcome before and after, and whether the latter permits more; None if the outcome is the
    same.

    The question uses a label of the sender that names both in REL TO, at the sender's level of that reference
    in either world, by the name it has there. Returns None also if neither world has such a level.
    """
    sender, recipient, category, flag = question
    names = [_level_of(world, sender, reference, at) for world in both]
    flags = frozenset() if flag is None else frozenset((flag,))
    decided = []
    for world, name in zip(both, names, strict=True):
        level = name or names[0] or names[1]
        if level is None:
            return None
        label = Label(sender, level, (sender, recipient))
        decided.append(decide(world, Request(label, category, at, sender, recipient, flags=flags)))
    before, after = decided
    change = _RANK[after.outcome] - _RANK[before.outcome]
    return None if change == 0 else (_word(before), _word(after), change > 0)


def _level_of(world: World, sender: str, reference: Reference, at: Instant) -> str | None:
    levels = world.registry.ladder(sender).at(at).levels
    return next((level.name for level in levels if level.reference == reference), None)


def _word(decision: Decision) -> str:
    return decision.codes[0] if decision.codes else decision.outcome.value


def authorities_of(world: World, treaties: Iterable[Treaty], overlays: Iterable[Overlay]) -> set[str]:
    """Return the organisations whose levels are used in an article, reservation or rule of these."""
    treaties = tuple(treaties)
    words = {provision.ceiling for treaty in treaties for provision in treaty.provisions}
    parties = chain.from_iterable(treaty.parties for treaty in treaties)
    words |= {reservation.level_at_least or "" for party in parties for reservation in party.reservations}
    words |= {rule.when.level_at_least or "" for own in overlays for rule in rules_of(own)}
    known = world.registry.organisation_levels
    return {known[word][0] for word in words if word in known}


def groups_of(overlay: Overlay | None) -> set[str]:
    """Return the groups that its rules name."""
    rules = rules_of(overlay)
    return {code for rule in rules for code in (*(rule.when.to_group or ()), *(rule.when.not_to_group or ()))}


def written(both: Worlds, sender: str) -> set[Reference]:
    """Return the levels that the sender can write at any time in either world; always including R0, if only
    as UNMARKED.
    """
    rows = chain.from_iterable(world.registry.ladder(sender).rows for world in both)
    return {Reference.R0} | {level.reference for row in rows for level in row.levels}


def shared(world: World, pair: Pair) -> list[Treaty]:
    """Return the treaties that list both."""
    wanted = set(pair)
    return [treaty for treaty in world.treaties if wanted <= members_of(treaty)]


def members_of(treaty: Treaty) -> set[str]:
    """Return all members that the treaty lists."""
    return {party.member for party in treaty.parties}


def rules_of(overlay: Overlay | None) -> tuple[Rule, ...]:
    """Return the rules that can change an outcome; ``oblige`` cannot."""
    return () if overlay is None else (*overlay.forbid, *overlay.hold, *overlay.refuse)
