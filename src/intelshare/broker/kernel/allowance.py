"""The rows that a peer may make this node keep for ever: ``engine.budgets`` grants, steps spend.

Rows that answer what this node sent, and rows that it asked for, cost nothing here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

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


FOREVER: Final = frozenset(Lasting) - {Lasting.CHECKPOINTS}
"""The kinds of which a row or a log entry stays; a checkpoint replaces the previous one."""


def no_bound() -> int:
    """Return a room that no step fills."""
    return sys.maxsize


class Allowance:
    """The allowance of one peer for one step. Without ``left`` it is unlimited.

    ``room`` returns how many rows the peer may still make this node keep in total; called once, if needed.
    """

    def __init__(self, left: Mapping[Lasting, int] | None = None, room: Callable[[], int] = no_bound) -> None:
        self._left = left
        self._ask = room
        self._room: int | None = None
        self.spent: Counter[Lasting] = Counter()
        self.kept = 0
        """The rows and entries that were kept."""

    def take(self, what: Lasting) -> bool:
        """Spend one if there is one left; return False if not."""
        if self._left is not None and self.spent[what] >= self._left[what]:
            return False
        if what in FOREVER:
            if self._room is None:
                self._room = self._ask()
            if self.kept >= self._room:
                return False
        self.spent[what] += 1
        return True

    def keep(self, what: Lasting) -> None:
        """Count one that is kept."""
        self.kept += what in FOREVER

    def need(self, what: Lasting) -> None:
        """Spend one.

        Raises DeliveryError RATE if none is left: nothing was done, and the peer tries again later.
        """
        if not self.take(what):
            raise DeliveryError("RATE", f"the peer has spent its budget of {what}")
