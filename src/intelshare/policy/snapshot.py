"""The world at one instant, flat: what labels mean and which treaties bind whom, as look-ups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from intelshare.instant import Instant
from intelshare.labels import (
    AMBER_STRICT,
    CLEAR,
    CONTROLS,
    DISPLAY_ONLY,
    EYES_ONLY,
    JOINT,
    NOFORN,
    ORCON,
    RED,
    RELIDO,
    TLP_WORDS,
    Equivalence,
    Label,
    Reference,
    Registry,
    first_owner,
    level_reference,
    named_itself,
    reach,
)
from intelshare.policy.overlay import Overlay, When
from intelshare.policy.permits import Tested, Tester
from intelshare.policy.treaty import ANY_CATEGORY, Treaty, reference_of

T = TypeVar("T")

_BOUND = 8192
"""Entries of the memo; full, it forgets all. Foreign labels and categories cannot grow it further."""

NO_ONWARD_RELEASE = "no-onward-release"
_CONTROL_OBLIGATIONS = {ORCON: NO_ONWARD_RELEASE, DISPLAY_ONLY: "display-only"}
_TLP_OBLIGATIONS = {RED: NO_ONWARD_RELEASE, AMBER_STRICT: "own-organisation-only"}


@dataclass(frozen=True, slots=True, eq=False)
class LabelFacts:
    """All that the rules ask of a label, at the snapshot's instant."""

    unknown_codes: tuple[str, ...]
    unknown_level: str | None
    """What is wrong with the level, in words."""
    unknown_controls: tuple[str, ...]
    authority: str | None
    reference: Reference
    """R4 where the level is unknown."""
    stated: bool
    covers: frozenset[str] | None
    """None is everybody."""
    noforn: bool
    eyes_only: bool
    red: bool
    named: frozenset[str]
    unrestricted: bool
    obligations: tuple[str, ...]
    originator: str | None
    """Whose information the label makes it; None: whoever is claimed."""
    owners: frozenset[str]
    """Of a JOINT label: a claimed originator counts if it is one of them."""


class Snapshot:
    """``World.at`` makes it. Its memo is bounded; nothing else changes after it is made."""

    def __init__(
        self,
        registry: Registry,
        members: frozenset[str],
        treaties: tuple[Treaty, ...],
        overlays: Mapping[str, Overlay],
        texts: Mapping[str, Mapping[str, str]],
        *,
        at: Instant,
    ) -> None:
        self.registry = registry
        self.members = members
        self.overlays = overlays
        self.at = at
        self._expansions = {code: registry.expand(code, at) for code in registry.groups}
        self._tester = Tester(registry, treaties, texts, at)
        self._known: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives for this key, made once. Labels mean the same throughout a snapshot.

        The key is a tuple that begins with the function and names everything that the outcome depends on
        besides the snapshot. What ``make`` raises is not remembered.
        """
        found: T | None = self._known.get(key)
        if found is None:
            found = make()
            if len(self._known) >= _BOUND:
                self._known.clear()
            self._known[key] = found
        return found

    def facts(self, label: Label) -> LabelFacts:
        """What the label means at this instant."""
        return self.remember((_facts, label), lambda: _facts(label, self.registry, self.at))

    def treaty_test(
        self, originator: str, recipient: str, authority: str | None, reference: Reference, category: str
    ) -> Tested:
        """What the treaties between the two say of information of that level and category."""
        key = (originator, recipient, authority, reference, category)
        return self.remember((Tester, *key), lambda: self._tester.test(*key))

    def equivalence(self, treaty: str | None, member: str) -> tuple[Equivalence, ...]:
        """The equivalence rows of a treaty that lists the member; none of any other."""
        found = None if treaty is None else self._tester.listing(treaty, member)
        return () if found is None else found.equivalence

    def matches(
        self, when: When, recipient: str, category: str, flags: frozenset[str], reference: Reference
    ) -> bool:
        """Whether all given fields of an overlay's condition match; unknown words do, to restrict."""
        categories = when.categories
        if categories is not None and category not in categories and ANY_CATEGORY not in categories:
            return False
        if when.flags is not None and when.flags.isdisjoint(flags):
            return False
        if when.to is not None and recipient not in when.to:
            return False
        if when.level_at_least is not None:
            least = reference_of(when.level_at_least, self.registry, self.at)
            if least is not None and reference < least:
                return False
        if when.to_group is not None and not any(self._inside(recipient, code) for code in when.to_group):
            return False
        outside = when.not_to_group
        return outside is None or self._outside(recipient, outside)

    def _inside(self, recipient: str, group: str) -> bool:
        expansion = self._expansions.get(group)
        return expansion is None or recipient in expansion

    def _outside(self, recipient: str, groups: tuple[str, ...]) -> bool:
        expansions = [self._expansions.get(group) for group in groups]
        if None in expansions:
            return True
        return not any(expansion is not None and recipient in expansion for expansion in expansions)


def _facts(label: Label, registry: Registry, at: Instant) -> LabelFacts:
    authority = label.authority
    codes = [*(label.releasable_to or ()), *label.owners]
    if authority is not None and authority != JOINT:
        codes.append(authority)
    reference = level_reference(label, registry, at)
    unknown_level = None
    if reference is None:
        unknown_level = f"{authority or 'nobody'} has no level {label.level!r} at that time"
    elif label.tlp is not None and label.tlp not in TLP_WORDS:
        unknown_level = f"TLP has no {label.tlp!r}"
    own = reach(label, registry, at)
    known_reference = Reference.R4 if unknown_level is not None or reference is None else reference
    covers = own.covers
    if covers is None and known_reference > Reference.R0:
        covers = frozenset()
    return LabelFacts(
        unknown_codes=tuple(sorted({code for code in codes if not registry.is_known(code)})),
        unknown_level=unknown_level,
        unknown_controls=tuple(sorted(set(label.controls) - set(CONTROLS))),
        authority=authority,
        reference=known_reference,
        stated=own.stated,
        covers=covers,
        noforn=NOFORN in label.controls,
        eyes_only=EYES_ONLY in label.controls,
        red=label.tlp == RED,
        named=named_itself(label, registry),
        unrestricted=known_reference == Reference.R0
        and not own.stated
        and not set(label.controls) - {RELIDO}
        and label.tlp in (None, CLEAR),
        obligations=_obligations(label),
        originator=_originator(label, registry),
        owners=frozenset(label.owners) if authority == JOINT else frozenset(),
    )


def _obligations(label: Label) -> tuple[str, ...]:
    found = {_CONTROL_OBLIGATIONS[control] for control in label.controls if control in _CONTROL_OBLIGATIONS}
    if label.tlp in _TLP_OBLIGATIONS:
        found.add(_TLP_OBLIGATIONS[label.tlp])
    return tuple(sorted(found))


def _originator(label: Label, registry: Registry) -> str | None:
    authority = label.authority
    if authority == JOINT:
        return first_owner(label.owners) or JOINT
    if authority is None or registry.is_organisation(authority):
        return None
    return authority
