"""Content that states labels itself: the label of its portion must be at least as strict as any inside.

STIX objects carry their markings wherever they go; a portion with a lower label would carry them past the
decision.
"""

from __future__ import annotations

from dataclasses import replace

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels.bundles import labels_within
from intelshare.labels.formats import format_banner
from intelshare.labels.label import TLP_WORDS, Label, first_owner
from intelshare.labels.ladders import JOINT
from intelshare.labels.registry import Registry
from intelshare.labels.rollup import rollup


def check_stix(
    content: bytes, label: Label, originator: str, registry: Registry, at: Instant, *, source: str = "content"
) -> None:
    """Check that the content is STIX 2.1 whose markings say no more than ``label``, the label of its portion.

    Labels that name no authority count as labels of ``originator``. Raises LabelError: INPUT_INVALID (not
    STIX), MARKING_CONFLICT (the content says more; the hint has the label that would cover it), and as
    ``labels_within``.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise LabelError(
            "INPUT_INVALID", "STIX must be UTF-8, and this is not", place=Place(source)
        ) from None
    inside = [_within(label, inner) for inner in labels_within(text, registry, at, source=source)]
    inside = [inner for inner in inside if inner != label]
    if not inside:
        return
    whose = _whose(label, originator, registry)
    covered = rollup(whose, at, [label], registry)
    try:
        needed = rollup(whose, at, [label, *inside], registry)
    except LabelError:
        _refuse("it contains markings that no label of this authority can express", None, source)
    if needed != covered:
        _refuse(
            f"its objects say more than {format_banner(label, registry)}",
            f"label it {format_banner(needed, registry)}, or take the marked objects out",
            source,
        )


def _within(label: Label, inner: Label) -> Label:
    """Return the meaning of the inner label in this portion: TLP alone says nothing about level, codes or
    controls.
    """
    if inner.level is not None:
        return inner
    words = [word for word in (label.tlp, inner.tlp) if word is not None]
    return replace(label, tlp=max(words, key=TLP_WORDS.index))


def _whose(label: Label, originator: str, registry: Registry) -> str:
    if label.authority == JOINT:
        return first_owner(label.owners) or originator
    return (
        label.authority if label.authority is not None and registry.is_member(label.authority) else originator
    )


def _refuse(message: str, hint: str | None, source: str) -> None:
    raise LabelError("MARKING_CONFLICT", message, place=Place(source), hint=hint)
