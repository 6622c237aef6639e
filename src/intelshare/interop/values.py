"""A bulletin as it is handed to other programs: what its reader may see and may keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intelshare.crypto.records import PortionKind
from intelshare.instant import Instant
from intelshare.labels import Label

Json = Mapping[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class SharedPortion:
    """One portion that may be kept. For an attachment there is no content."""

    kind: PortionKind
    label: Label
    category: str
    flags: tuple[str, ...]
    grade: str
    """The Admiralty grade, such as B2; empty if there is none."""
    media: str
    content: bytes

    @property
    def text(self) -> str:
        """Return the content of a text or title."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Shared:
    """A bulletin as one reader sees it, without portions that may only be viewed."""

    bulletin: str
    """The id of 32 hexadecimal digits, which together with the originator identifies the bulletin."""
    originator: str
    created: Instant
    banner: Label
    """The banner of these portions."""
    portions: tuple[SharedPortion, ...]

    @property
    def title(self) -> SharedPortion | None:
        """Return the title, if the reader may see it."""
        return next((one for one in self.portions if one.kind == PortionKind.TITLE), None)
