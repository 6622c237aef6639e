"""Turns a bulletin that the node shows into a value for other systems, without portions that may only be
viewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intelshare.crypto.records import PortionKind
from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.interop import Shared, SharedPortion
from intelshare.labels import Registry, parse_label, rollup
from intelshare.wire.v1 import user_pb2 as pb

DISPLAY_ONLY: Final = "display-only"
"""The obligation of a portion that may be shown but not kept."""


def may_be_kept(shown: pb.ReadPortion) -> bool:
    """Return true if a reader may keep a copy of the portion."""
    return DISPLAY_ONLY not in shown.obligations


def shared_of(
    opened: pb.ReadResponse, registry: Registry, portions: Sequence[pb.ReadPortion] | None = None
) -> Shared | None:
    """Return the bulletin with these portions (None: all) as far as they may be kept, or None if none may.

    Raises LabelError for a label that the registry does not know.
    """
    kept = [one for one in (opened.portions if portions is None else portions) if may_be_kept(one)]
    if not kept:
        return None
    at = Instant(opened.created_at)
    made = tuple([_portion(one.portion, registry, at) for one in kept])
    if len(kept) == len(opened.portions):
        banner = parse_label(opened.banner, registry, at)
    else:
        banner = rollup(opened.originator, at, [one.label for one in made], registry)
    return Shared(opened.bulletin.hex(), opened.originator, at, banner, made)


def _portion(portion: pb.Portion, registry: Registry, at: Instant) -> SharedPortion:
    if int(portion.kind) not in set(PortionKind):
        raise LabelError("INPUT_INVALID", f"a portion has the kind {portion.kind}, which is unknown here")
    return SharedPortion(
        kind=PortionKind(portion.kind),
        label=parse_label(portion.label, registry, at),
        category=portion.category,
        flags=tuple(portion.flags),
        grade=portion.grade,
        media=portion.media,
        content=portion.content,
    )
