"""The ``intelshare`` command with a meter on it: what a process makes durable, counted from inside.

python -m bench.metered FILE [--calls] COMMAND...     e.g. node run --folder fra

The process ends when standard input does. It is the product's; nothing of it is replaced. Counted are commits
of SQLite (a hook that apsw offers) and calls of os.fsync and os.fdatasync; with each the bytes written to
disk so far. Of a replica that runs together with others, the processor time of its writer in turn too, by a
function around two of the store's. All of it goes into FILE, which others map into memory: a process that
keeps itself out of core dumps shows its /proc/.../io to nobody but root.

With ``--calls``, calls of functions by all threads too, those of C among them, as of the last commit or sync,
or look at what other replicas did. They are the same from run to run, however busy the machine is. Processor
time says nothing then: the process takes several times as long.

A commit in WAL mode with synchronous=FULL is one fdatasync. Not counted: those of checkpoints, at most three
for each 16 MiB of the log. The meter costs 2 µs a commit (measured).
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

LAYOUT = struct.Struct("=5Q")
CALLS = "--calls"
"""The word that has calls counted."""

BLOCK = 512
"""Bytes of a block as getrusage counts it."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Totals of a process since its start."""

    commits: int = 0
    syncs: int = 0
    """fsync and fdatasync, the one of each commit among them."""
    written: int = 0
    """Bytes of pages that were to be written to disk, as of the last commit or sync."""
    in_turn: int = 0
    """Nanoseconds of processor for which the writer of a replica had the turn, or waited for it."""
    calls: int = 0
    """Calls of functions; 0 where they are not counted."""

    def __sub__(self, before: Meter) -> Meter:
        return Meter(
            self.commits - before.commits,
            self.syncs - before.syncs,
            self.written - before.written,
            self.in_turn - before.in_turn,
            self.calls - before.calls,
        )


def read_meter(path: Path) -> Meter:
    """What the process that writes this file has done so far; nothing where it never started."""
    try:
        return Meter(*LAYOUT.unpack(path.read_bytes()))
    except FileNotFoundError:
        return Meter()


def install(path: Path, *, with_calls: bool = False) -> None:
    """Count from now on what this process does. Before anything of the product is imported."""
    import apsw

    path.write_bytes(bytes(LAYOUT.size))
    with path.open("r+b") as file:
        page = mmap.mmap(file.fileno(), LAYOUT.size)
    counted = [0, 0]
    turn, calls = [0], [0]

    def show() -> None:
        written = resource.getrusage(resource.RUSAGE_SELF).ru_oublock * BLOCK
        LAYOUT.pack_into(page, 0, *counted, written, *turn, *calls)

    def tell(commits: int) -> None:
        counted[0] += commits
        counted[1] += 1
        show()

    def commit() -> bool:
        tell(1)
        return False  # True would undo it

    def counting(sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def call(file: Any) -> None:
            sync(file)
            tell(0)

        return call

    apsw.connection_hooks.append(lambda connection: connection.set_commit_hook(commit, id="bench"))
    os.fsync, os.fdatasync = counting(os.fsync), counting(os.fdatasync)  # type: ignore[assignment]
    if with_calls:

        def note(_: FrameType, event: str, __: object) -> None:
            if event in {"call", "c_call"}:
                calls[0] += 1

        threading.setprofile(note)
        sys.setprofile(note)
    if "--together" not in sys.argv:
        return
    from intelshare.store.postgres.together import SharedDatabase

    def timing(write: Callable[..., None]) -> Callable[..., None]:
        def call(*given: Any) -> None:
            began = time.thread_time_ns()
            try:
                write(*given)
            finally:
                turn[0] += time.thread_time_ns() - began
                show()

        return call

    for name in ("commit", "flush_slice"):
        setattr(SharedDatabase, name, timing(getattr(SharedDatabase, name)))

    def showing(look: Callable[..., bool]) -> Callable[..., bool]:
        def call(*given: Any) -> bool:
            try:
                return look(*given)
            finally:
                show()

        return call

    SharedDatabase.look = showing(SharedDatabase.look)  # type: ignore[method-assign]


def end_with_starter() -> None:
    """Stop this process when standard input ends: whoever started it holds the other end, and has died."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_starter()
    file, *words = sys.argv[1:]
    with_calls = words[0] == CALLS
    install(Path(file), with_calls=with_calls)
    from intelshare.cli import run

    sys.exit(run(words[1:] if with_calls else words))
