"""Ctrl-C at a moment at which what was shown and what was noted agree."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let a Ctrl-C wait until the block has ended, and raise KeyboardInterrupt then.

    For the main thread. A signal mask would not do: a thread of gRPC could take the signal, and Python would
    raise in the main thread all the same.
    """
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting and before is not signal.SIG_IGN:
        raise KeyboardInterrupt
