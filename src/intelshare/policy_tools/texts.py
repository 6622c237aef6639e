"""The parties that adopted a different text of a treaty from the one held here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from intelshare.instant import Instant
from intelshare.policy import Treaty, World, party_stop


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A party with a different text: nothing goes to or comes from it under the treaty (TEXT_MISMATCH)."""

    treaty: str
    member: str
    text: str
    """The text of the treaty as it is held here."""
    adopted: str
    """The text that the member's directory names; empty if it names no text of this treaty."""


def mismatches(world: World, treaty: Treaty, at: Instant) -> Iterator[Mismatch]:
    """Yield the mismatches among the parties that are bound at ``at`` and whose directory is held."""
    for party in sorted(treaty.parties, key=lambda party: party.member):
        directory = world.texts.get(party.member)
        adopted = "" if directory is None else directory.get(treaty.id, "")
        if directory is not None and adopted != treaty.text and party_stop(party, at) is None:
            yield Mismatch(treaty.id, party.member, treaty.text, adopted)


def as_adopted(treaty: Treaty, adopted: Mapping[str, str], known: Collection[str]) -> Treaty:
    """Return the treaty with the ``known`` parties only, each with the text it ``adopted``, otherwise the
    file's.
    """
    return replace(
        treaty,
        parties=tuple(
            replace(party, text=adopted.get(party.member, party.text))
            for party in treaty.parties
            if party.member in known
        ),
    )
