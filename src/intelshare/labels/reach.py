"""Whom a label covers at an instant, groups expanded: what releasability means."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.instant import Instant
from intelshare.labels.label import EYES_ONLY, Label
from intelshare.labels.ladders import JOINT, Reference
from intelshare.labels.registry import Registry


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether the label states its releasability, and whom it covers; ``covers`` None is everybody.

    NOFORN and TLP are not in it: they are rules of their own.
    """

    stated: bool
    covers: frozenset[str] | None

    def includes(self, code: str) -> bool:
        """Whether the code is covered."""
        return self.covers is None or code in self.covers


EVERYBODY = Reach(stated=False, covers=None)
NOBODY = Reach(stated=False, covers=frozenset())


def level_reference(label: Label, registry: Registry, at: Instant) -> Reference | None:
    """What the label's level is worth at ``at``; R0 for TLP alone; None if it is unknown there."""
    if label.level is None:
        return Reference.R0 if label.tlp is not None else None
    if label.authority is None:
        return None
    if label.authority != JOINT and not registry.is_member(label.authority):
        return None
    level = registry.ladder(label.authority).read(label.level, at)
    return None if level is None else level.reference


def reach(label: Label, registry: Registry, at: Instant) -> Reach:
    """Whom the label covers at ``at`` (an unknown level counts as R4).

    EYES ONLY covers only states that REL TO names themselves; an organisation's label covers the
    organisation whatever else it says (C-M(2002)49, C-M(2002)60); no REL TO on a state's label says
    nothing: everybody at R0, nobody above.
    """
    named = label.releasable_to
    if EYES_ONLY in label.controls:
        return Reach(stated=True, covers=frozenset(filter(registry.is_state, named or ())))
    organisation = label.authority is not None and registry.is_organisation(label.authority)
    if named is None and not organisation:
        return EVERYBODY if level_reference(label, registry, at) == Reference.R0 else NOBODY
    codes = list(named or ())
    if organisation and label.authority is not None:
        codes.append(label.authority)
    covered: frozenset[str] = frozenset()
    return Reach(stated=True, covers=covered.union(*(registry.expand(code, at) for code in codes)))


def named_itself(label: Label, registry: Registry) -> frozenset[str]:
    """The members that REL TO names by their own code: states, and organisations for their node."""
    return frozenset(filter(registry.is_member, label.releasable_to or ()))
