"""The world at one instant, flattened: what labels mean and which treaties bind whom, as look-ups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from intelshare.instant import Instant
from intelshare.labels import (
    AMBER_STRICT,
    CLEAR,
    CONTROLS,
    EYES_ONLY,
    JOINT,
    NOFORN,
    ORCON,
    RED,
    RELIDO,
    TLP_WORDS,
    Converted,
    Label,
    Reference,
    Registry,
    convert_reference,
    first_owner,
    level_reference,
    named_itself,
    reach_of,
)
from intelshare.policy.overlay import Overlay, When
from intelshare.policy.permits import Listings, Tested, Tester
from intelshare.policy.treaty import ANY_CATEGORY, reference_of

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_BOUND = 8192
"""The most entries of one cache."""

NO_ONWARD_RELEASE = "no-onward-release"
DISPLAY_ONLY_DUTY = "display-only"
_CONTROL_OBLIGATIONS = {ORCON: NO_ONWARD_RELEASE}
_TLP_OBLIGATIONS = {RED: NO_ONWARD_RELEASE, AMBER_STRICT: "own-organisation-only"}


_NOBODY: frozenset[str] = frozenset()


class Mark(NamedTuple):
    """All facts that the rules need about a label at the snapshot's instant, except its lists of codes."""

    unknown_level: str | None
    """The error in the level, in words; None if there is none."""
    unknown_controls: tuple[str, ...]
    authority: str | None
    reference: Reference
    """The reference level; R4 if the level is unknown."""
    noforn: bool
    eyes_only: bool
    red: bool
    open: bool
    """True if nothing restricts it, unless releasability is stated."""
    obligations: tuple[str, ...]
    originator: str | None
    """The owner of the information according to the label; None if the claim decides."""
    owners: frozenset[str]
    """The owners of a JOINT label: a claimed originator counts if it is one of them."""
    codes: frozenset[str]
    """The codes that it names outside REL TO and DISPLAY ONLY."""
    foreign: frozenset[str]
    """The codes that FGI names: originators in addition to the authority."""
    known: bool
    """True if all of ``codes`` are known."""
    plain: bool
    """True if, with REL TO alone, it covers what REL TO names, and nothing else."""


class LabelFacts(NamedTuple):
    """All facts that the rules need about a label at the snapshot's instant: its mark, and the meaning of its
    lists.
    """

    mark: Mark
    unknown_codes: tuple[str, ...]
    stated: bool
    covers: Container[str] | None
    """The members covered; None means everybody."""
    shown: frozenset[str]
    """Those covered who may be shown it but may not keep it."""
    named: frozenset[str]
    """For TLP:RED, the members that REL TO names by their own code."""
    unrestricted: bool


class _Named:
    """The members that a REL TO covers, with groups not expanded: for most labels only one code is ever
    looked up.
    """

    __slots__ = ("_codes", "_groups")

    def __init__(self, codes: frozenset[str], groups: Sequence[frozenset[str]]) -> None:
        self._codes = codes
        self._groups = groups

    def __contains__(self, code: object) -> bool:
        if code in self._codes:
            return True
        for group in self._groups:  # noqa: SIM110  (a generator costs more than the comparisons)
            if code in group:
                return True
        return False


