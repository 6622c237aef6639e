"""What a peer may still make this node keep for ever: steps spend it, ``engine.budgets`` grants it.

Rows that answer what this node sent, and what it asked for, cost nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from intelshare.errors import DeliveryError


class Lasting(StrEnum):
    """Kinds of rows that stay, of which a peer alone decides how many there are."""

    EVIDENCE = "evidence"
    """Rejected statements that are kept and logged."""
    RECALLS = "recalls"
    """Recalls of what is not held, or was recalled before."""
    STREAMS = "streams"
    """Incarnations."""
    HEADS = "heads"
    """Stream heads that came as statements."""
    DIRECTORIES = "directories"
    """Roots and directories."""
    ACTS = "acts"
    CONSENTS = "consents"
    CHECKPOINTS = "checkpoints"


class Allowance:
    """Of one peer, for one step. Without ``left``: as much as it likes."""

    def __init__(self, left: Mapping[Lasting, int] | None = None) -> None:
        self._left = left
        self.spent: Counter[Lasting] = Counter()

    def take(self, what: Lasting) -> bool:
        """Whether one more may be kept; it is spent with this."""
        if self._left is not None and self.spent[what] >= self._left[what]:
            return False
        self.spent[what] += 1
        return True

    def need(self, what: Lasting) -> None:
        """Spend one. Raises DeliveryError RATE: nothing was done, the peer tries again later."""
        if not self.take(what):
            raise DeliveryError("RATE", f"the peer has spent its budget of {what}")
