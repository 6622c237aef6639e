"""How many calls that stay open one user may have at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from intelshare.errors import DeliveryError
from intelshare.ids import UserUri


class OpenCalls:
    """The open calls of one method, by user."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._open: Counter[UserUri] = Counter()

    @contextmanager
    def one_of(self, user: UserUri) -> Iterator[None]:
        """Count one more while it is open. Raises DeliveryError RATE."""
        if self._open[user] >= self._most:
            raise DeliveryError(
                "RATE", f"more than {self._most} {self._what} of one user", hint="end one of them"
            )
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
