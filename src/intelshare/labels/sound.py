"""One set of rules for every form: XML or STIX states a label only if the label's canonical text is valid."""

from __future__ import annotations

from intelshare.errors import LabelError
from intelshare.instant import Instant
from intelshare.labels.formats import format_banner
from intelshare.labels.label import Label
from intelshare.labels.parse import parse_label
from intelshare.labels.registry import Registry


def reread(label: Label, registry: Registry, at: Instant | None = None) -> Label:
    """Return the label as its canonical text is read: in canonical order. Raises LabelError as
    ``parse_label`` does.

    The caller must ensure that each part is a known word or code, so that none can pass for a separator.
    """
    return parse_label(format_banner(label, registry), registry, at)


def require_sound(label: Label, registry: Registry) -> None:
    """Raise LabelError unless text can state the label: INPUT_INVALID, or the error in its text."""
    if reread(label, registry) != label:
        message = "the label contains something that neither text nor any other form can state"
        raise LabelError("INPUT_INVALID", message, hint="labels that were read from text are sound")
