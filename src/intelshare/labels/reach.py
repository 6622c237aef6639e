"""The members that a label covers at an instant, with groups expanded: the meaning of releasability."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from intelshare.instant import Instant
from intelshare.labels.label import EYES_ONLY, Label
from intelshare.labels.ladders import JOINT, Reference
from intelshare.labels.registry import Registry


class Reach(NamedTuple):
    """The members that a label covers, and whether it states its releasability; ``covers`` None means
    everybody.

    ``shown`` are those covered only by DISPLAY ONLY: they may be shown it and may not keep it. NOFORN and TLP
    are not included, because they have separate rules.
    """

    stated: bool
    covers: frozenset[str] | None
    shown: frozenset[str] = frozenset()


EVERYBODY = Reach(stated=False, covers=None)
NOBODY = Reach(stated=False, covers=frozenset())
CONCEALED = Reach(stated=True, covers=frozenset())


def level_reference(label: Label, registry: Registry, at: Instant) -> Reference | None:
    """Return the reference level of the label at ``at``; R0 for TLP alone; None if its level is unknown
    then.
    """
    if label.level is None:
        return Reference.R0 if label.tlp is not None else None
    if label.authority is None:
        return None
    if label.authority != JOINT and not registry.is_member(label.authority):
        return None
    level = registry.ladder(label.authority).read(label.level, at)
    return None if level is None else level.reference


def reach(label: Label, registry: Registry, at: Instant) -> Reach:
    """Return the members that the label covers at ``at`` (an unknown level counts as R4)."""
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
    """Return the members that the label covers; ``expand`` says which members some codes stand for together.

    EYES ONLY covers only states that REL TO names by their own code. An organisation's label always covers
    the organisation (C-M(2002)49, C-M(2002)60). A state's label with neither REL TO nor DISPLAY ONLY states
    nothing: it covers everybody at R0, and nobody above. FGI of a concealed source covers nobody, because it
    is not known who must consent.
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
    """Return the members that REL TO names by their own code: states, and organisations for their node."""
    return registry.nodes.intersection(label.releasable_to or ())
