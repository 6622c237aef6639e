"""The label of a portion as a value, with the closed sets that it draws on and its one canonical order."""

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
"""In the order in which they are written; REL TO and DISPLAY ONLY, which have lists, follow them."""

CLEAR = "CLEAR"
RED = "RED"
AMBER_STRICT = "AMBER+STRICT"

TLP_WORDS = (CLEAR, "GREEN", "AMBER", AMBER_STRICT, RED)
"""FIRST TLP 2.0, least to most strict."""


@dataclass(frozen=True, slots=True)
class Label:
    """Who classified it, how high, who may have it, and how it must be handled.

    ``releasable_to`` (may have it) and ``displayable_to`` (may be shown it) are None where the label has no
    such list. ``fgi`` names whose information a label of the United States holds besides: None where it has
    no FGI, empty where FGI conceals the source. ``owners`` only in JOINT. A label of TLP alone has neither
    authority nor level. Nothing here is checked: ``parse_label`` yields only sound ones, and ``decide``
    judges unsound ones.
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
        # Labels are keys of hot look-ups, and tuples do not remember their hash.
        facts = (self.authority, self.level, self.releasable_to, self.controls, self.tlp, self.owners)
        object.__setattr__(self, "_hash", hash((facts, self.displayable_to, self.fgi)))

    def __hash__(self) -> int:
        return self._hash


def order_codes(
    codes: Iterable[str], authority: str | None, owners: Collection[str], registry: Registry
) -> tuple[str, ...]:
    """REL TO order: the authority (in JOINT: USA if it owns), then states, then groups, alphabetically."""
    first = authority
    if authority == JOINT:
        first = "USA" if "USA" in owners else None
    return tuple(sorted(codes, key=lambda code: (code != first, code in registry.groups, code)))


def first_owner(owners: Collection[str]) -> str | None:
    """The owner of a JOINT label that comes first in REL TO order; None if it has no owners."""
    return min(owners, key=lambda code: (code != "USA", code), default=None)


def order_controls(controls: Collection[str]) -> tuple[str, ...]:
    """Known controls in the order in which they are written."""
    return tuple(control for control in CONTROLS if control in controls)
