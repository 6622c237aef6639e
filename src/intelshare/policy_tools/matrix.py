"""The exchange matrix at an instant: for every pair of members the highest level that is permitted."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from intelshare.instant import Instant
from intelshare.labels import Label, Level, Reference
from intelshare.policy import Outcome, Request, World, decide
from intelshare.policy_tools.states import States


def matrix(
    world: World, at: Instant, category: str, senders: Sequence[str], recipients: Sequence[str] | None = None
) -> dict[tuple[str, str], Level | None]:
    """Return, for sender and recipient, the highest level of the sender's ladder that policy grants.

    The question uses a label that names both in REL TO; None if not even unclassified information with that
    label may go. A hold counts as granted. Without ``recipients``, the senders are the recipients.
    """
    states = States((world, world))
    known: dict[Hashable, Reference | None] = {}
    found: dict[tuple[str, str], Level | None] = {}
    for sender in senders:
        levels = world.registry.ladder(sender).at(at).levels
        for recipient in senders if recipients is None else recipients:
            if sender == recipient:
                continue
            pair = sender, recipient
            key = states.key(pair, at)
            if key not in known:
                known[key] = _highest(world, at, category, pair, levels)
            found[pair] = next((level for level in levels if level.reference is known[key]), None)
    return found


def _highest(
    world: World, at: Instant, category: str, pair: tuple[str, str], levels: Sequence[Level]
) -> Reference | None:
    for level in reversed(levels):
        label = Label(pair[0], level.name, pair)
        if decide(world, Request(label, category, at, *pair)).outcome is not Outcome.DENY:
            return level.reference
    return None


@dataclass(frozen=True, slots=True)
class MatrixGroup:
    """Members to which the same applies; ``each_other``: the senders are also the recipients."""

    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    each_other: bool
    reference: Reference


def grouped(cells: Mapping[tuple[str, str], Level | None]) -> list[MatrixGroup]:
    """MatrixGroup the pairs between which anything is permitted, like with like, the highest level first."""
    reach: dict[Reference, dict[str, set[str]]] = {}
    for (sender, recipient), level in cells.items():
        if level is not None:
            reach.setdefault(level.reference, {}).setdefault(sender, set()).add(recipient)
    groups: list[MatrixGroup] = []
    for reference, others in reach.items():
        while len(circle := _circle(others)) > 2:
            everybody = tuple(sorted(circle))
            groups.append(MatrixGroup(everybody, everybody, each_other=True, reference=reference))
            for member in circle:
                others[member] -= circle
        alike: dict[frozenset[str], list[str]] = {}
        for sender, recipients in others.items():
            if recipients:
                alike.setdefault(frozenset(recipients), []).append(sender)
        groups += [
            MatrixGroup(
                tuple(sorted(senders)), tuple(sorted(recipients)), each_other=False, reference=reference
            )
            for recipients, senders in alike.items()
        ]
    return sorted(groups, key=lambda group: (-group.reference, group.senders, group.recipients))


def _circle(reach: Mapping[str, set[str]]) -> set[str]:
    """Return the largest set of members that all reach each other and that is one sender's whole reach."""
    largest: set[str] = set()
    for whole in {frozenset((sender, *others)) for sender, others in reach.items()}:
        circle = {member for member in whole if whole <= {member} | reach.get(member, set())}
        # A member outside the circle is not reached by all.
        if len(circle) == len(whole) > len(largest):
            largest = circle
    return largest
