"""Times as a person writes them in an option."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.instant import Instant


def moment(text: str | None, option: str = "--at") -> Instant:
    """Return the instant that a person wrote in an option, or now. Raises ConfigError INPUT_INVALID."""
    import time

    from intelshare.instant import Instant
    from intelshare.instant import parse as parse_instant

    if text is None:
        return Instant(time.time_ns() // 1000)
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ConfigError(
            "INPUT_INVALID",
            f"not a time: {error}",
            place=Place(option),
            hint="2026-05-01 or 2026-05-01T12:00:00Z",
        ) from None
