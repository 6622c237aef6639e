"""The label of a portion as a value, with the closed sets it uses and its one canonical order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from intelshare.labels.ladders import JOINT
from intelshare.labels.registry import Registry

FOUO = "FOUO"
LES = "LES"
PROPIN = "PROPIN"
ORCON = "ORCON"
NOFORN = "NOFORN"
RELIDO = "RELIDO"
EYES_ONLY = "EYES ONLY"

CONTROLS = (FOUO, LES, PROPIN, ORCON, NOFORN, RELIDO, EYES_ONLY)
"""The controls in the order in which they are written; REL TO and DISPLAY ONLY, which have lists, follow
them.
"""

CLEAR = "CLEAR"
RED = "RED"
AMBER_STRICT = "AMBER+STRICT"

TLP_WORDS = (CLEAR, "GREEN", "AMBER", AMBER_STRICT, RED)
"""The words of FIRST TLP 2.0, from least to most strict."""


@dataclass(frozen=True, slots=True)
class Label:
    """The authority and level of a classification, the members that may have it, and how it must be handled.

    ``releasable_to`` (may have it) and ``displayable_to`` (may be shown it) are None if the label has no such
    list. ``fgi`` names the states whose information a label of the United States also contains: None if it
    has no FGI, empty if FGI conceals the source. ``owners`` is used only in JOINT. A label of TLP alone has
    neither authority nor level. Nothing is checked here: ``parse_label`` yields only sound labels, and
    ``decide`` judges unsound ones.
    """

    authority: str | None = None
    level: str | None = None
    releasable_to: tuple[str, ...] | None = None
    controls: tuple[str, ...] = ()
    tlp: str | None = None
    owners: tuple[str, ...] = ()
    displayable_to: tuple[str, ...] | None = None
    fgi: tuple[str, ...] | None = None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Labels are keys of frequent look-ups, and tuples do not cache their hash.
        facts = (self.authority, self.level, self.releasable_to, self.controls, self.tlp, self.owners)
        object.__setattr__(self, "_hash", hash((facts, self.displayable_to, self.fgi)))

    def __hash__(self) -> int:
        return self._hash


def order_codes(
    codes: Iterable[str], authority: str | None, owners: Collection[str], registry: Registry
) -> tuple[str, ...]:
    """Return the codes in REL TO order: the authority first (in JOINT, the USA if it is an owner), then
    states, then groups, alphabetically.
    """
    first = authority
    if authority == JOINT:
        first = "USA" if "USA" in owners else None
    return tuple(sorted(codes, key=lambda code: (code != first, code in registry.groups, code)))


def first_owner(owners: Collection[str]) -> str | None:
    """Return the owner of a JOINT label that comes first in REL TO order; None if it has no owners."""
    return min(owners, key=lambda code: (code != "USA", code), default=None)


def order_controls(controls: Collection[str]) -> tuple[str, ...]:
    """Return the known controls in the order in which they are written."""
    return tuple(control for control in CONTROLS if control in controls)
