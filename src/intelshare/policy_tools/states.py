"""The legal state between two members: two pairs in the same state get the same answer to every question.

Treaties have few articles and many parties. A decision between two parties depends on whether each is bound,
not on which of 190 it is, so each state is decided once instead of each pair.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from functools import cached_property
from itertools import chain, pairwise

from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Interval, Ladder, LadderRow, Reference
from intelshare.policy import Party, Treaty, World, party_stop
from intelshare.policy_tools.compared import LAST, Pair, Stretch, Worlds, authorities_of, groups_of

_Listing = tuple[tuple[int, Treaty, Party], ...]
"""The index of the world, the treaty, and the member's part in it."""


class States:
    """The states of two worlds."""

    def __init__(self, both: Worlds) -> None:
        self._both = both
        self._listings: dict[str, dict[str, list[tuple[int, Treaty, Party]]]] = {}
        for number, world in enumerate(both):
            for treaty in world.treaties:
                for party in treaty.parties:
                    of = self._listings.setdefault(party.member, {})
                    of.setdefault(treaty.id, []).append((number, treaty, party))
        self._shared: dict[Pair, frozenset[str]] = {}
        self._frames: dict[frozenset[str], tuple[Instant, ...]] = {}
        self._parts: dict[tuple[str, frozenset[str]], tuple[tuple[Instant, ...], _Listing]] = {}
        self._sides: dict[tuple[str, frozenset[str], int], Hashable] = {}

    def shared(self, pair: Pair) -> frozenset[str]:
        """Return the ids of the treaties that list both in the same world."""
        if pair not in self._shared:
            one, other = (self._listings.get(member, {}) for member in pair)
            found = frozenset(
                name
                for name in one.keys() & other.keys()
                if {number for number, *_ in one[name]} & {number for number, *_ in other[name]}
            )
            self._shared[pair] = self._shared[pair[::-1]] = found
        return self._shared[pair]

    def stretches(self, pair: Pair) -> list[Stretch]:
        """Return the periods in which nothing changes for the two. Groups count only if a law names them."""
        names = self.shared(pair)
        changes = set(self._frame(names)).union(*(self._part(member, names)[0] for member in pair))
        changes.update(at for at in self._groups(pair) if BEGINNING < at < LAST)
        return list(pairwise((Instant(min(changes, default=Instant(0)) - 1), *sorted(changes), NEVER)))

    def key(self, pair: Pair, at: Instant) -> Hashable:
        """Return the key of a pair's state: equal keys give the same answer to every question, at either
        instant.
        """
        if any(member in world.overlays for world in self._both for member in pair):
            return pair, at
        names = self.shared(pair)
        return (
            names,
            bisect_right(self._frame(names), at),
            *(self._side(member, names, at) for member in pair),
        )

    # The treaties that the two share.

    def _frame(self, names: frozenset[str]) -> tuple[Instant, ...]:
        """Return when these treaties themselves change, or the ladders of organisations whose levels they
        use.
        """
        if names not in self._frames:
            treaties = [treaty for world in self._both for treaty in world.treaties if treaty.id in names]
            changes = {at for treaty in treaties for at in (treaty.in_force, treaty.terminated)}
            for provision in chain.from_iterable(treaty.provisions for treaty in treaties):
                changes |= {provision.start, provision.until, provision.reinstated}
            changes |= {at for name in self._authorities for at in self._ladder(name)}
            self._frames[names] = tuple(sorted(at for at in changes if BEGINNING < at < LAST))
        return self._frames[names]

    @cached_property
    def _authorities(self) -> set[str]:
        worlds = self._both
        return set().union(
            *(authorities_of(world, world.treaties, world.overlays.values()) for world in worlds)
        )

    @cached_property
    def _named(self) -> frozenset[str]:
        """The members that a treaty names other than as a party: each of them is a case of its own."""
        treaties = [treaty for world in self._both for treaty in world.treaties]
        rows = {code for treaty in treaties for row in treaty.equivalence for code in (row.origin, row.to)}
        parties = chain.from_iterable(treaty.parties for treaty in treaties)
        reservations = chain.from_iterable(party.reservations for party in parties)
        return frozenset(rows.union(*(one.counterparties or () for one in reservations)))

    # One of the two.

    def _part(self, member: str, names: frozenset[str]) -> tuple[tuple[Instant, ...], _Listing]:
        """Return when the member's part in these treaties or its ladder changes, and its parts."""
        key = member, names
        if key not in self._parts:
            listed = self._listings.get(member, {})
            parts = tuple(chain.from_iterable(listed[name] for name in sorted(names)))
            changes = set(self._ladder(member)).union(*(_turns(party) for *_, party in parts))
            changes.update(chain.from_iterable(row.interval for row in _own_rows(member, parts)))
            within = tuple(sorted(at for at in changes if BEGINNING < at < LAST))
            self._parts[key] = within, parts
        return self._parts[key]

    def _side(self, member: str, names: frozenset[str], at: Instant) -> Hashable:
        changes, parts = self._part(member, names)
        key = member, names, bisect_right(changes, at)
        if key not in self._sides:
            self._sides[key] = self._state(member, parts, at)
        return self._sides[key]

    def _state(self, member: str, parts: _Listing, at: Instant) -> Hashable:
        exact = member in self._named or not all(world.registry.is_state(member) for world in self._both)
        ladders = [world.registry.ladder(member) for world in self._both]
        return (
            member if exact else None,
            tuple(member in world.members for world in self._both),
            tuple(_worths(ladder, at) for ladder in ladders),
            tuple(
                (
                    number,
                    treaty.id,
                    None if (stop := party_stop(party, at)) is None else stop[0],
                    _adopts(self._both[number], treaty, party),
                    _worths(treaty.ladder(member, self._both[number].registry), at),
                    tuple(
                        (one.categories, one.level_at_least, one.counterparties)
                        for one in party.reservations
                        if one.during.holds(at)
                    ),
                )
                for number, treaty, party in parts
            ),
        )

    def _ladder(self, authority: str) -> Iterator[Instant]:
        rows = chain.from_iterable(world.registry.ladder(authority).rows for world in self._both)
        return chain.from_iterable(row.interval for row in rows)

    def _groups(self, pair: Pair) -> Iterator[Instant]:
        """Yield the times at which anybody joins or leaves a group that the law of one of the two names."""
        for world in self._both:
            for member in pair:
                for code in groups_of(world.overlays.get(member)):
                    for spans in world.registry.groups[code].members.values():
                        yield from chain.from_iterable(spans)


def _own_rows(member: str, parts: _Listing) -> Iterator[LadderRow]:
    """Yield the ladder rows that the member's treaties themselves state for it."""
    for _, treaty, _ in parts:
        for ladder in treaty.ladders:
            if ladder.authority == member:
                yield from ladder.rows


def _worths(ladder: Ladder, at: Instant) -> tuple[Reference, ...]:
    return tuple(level.reference for level in ladder.at(at).levels)


def _adopts(world: World, treaty: Treaty, party: Party) -> bool:
    directory = world.texts.get(party.member)
    return (party.text if directory is None else directory.get(treaty.id)) == treaty.text


def _turns(party: Party) -> Iterator[Instant]:
    spans: Iterable[Interval] = (
        *party.in_force,
        *party.suspended,
        *(one.during for one in party.reservations),
    )
    yield from chain.from_iterable(spans)
    if party.ratified is not None:
        yield party.ratified
