"""A treaty's life: its events in order, a lane for each party, and its terms in few words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, when
from intelshare.policy import Code, Treaty
from intelshare.policy.permits import party_stop

LANE = 60
"""Characters of a lane."""

LEGEND = "# in force   - ratified, not in force   ~ suspended   x withdrawn or ended   . nothing"
_SIGNS = {Code.NOT_RATIFIED: ".", Code.NOT_YET_IN_FORCE: "-", Code.SUSPENDED: "~", Code.WITHDRAWN: "x"}


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something happened to the treaty (``who`` is its id), a party or an article."""

    at: Instant
    who: str
    what: str


def events(treaty: Treaty) -> list[Event]:
    """Everything dated in the file, in order of time."""
    found = [Event(treaty.in_force, treaty.id, "in force"), *_of_parties(treaty)]
    if treaty.adopted is not None:
        found.append(Event(treaty.adopted, treaty.id, "adopted"))
    found.append(Event(treaty.terminated, treaty.id, "terminated"))
    for provision in treaty.provisions:
        found += [
            Event(provision.start, provision.article, "begins"),
            Event(provision.until, provision.article, "ends (sunset)"),
            Event(provision.reinstated, provision.article, "reinstated (snapback)"),
        ]
    return sorted(event for event in found if BEGINNING < event.at < NEVER)


def _of_parties(treaty: Treaty) -> Iterator[Event]:
    for party in treaty.parties:
        for at, what in (
            (party.signed, "signed"),
            (party.ratified, "ratified"),
            (party.notified, "gave notice of withdrawal"),
        ):
            if at is not None:
                yield Event(at, party.member, what)
        for number, span in enumerate(party.in_force):
            yield Event(span.start, party.member, "in force again" if number else "in force")
            yield Event(span.until, party.member, "withdrawn")
        for span in party.suspended:
            yield Event(span.start, party.member, "suspended")
            yield Event(span.until, party.member, "suspension ends")
        for reservation in party.reservations:
            yield Event(reservation.during.start, party.member, "reservation begins")
            yield Event(reservation.during.until, party.member, "reservation ends")


def lanes(treaty: Treaty, now: Instant) -> tuple[Instant, Instant, dict[str, str]]:
    """From when until when, and for each party a strip of one sign per slice of that time.

    A slice shows the last state that began in it, so that a short absence is seen.
    """
    dated = [event.at for event in events(treaty)]
    first, last = min(dated), max(*dated, now)
    span = max(last - first, LANE)
    edges = [Instant(first + span * number // LANE) for number in range(LANE + 1)]
    strips: dict[str, str] = {}
    for party in treaty.parties:
        strip = ""
        for start, until in pairwise(edges):
            inside = [at for at in dated if start <= at < until]
            marks = [_sign(treaty, party.member, at) for at in (start, *inside)]
            strip += next((mark for mark in reversed(marks) if mark != marks[0]), marks[0])
        strips[party.member] = strip
    return first, last, strips


def _sign(treaty: Treaty, member: str, at: Instant) -> str:
    party = next(party for party in treaty.parties if party.member == member)
    stopped = party_stop(party, at)
    if stopped is not None:
        return _SIGNS.get(stopped[0], ".")
    if at >= treaty.terminated:
        return "x"
    return "#" if at >= treaty.in_force else "-"


def terms(treaty: Treaty) -> dict[str, str]:
    """Parties, scope, ceilings, obligations and ways out, for comparing instruments side by side."""
    ended = [f"{treaty.id} {when(treaty.terminated)}"] if treaty.terminated < NEVER else []
    left = [
        f"{party.member} {when(span.until)}"
        for party in treaty.parties
        for span in party.in_force
        if span.until < NEVER
    ]
    sunsets = [f"{one.article} {when(one.until)}" for one in treaty.provisions if one.until < NEVER]
    return {
        "kind": treaty.kind.value,
        "in force": when(treaty.in_force),
        "parties": f"{len(treaty.parties)}: {' '.join(sorted(party.member for party in treaty.parties))}",
        "scope": "; ".join(
            f"{one.article}: {', '.join(sorted(one.categories))}" for one in treaty.provisions
        ),
        "ceilings": "; ".join(f"{one.article}: {one.ceiling}" for one in treaty.provisions),
        "obligations": ", ".join(sorted({duty for one in treaty.provisions for duty in one.obligations}))
        or "-",
        "reservations": str(sum(len(party.reservations) for party in treaty.parties)),
        "equivalence rows": str(len(treaty.equivalence)),
        "ended or left": "; ".join((*ended, *left)).replace("T00:00:00Z", "") or "-",
        "sunsets": "; ".join(sunsets).replace("T00:00:00Z", "") or "-",
        "text": treaty.text,
        "source": treaty.source,
    }
