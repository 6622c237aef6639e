"""A wall clock that is wrong under one real node, its monotonic clock left alone (F14, F15, F32).

The offset is in a file: the clock jumps while the node runs, as does that of its commands. The TLS library
goes by the machine's clock (``shifted_clock``).
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from e2e.nodes import intelshare, log_of, ok, wait_for_links, wait_until
from fault_pair import LABELS, Load, Member, check, inbox, two
from processes import clean_environment, finished

_SHIFTED = Path(__file__).with_name("shifted_clock.py")

HOUR = 3600
DAY = 24 * HOUR
JUMPS = {"-1 h": -HOUR, "+1 day": DAY, "+400 days": 400 * DAY}

AHEAD = 14.0
"""Seconds for which the clock of F32 is wrong."""


class WrongClock:
    """The clock of one member's node."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._file = member.folder.parent / f"{member.folder.name}.offset"
        self.set(0)
        member.program = (sys.executable, str(_SHIFTED), str(self._file))

    def set(self, seconds: int) -> None:
        """Ahead of the machine's clock, or behind it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    @property
    def health(self) -> str:
        """What `node health` prints at that machine."""
        words = [*self.member.program, "node", "health", "--folder", self.member.folder]
        return finished(words, env=clean_environment()).out.strip()


@contextmanager
def _two(*, at_sender: bool) -> Iterator[tuple[Member, Member, WrongClock]]:
    with two() as (fra, usa):
        member = fra if at_sender else usa
        member.stop()
        clock = WrongClock(member)
        member.start()
        wait_for_links(fra.folder)
        yield fra, usa, clock


def _send(folder: Path, *words: str) -> str:
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", "USA", "--label", LABELS["FRA"],
        "--category", "cyber", "--json", *words, stdin="x",
    )  # fmt: skip
    return str(done.json["bulletin"])


def _word(folder: Path, bulletin: str) -> str:
    done = ok("outbox", bulletin, "--as", folder / "users" / "ana", "--json")
    return str(done.json["pairs"][0]["word"])


def _each(run: Callable[..., str], cases: Mapping[str, int]) -> str:
    told = []
    for at_sender in (True, False):
        for name, seconds in cases.items():
            where = f"{name} at the {'sender' if at_sender else 'recipient'}"
            try:
                told.append(f"{where}: {run(seconds, at_sender=at_sender)}")
            except AssertionError as broken:
                raise AssertionError(f"{where}: {broken}") from None
    return "; ".join(told)


def jumped(_: int) -> str:
    """F14: -1 h, +1 day, +400 days at the sender, then at the recipient, and back."""
    return _each(_jumps, JUMPS)


def ahead(_: int) -> str:
    """F32: +1 day and +400 days for 14 s at either end, then right, then a restart."""
    return _each(_ahead, {name: seconds for name, seconds in JUMPS.items() if seconds > 0})


def _jumps(seconds: int, *, at_sender: bool) -> str:
    with _two(at_sender=at_sender) as (fra, usa, clock):
        load = Load(fra.folder, "USA")
        short = _send(fra.folder, "--valid-until", "1m", "--wait", "accepted")
        expires = time.monotonic() + 60
        load.had_ok.add(short)
        load.batch(5)
        check(load, lambda: inbox(usa.folder))
        began = time.monotonic()
        clock.set(seconds)
        wait_until(lambda: "CLOCK" in clock.health, "health to say CLOCK")
        noticed = time.monotonic() - began
        if at_sender and seconds == DAY:  # at other times no user's certificate is valid
            held = _send(fra.folder)
            load.had_ok.add(held)
            time.sleep(2)
            assert _word(fra.folder, held) in ("queued", "ready"), "released under a clock that is wrong"
        if not at_sender:
            load.batch(5)
        time.sleep(max(0.0, expires - time.monotonic()))
        began = time.monotonic()
        clock.set(0)
        wait_until(lambda: clock.health == "SERVING", "it to serve again")
        back = time.monotonic() - began
        load.had_ok.discard(short)
        figures = check(load, lambda: inbox(usa.folder) - Counter([short]))
        for one in load.had_ok:
            wait_until(lambda one=one: _word(fra.folder, one) == "accepted", "each to be accepted")
        gone = intelshare("read", short, "--as", usa.folder / "users" / "ana")
        assert gone.code, "what has expired can be read"
        for member in (fra, usa):
            ok("audit", "verify", "--folder", member.folder)
    return f"CLOCK after {noticed:.1f} s, serving {back:.1f} s after it was right, {figures}"


def _ahead(seconds: int, *, at_sender: bool) -> str:
    with _two(at_sender=at_sender) as (fra, usa, clock):
        load = Load(fra.folder, "USA")
        load.batch(5)
        clock.set(seconds)
        time.sleep(AHEAD)
        if not at_sender:
            load.batch(5)
        began = time.monotonic()
        clock.set(0)
        wait_until(lambda: clock.health == "SERVING", "it to serve again")
        back = time.monotonic() - began
        clock.member.stop()
        clock.member.start()
        assert clock.health == "SERVING"
        load.batch(5)
        figures = check(load, lambda: inbox(usa.folder))
        for one in load.had_ok:
            wait_until(lambda one=one: _word(fra.folder, one) == "accepted", "each to be accepted")
    return f"serving by itself {back:.1f} s after it was right, and after a restart, {figures}"


def skewed(_: int) -> str:
    """F15: nearly 5 minutes of skew all the time: works. Then 10: CLOCK_SKEW with the offset; once the clock
    was set right, and an operator believes it as the runbook says, what was refused is accepted."""
    with two() as (fra, usa):
        usa.stop()
        clock = WrongClock(usa)
        clock.set(5 * 60 - 20)
        usa.start()
        wait_for_links(fra.folder)
        load = Load(fra.folder, "USA")
        load.batch(20)
        check(load, lambda: inbox(usa.folder))
        for one in load.had_ok:
            wait_until(lambda one=one: _word(fra.folder, one) == "accepted", "each to be accepted")
        usa.stop()
        clock.set(10 * 60)
        usa.start()
        load.batch(5)
        wait_until(lambda: "CLOCK_SKEW" in _said(fra) + _said(usa), "CLOCK_SKEW")
        seen = ok("node", "peers", "--folder", fra.folder, "--json").out
        assert re.search(r'"clock[a-z_]*": "?(59|60)\d', seen), seen
        clock.set(0)
        wait_until(lambda: "CLOCK" in clock.health, "the jump to be noticed")
        wait_for_links(usa.folder)
        began = time.monotonic()
        ok("node", "clock", "--believe", "--yes", "--folder", usa.folder)
        figures = check(load, lambda: inbox(usa.folder))
        for one in load.had_ok:
            wait_until(lambda one=one: _word(fra.folder, one) == "accepted", "each to be accepted")
        took = time.monotonic() - began
    return f"280 s: works; 600 s: CLOCK_SKEW; {took:.1f} s after it was right and believed: {figures}"


def _said(member: Member) -> str:
    return log_of(member.folder).read_text()
