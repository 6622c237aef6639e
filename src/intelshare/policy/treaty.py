"""Treaties over time as plain values: parties with their histories, provisions, reservations, equivalence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from intelshare.errors import Place
from intelshare.instant import NEVER, Instant
from intelshare.labels import (
    ALWAYS,
    BEGINNING,
    UNMARKED,
    Converted,
    Equivalence,
    Interval,
    Ladder,
    Reference,
    Registry,
    convert_reference,
)

ANY_CATEGORY = "*"


class Kind(Enum):
    """The kind of instrument, in order of precedence."""

    BILATERAL = "bilateral"
    REGIONAL = "regional"
    MULTILATERAL = "multilateral"
    POLITICAL_COMMITMENT = "political-commitment"


@dataclass(frozen=True, slots=True)
class Reservation:
    """An exclusion that a party makes, effective in both directions (VCLT art. 21). An absent field matches
    everything.
    """

    categories: frozenset[str] | None = None
    level_at_least: str | None = None
    """R0 to R4, or a level of an organisation."""
    counterparties: frozenset[str] | None = None
    during: Interval = ALWAYS


@dataclass(frozen=True, slots=True)
class Party:
    """One party's history. ``text`` is the hash of the text it adopted; None if it adopted none."""

    member: str
    in_force: tuple[Interval, ...]
    text: str | None
    signed: Instant | None = None
    ratified: Instant | None = None
    notified: tuple[Instant, ...] = ()
    """The times at which it gave notice of withdrawal; the withdrawal itself ends an interval of
    ``in_force``.
    """
    suspended: tuple[Interval, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Provision:
    """The information that one article permits: categories, up to a ceiling, under obligations, while in
    effect.
    """

    article: str
    categories: frozenset[str]
    ceiling: str
    """R0 to R4, or a level of an organisation."""
    obligations: tuple[str, ...] = ()
    start: Instant = BEGINNING
    until: Instant = NEVER
    reinstated: Instant = NEVER
    lines: tuple[tuple[str, Place], ...] = field(default=(), compare=False)
    """The places of its fields in the file, for explanations; ``""`` is the provision itself."""

    def in_effect(self, at: Instant) -> bool:
        """Return True if it has begun and has not ended, or has been reinstated since."""
        return self.start <= at and (at < self.until or at >= self.reinstated)

    def place(self, name: str) -> Place | None:
        """Return the place of a field; of the provision itself if the field is absent; None if unknown."""
        places = dict(self.lines)
        return places.get(name) or places.get("")


@dataclass(frozen=True, slots=True)
class Treaty:
    """An instrument, in force from ``in_force`` until ``terminated``. ``text`` is the hash of its text."""

    id: str
    kind: Kind
    in_force: Instant
    parties: tuple[Party, ...]
    provisions: tuple[Provision, ...]
    text: str
    equivalence: tuple[Equivalence, ...] = ()
    terminated: Instant = NEVER
    title: str = ""
    source: str = ""
    unclassified_only: str = ""
    """The reason why the treaty lists parties whose levels nobody publishes, and which nothing classified can
    reach.
    """
    adopted: Instant | None = None
    ladders: tuple[Ladder, ...] = ()
    """The ladders of parties that have no other known ladder, by authority; they hold under this treaty
    only.
    """
    place: Place | None = field(default=None, compare=False)

    def ladder(self, authority: str, registry: Registry) -> Ladder:
        """Return the ladder of the authority under this treaty: the one in its text, otherwise the known
        one.
        """
        own = next((one for one in self.ladders if one.authority == authority), None)
        return own or registry.ladder(authority)

    def convert(
        self, reference: Reference, authority: str, to: str, at: Instant, registry: Registry
    ) -> Converted | None:
        """Convert a level of ``authority`` worth ``reference`` for ``to`` under this treaty; None if that is
        impossible.
        """
        source, target = self.ladder(authority, registry), self.ladder(to, registry)
        return convert_reference(reference, source, target, at, self.equivalence)


def text_hash(
    treaty: str,
    kind: Kind,
    provisions: Iterable[Provision],
    equivalence: Iterable[Equivalence],
    ladders: Iterable[Ladder] = (),
) -> str:
    """Return ``sha256:<hex>`` of what the parties adopted: id, kind, provisions, equivalence rows and
    ladders.

    The hashed bytes are ``intelshare/treaty-text/1`` LF, then JSON with sorted keys, no spaces and ASCII
    escapes: {"equivalence": [[from, level, to, as]...], "id", "kind", "provisions": [[article, [categories],
    ceiling, [obligations], from, until, reinstated]...]}. If there are ladders, also "ladder": [[authority,
    from, until, [[reference, name]...]]...] by authority and time. Instants are microseconds since 1970 or
    null if open; all lists are sorted, so the order in a file does not matter.
    """
    document: dict[str, object] = {
        "id": treaty,
        "kind": kind.value,
        "provisions": sorted(
            (
                [
                    provision.article,
                    sorted(provision.categories),
                    provision.ceiling,
                    sorted(set(provision.obligations)),
                    None if provision.start == BEGINNING else provision.start,
                    None if provision.until == NEVER else provision.until,
                    None if provision.reinstated == NEVER else provision.reinstated,
                ]
                for provision in provisions
            ),
            key=json.dumps,
        ),
        "equivalence": sorted([row.origin, row.level, row.to, row.name] for row in equivalence),
    }
    if rows := list(ladder_rows(ladders)):
        document["ladder"] = rows
    encoded = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(b"intelshare/treaty-text/1\n" + encoded.encode("ascii")).hexdigest()


def ladder_rows(
    ladders: Iterable[Ladder],
) -> Iterator[tuple[str, Instant | None, Instant | None, list[tuple[str, str]]]]:
    """Yield authority, from, until (None: open), references and names of each row that a text states, in
    order.
    """
    for one in sorted(ladders, key=lambda one: one.authority):
        for row in one.rows:
            start, until = row.interval
            if levels := [(level.reference.name, level.name) for level in row.levels if level != UNMARKED]:
                yield (
                    one.authority,
                    None if start == BEGINNING else start,
                    None if until == NEVER else until,
                    levels,
                )


def reference_of(word: str, registry: Registry, at: Instant) -> Reference | None:
    """Return the reference level of ``R0`` to ``R4`` or of an organisation's level at ``at``; None for any
    other word.
    """
    reference = _REFERENCES.get(word)
    if reference is not None:
        return reference
    whole = registry.organisation_levels.get(word)
    level = None if whole is None else registry.ladder(whole[0]).read(whole[1], at)
    return None if level is None else level.reference


_REFERENCES = {reference.name: reference for reference in Reference}
