"""The terms of an instrument as its file states them: parties, scope, ceilings, duties and exits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Registry, when
from intelshare.policy import (
    ANY_CATEGORY,
    Code,
    Party,
    Provision,
    Reservation,
    Treaty,
    ladder_rows,
    reference_of,
)
from intelshare.policy_tools.coverage import IN_FORCE
from intelshare.policy_tools.timeline import describe, state_at

TERMS = (
    "kind",
    "in force",
    "parties",
    "scope",
    "ceilings",
    "obligations",
    "exits",
    "sunsets",
    "reservations",
    "equivalence",
)
"""The headings of ``summary``, in this order."""

_NAMED = 10
"""The number of parties up to which a summary names each."""
_SHOWN = 4
"""The number of dated facts of one kind that a summary shows."""


def terms(treaty: Treaty, at: Instant) -> dict[str, Any]:
    """Return everything the file states, as data; ``state`` of each party and article is the one at
    ``at``.
    """
    return {
        "title": treaty.title,
        "kind": treaty.kind.value,
        "adopted": _or_none(treaty.adopted),
        "in_force": when(treaty.in_force),
        "terminated": _or_none(treaty.terminated),
        "parties": [
            {
                "member": party.member,
                "state": state_at(treaty, party, at),
                "in_force": [
                    {"from": when(span.start), "until": _or_none(span.until)} for span in party.in_force
                ],
                "suspended": [
                    {"from": when(span.start), "until": _or_none(span.until)} for span in party.suspended
                ],
                "notified": [when(notice) for notice in party.notified],
                "reservations": [_reservation(one) for one in party.reservations],
            }
            for party in treaty.parties
        ],
        "articles": [
            {
                "article": one.article,
                "categories": sorted(one.categories),
                "ceiling": one.ceiling,
                "obligations": list(one.obligations),
                "from": _or_none(one.start),
                "until": _or_none(one.until),
                "reinstated": _or_none(one.reinstated),
                "in_effect": one.in_effect(at),
            }
            for one in treaty.provisions
        ],
        "equivalence": [
            {"from": row.origin, "level": row.level, "to": row.to, "as": row.name}
            for row in treaty.equivalence
        ],
        "ladders": [
            {
                "authority": authority,
                "from": None if start is None else when(start),
                "until": None if until is None else when(until),
                "levels": dict(levels),
            }
            for authority, start, until, levels in ladder_rows(treaty.ladders)
        ],
        "text": treaty.text,
        "source": treaty.source,
    }


def summary(treaty: Treaty, at: Instant, registry: Registry) -> dict[str, str]:
    """Return the same in few words, one text for each of ``TERMS``, for comparing instruments side by side.

    Ceilings are given as reference levels, because names of two organisations' levels cannot be compared.
    """
    ended = "" if treaty.terminated == NEVER else f" to {describe(treaty.terminated)}"
    rows = Counter((row.origin, row.to) for row in treaty.equivalence)
    texts = (
        treaty.kind.value,
        f"{describe(treaty.in_force)}{ended}",
        _parties(treaty, at),
        _words(category for one in treaty.provisions for category in one.categories),
        _ceilings(treaty, at, registry),
        _words(duty for one in treaty.provisions for duty in one.obligations),
        _exits(treaty),
        _sunsets(treaty.provisions),
        " ".join(sorted(party.member for party in treaty.parties if party.reservations)) or "none",
        _listed(
            (
                *(f"{origin} to {to} ({count})" for (origin, to), count in sorted(rows.items())),
                *(f"levels of {ladder.authority}" for ladder in treaty.ladders),
            )
        ),
    )
    return dict(zip(TERMS, texts, strict=True))


def _parties(treaty: Treaty, at: Instant) -> str:
    states = Counter(state_at(treaty, party, at) for party in treaty.parties)
    # A party with a reservation is in; the term of that name lists them.
    states[IN_FORCE] += states.pop(Code.RESERVATION.value, 0)
    counted = ", ".join(f"{n} {name.lower().replace('_', ' ')}" for name, n in states.most_common() if n)
    if len(treaty.parties) > _NAMED:
        return f"{len(treaty.parties)}: {counted}"
    return f"{' '.join(sorted(party.member for party in treaty.parties))} ({counted})"


def _ceilings(treaty: Treaty, at: Instant, registry: Registry) -> str:
    found = {reference_of(one.ceiling, registry, at) for one in treaty.provisions}
    known = sorted(level for level in found if level is not None)
    if not known:
        return "none"
    return known[0].name if known[0] == known[-1] else f"{known[0].name} to {known[-1].name}"


def _exits(treaty: Treaty) -> str:
    """Say who left, with the notice before it, and who came back; and how many suspensions there were."""
    left = [(party.in_force[0].until, _absences(party)) for party in treaty.parties if party.in_force]
    texts = [text for _, text in sorted(left) if text]
    suspended = [party for party in treaty.parties if party.suspended]
    if suspended:
        times = sum(len(party.suspended) for party in suspended)
        texts.append(f"{times} suspensions of {len(suspended)} parties")
    return _listed(texts)


def _absences(party: Party) -> str:
    facts = []
    for number, span in enumerate(party.in_force):
        if number:
            facts.append(f"back {describe(span.start)}")
        if span.until < NEVER:
            notices = [f" (notice {describe(notice)})" for notice in party.notified if span.holds(notice)]
            facts.append(f"left {describe(span.until)}{''.join(notices[-1:])}")
    return f"{party.member} {', '.join(facts)}" if facts else ""


def _sunsets(provisions: tuple[Provision, ...]) -> str:
    ends = Counter(one.until for one in provisions if one.until < NEVER)
    back = {one.reinstated for one in provisions if one.reinstated < NEVER}
    found = [f"{count} of {len(provisions)} articles {describe(end)}" for end, count in sorted(ends.items())]
    return _listed((*found, *(f"reinstated {describe(at)}" for at in sorted(back))))


def _words(found: Iterable[str]) -> str:
    words = sorted(set(found))
    return ", ".join("all" if word == ANY_CATEGORY else word for word in words) or "none"


def _listed(found: Iterable[str]) -> str:
    facts = list(found)
    more = len(facts) - _SHOWN
    return "; ".join([*facts[:_SHOWN], *([f"{more} more"] if more > 0 else [])]) or "none"


def _reservation(one: Reservation) -> dict[str, Any]:
    return {
        "categories": None if one.categories is None else sorted(one.categories),
        "level_at_least": one.level_at_least,
        "counterparties": None if one.counterparties is None else sorted(one.counterparties),
        "from": _or_none(one.during.start),
        "until": _or_none(one.during.until),
    }


def _or_none(at: Instant | None) -> str | None:
    return None if at is None or at in {BEGINNING, NEVER} else when(at)
