"""The world in which decisions are made: registry, members, treaties, overlays, and the instants of
change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from intelshare.errors import PolicyFileError
from intelshare.instant import Instant
from intelshare.labels import Interval, Registry
from intelshare.policy.acts import PartyAct, with_acts
from intelshare.policy.overlay import Overlay
from intelshare.policy.permits import Listings, list_parties
from intelshare.policy.snapshot import Snapshot
from intelshare.policy.treaty import Treaty

_NO_TEXTS: Mapping[str, Mapping[str, str]] = {}


@dataclass(frozen=True, eq=False)
class World:
    """Everything on which a decision depends, except the request. A change makes a new world.

    ``members`` can send and receive. ``texts`` has an entry for each member whose signed directory is held:
    the treaties it ratified with their text hashes. The entry counts instead of the file: a treaty that the
    directory does not name counts as not adopted (TEXT_MISMATCH). For a member without an entry the file
    counts.

    ``treaties`` are the result of ``files`` and ``acts`` together.
    """

    registry: Registry
    members: frozenset[str]
    treaties: tuple[Treaty, ...] = ()
    overlays: Mapping[str, Overlay] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: tuple[Treaty, ...] = field(default=(), repr=False)
    acts: tuple[PartyAct, ...] = ()
    changes: tuple[Instant, ...] = field(init=False, repr=False)
    """The instants at which anything changes, ascending; between two of them all decisions are the same."""
    _listings: Listings = field(init=False, repr=False)
    _snapshots: dict[int, Snapshot] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        changes = self.registry.changes.union(_changes(self.treaties))
        object.__setattr__(self, "changes", tuple(sorted(changes)))
        object.__setattr__(self, "_listings", list_parties(self.treaties))
        object.__setattr__(self, "_snapshots", {})

    def at(self, at: Instant) -> Snapshot:
        """Return the world as it is at ``at``, compiled once per period in which nothing changes."""
        stretch = bisect_right(self.changes, at)
        snapshot = self._snapshots.get(stretch)
        if snapshot is None:
            snapshot = Snapshot(self.registry, self.members, self._listings, self.overlays, self.texts, at=at)
            self._snapshots[stretch] = snapshot
        return snapshot


def compile_world(
    registry: Registry,
    members: Iterable[str],
    treaties: Iterable[Treaty],
    overlays: Iterable[Overlay] = (),
    texts: Mapping[str, Mapping[str, str]] = _NO_TEXTS,
    acts: Iterable[PartyAct] = (),
) -> World:
    """Return the world of these parts, in whatever order they come. ``treaties`` are those of the files.

    Raises PolicyFileError DUPLICATE_KEY for two treaties with one id or two overlays of one member,
    PARTY_UNKNOWN for a member that the registry does not know.
    """
    known = frozenset(members)
    for member in sorted(known):
        if not registry.is_member(member):
            raise PolicyFileError("PARTY_UNKNOWN", f"{member!r} is not a state or organisation")
    by_id: dict[str, Treaty] = {}
    for treaty in treaties:
        if treaty.id in by_id:
            raise PolicyFileError(
                "DUPLICATE_KEY", f"two treaties are called {treaty.id!r}", place=treaty.place
            )
        by_id[treaty.id] = treaty
    by_member: dict[str, Overlay] = {}
    for overlay in overlays:
        if overlay.member in by_member:
            raise PolicyFileError("DUPLICATE_KEY", f"{overlay.member} has two overlays")
        by_member[overlay.member] = overlay
    filed, said = tuple(by_id[name] for name in sorted(by_id)), tuple(acts)
    return World(registry, known, with_acts(filed, said), by_member, texts, filed, said)


def _changes(treaties: Iterable[Treaty]) -> Iterator[Instant]:
    for treaty in treaties:
        yield from (treaty.in_force, treaty.terminated)
        for party in treaty.parties:
            yield from _ends((*party.in_force, *party.suspended))
            yield from _ends(reservation.during for reservation in party.reservations)
            if party.ratified is not None:
                yield party.ratified
        for ladder in treaty.ladders:
            yield from _ends(row.interval for row in ladder.rows)
        for provision in treaty.provisions:
            yield from (provision.start, provision.until, provision.reinstated)


def _ends(intervals: Iterable[Interval]) -> Iterator[Instant]:
    for start, until in intervals:
        yield start
        yield until
