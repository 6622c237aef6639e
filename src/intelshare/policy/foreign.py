"""Labels that make information another state's: the treaty test is not asked when it goes back to that state.

So a slip of the label (``SECRET//REL TO USA, FRA``, written by FRA) would skip the test, and what goes to a
state under its own label has to come from there.
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


def returns_to(label: Label, member: str, recipients: Iterable[str], registry: Registry) -> frozenset[str]:
    """The recipients for whom a label that ``member`` may not call its own says that it is theirs."""
    owners = owners_of(label, registry)
    return frozenset() if member in owners else owners.intersection(recipients)


def comes_from(label: Label, originator: str, labels: Iterable[Label], registry: Registry) -> bool:
    """Whether a portion of that label can come from a bulletin of this originator and these labels."""
    owners = owners_of(label, registry)
    return originator in owners or any(owners <= owners_of(other, registry) for other in labels)
