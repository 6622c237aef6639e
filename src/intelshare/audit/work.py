"""Work that takes time and can be left between two of its reads: a generator that yields before each of them.

A node finishes it in a thread beside its event loop; the simulator goes on with it at instants that it draws.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Work = Generator[None, None, T]
"""Returns its outcome, or raises what it raises."""


def finish(work: Work[T]) -> T:
    """Do all of it now."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
