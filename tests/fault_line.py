"""A bad line between two network namespaces: two TUN devices, and everything between them is delayed, lost,
doubled or overtaken.

python tests/fault_line.py PID HERE PID THERE [--delay MS] [--loss SHARE] [--twice SHARE] [--late SHARE]

PID is a process in the namespace of that end, HERE and THERE are its addresses. It needs root, runs until it
is killed, and takes the devices with it.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import time

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_CLONE_NEWNET = 0x40000000

LATE = 0.05
"""Seconds by which a packet that is overtaken is later than the rest."""


def _enter(path: str) -> None:
    """Move this process into a network namespace."""
    with open(path) as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")


def device(pid: int, own: str, other: str) -> int:
    """Open a TUN device in the namespace of a process, and lead the way to the other end through it."""
    _enter(f"/proc/{pid}/ns/net")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", b"line", _IFF_TUN | _IFF_NO_PI))
    for words in (
        ["ip", "link", "set", "line", "up"],
        ["ip", "route", "add", f"{other}/32", "dev", "line", "src", own],
    ):
        subprocess.run(words, check=True)
    return tun


def forward(ends: tuple[int, int], given: argparse.Namespace, dice: random.Random) -> None:
    """Carry packets between the two, for ever."""
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, (), (), patience)[0]:
            packet, other = os.read(end, 65536), ends[ends.index(end) ^ 1]
            if dice.random() < given.loss:
                continue
            for _ in range(2 if dice.random() < given.twice else 1):
                late = LATE if dice.random() < given.late else 0.0
                number += 1
                heapq.heappush(waiting, (time.monotonic() + given.delay / 1000 + late, number, other, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, other, packet = heapq.heappop(waiting)
            os.write(other, packet)


def main() -> None:
    """Open both ends and carry."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (("pid", int), ("own", str), ("other_pid", int), ("other", str)):
        parser.add_argument(name, type=kind)
    for option in ("--delay", "--loss", "--twice", "--late"):
        parser.add_argument(option, type=float, default=0.0)
    given = parser.parse_args()
    ends = (
        device(given.pid, given.own, given.other),
        device(given.other_pid, given.other, given.own),
    )
    forward(ends, given, random.Random(1))


if __name__ == "__main__":
    main()
