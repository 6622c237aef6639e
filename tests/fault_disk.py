"""Faults of a disk under real nodes: read-only, an fsync that fails, a lost end of the WAL (F9, F10, F11)."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from e2e.nodes import PROGRAM, intelshare, let_in, log_of, ok, remembered, wait_for_links, wait_until
from fault_pair import Load, Member, Watched, check, inbox, sending, two, until_ok
from fault_power import elsewhere, volumes
from fault_world import NotHere
from processes import ended

Damage = Callable[[Path, random.Random], None]


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
        raise NotHere("strace is missing")
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


def _cut(wal: Path, chance: random.Random) -> None:
    """Half of it is gone."""
    size = wal.stat().st_size
    with wal.open("r+b") as file:
        file.truncate(size // 2 + chance.randrange(4096))


def _flip(wal: Path, chance: random.Random) -> None:
    """One bit is wrong."""
    data = bytearray(wal.read_bytes())
    at = chance.randrange(len(data) // 4, len(data) // 2)
    data[at] ^= 1 << chance.randrange(8)
    wal.write_bytes(data)


def _delete(wal: Path, _: random.Random) -> None:
    """It is gone."""
    wal.unlink()


DAMAGES = (_cut, _flip, _delete)


def forgotten(count: int) -> str:
    """F11: the WAL of a node that was killed is cut in half, flipped or deleted, at recipient and sender.

    ``count``: the bulletins that were acknowledged each time.
    """
    chance = random.Random(count)
    told = []
    for damage in DAMAGES:
        for at_sender in (False, True):
            name = f"{damage.__name__[1:]} at the {'sender' if at_sender else 'recipient'}"
            told.append(f"{name}: {_forgets(count, damage, chance, at_sender=at_sender)}")
    return "; ".join(told)


def _forgets(count: int, damage: Damage, chance: random.Random, *, at_sender: bool) -> str:
    with two() as (fra, usa):
        for member in (fra, usa):
            # Only what came after this is in the WAL: not the partner.
            member.stop()
            member.start()
        wait_for_links(fra.folder)
        load = Load(fra.folder, "USA")
        load.batch(count)
        wait_until(lambda: load.had_ok <= _accepted(fra.folder), "all to be accepted")
        member, peer = (fra, usa) if at_sender else (usa, fra)
        wait_until(lambda: remembered(member.folder), "the sidecar and the peer to follow")
        member.kill()
        damage(member.folder / "intelshare.db-wal", chance)
        refused = intelshare("node", "run", "--dev", "--folder", member.folder)
        assert (refused.code, "STORE_FORGOT" in refused.err) == (7, True), refused
        (missing,) = re.findall(r"lost (\d+ log entries|a whole incarnation)", refused.err)
        assert "STORE_FORGOT" in intelshare("doctor", "--folder", member.folder).out
        member.start("--accept-loss")
        let_in(member.folder)
        wait_for_links(member.folder)
        figures = check(load, lambda: inbox(usa.folder))
        wait_until(lambda: load.had_ok <= _accepted(fra.folder), "the sender to show all as accepted again")
        wait_until(lambda: _shown(peer), f"{peer.folder.name} to show what was forgotten")
        load.batch(1)
        check(load, lambda: inbox(usa.folder))
        member.stop()
        member.start()
    return f"{missing} missing, refetched {count} of {count}, {figures}"


def _shown(peer: Member) -> bool:
    """Whether a peer shows amnesia, and no fork."""
    found = json.dumps(ok("audit", "evidence", "--folder", peer.folder, "--json").json)
    assert "FORK" not in found, found
    return "LOG_FORGOT" in found or bool(peer.log("link.peer_forgot"))


def _accepted(folder: Path) -> set[str]:
    """The bulletins that the sender knows to be accepted."""
    done = ok("outbox", "--as", folder / "users" / "rel", "--limit", "1000", "--json")
    return {
        str(entry["bulletin"]) for entry in done.json["entries"] if entry["pairs"][0]["word"] == "accepted"
    }
