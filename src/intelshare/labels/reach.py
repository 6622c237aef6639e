"""Whom a label covers at an instant, groups expanded: what releasability means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from intelshare.instant import Instant
from intelshare.labels.label import EYES_ONLY, Label
from intelshare.labels.ladders import JOINT, Reference
from intelshare.labels.registry import Registry


class Reach(NamedTuple):
    """Whether the label states its releasability, and whom it covers; ``covers`` None is everybody.

    Of those covered, ``shown`` are covered by DISPLAY ONLY alone: they may be shown it and not keep it.
    NOFORN and TLP are not in it: they are rules of their own.
    """

    stated: bool
    covers: frozenset[str] | None
    shown: frozenset[str] = frozenset()

    def includes(self, code: str) -> bool:
        """Whether the code is covered."""
        return self.covers is None or code in self.covers


EVERYBODY = Reach(stated=False, covers=None)
NOBODY = Reach(stated=False, covers=frozenset())
CONCEALED = Reach(stated=True, covers=frozenset())


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
    """Whom the label covers at ``at`` (an unknown level counts as R4)."""
    unclassified = level_reference(label, registry, at) == Reference.R0
    return reach_of(
        label,
        registry,
        unclassified,
        lambda codes: frozenset[str]().union(*[registry.expand(code, at) for code in codes]),
    )


def reach_of(
    label: Label, registry: Registry, unclassified: bool, expand: Callable[[Collection[str]], frozenset[str]]
) -> Reach:
    """Whom the label covers, by what ``expand`` says that codes stand for together.

    EYES ONLY covers only states that REL TO names themselves; an organisation's label covers the
    organisation whatever else it says (C-M(2002)49, C-M(2002)60); neither REL TO nor DISPLAY ONLY on a
    state's label says nothing: everybody at R0, nobody above. FGI of a concealed source covers nobody: who
    must consent is not known.
    """
    named, displayed = label.releasable_to, label.displayable_to
    if label.fgi == ():
        return CONCEALED
    if EYES_ONLY in label.controls:
        return Reach(stated=True, covers=frozenset(filter(registry.is_state, named or ())))
    organisation = label.authority is not None and registry.is_organisation(label.authority)
    if named is None and displayed is None and not organisation:
        return EVERYBODY if unclassified else NOBODY
    codes = named or ()
    kept = expand((*codes, label.authority) if organisation and label.authority else codes)
    if displayed is None:
        return Reach(stated=True, covers=kept)
    covers = kept | expand(displayed)
    return Reach(stated=True, covers=covers, shown=covers - kept)


def named_itself(label: Label, registry: Registry) -> frozenset[str]:
    """The members that REL TO names by their own code: states, and organisations for their node."""
    return registry.nodes.intersection(label.releasable_to or ())
