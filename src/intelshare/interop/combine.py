"""Combines the labels that apply to one thing into one label: never wider and never lower than any of
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels import JOINT, TLP_WORDS, Label, Registry, first_owner, rollup


def combine(labels: Iterable[Label], registry: Registry, at: Instant, *, source: str) -> Label:
    """Return the label that covers all of these; at least one is given.

    Raises LabelError MARKING_CONFLICT if no label can: they are of several authorities, or their authority
    has no label that expresses all of them.
    """
    given = list(dict.fromkeys(labels))
    if len(given) == 1:
        return given[0]
    strictest = max((one.tlp for one in given if one.tlp is not None), key=TLP_WORDS.index, default=None)
    levelled = list(dict.fromkeys(replace(one, tlp=None) for one in given if one.level is not None))
    if not levelled:
        return Label(tlp=strictest)
    if len(levelled) == 1:
        return replace(levelled[0], tlp=strictest)
    authorities = {_authority(one) for one in levelled}
    if len(authorities) > 1:
        raise _impossible(f"labels of {', '.join(sorted(authorities))} in one place", source)
    try:
        whole = rollup(authorities.pop(), at, levelled, registry)
    except LabelError as error:
        raise _impossible(f"no single label expresses all of them: {error.message}", source) from None
    return replace(whole, tlp=strictest)


def _authority(label: Label) -> str:
    return (first_owner(label.owners) if label.authority == JOINT else label.authority) or ""


def _impossible(message: str, source: str) -> LabelError:
    hint = "split it into parts, each of one authority"
    return LabelError("MARKING_CONFLICT", message, place=Place(source), hint=hint)
