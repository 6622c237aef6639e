"""The coverage of tests: articles, parties, lifecycle states, and both outcomes of every rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from intelshare.errors import Place
from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Ladder, Reference, Registry
from intelshare.policy import (
    ANY_CATEGORY,
    Code,
    Overlay,
    Party,
    Provision,
    Treaty,
    World,
    party_stop,
    reference_of,
)
from intelshare.policy_tools.trial import Trial

KINDS = ("article", "party", "state", "rule")
IN_FORCE = "IN_FORCE"
_STATES = (
    Code.NOT_RATIFIED,
    Code.NOT_YET_IN_FORCE,
    Code.SUSPENDED,
    Code.WITHDRAWN,
    Code.TERMINATED,
)
_RANK = {code: rank for rank, code in enumerate(_STATES)}
_ACTIVE = len(_RANK)
_LATE = Instant(NEVER - 1)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One thing that a test can reach; ``kind`` is one of ``KINDS``."""

    kind: str
    owner: str
    """The treaty's id, or the member of the overlay."""
    name: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """All points, those that were reached, and the place of each."""

    points: frozenset[Point]
    reached: frozenset[Point]
    places: dict[Point, Place]

    @property
    def missing(self) -> list[Point]:
        """The points that no test reaches, sorted."""
        return sorted(self.points - self.reached)

    @property
    def percent(self) -> int:
        """The percentage of points reached, rounded down; 100 if there are none."""
        return 100 if not self.points else 100 * len(self.points & self.reached) // len(self.points)

    def of(self, kind: str, owner: str | None = None) -> tuple[int, int]:
        """Return the numbers of reached and of all points of one kind, for one owner or for all."""
        points = {
            point for point in self.points if point.kind == kind and (owner is None or point.owner == owner)
        }
        return len(points & self.reached), len(points)

    @property
    def owners(self) -> list[str]:
        """The treaties and the members of overlays, sorted."""
        return sorted({point.owner for point in self.points})


def cover(
    treaties: Iterable[Treaty], overlays: Iterable[Overlay], tried: Iterable[tuple[World, Trial]]
) -> Coverage:
    """Return what the trials, each with the world it was decided in, reach of these treaties and overlays."""
    points: dict[Point, Place | None] = {}
    tried = list(tried)
    registries = {treaty.id: world.registry for world, _ in tried for treaty in world.treaties}
    for treaty in {treaty.id: treaty for treaty in treaties}.values():
        points |= dict(_treaty_points(treaty, registries.get(treaty.id)))
    for overlay in overlays:
        for rule in (*overlay.forbid, *overlay.hold, *overlay.oblige, *overlay.refuse):
            for side in ("matches", "does not match"):
                points[Point("rule", overlay.member, f"{rule.id} {side}")] = rule.place
    reached: set[Point] = set()
    for world, trial in tried:
        reached |= set(_reached(world, trial))
    places = {point: place for point, place in points.items() if place is not None}
    return Coverage(frozenset(points), frozenset(reached & points.keys()), places)


def _treaty_points(treaty: Treaty, registry: Registry | None) -> Iterator[tuple[Point, Place | None]]:
    for provision in treaty.provisions:
        place = provision.place("")
        yield Point("article", treaty.id, provision.article), place
        yield Point("rule", treaty.id, f"{provision.article} lets through"), place
        if _limits(treaty, provision, registry):
            yield Point("rule", treaty.id, f"{provision.article} stops"), place
    for party in treaty.parties:
        yield Point("party", treaty.id, party.member), party.place or treaty.place
    for state in _reachable(treaty):
        yield Point("state", treaty.id, state), treaty.place


def _limits(treaty: Treaty, provision: Provision, registry: Registry | None) -> bool:
    """Return True if it can stop anything: a provision for all categories, between parties that have all
    levels, cannot.
    """
    return ANY_CATEGORY not in provision.categories or _limits_in_scope(treaty, provision, registry)


def _limits_in_scope(treaty: Treaty, provision: Provision, registry: Registry | None) -> bool:
    """Return True if it, a reservation or a ladder without the level can stop information within its
    scope.
    """
    if registry is None:
        return True
    highest = reference_of(provision.ceiling, registry, _LATE) or Reference.R0
    return (
        highest < Reference.R4
        or provision.start > BEGINNING
        or provision.until < NEVER
        or any(party.reservations for party in treaty.parties)
        or any(_lacks_levels(party, treaty.ladder(party.member, registry)) for party in treaty.parties)
    )


def _lacks_levels(party: Party, ladder: Ladder) -> bool:
    """Return True if it was bound at a time when it had no highest level to convert to."""
    return any(
        row.levels[-1].reference < Reference.R4
        for row in ladder.rows
        if any(
            max(row.interval.start, span.start) < min(row.interval.until, span.until)
            for span in party.in_force
        )
    )


def _reachable(treaty: Treaty) -> Iterator[str]:
    """Yield the states in which some pair of parties can find the treaty, in order of time."""
    bounds = {treaty.in_force, treaty.terminated}
    for party in treaty.parties:
        bounds |= {bound for span in (*party.in_force, *party.suspended) for bound in span}
        bounds |= set() if party.ratified is None else {party.ratified}
    instants = sorted(bounds - {NEVER})
    found: set[str] = set()
    for at in [Instant(instants[0] - 1), *instants]:
        own = [stop[0] for party in treaty.parties if (stop := party_stop(party, at)) is not None]
        ranks = [_RANK[code] for code in own] + [_ACTIVE] * (len(treaty.parties) - len(own))
        if at < treaty.in_force:
            ranks = [min(rank, _RANK[Code.NOT_YET_IN_FORCE]) for rank in ranks]
        if at >= treaty.terminated:
            ranks = [min(rank, _RANK[Code.TERMINATED]) for rank in ranks]
        # A pair finds it in the earlier of its two states, so one party's latest state may never be found.
        for rank in sorted(ranks)[:-1]:
            found.add(IN_FORCE if rank == _ACTIVE else _STATES[rank].value)
    yield from sorted(found)


def _reached(world: World, trial: Trial) -> Iterator[Point]:
    decision, request = trial.decision, trial.case.request
    for citation in decision.citations:
        yield Point("article", citation.treaty, citation.article)
        yield Point("rule", citation.treaty, f"{citation.article} lets through")
    for finding in decision.findings:
        for member in (decision.originator, request.recipient):
            yield Point("party", finding.treaty, member)
        stopped = finding.code in _RANK
        state = finding.code.value if stopped and finding.code is not None else IN_FORCE
        yield Point("state", finding.treaty, state)
        if finding.article is not None and finding.code is not None:
            yield Point("rule", finding.treaty, f"{finding.article} stops")
        if finding.code is Code.OUT_OF_SCOPE:
            # All provisions stop there, and only one is named; one limited only by scope is named only so.
            treaty = next(each for each in world.treaties if each.id == finding.treaty)
            for provision in treaty.provisions:
                if not _limits_in_scope(treaty, provision, world.registry):
                    yield Point("rule", treaty.id, f"{provision.article} stops")
    snapshot = world.at(request.at)
    reference = snapshot.facts(request.label).mark.reference
    for member, names in (
        (decision.originator, ("forbid", "hold", "oblige")),
        (request.sender, ("forbid", "hold")),
        (request.recipient, ("refuse",)),
    ):
        law = world.overlays.get(member)
        for rule in [] if law is None else [rule for name in names for rule in getattr(law, name)]:
            matched = snapshot.matches(
                rule.when, request.recipient, request.category, request.flags, reference
            )
            yield Point("rule", member, f"{rule.id} {'matches' if matched else 'does not match'}")
