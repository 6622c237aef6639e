"""STANAG 4778 companions of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Label, Registry

SUFFIXES: Final = {"xml": ".bdo", "json": ".bdoj"}
"""Of the media types application/vnd.nato.bindingdataobject+xml and +json, by form."""


def binding_of(
    name: str, label: Label, media: str, digest: bytes, form: str, registry: Registry, when: Instant
) -> bytes:
    """The binding of a file of this name and SHA-384, to stand beside it. Raises LabelError."""
    from intelshare.labels import Bound, write_binding

    bound = Bound(quote(name), label, media.partition(";")[0], digest)
    return write_binding([bound], form, registry, when).encode()
