"""Faults of a disk under real nodes: read-only, an fsync that fails, a WAL that lost its end (F9, F10, F11)."""

from __future__ import annotations

import random
import shutil
import sys
import time
from pathlib import Path

from e2e.nodes import PROGRAM, intelshare, log_of, ok, wait_for_links, wait_until
from fault_load import Load, Member, NotPossible, Watched, check, inbox, sending, two, until_ok
from fault_power import elsewhere, volumes
from processes import ended


def read_only(cycles: int) -> str:
    """F9: the file system of the sender and of the recipient becomes read-only under load, as after an error
    of its disk; then it is checked and mounted again."""
    slowest = 0.0
    with volumes("fra", "usa") as (f, u), two(f.root.parent) as (fra, usa):
        home = f.root.parent
        load = Load(fra.folder, "USA", elsewhere(fra.folder, home))
        watched = Watched(elsewhere(usa.folder, home))
        with sending(load):
            for cycle in range(cycles):
                member, volume = ((fra, f), (usa, u))[cycle % 2]
                until_ok(load, 10)
                began = time.monotonic()
                volume.refuse()
                code = ended(member.process)
                slowest = max(slowest, time.monotonic() - began)
                assert code != 0
                assert member.log("node.fatal")[-1]["code"] == "DISK_ERROR"
                member.stop()
                refused = intelshare("node", "run", "--dev", "--folder", member.folder)
                assert "error[DISK_ERROR]" in refused.err, refused
                volume.come_back()
                member.start()
        figures = check(load, watched.look)
    assert slowest < 5, f"{slowest:.1f} s until it ended"
    return f"{cycles} times read-only, ended with DISK_ERROR after {slowest:.1f} s at most; {figures}"


def failing_sync(runs: int) -> str:
    """F10: one fsync of a node fails, at sender and recipient; the next one would succeed."""
    if not shutil.which("strace"):
        raise NotPossible("strace is missing")
    late = 0
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        watched = Watched(usa.folder / "users" / "ana")
        for run in range(runs):
            member = (fra, usa)[run % 2]
            member.stop()
            trace = member.folder.parent / "trace"
            inject = f"inject=fdatasync,fsync:error=EIO:when={50 + run}"
            member.program = (
                "strace", "-D", "-f", "-ttt", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", str(trace),
                *PROGRAM,
            )  # fmt: skip
            member.start()
            with sending(load):
                assert ended(member.process) != 0
                last = time.time()
                assert member.log("node.fatal")[-1]["code"] == "DISK_ERROR"
                (line,) = (line for line in trace.read_text().splitlines() if "INJECTED" in line)
                failed = float(line.split()[1])
                late += load.last_ok > failed + 0.05 and member is fra
                assert last - failed < 10
                member.stop()
                member.program = PROGRAM
                member.start()
                until_ok(load)
        figures = check(load, watched.look)
        said = log_of(fra.folder).read_text()
    assert not late, "an OK after the fsync that failed"
    assert "STORE_FORGOT" not in said
    return f"{runs} nodes ended with DISK_ERROR; OKs after it 0; {figures}"
