"""Times, texts and numbers in documents: milliseconds since 1970, bounded texts, null for an absent value."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from intelshare.errors import DeliveryError
from intelshare.instant import HOUR, LATEST, Instant
from intelshare.text import visible

MAX_HOURS: Final = 24 * 366 * 10
MAX_TEXT: Final = 600
"""Characters of one text that others wrote; the rest is shown by commands."""


def at(instant: int) -> int | None:
    """A time of the wire; null where it is not given, or never."""
    return instant // 1000 if 0 < instant <= LATEST else None


def now() -> Instant:
    """This machine's clock: the node is on it, or near."""
    return Instant(time.time_ns() // 1000)


def cut(text: str) -> str:
    """A text of others, bounded, with visible escapes for what would hide or turn round what is beside it."""
    text = visible(text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def number(asked: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number of a query, up to ``most``. Raises DeliveryError INPUT_INVALID."""
    text = asked.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise DeliveryError("INPUT_INVALID", f"{name} is a number from 0 to {most}")
    return int(text)


def since(asked: Mapping[str, str]) -> int:
    """From when on a view looks: ``hours`` before now; 0: from the beginning."""
    hours = number(asked, "hours", 0, MAX_HOURS)
    return max(1, now() - hours * HOUR) if hours else 0
