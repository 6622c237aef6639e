"""What ``doctor`` finds: one value for every check, wherever it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.cli.shared.codes import catalogue

OK: Final = "ok"
WARNING: Final = "warning"
WRONG: Final = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``remedy`` is empty where nothing is to be done."""

    state: str
    check: str
    found: str
    remedy: str = ""
    code: str = ""


def by_code(state: str, check: str, code: str, found: str = "") -> Finding:
    """A finding whose meaning and remedy are those of its code."""
    known = catalogue().get(code)
    means, remedy = (known.means, known.next) if known is not None else ("", "")
    return Finding(state, check, found or means or code, remedy, code)
