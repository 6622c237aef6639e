"""Faults of the network with real processes: F4 to F6, each member in a network namespace of its own.

PYTHONPATH=tests:. python tests/fault_network.py NAME TIMES

A run is a process in a namespace that no other process of the machine has, with a bridge; each member's node
is in one below it. All of it ends with the processes. Needs root, iptables and tc; else NotHere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.recipients import CODES

from fault_world import (
    Federation,
    Highest,
    Member,
    NotHere,
    Traffic,
    federation,
    machine,
    quantile,
    unanswered,
)
from processes import finished, process
from waits import wait_until

HERE = Path(__file__).resolve()
HOLDER = ("unshare", "--net", "sleep", "infinity")
RATE = 10.0
FLAT = 48.0
"""MiB by which the memory of a node may grow on a bad line: rows wait in it until they are 16 MiB."""

NOTICED = 30.0
"""Seconds in which a line that carries nothing is noticed and shown."""


def apart(name: str, times: int, module: str = __file__, *, seconds: float = 1200) -> str:
    """Play a fault of a module in a network namespace, for so many seconds at most; its figure.

    Raises AssertionError, NotHere.
    """
    for tool in ("unshare", "nsenter", "ip", "iptables", "tc"):
        if shutil.which(tool) is None:
            raise NotHere(f"there is no `{tool}`")
    if os.geteuid() or finished(["unshare", "--net", "true"]).code:
        raise NotHere("network namespaces need root")
    paths = os.pathsep.join((str(HERE.parent), str(HERE.parents[1])))
    words = ["unshare", "--net", sys.executable, module, name, str(times)]
    done = finished(words, seconds=seconds, env={**os.environ, "PYTHONPATH": paths})
    assert done.code == 0, done.err[-3000:]
    return done.out.strip().splitlines()[-1]


class Lan:
    """A bridge in this namespace, and a namespace for each member."""

    def __init__(self, holders: Sequence[int]) -> None:
        self._holder = dict(zip(CODES, holders, strict=False))
        _do("ip", "link", "set", "lo", "up")
        _do("ip", "link", "add", "lan", "type", "bridge")
        _do("ip", "address", "add", "10.77.0.254/24", "dev", "lan")
        _do("ip", "link", "set", "lan", "up")
        for code, pid in self._holder.items():
            _do("ip", "link", "add", f"to{code}", "type", "veth", "peer", "name", "lan0", "netns", str(pid))
            _do("ip", "link", "set", f"to{code}", "master", "lan", "up")
            self.inside(code, "ip", "link", "set", "lo", "up")
            self.inside(code, "ip", "address", "add", f"{self.address(code)}/24", "dev", "lan0")
            self.inside(code, "ip", "link", "set", "lan0", "up")

    def address(self, code: str) -> str:
        """Of a member's node."""
        return f"10.77.0.{1 + CODES.index(code)}"

    def prefix(self, code: str) -> tuple[str, ...]:
        """The words that run a command in a member's namespace."""
        return ("nsenter", "--net", "--target", str(self._holder[code]))

    def holder(self, code: str) -> str:
        """The process that keeps a member's namespace."""
        return str(self._holder[code])

    def inside(self, code: str, *words: str) -> None:
        """Run a command there."""
        _do(*self.prefix(code), *words)

    @contextlib.contextmanager
    def dropped(self, at: str, origin: str, *match: str) -> Iterator[None]:
        """Within the block what comes from one member is dropped at another, or some of it."""
        rule = ("INPUT", "--source", self.address(origin), *match, "--jump", "DROP")
        self.inside(at, "iptables", "--append", *rule)
        try:
            yield
        finally:
            self.inside(at, "iptables", "--delete", *rule)


