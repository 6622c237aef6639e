"""Faults of load and memory with real processes: F3, F18 to F20, F23 to F25, F33, F35.

Each plays one fault so many times; the answer is its figure. Raises AssertionError where a promise is not
kept, NotHere where this machine cannot play it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from bench.processor import used

from e2e.nodes import log_of
from fault_world import (
    SLACK,
    Highest,
    Member,
    Traffic,
    federation,
    frozen_still,
    machine,
    quantile,
    unanswered,
)
from intelshare.delivery.link import MAX_WINDOW

RATE = 10.0
"""Bulletins a second, each for three of the members: the machine is shared."""

MINUTE = 60.0
"""The seconds for which the others' p99 is taken: of 200 bulletins it is the second worst, mostly chance."""

MOST = MAX_WINDOW // 2048
"""Bulletins of 2 KiB that fit into the largest window of a link."""

WINDOW = 64
"""Bulletins that may be on the way already when a more urgent one comes."""


def stopped(times: int) -> str:
    """F3: one of ten stops for 30 s, again and again; the others' p99 is that of peace, times two at most."""
    with federation(10) as world:
        traffic, one = Traffic(world.hub), world.others[0]
        peace: list[float] = []
        war: list[float] = []
        attempts = 0
        with traffic.flowing(world.others, RATE):
            time.sleep(10)  # caches and first contacts
            times_of: list[tuple[float, float, float]] = []
            for _ in range(times):
                began = time.time()
                time.sleep(10)
                stopped, before = time.time(), log_of(world.hub.folder).stat().st_size
                with frozen_still(one):
                    time.sleep(30)
                times_of.append((began, stopped, time.time()))
                failed = world.hub.logged("link.dial_failed", one, before)
                attempts = max(attempts, failed)
                world.linked()
        for began, stopped, over in times_of:
            peace += traffic.took(began, stopped, without=one.code)
            war += traffic.took(stopped, over, without=one.code)
        before_, during = quantile(peace, 0.99), quantile(war, 0.99)
        checked, slower = world.check(traffic.ids()), world.hub.starved
        assert during <= 2 * before_ + SLACK * slower, f"p99 {before_:.3f} s, then {during:.3f} s"
        assert attempts <= 6, f"{attempts} dials in 30 s"
    return (
        f"{times} stops of 30 s: p99 of the others {during * 1e3:.0f} ms, in peace {before_ * 1e3:.0f} ms; "
        f"at most {attempts} dials; {checked}; processor shared by {slower:.1f}, {machine()}"
    )


def behind(times: int) -> str:
    """F18: so many bulletins wait for one of ten that is off, under load; then it comes back."""
    with federation(10, queue=2 * times) as world, Highest(world.hub) as highest:
        traffic, off, rest = Traffic(world.hub), world.others[0], world.others[1:]
        off.stop()
        with traffic.flowing(rest, RATE):
            time.sleep(10)
            began = time.time()
            time.sleep(MINUTE)
            filling = time.time()
            waiting = world.store(off, _precedences(times))
            filled = time.time()
            time.sleep(5)  # the rows of so many are moved into their tables
            moved = time.time()
            time.sleep(MINUTE)
            idle = time.time()
        world.hub.stop()
        start, slow = world.hub.start(), world.hub.starved
        with traffic.flowing(rest, RATE):
            world.linked(*rest)
            time.sleep(5)
            on = time.time()
            off.start()
            world.linked(off)
            flashes = Traffic(world.hub, 2)
            with flashes.flowing([off], 2, urgent=1.0):
                while unanswered(world.hub, off):
                    time.sleep(1)
                caught_up = time.time()
        slower = world.hub.starved
        times_of = (began, filling), (moved, idle), (on, caught_up), (filled, moved)
        p99 = [quantile(traffic.took(*one), 0.99) for one in times_of]
        arrived = [one["bulletin"] for one in off.events() if one.get("what") == "received"]
        world.seen[off.code].update(arrived)
        overtaken = _overtaken([waiting[one].precedence for one in arrived if one in waiting])
        everything = {key: one.to for key, one in (waiting | flashes.sent).items()} | traffic.ids()
        checked = world.check(everything, verify=times <= 20_000)
    slowest = max(flashes.took(0, caught_up))
    told = (
        f"{times} stored at {times / (filled - filling):.0f}/s and caught up at "
        f"{times / (caught_up - on):.0f}/s; p99 of the others {p99[0] * 1e3:.0f} ms in peace, "
        f"{p99[1] * 1e3:.0f} ms with the backlog ({p99[3] * 1e3:.0f} ms in the 5 s after it was stored), "
        f"{p99[2] * 1e3:.0f} ms in the catch-up; memory of the sender {highest.mib:.0f} MiB at most; "
        f"start {start:.1f} s (processor shared by {slow:.1f}); "
        f"{len(flashes.sent)} new FLASH in "
        f"{slowest:.2f} s at most (shared by {slower:.1f}); "
        f"{overtaken} of lower precedence before one of higher; {checked}; "
        f"{machine()}"
    )
    print(told, file=sys.stderr)
    assert p99[1] <= 1.2 * p99[0] + SLACK / 10 * slower, told
    assert highest.mib < 200, told
    assert start < 5 * slow, told
    assert slowest < slower, told
    assert p99[2] < slower, told
    assert overtaken <= WINDOW, told
    return told


