"""Labels that make information another state's, whoever writes them.

Such a portion goes back to that state without a treaty, and to others by that state's treaties and consent.
So a slip of the label (``SECRET//REL TO USA, FRA``, written by FRA) would skip the treaty test of FRA: what a
member hands in under another state's label has to come from there.
"""

from __future__ import annotations

from collections.abc import Iterable

from intelshare.labels import JOINT, Label, Registry


def owners_of(label: Label, registry: Registry) -> frozenset[str]:
    """The states whose information the label makes it; none for an organisation's and for TLP alone."""
    if label.authority == JOINT:
        return frozenset(label.owners)
    states = (label.authority,) if label.authority is not None and registry.is_state(label.authority) else ()
    return frozenset(states)


def foreign_owners(label: Label, member: str, registry: Registry) -> frozenset[str]:
    """Whose the label is, if ``member`` may not call it its own; else nobody."""
    owners = owners_of(label, registry)
    return frozenset() if member in owners else owners


def comes_from(label: Label, originator: str, labels: Iterable[Label], registry: Registry) -> bool:
    """Whether a portion of that label can come from a bulletin of this originator and these labels."""
    owners = owners_of(label, registry)
    return originator in owners or any(owners <= owners_of(other, registry) for other in labels)
