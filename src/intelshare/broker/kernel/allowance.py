"""The rows that a peer may make this node keep for ever: ``engine.budgets`` grants, steps spend.

Rows that answer what this node sent, and rows that it asked for, cost nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from intelshare.errors import DeliveryError


class Lasting(StrEnum):
    """Kinds of rows that are kept for ever and whose number a peer alone decides."""

    EVIDENCE = "evidence"
    """Rejected statements that are kept and logged."""
    RECALLS = "recalls"
    """Recalls of bulletins that are not held here, or were recalled before."""
    STREAMS = "streams"
    """Incarnations of the peer."""
    HEADS = "heads"
    """Stream heads that arrived as statements."""
    DIRECTORIES = "directories"
    """Roots and directories."""
    ACTS = "acts"
    CONSENTS = "consents"
    CHECKPOINTS = "checkpoints"


class Allowance:
    """The allowance of one peer for one step. Without ``left`` it is unlimited."""

    def __init__(self, left: Mapping[Lasting, int] | None = None) -> None:
        self._left = left
        self.spent: Counter[Lasting] = Counter()

    def take(self, what: Lasting) -> bool:
        """Spend one if there is one left; return False if not."""
        if self._left is not None and self.spent[what] >= self._left[what]:
            return False
        self.spent[what] += 1
        return True

    def need(self, what: Lasting) -> None:
        """Spend one.

        Raises DeliveryError RATE if none is left: nothing was done, and the peer tries again later.
        """
        if not self.take(what):
            raise DeliveryError("RATE", f"the peer has spent its budget of {what}")
