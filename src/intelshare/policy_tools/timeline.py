"""A treaty's life: its events in order, the states of its parties and articles, and lanes that draw them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from intelshare import instant
from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, when
from intelshare.policy import Code, Party, Provision, Treaty, party_stop
from intelshare.policy_tools.coverage import IN_FORCE

MIN_LANE, MAX_LANE = 24, 120
"""The characters of a lane, at least and at most."""

SIGNS = {
    IN_FORCE: "#",
    Code.RESERVATION.value: "r",
    Code.NOT_RATIFIED.value: ".",
    Code.NOT_YET_IN_FORCE.value: "-",
    Code.SUSPENDED.value: "~",
    Code.WITHDRAWN.value: "x",
    Code.TERMINATED.value: "x",
    Code.PROVISION_SUNSET.value: "x",
}
LEGEND = {
    "#": "in force",
    "r": "with a reservation",
    "-": "not yet in force",
    ".": "not ratified",
    "~": "suspended",
    "x": "withdrawn or ended",
}
"""The meaning of the signs of a lane."""
_YEAR_STEPS = (1, 2, 5, 10, 20, 50, 100)
_YEAR_WIDTH = 6


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """An event in the life of the treaty (``who`` is its id), a party or an article."""

    at: Instant
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Span:
    """A period in which the state of a party or an article is one of ``SIGNS``."""

    start: Instant
    until: Instant
    state: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One strip of signs for all whose life looks the same; ``state`` is theirs at the mark."""

    names: tuple[str, ...]
    strip: str
    state: str
    stayed: bool
    """True if they entered once and stayed, so that a reader need not look at them."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The lanes over one period; ``mark`` is the column of the present."""

    first: Instant
    last: Instant
    mark: int
    years: str
    parties: tuple[Lane, ...]
    articles: tuple[Lane, ...]


def events(treaty: Treaty, members: Collection[str] | None = None) -> list[Event]:
    """Return everything dated in the file, in order of time; of the parties only ``members``, if given."""
    found = [Event(treaty.in_force, treaty.id, "in force")]
    for party in treaty.parties:
        if members is None or party.member in members:
            found += _of_party(party)
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


def _of_party(party: Party) -> Iterator[Event]:
    for at, what in ((party.signed, "signed"), (party.ratified, "ratified")):
        if at is not None:
            yield Event(at, party.member, what)
    for at in party.notified:
        yield Event(at, party.member, "gave notice of withdrawal")
    for number, span in enumerate(party.in_force):
        yield Event(span.start, party.member, "in force again" if number else "in force")
        yield Event(span.until, party.member, "withdrawn")
    for span in party.suspended:
        yield Event(span.start, party.member, "suspended")
        yield Event(span.until, party.member, "suspension ends")
    for reservation in party.reservations:
        yield Event(reservation.during.start, party.member, "reservation begins")
        yield Event(reservation.during.until, party.member, "reservation ends")


def party_spans(treaty: Treaty, party: Party) -> tuple[Span, ...]:
    """Return the successive states of a party, from the beginning of time to its end."""
    dated = {treaty.in_force, treaty.terminated, *(event.at for event in _of_party(party))}
    return _spans(dated, lambda at: state_at(treaty, party, at))


def article_spans(provision: Provision) -> tuple[Span, ...]:
    """Return the periods of a provision, by its own dates alone."""
    dated = {provision.start, provision.until, provision.reinstated}

    def judge(at: Instant) -> str:
        if at < provision.start:
            return Code.NOT_YET_IN_FORCE.value
        return IN_FORCE if provision.in_effect(at) else Code.PROVISION_SUNSET.value

    return _spans(dated, judge)


def state_at(treaty: Treaty, party: Party, at: Instant) -> str:
    """Return a party's state at ``at``: IN_FORCE, or the code that a decision would give; one of
    ``SIGNS``.
    """
    stopped = party_stop(party, at)
    if stopped is not None:
        return stopped[0].value
    if at < treaty.in_force:
        return Code.NOT_YET_IN_FORCE.value
    if at >= treaty.terminated:
        return Code.TERMINATED.value
    reserved = any(reservation.during.holds(at) for reservation in party.reservations)
    return Code.RESERVATION.value if reserved else IN_FORCE


def _spans(dated: Iterable[Instant], judge: Callable[[Instant], str]) -> tuple[Span, ...]:
    bounds = sorted({BEGINNING, *dated, NEVER})
    found: list[Span] = []
    for start, until in pairwise(bounds):
        here = Span(start, until, judge(start))
        if found and found[-1].state == here.state:
            here = Span(found.pop().start, until, here.state)
        found.append(here)
    return tuple(found)


def came_and_stayed(party: Party) -> bool:
    """Return True if its history is one entry and nothing else: no absence, suspension or reservation."""
    once = len(party.in_force) == 1 and party.in_force[0].until == NEVER
    return once and not party.suspended and not party.reservations


def draw(treaty: Treaty, now: Instant, width: int, members: Collection[str] | None = None) -> Drawing:
    """Draw lanes of ``width`` signs, with all parties (of ``members``, if given) that look alike in one lane.

    Parties that left, were suspended, made reservations or never entered come first, because readers look for
    them; then the others by the time they entered. Articles have a lane if they have dates. A slice of time
    shows the last state that began in it, so that a short absence is visible.
    """
    dated = [event.at for event in events(treaty)]
    first, last = min(*dated, now), max(*dated, now)
    window = _Window(first, max(last - first + 1, width), width)
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for party in treaty.parties:
        if members is None or party.member in members:
            look = (
                came_and_stayed(party),
                window.strip(party_spans(treaty, party)),
                state_at(treaty, party, now),
            )
            groups.setdefault(look, []).append(party.member)
    parties = [Lane(tuple(sorted(names)), strip, at, stayed) for (stayed, strip, at), names in groups.items()]
    articles = [
        Lane((provision.article,), window.strip(spans), next(s.state for s in spans if now < s.until), False)
        for provision in treaty.provisions
        if len(spans := article_spans(provision)) > 1
    ]
    return Drawing(
        first,
        last,
        window.column(now),
        window.years(),
        tuple(sorted(parties, key=lambda lane: (lane.stayed, lane.strip.find("#"), lane.names))),
        tuple(articles),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """A period cut into ``width`` slices."""

    first: Instant
    length: int
    width: int

    def column(self, at: Instant) -> int:
        return min((at - self.first) * self.width // self.length, self.width - 1)

    def strip(self, spans: tuple[Span, ...]) -> str:
        signs = ""
        for number in range(self.width):
            start, until = (self.first + self.length * edge // self.width for edge in (number, number + 1))
            here = [SIGNS[span.state] for span in spans if span.start < until and start < span.until]
            signs += next((sign for sign in reversed(here) if sign != here[0]), here[0])
        return signs

    def years(self) -> str:
        """Return the years under their first of January, as many as there is room for."""
        start = instant.to_datetime(self.first).year
        end = instant.to_datetime(Instant(self.first + self.length)).year
        room = self.width // _YEAR_WIDTH
        step = next((each for each in _YEAR_STEPS if (end - start) // each <= room), _YEAR_STEPS[-1])
        line = ""
        for year in range(start - start % step + step, end + 1, step):
            column = self.column(instant.parse(f"{year:04}-01-01"))
            if column + 4 <= self.width and (not line or column > len(line)):
                line = f"{line:<{column}}{year}"
        return line


def describe(at: Instant) -> str:
    """Return an instant as people write it: a plain date if it is a day's first instant."""
    return when(at).removesuffix("T00:00:00Z")
