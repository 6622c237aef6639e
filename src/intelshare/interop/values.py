"""A bulletin as it is handed to programs of other kinds: what its reader may see and may keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intelshare.crypto.records import PortionKind
from intelshare.instant import Instant
from intelshare.labels import Label

Json = Mapping[str, Any]
"""An object as JSON has it."""


@dataclass(frozen=True, slots=True)
class SharedPortion:
    """One portion that may be kept. Of an attachment there is no content."""

    kind: PortionKind
    label: Label
    category: str
    flags: tuple[str, ...]
    grade: str
    """Admiralty grade, as B2; empty: none."""
    media: str
    content: bytes

    @property
    def text(self) -> str:
        """The content of a text or title."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Shared:
    """A bulletin as one reader sees it, without what it may only be shown."""

    bulletin: str
    """32 hexadecimal digits. With the originator it names the bulletin."""
    originator: str
    created: Instant
    banner: Label
    """Of these portions."""
    portions: tuple[SharedPortion, ...]

    @property
    def title(self) -> SharedPortion | None:
        """The title, if the reader may see it."""
        return next((one for one in self.portions if one.kind == PortionKind.TITLE), None)
