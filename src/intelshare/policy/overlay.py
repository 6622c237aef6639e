"""National overlays: what a member's law forbids, holds, obliges or refuses. Data, no expressions."""

from __future__ import annotations

from dataclasses import dataclass, field

from intelshare.errors import Place


@dataclass(frozen=True, slots=True)
class When:
    """The condition of a rule: all fields given must match; with none given it always matches."""

    categories: frozenset[str] | None = None
    flags: frozenset[str] | None = None
    to: frozenset[str] | None = None
    level_at_least: str | None = None
    """R0 to R4, or a level of an organisation."""
    to_group: tuple[str, ...] | None = None
    not_to_group: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row with its legal source; ``obligation`` is used only in ``oblige``."""

    id: str
    when: When
    source: str = ""
    obligation: str | None = None
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Overlay:
    """One member's rules: ``forbid`` and ``hold`` as originator and sender, ``refuse`` as recipient."""

    member: str
    forbid: tuple[Rule, ...] = ()
    hold: tuple[Rule, ...] = ()
    oblige: tuple[Rule, ...] = ()
    refuse: tuple[Rule, ...] = ()
