"""The one place that starts processes for tests, and sees to it that each of them ends.

Each has a process group of its own and is killed with the process that started it. One that does not end by
the signal that it should obey, or leaves another process behind, fails the test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import forked
from intelshare.patience import VARIABLE, patient
from intelshare.tethered import tethered

LIMIT = 60.0
"""Seconds for a command to end, scaled by INTELSHARE_PATIENCE like every limit here."""

SHOWN = 4000
"""The last characters that are shown of what a late command wrote."""

_GRACE = 30.0
"""Seconds for a process to end by the signal that it was sent."""

PATIENCE = "4"
"""How much longer limits are where nobody has said it: tests run many processes on two cores."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without what somebody has set for a node of their own, and with these settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INTELSHARE_")}
    return ours | {VARIABLE: os.environ.get(VARIABLE, PATIENCE)} | settings


@contextlib.contextmanager
def process(
    words: Sequence[str | Path], *, ends_by: signal.Signals = signal.SIGTERM, **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """A process that runs within the block. At its end it gets ``ends_by``, if it still runs, and is reaped.

    ``options`` are those of ``subprocess.Popen``. Raises AssertionError if it had to be killed.
    """
    started = _started([str(word) for word in words], options)
    try:
        yield started
    finally:
        stubborn = _end(started, ends_by)
        for stream in (started.stdin, started.stdout, started.stderr):
            _close(stream)
        assert not stubborn, f"{' '.join(map(str, words))}: {stubborn}"


def _started(words: list[str], options: dict[str, Any]) -> subprocess.Popen[Any]:
    """Start a process in a session of its own: that is a group of its own too, and has no terminal."""
    if forked.may_fork(words, options):
        return forked.Forked(words, **options)
    return subprocess.Popen(tethered(words, signal.SIGKILL), start_new_session=True, **options)


def finished(
    words: Sequence[str | Path],
    *,
    stdin: str | int = "",
    seconds: float = LIMIT,
    check: bool = False,
    **options: Any,
) -> Ended:
    """Run a command to its end. ``stdin``: what it reads, or a file descriptor that it reads from.

    Raises AssertionError if it takes too long, or fails where ``check``.
    """
    given, source = (stdin, subprocess.PIPE) if isinstance(stdin, str) else (None, stdin)
    pipes = {"stdin": source, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with process(words, text=True, **pipes, **options) as started:
        done = outcome(started, given, seconds=seconds)
    assert not check or done.code == 0, (words, done)
    return done


def outcome(started: subprocess.Popen[str], stdin: str | None = None, *, seconds: float = LIMIT) -> Ended:
    """How a process ends that was started with pipes. Raises AssertionError if it takes too long."""
    limit = patient(seconds)
    try:
        out, err = started.communicate(stdin, timeout=limit)
    except subprocess.TimeoutExpired as late:
        wrote = b"".join(part for part in (late.stdout, late.stderr) if part).decode("utf-8", "replace")
        raise AssertionError(
            f"{started.args} had not ended after {limit:g} s; it wrote, at last:\n{wrote[-SHOWN:]}"
        ) from None
    return Ended(started.returncode, out or "", err or "")


def ended(started: subprocess.Popen[Any], seconds: float = LIMIT) -> int:
    """The exit code of a process that is about to end."""
    return started.wait(patient(seconds))


def _end(started: subprocess.Popen[Any], number: signal.Signals) -> str:
    """End a process and its group; what was wrong with how it ended, or nothing."""
    wrong = ""
    if started.poll() is None:
        # A process that was stopped obeys nothing but SIGKILL.
        _tell(started, signal.SIGCONT)
        started.send_signal(number)
        try:
            started.wait(patient(_GRACE))
        except subprocess.TimeoutExpired:
            wrong = f"did not end by {number.name} and was killed"
    elif left := left_behind(started.pid):
        wrong = f"left behind: {left}"
    _tell(started, signal.SIGKILL)
    started.wait()
    return wrong


def _tell(started: subprocess.Popen[Any], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, number)


def left_behind(group: int) -> list[str]:
    """Processes of a group that still run."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition(") ")
            state, _, of, *_ = rest.split()
            if int(of) == group and state != "Z":
                found.append(name)
    return found


def _close(stream: IO[Any] | None) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError):
            stream.close()
