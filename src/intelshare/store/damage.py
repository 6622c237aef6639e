"""Which records of a store were met damaged and are not settled: for who mends them, and for operators."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from intelshare.errors import RecordError
from intelshare.ports import Scalar

MOST: Final = 4096
"""Records that are known; of more than that the rest is met again once these are settled."""

_Place = tuple[str, tuple[Scalar, ...]]


class Damage:
    """Of one open store, for any thread. Each record is told once, until it is forgotten."""

    def __init__(self, of_page: Callable[[], None] = lambda: None) -> None:
        """``of_page`` is called, in any thread, when a page was met that cannot be read."""
        self._of_page = of_page
        self._lock = threading.Lock()
        self._known: dict[_Place, RecordError] = {}
        self._tell: Callable[[RecordError], None] | None = None

    def note(self, error: RecordError) -> None:
        """A record was met that is not as it was written."""
        if error.page:
            self._of_page()
        with self._lock:
            place = error.table, error.key
            if place in self._known or len(self._known) >= MOST:
                return
            self._known[place] = error
            tell = self._tell
        if tell is not None:
            tell(error)

    def follow(self, tell: Callable[[RecordError], None]) -> None:
        """Call this for what is known, and from now on for each that is met, in the thread that meets it."""
        with self._lock:
            self._tell = tell
            known = list(self._known.values())
        for error in known:
            tell(error)

    def known(self) -> tuple[RecordError, ...]:
        """See ports.Damaged: in the order in which they were found."""
        with self._lock:
            return tuple(self._known.values())

    def forget(self, table: str, key: tuple[Scalar, ...]) -> None:
        """See ports.Damaged."""
        with self._lock:
            self._known.pop((table, key), None)
