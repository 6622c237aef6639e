"""Labels that make information another state's, whoever writes them.

A portion with such a label returns to that state without a treaty, and goes to others under that state's
treaties and consent. A mislabelled portion (``SECRET//REL TO USA, FRA``, written by FRA) would therefore skip
FRA's treaty test, so information that a member submits under another state's label must come from that state.
"""

from __future__ import annotations

from collections.abc import Iterable

from intelshare.labels import JOINT, Label, Registry


def owners_of(label: Label, registry: Registry) -> frozenset[str]:
    """Return the states that own the information according to the label; none for an organisation's label or
    TLP alone.
    """
    if label.authority == JOINT:
        return frozenset(label.owners)
    states = (label.authority,) if label.authority is not None and registry.is_state(label.authority) else ()
    return frozenset(states)


def foreign_owners(label: Label, member: str, registry: Registry) -> frozenset[str]:
    """Return the owners that the label names, if ``member`` is not one of them; otherwise an empty set."""
    owners = owners_of(label, registry)
    return frozenset() if member in owners else owners


def comes_from(label: Label, originator: str, labels: Iterable[Label], registry: Registry) -> bool:
    """Return True if a portion with that label can come from a bulletin of this originator with these
    labels.
    """
    owners = owners_of(label, registry)
    return originator in owners or any(owners <= owners_of(other, registry) for other in labels)
