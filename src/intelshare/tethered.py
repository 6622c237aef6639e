"""Runs a command that ends with the process that started it, even if that one is killed (Linux).

Run as a script, it asks the kernel for a signal at the death of its parent and then becomes the command: the
process id stays. It imports no more than it needs, because it runs before every node of the demo.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(words: Sequence[str], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return the command line that runs ``words`` so that it gets this signal when this process ends.

    It must be started by a thread that lives as long as the command may. On systems other than Linux nothing
    is added: there a command outlives a parent that was killed.
    """
    if not sys.platform.startswith("linux"):
        return list(words)
    return [sys.executable, "-IS", __file__, str(os.getpid()), str(int(number)), *words]


def _become(parent: int, number: int, words: list[str]) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"process {parent} ended before {words[0]} started")
    os.execvp(words[0], words)  # noqa: S606 - the caller's own words, and no shell


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
