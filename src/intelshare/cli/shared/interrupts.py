"""Delays Ctrl-C until what was shown and what was recorded agree."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Delay a Ctrl-C until the block has ended, and raise KeyboardInterrupt then.

    Use it in the main thread. A signal mask would not do: a gRPC thread could take the signal, and Python
    would still raise in the main thread.
    """
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting and before is not signal.SIG_IGN:
        raise KeyboardInterrupt
