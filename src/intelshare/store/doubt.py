"""A commit whose outcome is unknown: its caller asks again under the same key (promise P2)."""

from __future__ import annotations

from intelshare.errors import StoreError


class InDoubt(Exception):
    """A commit whose outcome nobody here will know, and why not."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


def unknown(why: str) -> StoreError:
    """Return OUTCOME_UNKNOWN for a caller whose step was in such a commit."""
    return StoreError(
        "OUTCOME_UNKNOWN",
        f"{why}: this may be stored, or not",
        hint="send the same again under the same key: nothing is stored twice",
    )