@contextlib.contextmanager
def lan(count: int) -> Iterator[tuple[Lan, Federation]]:
    """So many members on a network of their own."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(process(HOLDER)).pid for _ in range(count)]
        wait_until(lambda: all(map(_apart_from_this, holders)), "the namespaces")
        made = Lan(holders)
        hosts = {code: (made.address(code), made.prefix(code)) for code in CODES[:count]}
        yield made, stack.enter_context(federation(count, hosts=hosts))


def _do(*words: str) -> None:
    done = finished(words)
    assert done.code == 0, (words, done)


def _apart_from_this(pid: int) -> bool:
    """Whether a process has a network namespace of its own by now."""
    return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def partitioned(seconds: int) -> str:
    """F4: so many seconds without a line in both directions, in either one, and flapping every 2 s."""
    told = []
    with lan(3) as (net, world):
        traffic, hub, one = Traffic(world.hub), world.hub, world.others[0]
        kinds = {
            "both ways": ((hub.code, one.code), (one.code, hub.code)),
            "one way": ((hub.code, one.code),),
            "the other way": ((one.code, hub.code),),
        }
        with traffic.flowing(world.others, RATE):
            for kind, rules in kinds.items():
                with contextlib.ExitStack() as stack:
                    for rule in rules:
                        stack.enter_context(net.dropped(*rule))
                    shown = [_noticed(end, other) for end, other in ((hub, one), (one, hub))]
                    most = NOTICED + 2 * max(hub.starved, one.starved)  # asking takes time too
                    assert max(shown) <= most, f"{kind}: noticed after {shown} s"
                    time.sleep(max(0.0, seconds - max(shown)))
                told.append(f"{kind}: shown after {max(shown):.0f} s, caught up {caught_up(world, traffic)}")
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with net.dropped(*kinds["both ways"][0]), net.dropped(*kinds["both ways"][1]):
                    time.sleep(2)
                time.sleep(2)
            told.append(f"flapping: caught up {caught_up(world, traffic)}")
        return f"{seconds} s each: {'; '.join(told)}; {world.check(traffic.ids())}; {machine()}"


def _noticed(end: Member, other: Member) -> float:
    """Seconds until a node shows that it has no link to a member."""
    began = time.monotonic()
    while time.monotonic() < began + 2 * NOTICED:
        if end.peer(other)["state"] != "linked":
            return time.monotonic() - began
        time.sleep(0.5)
    raise AssertionError(f"{end.code} still shows its link to {other.code} after {2 * NOTICED:.0f} s")


def caught_up(world: Federation, traffic: Traffic) -> str:
    """Wait for the links, and until what was sent before is answered; how long that took."""
    began, before = time.monotonic(), set(traffic.sent)
    world.linked(seconds=120)
    while any(key in before for key, _ in traffic.open()):
        assert time.monotonic() < began + 120, "not caught up after 120 s"
        time.sleep(0.05)
    return f"after {time.monotonic() - began:.1f} s"


def lossy(seconds: int) -> str:
    """F5: 30 % loss, then 500 ms and 5 % doubled and overtaken, so long each; memory stays flat."""
    with lan(2) as (net, world):
        hub, one = world.hub, world.others[0]
        traffic, told = Traffic(hub), []
        with traffic.flowing(world.others, RATE):
            time.sleep(min(20, seconds))
            loss = ("--match", "statistic", "--mode", "random", "--probability", "0.3")
            with net.dropped(hub.code, one.code, *loss), net.dropped(one.code, hub.code, *loss):
                told.append(_bad_line("30 % loss", world, traffic, seconds))
            for name, words in (
                ("500 ms", ("--delay", "500")),
                ("5 % doubled, 5 % overtaken", ("--delay", "5", "--twice", "0.05", "--late", "0.05")),
            ):
                ends = (
                    net.holder(hub.code),
                    net.address(hub.code),
                    net.holder(one.code),
                    net.address(one.code),
                )
                line = [sys.executable, str(HERE.with_name("fault_line.py")), *ends, *words]
                with process(line) as carries:
                    told.append(_bad_line(name, world, traffic, seconds))
                    assert carries.poll() is None
            caught = caught_up(world, traffic)
        told.append(f"caught up {caught}")
        return f"{seconds} s each: {'; '.join(told)}; {world.check(traffic.ids())}; {machine()}"


def _bad_line(name: str, world: Federation, traffic: Traffic, seconds: float) -> str:
    nodes = (world.hub, *world.others)
    before, began, answered = [one.memory for one in nodes], time.time(), len(traffic.answered)
    with Highest(*nodes):
        time.sleep(seconds)
    grown = max(one.memory - memory for one, memory in zip(nodes, before, strict=True))
    took = [one for one in traffic.took(began, time.time()) if one < 1e9]
    assert grown <= FLAT, f"{name}: memory grew by {grown:.0f} MiB"
    return (
        f"{name}: {(len(traffic.answered) - answered) / seconds:.1f} pairs/s, "
        f"median {quantile(took, 0.5):.2f} s, memory {grown:+.0f} MiB"
    )


def slow(times: int) -> str:
    """F6: so many ROUTINE wait behind 2 Mbit/s; one FLASH overtakes them."""
    with lan(2) as (net, world):
        hub, one = world.hub, world.others[0]
        one.stop()
        waiting = world.store(one, [1] * times)
        for code in (hub.code, one.code):
            rate = ("rate", "2mbit", "burst", "16kb", "latency", "200ms")
            net.inside(code, "tc", "qdisc", "add", "dev", "lan0", "root", "tbf", *rate)
        one.start()
        world.linked()
        traffic = Traffic(hub)
        time.sleep(5)
        with traffic.flowing([one], 0.5, urgent=1.0):
            time.sleep(20)
            behind = unanswered(hub, one)
        took, slower = traffic.took(0, time.time()), max(hub.starved, one.starved)
        for code in (hub.code, one.code):
            net.inside(code, "tc", "qdisc", "delete", "dev", "lan0", "root")
        world.drained(one)
        checked = world.check({key: sent.to for key, sent in waiting.items()} | traffic.ids())
        figure = (
            f"{times} ROUTINE queued, {behind} left after {len(took)} FLASH: "
            f"median {quantile(took, 0.5):.2f} s, at most {max(took):.2f} s; {checked}; "
            f"processor shared by {slower:.1f}, {machine()}"
        )
    assert behind > 0, f"the queue was gone: {figure}"
    assert quantile(took, 0.5) < slower, figure
    assert max(took) < 1.5 * slower, figure
    return figure


FAULTS = {one.__name__: one for one in (partitioned, lossy, slow)}

if __name__ == "__main__":
    print(FAULTS[sys.argv[1]](int(sys.argv[2])))
