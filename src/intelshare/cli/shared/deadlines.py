"""Deadlines as a person writes them: a date, a time or a span."""

from __future__ import annotations

from intelshare.errors import ConfigError, Place
from intelshare.instant import DAY, HOUR, MINUTE, NEVER, Instant

_SPANS = {"m": MINUTE, "h": HOUR, "d": DAY}


def until(text: str | None, now: Instant, option: str = "--valid-until") -> Instant:
    """Return a date, a time with offset, or now plus a span such as 36h; NEVER for none. Raises ConfigError
    INPUT_INVALID.
    """
    if text is None:
        return NEVER
    from intelshare.instant import parse

    try:
        if text[-1:] in _SPANS and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 6:
            return Instant(now + int(text[:-1]) * _SPANS[text[-1]])
        return parse(text)
    except ValueError as error:
        raise ConfigError(
            "INPUT_INVALID",
            f"not a time: {error}",
            place=Place(option, 1, 1, excerpt=text, width=max(len(text), 1)),
            hint="2026-12-24, 2026-12-24T18:00:00+01:00, 90m, 36h or 7d",
        ) from None
