"""The banner of several portions: one label that is never wider and never lower than any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels.label import (
    EYES_ONLY,
    NOFORN,
    RED,
    RELIDO,
    TLP_WORDS,
    Label,
    order_codes,
    order_controls,
)
from intelshare.labels.ladders import JOINT, Reference, convert_reference
from intelshare.labels.reach import level_reference, named_itself, reach
from intelshare.labels.registry import Registry

_FGI_ORIGINATOR = "USA"
"""The only authority whose banners state FGI; other states have no such marking."""


class _Lists(NamedTuple):
    """The banner's statement of releasability: NOFORN, REL TO, DISPLAY ONLY; None means no such list."""

    noforn: bool = False
    releasable: frozenset[str] | None = None
    displayable: frozenset[str] | None = None


def rollup(originator: str, at: Instant, labels: Sequence[Label], registry: Registry) -> Label:
    """Return the banner in the ladder of the originator (a state or an organisation) at ``at``.

    Raises LabelError: UNKNOWN_LEVEL for a portion whose level is unknown at ``at``, NO_EQUIVALENCE if the
    originator's ladder cannot express the highest level.
    """
    references = [_reference(label, registry, at) for label in labels]
    highest = max(references, default=Reference.R0)
    freed = _freed(labels, references)
    lists = _lists(originator, at, labels, references, registry)
    # A disclosure officer may widen what nobody else may have, so RELIDO then stands alone. An unclassified
    # label without a list would be for everybody, and an organisation's for all of it, so NOFORN stays there.
    alone = freed and highest > Reference.R0 and not registry.is_organisation(originator)
    if lists.noforn and alone:
        lists = _Lists()
    return Label(
        authority=originator,
        level=_level(originator, highest, registry, at),
        releasable_to=_ordered(lists.releasable, originator, registry),
        controls=_controls(labels, freed, lists),
        tlp=max((label.tlp for label in labels if label.tlp), key=TLP_WORDS.index, default=None),
        displayable_to=_ordered(lists.displayable, originator, registry),
        fgi=_fgi(labels, registry) if originator == _FGI_ORIGINATOR else None,
    )


def _ordered(codes: frozenset[str] | None, originator: str, registry: Registry) -> tuple[str, ...] | None:
    return None if codes is None else order_codes(codes, originator, (), registry)


def _reference(label: Label, registry: Registry, at: Instant) -> Reference:
    reference = level_reference(label, registry, at)
    if reference is None or (label.tlp is not None and label.tlp not in TLP_WORDS):
        raise LabelError("UNKNOWN_LEVEL", f"a portion has the unknown level {label.level!r}")
    return reference


def _level(originator: str, reference: Reference, registry: Registry, at: Instant) -> str:
    ladder = registry.ladder(originator)
    converted = convert_reference(reference, ladder, ladder, at)
    if converted is None:
        message = f"{originator} has no level for {reference.word} information"
        raise LabelError("NO_EQUIVALENCE", message, hint="label the portions in a known ladder")
    return converted.name


def _lists(
    originator: str,
    at: Instant,
    labels: Sequence[Label],
    references: Sequence[Reference],
    registry: Registry,
) -> _Lists:
    reaches = list(_reaches(labels, references, registry, at))
    if any(NOFORN in label.controls for label in labels):
        return _Lists(noforn=True)
    if not reaches:
        return _Lists()
    kept = frozenset.intersection(*(kept for kept, _ in reaches)) | {originator}
    displayable = (frozenset.intersection(*(covered for _, covered in reaches)) - kept) or None
    if registry.is_organisation(originator):
        whole = registry.expand(originator, at)
        if not whole <= kept:
            return _Lists(noforn=True)
        outside = kept - whole
        return _Lists(False, outside | {originator} if outside else None, displayable)
    if kept == {originator}:
        return _Lists(noforn=displayable is None, displayable=displayable)
    return _Lists(False, kept, displayable)


def _reaches(
    labels: Sequence[Label], references: Sequence[Reference], registry: Registry, at: Instant
) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield, for each portion that restricts its readers, who may keep it and whom it covers at all."""
    for label, reference in zip(labels, references, strict=True):
        own = reach(label, registry, at)
        red = label.tlp == RED
        if reference == Reference.R0 and not own.stated and NOFORN not in label.controls and not red:
            continue
        named = named_itself(label, registry)
        covered = (named if red else frozenset()) if own.covers is None else own.covers
        if red:
            covered &= named
        yield covered - own.shown, covered


def _freed(labels: Sequence[Label], references: Sequence[Reference]) -> bool:
    """Return True if RELIDO holds for the whole (ISM-ID-00132); a single portion without RELIDO prevents
    it.
    """
    governing = [
        label
        for label, reference in zip(labels, references, strict=True)
        if reference > Reference.R0
        or label.releasable_to is not None
        or label.displayable_to is not None
        or NOFORN in label.controls
    ]
    return bool(governing) and all(
        RELIDO in label.controls and NOFORN not in label.controls for label in governing
    )


def _controls(labels: Sequence[Label], freed: bool, lists: _Lists) -> tuple[str, ...]:
    found = {control for label in labels for control in label.controls} - {RELIDO, NOFORN}
    if lists.noforn:
        found = (found - {EYES_ONLY}) | {NOFORN}
    elif freed and lists.displayable is None:
        found.add(RELIDO)
    return order_controls(found)


def _fgi(labels: Sequence[Label], registry: Registry) -> tuple[str, ...] | None:
    """Return every other state whose information is among the portions; one concealed source conceals all."""
    if any(label.fgi == () for label in labels):
        return ()
    found = {code for label in labels for code in label.fgi or ()}
    for label in labels:
        authors = label.owners if label.authority == JOINT else (label.authority,)
        found |= {code for code in authors if code is not None and registry.is_state(code)}
    return order_codes(found - {_FGI_ORIGINATOR}, None, (), registry) or None
