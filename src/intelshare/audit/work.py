"""Work that takes time and can be interrupted between reads: a generator that yields before each of them.

A node finishes it in a thread beside its event loop; the simulator resumes it at randomly drawn instants.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Work = Generator[None, None, T]
"""A generator that returns its outcome, or raises."""


def finish(work: Work[T]) -> T:
    """Run all of it now."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
