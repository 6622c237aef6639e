"""One factor for every limit that only a failure or a busy machine meets: INTELSHARE_PATIENCE."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from intelshare.errors import ConfigError, Place

VARIABLE: Final = "INTELSHARE_PATIENCE"

LEAST: Final = 0.1
MOST: Final = 100.0


def patient(seconds: float, environment: Mapping[str, str] = os.environ) -> float:
    """Return these seconds times the factor that is set, or 1.

    For the deadline of a call, a step of the demo and every wait of a test; never for a limit that is a
    promise or a rule of the protocol. Raises ConfigError FIELD_RANGE for a factor outside 0.1 to 100.
    """
    text = environment.get(VARIABLE, "") or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not LEAST <= factor <= MOST:
        raise ConfigError(
            "FIELD_RANGE",
            f"{text!r} is not a factor from {LEAST:g} to {MOST:g}",
            place=Place(VARIABLE),
            hint=f"unset {VARIABLE}, or set it to 3 on a machine that is three times as slow",
        )
    return seconds * factor
