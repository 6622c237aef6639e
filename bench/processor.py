"""Processor time of other processes, to the nanosecond and by thread, without rights; and a unit to give it
in."""

from __future__ import annotations

import contextlib
import hashlib
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor, or a difference of two such."""

    whole: float = 0.0
    """Of the process, threads that have ended included."""
    threads: tuple[tuple[int, float], ...] = ()
    """(thread, seconds) of those that live; the first is the main thread: a node's event loop."""

    def __sub__(self, before: Used) -> Used:
        earlier = dict(before.threads)
        threads = tuple((thread, used - earlier.get(thread, 0.0)) for thread, used in self.threads)
        return Used(self.whole - before.whole, threads)

    @property
    def loop(self) -> float:
        """The main thread's."""
        return self.threads[0][1] if self.threads else 0.0

    @property
    def writer(self) -> float:
        """The busiest other thread's: a node's store writer."""
        return max((used for _, used in self.threads[1:]), default=0.0)


def used(pid: int) -> Used:
    """Of a living process, by its own clock and the scheduler's count of each thread."""
    threads = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda one: int(one.name)):
        try:
            threads.append((int(task.name), int((task / "schedstat").read_text().split()[0]) / 1e9))
        except FileNotFoundError:
            continue  # a thread that has just ended
    return Used(time.clock_gettime((~pid << 3) | 2), tuple(threads))


def resident(pid: int) -> int:
    """Bytes in memory (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


_PAUSE = 0.02
"""Seconds between two units of a pace: it takes about a twentieth of a processor."""


@contextlib.contextmanager
def pace() -> Iterator[Callable[[], float]]:
    """A process that keeps working on units beside whatever is measured; call what is given to end it.

    It gives the seconds of processor that a unit took meanwhile, the median. What a virtual processor does in
    a second depends on its neighbours, and is less by half while the other processors are busy too: a unit
    that is taken before or after the work says nothing of that.
    """
    words = [sys.executable, "-m", "bench.processor"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as working:
        try:
            yield lambda: float(working.communicate()[0])
        finally:
            working.kill()


def unit() -> float:
    """Seconds of processor that one round of a fixed mix takes here: the better of two, about 2 ms in all.

    Half of it is the interpreter (calls, small objects, a dictionary), half hashing of 2 KiB. Processor time
    in these units depends on the machine much less than µs do.
    """
    return min(_round(), _round())


def _round() -> float:
    body = bytes(2048)
    start = time.thread_time()
    kept: dict[bytes, tuple[int, bytes]] = {}
    for number in range(160):
        digest = hashlib.sha256(body + number.to_bytes(8, "big")).digest()
        kept[digest] = (number, digest[:16] + bytes((number & 255,)))
        mixed = number
        for place in range(8):
            mixed = _mix(mixed, place)
    assert len(kept) == 160
    return time.thread_time() - start


def _mix(number: int, place: int) -> int:
    return (number * 31 + place) & 0xFFFF


def _work() -> None:
    """Until the input ends: units, with pauses. Prints their median."""
    taken: list[float] = []
    while not select.select([sys.stdin], [], [], _PAUSE)[0]:
        taken.append(unit())
    print(median(taken or [unit()]))


if __name__ == "__main__":
    _work()
