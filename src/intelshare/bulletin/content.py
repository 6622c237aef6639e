"""A comparison of a portion's label with the markings in its content, at submit and at the recipient."""

from __future__ import annotations

from intelshare.crypto.pieces import read_attachment
from intelshare.crypto.records import Portion, PortionKind
from intelshare.errors import EnvelopeError, LabelError
from intelshare.instant import Instant
from intelshare.labels import Label, Registry, check_stix

_STIX_MEDIA = "application/stix+json"


def content_is_read(portion: Portion) -> bool:
    """Return True if ``check_content`` looks at the content of such a portion."""
    return portion.kind is PortionKind.ATTACHMENT or states_markings(portion)


def states_markings(portion: Portion) -> bool:
    """Return True if content of this kind can state labels itself: STIX, by kind or by media type."""
    media = portion.media.split(";")[0].strip().lower()
    return portion.kind is PortionKind.STIX or media == _STIX_MEDIA


def check_content(
    portion: Portion, label: Label, originator: str, registry: Registry, at: Instant, place: int = 1
) -> None:
    """Return if the content of the portion, the ``place``-th in order, states nothing beyond its label.

    Raises LabelError INPUT_INVALID or MARKING_CONFLICT for content that ``states_markings``, INPUT_INVALID
    for an attachment that cannot be one; other content states nothing that is read.
    """
    if portion.kind is PortionKind.ATTACHMENT:
        try:
            read_attachment(portion.content)
        except EnvelopeError as error:
            raise LabelError(
                "INPUT_INVALID", f"portion {place} is not an attachment: {error.message}"
            ) from None
    if states_markings(portion):
        check_stix(portion.content, label, originator, registry, at, source=f"portion {place}")