class Snapshot:
    """One instant of a world, made by ``World.at``. Its caches are bounded; nothing else changes after it is
    made.
    """

    def __init__(
        self,
        registry: Registry,
        members: frozenset[str],
        listings: Listings,
        overlays: Mapping[str, Overlay],
        texts: Mapping[str, Mapping[str, str]],
        *,
        at: Instant,
    ) -> None:
        self.registry = registry
        self.members = members
        self.overlays = overlays
        self.at = at
        self._groups = frozenset(registry.groups)
        self._expansions: dict[str, frozenset[str]] = {}
        self._tester = Tester(registry, listings, texts, at)
        self._known: dict[Hashable, Any] = {}
        self._marks: dict[Hashable, Mark] = {}
        self._facts: dict[Label, LabelFacts] = {}
        self._tests: dict[Hashable, Tested] = {}

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of ``make`` for this key, computed once. Labels mean the same throughout a
        snapshot.

        The key is a tuple that begins with the function and names everything besides the snapshot on which
        the result depends. Exceptions from ``make`` are not remembered.
        """
        found: T | None = self._known.get(key)
        return _keep(self._known, key, make()) if found is None else found

    def facts(self, label: Label) -> LabelFacts:
        """Return the facts about the label at this instant."""
        found = self._facts.get(label)
        return _keep(self._facts, label, self._read(label)) if found is None else found

    def treaty_test(
        self, originator: str, recipient: str, authority: str | None, reference: Reference, category: str
    ) -> Tested:
        """Return the result of the treaties between the two for information of that level and category."""
        key = (originator, recipient, authority, reference, category)
        found = self._tests.get(key)
        return _keep(self._tests, key, self._tester.test(*key)) if found is None else found

    def convert(
        self, reference: Reference, authority: str, member: str, treaty: str | None
    ) -> Converted | None:
        """Convert a level for the member, with the rows and ladders of the treaty if that lists the
        member.
        """
        found = None if treaty is None else self._tester.listing(treaty, member)
        if found is not None:
            return found.convert(reference, authority, member, self.at, self.registry)
        source, target = self.registry.ladder(authority), self.registry.ladder(member)
        return convert_reference(reference, source, target, self.at)

    def matches(
        self, when: When, recipient: str, category: str, flags: frozenset[str], reference: Reference
    ) -> bool:
        """Return True if all fields given in an overlay's condition match; unknown words match, in order to
        restrict.
        """
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
        return group not in self.registry.groups or recipient in self._expand(group)

    def _outside(self, recipient: str, groups: tuple[str, ...]) -> bool:
        if any(group not in self.registry.groups for group in groups):
            return True
        return not any(recipient in self._expand(group) for group in groups)

    def _expand(self, code: str) -> frozenset[str]:
        if code not in self.registry.groups:
            return frozenset((code,))
        found = self._expansions.get(code)
        if found is None:
            found = self._expansions[code] = self.registry.expand(code, self.at)
        return found

    def _expand_all(self, codes: Collection[str]) -> frozenset[str]:
        """Return the members that the codes stand for together; most are states, which stand for
        themselves.
        """
        found = frozenset(codes)
        groups = found & self._groups
        return found.difference(groups).union(*map(self._expand, groups)) if groups else found

    def _read(self, label: Label) -> LabelFacts:
        """Compute the facts about a label; labels that differ only in REL TO and DISPLAY ONLY share their
        mark.
        """
        key = (label.authority, label.level, label.controls, label.tlp, label.owners, label.fgi)
        mark = self._marks.get(key)
        if mark is None:
            mark = _keep(self._marks, key, _mark(label, self.registry, self.at))
        registry, named = self.registry, label.releasable_to
        if mark.plain and named is not None and label.displayable_to is None:
            return self._released(mark, frozenset(named), label)
        own = reach_of(label, registry, mark.reference == Reference.R0, self._expand_all)
        return LabelFacts(
            mark,
            self._unknown(mark.codes.union(named or (), label.displayable_to or ())),
            own.stated,
            own.covers,
            own.shown,
            named_itself(label, registry) if mark.red else _NOBODY,
            mark.open and not own.stated,
        )

    def _released(self, mark: Mark, codes: frozenset[str], label: Label) -> LabelFacts:
        """Compute the facts of the usual kind of label: REL TO, with nothing that makes it cover more or less
        than it names.
        """
        covers: Container[str] = codes
        if not self._groups.isdisjoint(codes):
            groups = codes & self._groups
            covers = _Named(codes - groups, [self._expand(code) for code in groups])
        known = mark.known and self.registry.known.issuperset(codes)
        return LabelFacts(
            mark,
            () if known else self._unknown(mark.codes | codes),
            True,
            covers,
            _NOBODY,
            named_itself(label, self.registry) if mark.red else _NOBODY,
            False,
        )

    def _unknown(self, codes: frozenset[str]) -> tuple[str, ...]:
        known = self.registry.known
        return () if known.issuperset(codes) else tuple(sorted(codes - known))


def _keep(memo: dict[K, T], key: K, value: T) -> T:
    """Store the value; clear the cache when it is full, so that input from peers cannot grow it."""
    if len(memo) >= _BOUND:
        memo.clear()
    memo[key] = value
    return value


def _mark(label: Label, registry: Registry, at: Instant) -> Mark:
    authority = label.authority
    foreign = frozenset(label.fgi or ())
    codes = foreign.union(label.owners if authority in (None, JOINT) else (*label.owners, authority))
    reference = level_reference(label, registry, at)
    unknown_level = None
    if reference is None:
        unknown_level = f"{authority or 'nobody'} has no level {label.level!r} at that time"
    elif label.tlp is not None and label.tlp not in TLP_WORDS:
        unknown_level = f"TLP has no word {label.tlp!r}"
    known_reference = Reference.R4 if unknown_level is not None or reference is None else reference
    return Mark(
        unknown_level=unknown_level,
        unknown_controls=tuple(sorted(set(label.controls) - set(CONTROLS))),
        authority=authority,
        reference=known_reference,
        noforn=NOFORN in label.controls,
        eyes_only=EYES_ONLY in label.controls,
        red=label.tlp == RED,
        open=known_reference == Reference.R0
        and not set(label.controls) - {RELIDO}
        and label.fgi is None
        and label.tlp in (None, CLEAR),
        obligations=_obligations(label),
        originator=_originator(label, registry),
        owners=frozenset(label.owners) if authority == JOINT else frozenset(),
        codes=codes,
        foreign=foreign,
        known=registry.known.issuperset(codes),
        plain=EYES_ONLY not in label.controls
        and label.fgi != ()
        and not (authority is not None and registry.is_organisation(authority)),
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
