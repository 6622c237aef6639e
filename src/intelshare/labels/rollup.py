"""The banner of several portions: one label that is never wider and never lower than any of them."""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels.label import (
    DISPLAY_ONLY,
    NOFORN,
    RED,
    RELIDO,
    TLP_WORDS,
    Label,
    order_codes,
    order_controls,
)
from intelshare.labels.ladders import Reference, convert_reference
from intelshare.labels.reach import level_reference, named_itself, reach
from intelshare.labels.registry import Registry


def rollup(originator: str, at: Instant, labels: Sequence[Label], registry: Registry) -> Label:
    """The banner, in the ladder of the originator at ``at`` (a state or an organisation).

    Raises LabelError: UNKNOWN_LEVEL for a portion whose level is unknown at ``at``, NO_EQUIVALENCE
    where the originator's ladder cannot say the highest level.
    """
    references = [_reference(label, registry, at) for label in labels]
    covered = _reach(labels, references, registry, at)
    noforn = any(NOFORN in label.controls for label in labels)
    releasable: frozenset[str] | None = None
    if covered is not None and not noforn:
        covered |= {originator}
        if registry.is_organisation(originator):
            whole = registry.expand(originator, at)
            noforn = not whole <= covered
            outside = covered - whole
            releasable = outside | {originator} if outside else None
        else:
            noforn = covered == {originator}
            releasable = covered
    return Label(
        authority=originator,
        level=_level(originator, max(references, default=Reference.R0), registry, at),
        releasable_to=None
        if noforn or releasable is None
        else order_codes(releasable, originator, (), registry),
        controls=_controls(labels, references, noforn),
        tlp=max((label.tlp for label in labels if label.tlp), key=TLP_WORDS.index, default=None),
    )


def _reference(label: Label, registry: Registry, at: Instant) -> Reference:
    reference = level_reference(label, registry, at)
    if reference is None or (label.tlp is not None and label.tlp not in TLP_WORDS):
        raise LabelError("UNKNOWN_LEVEL", f"the level {label.level!r} of a portion is not known")
    return reference


def _level(originator: str, reference: Reference, registry: Registry, at: Instant) -> str:
    ladder = registry.ladder(originator)
    converted = convert_reference(reference, ladder, ladder, at)
    if converted is None:
        message = f"{originator} has no level for {reference.word} information"
        raise LabelError("NO_EQUIVALENCE", message, hint="label the portions in a ladder that is known")
    return converted.name


def _reach(
    labels: Sequence[Label], references: Sequence[Reference], registry: Registry, at: Instant
) -> frozenset[str] | None:
    """The intersection over all portions that restrict; None if none does."""
    covered: frozenset[str] | None = None
    for label, reference in zip(labels, references, strict=True):
        own = reach(label, registry, at)
        codes = own.covers
        if label.tlp == RED:
            named = named_itself(label, registry)
            codes = named if codes is None else named & codes
        if reference > Reference.R0 or own.stated or NOFORN in label.controls or label.tlp == RED:
            codes = frozenset() if codes is None else codes
            covered = codes if covered is None else covered & codes
    return covered


def _controls(labels: Sequence[Label], references: Sequence[Reference], noforn: bool) -> tuple[str, ...]:
    found = {control for label in labels for control in label.controls} - {RELIDO}
    # ISM-ID-00132: one portion that its owner did not free keeps the whole.
    governing = [
        label
        for label, reference in zip(labels, references, strict=True)
        if reference > Reference.R0
        or label.releasable_to is not None
        or not {NOFORN, DISPLAY_ONLY}.isdisjoint(label.controls)
    ]
    if noforn:
        found.add(NOFORN)
    elif governing and all(RELIDO in label.controls for label in governing):
        found.add(RELIDO)
    return order_controls(found)
