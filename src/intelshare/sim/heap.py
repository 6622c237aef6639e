"""Virtual time: one heap of (time, tie, event), and the hash of everything that happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush

from intelshare.instant import SECOND

MAX_EVENTS = 200_000
"""The most events of one run, which needs a tenth of that: more means that a node asks without end."""


class Violation(Exception):
    """An invariant is violated: its name, and what was found."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what


class Heap:
    """The scheduler: runs events in the order of their times, and events of one time in the order they were
    made.
    """

    def __init__(self, keep: bool = False) -> None:
        """Make an empty heap. ``keep``: also keep the trace as lines, for people."""
        self.now = 0
        self.events = 0
        self.lines: list[str] | None = [] if keep else None
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0
        self._trace = hashlib.blake2b(digest_size=16)

    def after(self, delay: int, event: Callable[[], None]) -> None:
        """Let ``event`` happen ``delay`` microseconds from now."""
        self._made += 1
        heappush(self._heap, (self.now + delay if delay > 0 else self.now, self._made, event))

    def note(self, *words: str | int, data: bytes = b"") -> None:
        """Record something that happened in the trace."""
        line = f"{self.now} {' '.join(map(str, words))}"
        self._trace.update(f"{line} {len(data)}\n".encode() + data)
        if self.lines is not None:
            digest = hashlib.blake2b(data, digest_size=4).hexdigest() if data else ""
            self.lines.append(f"{self.now / SECOND:12.6f} {line.partition(' ')[2]} {digest}".rstrip())

    def trace(self) -> str:
        """Return the hash of everything recorded."""
        return self._trace.hexdigest()

    def run(self, until: int) -> None:
        """Run everything that happens before ``until``; the time is then ``until``. Raises Violation."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, event = heappop(heap)
            self.events += 1
            if self.events > MAX_EVENTS:
                raise Violation("I9", f"more than {MAX_EVENTS} events: a node is in an endless loop")
            event()
        self.now = until
