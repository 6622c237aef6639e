"""Writes the STANAG 4778 binding of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Label, Registry

SUFFIXES: Final = {"xml": ".bdo", "json": ".bdoj"}
"""The suffix by form, for application/vnd.nato.bindingdataobject+xml and +json."""


def binding_of(
    name: str, label: Label, media: str, digest: bytes, form: str, registry: Registry, when: Instant
) -> bytes:
    """Return the binding to write beside a file of this name and SHA-384. Raises LabelError."""
    from intelshare.labels import Bound, write_binding

    bound = Bound(quote(name), label, media.partition(";")[0], digest)
    return write_binding([bound], form, registry, when).encode()
