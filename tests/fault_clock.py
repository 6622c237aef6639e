"""A wall clock that is wrong under one real node, its monotonic clock left alone (F14, F15, F32).

libfaketime reads the offset from a file: the clock jumps while the node runs. The machine's clock stays right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.nodes import PROGRAM, intelshare, ok, wait_for_links, wait_until
from fault_pair import Load, Member, NotPossible, check, inbox, two

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
)

HOUR = 3600
DAY = 24 * HOUR
JUMPS = {"-1 h": -HOUR, "+1 day": DAY, "+400 days": 400 * DAY}

AHEAD = 14.0
"""Seconds for which the clock of F32 is wrong."""


class WrongClock:
    """The clock of one member's node."""

    def __init__(self, member: Member) -> None:
        library = next((path for path in _LIBRARIES if Path(path).exists()), None)
        if library is None:
            raise NotPossible("libfaketime is missing")
        self.member = member
        self._file = member.folder.parent / f"{member.folder.name}.offset"
        self.set(0)
        member.program = (
            "env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={self._file}", "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", *PROGRAM,
        )  # fmt: skip

    def set(self, seconds: int) -> None:
        """Ahead of the machine's clock, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)


@contextmanager
def _two(at_sender: bool) -> Iterator[tuple[Member, Member, WrongClock]]:
    with two() as (fra, usa):
        member = fra if at_sender else usa
        member.stop()
        clock = WrongClock(member)
        member.start()
        wait_for_links(fra.folder)
        yield fra, usa, clock


def health(folder: Path) -> str:
    """What ``node health`` prints."""
    return intelshare("node", "health", "--folder", folder).out


def _send(folder: Path, *words: str) -> str:
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", "USA", "--label",
        "//FRA SECRET//REL TO FRA, USA", "--category", "cyber", "--json", *words, stdin="x",
    )  # fmt: skip
    return str(done.json["bulletin"])


def _word(folder: Path, bulletin: str) -> str:
    done = ok("outbox", bulletin, "--as", folder / "users" / "ana", "--json")
    return str(done.json["pairs"][0]["word"])


def jumped(_: int) -> str:
    """F14: -1 h, +1 day, +400 days at the sender, then at the recipient, and back."""
    told = []
    for at_sender in (True, False):
        for name, seconds in JUMPS.items():
            where = "sender" if at_sender else "recipient"
            try:
                told.append(f"{name} at the {where}: {_jumps(seconds, at_sender=at_sender)}")
            except AssertionError as broken:
                raise AssertionError(f"{name} at the {where}: {broken}") from None
    return "; ".join(told)


def _jumps(seconds: int, *, at_sender: bool) -> str:
    with _two(at_sender) as (fra, usa, clock):
        load = Load(fra.folder, "USA")
        short = _send(fra.folder, "--valid-until", "1m", "--wait", "accepted")
        load.had_ok.add(short)
        load.batch(5)
        check(load, lambda: inbox(usa.folder))
        clock.set(seconds)
        began = time.monotonic()
        wait_until(lambda: "CLOCK" in health(clock.member.folder), "health to say CLOCK")
        noticed = time.monotonic() - began
        if at_sender:
            held = _send(fra.folder)
            load.had_ok.add(held)
            time.sleep(2)
            assert _word(fra.folder, held) == "queued", "nothing is released"
        else:
            load.batch(5)
        clock.set(0)
        began = time.monotonic()
        wait_until(lambda: health(clock.member.folder).strip() == "SERVING", "it to serve again")
        back = time.monotonic() - began
        figures = check(load, lambda: inbox(usa.folder))
        for one in load.had_ok - {short}:
            wait_until(lambda one=one: _word(fra.folder, one) == "accepted", "each to be accepted")
        for member in (fra, usa):
            ok("audit", "verify", "--folder", member.folder)
    return f"CLOCK after {noticed:.1f} s, serving {back:.1f} s after it was right, {figures}"
