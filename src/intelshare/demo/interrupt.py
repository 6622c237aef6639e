"""Makes Ctrl-C, SIGTERM and a closed terminal end the demo in one way, never between a process and its
record.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt for each of the three signals within the block.

    A library may take that exception for its own failure: `is_signature_valid` of `cryptography` answers
    false. So whatever the block ends with after a signal, it ends with KeyboardInterrupt.
    """
    came: list[int] = []

    def raising(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    try:
        with _handled(raising):
            yield
    except Exception as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    if came:
        raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay signals until the block has ended, so that what was started is also remembered."""
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number)):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _ENDING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