def _precedences(count: int) -> list[int]:
    """Mostly ROUTINE; the urgent come last."""
    return [1] * (count - 2 * (count // 10)) + [2] * (count // 10) + [3] * (count // 10)


def _overtaken(order: Sequence[int]) -> int:
    """How many of a lower precedence arrived before the last one of a higher, at most."""
    last = {precedence: place for place, precedence in enumerate(order)}
    return max(sum(one < precedence for one in order[:place]) for precedence, place in last.items())


def killed_behind(times: int) -> str:
    """F19: SIGKILL of the sender while a backlog is caught up, again and again."""
    with federation(2, queue=2000 * times + 10_000) as world:
        hub, one = world.hub, world.others[0]
        one.stop()
        waiting = world.store(one, [1] * (500 * times + 500))
        one.start()
        resent = []
        for _ in range(times):
            world.linked()
            before = unanswered(hub, one)
            while unanswered(hub, one) > before - 200:
                time.sleep(0.02)
            hub.kill()
            with frozen_still(one):
                hub.start()
                resent.append(int(hub.peer(one)["unacknowledged"]))
        left = unanswered(hub, one)
        world.drained(one)
        checked = world.check({key: sent.to for key, sent in waiting.items()})
    assert max(resent) <= MOST, resent
    return (
        f"{times} kills, {left} left after the last; resent {max(resent)} at most, of {MOST} that a window "
        f"holds; {checked}; {machine()}"
    )


def started(times: int) -> str:
    """Section 6 of the promises: a start with a tenth of so many bulletins stored, and with all of them."""
    told = []
    with federation(2, queue=2 * times) as world:
        hub, one = world.hub, world.others[0]
        one.stop()
        told.append(f"empty {_starts(hub)}")
        for count in (times // 10, times * 3 // 10, times * 6 // 10):
            began = time.monotonic()
            world.store(one, [1] * count, size=512)
            told.append(f"{count} more at {count / (time.monotonic() - began):.0f}/s: {_starts(hub)}")
            print(told[-1], file=sys.stderr)
    return f"{'; '.join(told)}; {machine()}"


def _starts(hub: Member) -> str:
    """Seconds of three starts, each with its processor time, and MiB once all is read."""
    seconds, spent, shared = [], [], []
    for _ in range(3):
        hub.stop()
        seconds.append(hub.start())
        spent.append(used(hub.pid).whole)
        shared.append(hub.starved)
    time.sleep(15)
    return (
        f"start {min(seconds):.2f} to {max(seconds):.2f} s, of processor {min(spent):.2f} s, "
        f"shared by {max(shared):.1f}; "
        f"{hub.memory:.0f} MiB ({machine()})"
    )
