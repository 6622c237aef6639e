"""What a portion's content says of itself, held against its label: at submit and again at the recipient."""

from __future__ import annotations

from intelshare.crypto.records import Portion, PortionKind
from intelshare.instant import Instant
from intelshare.labels import Label, Registry, check_stix

_STIX_MEDIA = "application/stix+json"


def check_content(
    portion: Portion, label: Label, originator: str, registry: Registry, at: Instant, place: int = 1
) -> None:
    """Return if the content of the portion, the ``place``-th in reading order, says no more than its label.

    Raises LabelError INPUT_INVALID or MARKING_CONFLICT for STIX, by kind or by media type; other kinds of
    content state no label that is read.
    """
    media = portion.media.split(";")[0].strip().lower()
    if portion.kind is PortionKind.STIX or media == _STIX_MEDIA:
        check_stix(portion.content, label, originator, registry, at, source=f"portion {place}")
