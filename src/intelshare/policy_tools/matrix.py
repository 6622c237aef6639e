"""Who may send what to whom at an instant: for every pair the highest level that goes through."""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.instant import Instant
from intelshare.labels import Label, Level
from intelshare.policy import Outcome, Request, World, decide


def matrix(
    world: World, at: Instant, category: str, members: Sequence[str]
) -> dict[tuple[str, str], Level | None]:
    """Sender and recipient to the sender's highest level that its own ladder writes and policy grants.

    Asked with a label that names both in REL TO; None where not even unclassified information so labelled
    may go. A hold counts as granted.
    """
    return {
        (sender, recipient): _highest(world, at, category, sender, recipient)
        for sender in members
        for recipient in members
        if sender != recipient
    }


def _highest(world: World, at: Instant, category: str, sender: str, recipient: str) -> Level | None:
    for level in reversed(world.registry.ladder(sender).at(at).levels):
        label = Label(sender, level.name, (sender, recipient))
        if decide(world, Request(label, category, at, sender, recipient)).outcome is not Outcome.DENY:
            return level
    return None
