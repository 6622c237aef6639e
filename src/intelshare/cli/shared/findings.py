"""The findings of ``doctor``: one type for every check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.cli.shared.codes import catalogue

OK: Final = "ok"
WARNING: Final = "warning"
WRONG: Final = "wrong"

DRAINING: Final = "DRAINING"


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one check; ``remedy`` is empty if there is nothing to do."""

    state: str
    check: str
    found: str
    remedy: str = ""
    code: str = ""


def by_code(state: str, check: str, code: str, found: str = "") -> Finding:
    """Return a finding whose meaning and remedy come from the catalogue entry of its code."""
    known = catalogue().get(code)
    means, remedy = (known.means, known.next) if known is not None else ("", "")
    return Finding(state, check, found or means or code, remedy, code)


def drain_finding(check: str, found: str, replica: str) -> Finding:
    """Return the finding about a drain, which an operator has ordered and may have forgotten."""
    of = f" --replica {replica}" if replica else ""
    helps = f"`intelshare node drain --undo{of}` ends it; a restart does not"
    return Finding(WARNING, check, found, helps, DRAINING)
