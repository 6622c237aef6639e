"""A member of a run of faults: a data folder, and its node, which a run starts, stops and kills at will."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from e2e.nodes import PROGRAM, log_of, running


class Member:
    """One member's data folder, and its node while it runs."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        """``program``: the words that run the node, perhaps within bounds, or in a namespace."""
        self.folder, self.program = folder, program
        self.runs = False
        """From a start to the next stop or kill."""
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._process is not None, f"the node of {self.folder} was never started"
        return self._process

    def start(self, *words: str) -> float:
        """Start the node; the seconds until it serves. ``words``: more of ``node run``."""
        began = time.monotonic()
        self._process = self._stack.enter_context(running(self.folder, self.program, words))
        self.runs = True
        return time.monotonic() - began

    def stop(self) -> int:
        """Stop it in order, if it runs; the exit code."""
        self._stack.close()
        self.runs = False
        return self._process.returncode if self._process is not None else 0

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.stop()

    def log(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        """What its nodes have logged under this event, after so many bytes."""
        lines = log_of(self.folder).read_bytes()[since:].decode().splitlines()
        told = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in told if line["event"] == event]
