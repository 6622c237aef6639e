"""Runs intelshare with a wall clock that is wrong by so many seconds, which a file says, also while it runs.

python tests/shifted_clock.py FILE WORDS...

Of Python's clock only: the TLS library goes by the machine's. libfaketime does the same to all of a program,
but lets every thread that waits spin: beside other work its node does next to nothing.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

_file = Path(sys.argv.pop(1))
_seconds, _nanoseconds, _steady = time.time, time.time_ns, time.monotonic
_OLD = 0.01
"""Seconds after which the file is read again."""
_read = (0.0, 0)


def _shift() -> int:
    global _read  # noqa: PLW0603 - a clock is one for the whole process
    now = _steady()
    if now - _read[0] > _OLD:
        _read = (now, int(_file.read_text()))
    return _read[1]


time.time = lambda: _seconds() + _shift()
time.time_ns = lambda: _nanoseconds() + _shift() * 1_000_000_000
runpy.run_module("intelshare", run_name="__main__", alter_sys=True)
