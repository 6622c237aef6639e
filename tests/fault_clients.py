"""Faults of clients and of bounds with real processes: F20, F23 to F25, F33, F35.

Each plays one fault so often, or for so many seconds; the answer is its figure. Raises AssertionError where a
promise is not kept, NotHere where this machine cannot play it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from bench.recipients import CODES

from e2e.nodes import ok
from fault_world import (
    CATEGORY,
    DRAIN,
    HUB,
    SLACK,
    Highest,
    Member,
    NotHere,
    Traffic,
    federation,
    label,
    machine,
    on_loop,
    quantile,
)
from hostile_member import ENDED, Hostile
from intelshare.node.rpc_gateway import UNREAD
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

RATE = 10.0
FLAT = 48.0
"""MiB by which the memory of a node may grow meanwhile: rows wait in it until they are 16 MiB."""

GROUPS = Path("/sys/fs/cgroup/memory")


def deaf(seconds: int) -> str:
    """F20: watchers that stop reading, then a peer that takes frames and acknowledges none."""
    with federation(4) as world:
        hub, taker, rest = world.hub, world.others[0], world.others[1:]
        traffic = Traffic(hub)
        with traffic.flowing(rest, 2 * RATE):
            time.sleep(min(20, seconds))
            told = [f"silent watchers: {_flat(hub, seconds, lambda: _watchers(hub, seconds))}"]
            taker.stop()
            waiting = world.store(taker, [1] * 2000)
            port = int(json.loads((hub.folder / "run.json").read_text())["peer_port"])
            told.append(f"silent peer: {_flat(hub, seconds, lambda: _takes(taker, hub, port, seconds))}")
            taker.start()
            world.drained(taker)
        checked = world.check({key: sent.to for key, sent in waiting.items()} | traffic.ids())
        return f"{seconds} s each: {'; '.join(told)}; {checked}; {machine()}"


def _flat(hub: Member, seconds: float, silent: Callable[[], Coroutine[Any, Any, str]]) -> str:
    """What a silent one saw; the memory of the node must not grow by it."""
    before = hub.memory
    with Highest(hub) as highest:
        said = on_loop(silent())
    grown = highest.mib - before
    assert grown <= FLAT, f"memory grew by {grown:.0f} MiB in {seconds:.0f} s"
    return f"memory {grown:+.0f} MiB, {said}"


async def _watchers(hub: Member, seconds: float) -> str:
    """Watch without reading, then read, and go on from the last cursor: nothing is missed or repeated."""
    async with hub.channel() as line:
        bulletins = services.BulletinsStub(line)
        calls = [bulletins.Watch(pb.WatchRequest()) for _ in range(4)]
        cursors = [(await call.read()).cursor for call in calls]
        whole = cursors[0]
        await asyncio.sleep(seconds)
        ended, found = 0, []
        for call, cursor in zip(calls, cursors, strict=True):
            events: list[pb.WatchEvent] = []
            try:
                while (event := await asyncio.wait_for(call.read(), 5)) is not grpc.aio.EOF:
                    events.append(event)
            except grpc.aio.AioRpcError:
                ended += 1
            except TimeoutError:
                call.cancel()
            on = bulletins.Watch(pb.WatchRequest(cursor=events[-1].cursor if events else cursor, once=True))
            events += [event async for event in on]
            found.append([(one.bulletin, one.member) for one in events if one.what == "accepted"])
        last = bulletins.Watch(pb.WatchRequest(cursor=whole, once=True))
        all_ = [(one.bulletin, one.member) async for one in last if one.what == "accepted"]
    assert all_, "nothing happened meanwhile"
    for seen in found:
        assert seen == all_[: len(seen)], "an event was missed or repeated"
    assert seconds < UNREAD + 60 or ended == len(calls), f"{ended} of {len(calls)} ended"
    return f"{ended} of {len(calls)} ended by the node, each went on from its cursor, {len(all_)} receipts"


async def _takes(taker: Member, hub: Member, port: int, seconds: float) -> str:
    """Take frames with a member's keys, and say nothing."""
    hostile = Hostile(taker.folder, hub.code, port)
    end, links = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < end:
            with suppress(*ENDED):
                async with hostile.link() as call:
                    links += 1
                    while time.monotonic() < end and not call.done():
                        await asyncio.sleep(0.2)
    finally:
        hostile.runtime.close()
        hostile.locked.release()
    return f"{links} links"


def crowded(times: int, descriptors: int = 256) -> str:
    """F23, F33: silent connections and half handshakes at both ports of a node with few descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4 * times + 500:
        raise NotHere(f"{4 * times + 500} open files are needed, {most} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    prefix = ("prlimit", f"--nofile={descriptors}:{descriptors}")
    with federation(3, hosts={HUB: ("", prefix)}) as world:
        traffic, hub = Traffic(world.hub), world.hub
        ports = json.loads((hub.folder / "run.json").read_text())
        with traffic.flowing(world.others, RATE):
            time.sleep(5)
            began = time.time()
            time.sleep(15)
            crowd = time.time()
            with ExitStack() as held:
                for port in (ports["user_port"], ports["peer_port"]):
                    for number in range(2 * times):
                        _open(held, port, b"\x16\x03\x01\x02" if number % 2 else b"")
                time.sleep(15)
                over = time.time()
                open_ = len(os.listdir(f"/proc/{hub.pid}/fd"))
            back = time.monotonic()
            ok("node", "status", "--folder", hub.folder, "--json")
            back, slower = time.monotonic() - back, hub.starved
        peace, war = (quantile(traffic.took(*one), 0.99) for one in ((began, crowd), (crowd, over)))
        checked = world.check(traffic.ids())
    told = (
        f"{times} silent and {times} half handshakes at each port, {descriptors} descriptors ({open_} open): "
        f"p99 {war * 1e3:.0f} ms, in peace {peace * 1e3:.0f} ms; a new client after {back:.1f} s; {checked}; "
        f"processor shared by {slower:.1f}, {machine()}"
    )
    assert open_ < descriptors, told
    assert back < 10 * slower, told
    assert war <= 2 * peace + SLACK * slower, told
    return told


def idle(times: int) -> str:
    """F33: 120, 1,100 and 4,200 idle sockets under 1,024 and 4,096 descriptors."""
    told = []
    for descriptors in (1024, 4096):
        for sockets in sorted({min(times, one) for one in (120, 1100, 4200)}):
            told.append(crowded(sockets // 2, descriptors))
    return " | ".join(told)


def _open(held: ExitStack, port: int, says: bytes) -> None:
    """A connection that says this and no more, if it is taken."""
    with suppress(OSError):
        opened = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))
        opened.sendall(says)


@contextmanager
def memory_group(mib: int) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A control group (version 1) with so much memory, and the words that run a command in it."""
    group = GROUPS / f"intelshare-faults-{os.getpid()}"
    if os.geteuid() or not (GROUPS / "memory.limit_in_bytes").exists():
        raise NotHere("a bound of memory needs root and control groups, version 1")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(mib << 20))
        yield group, ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    finally:
        group.rmdir()


def small(times: int) -> str:
    """F24: a node with 256 MiB under load sends an attachment of so many MiB, and one receives it."""
    with (
        memory_group(256) as (group, prefix),
        federation(3, hosts=dict.fromkeys(CODES[:2], ("", prefix))) as world,
    ):
        hub, one = world.hub, world.others[0]
        traffic = Traffic(hub)
        big = hub.folder.parent / "big.bin"
        with big.open("wb") as file:
            file.truncate(times << 20)
        with traffic.flowing(world.others, RATE), Highest(hub, one) as highest:
            began = time.monotonic()
            sent = ok(
                "send", "-", "--as", hub.user, "--to", one.code, "--label", label([one.code]), "--category",
                CATEGORY, "--attach", big, "--json", stdin="with a file",
            )  # fmt: skip
            taken = time.monotonic() - began
            while _bytes(one) < times << 20:
                assert time.monotonic() < began + DRAIN, f"{_bytes(one) >> 20} of {times} MiB arrived"
                time.sleep(1)
            whole = time.monotonic() - began
        checked = world.check(traffic.ids() | {sent.json["bulletin"]: frozenset((one.code,))})
        told = (group / "memory.oom_control").read_text()
        assert "oom_kill 0" in told, told
    return (
        f"{times} MiB taken after {taken:.0f} s and whole at the recipient after {whole:.0f} s; resident "
        f"memory of either node {highest.mib:.0f} MiB at most, of 256 for both; {checked}; {machine()}"
    )


def _bytes(one: Member) -> int:
    """Bytes of attachments that a node has."""
    return int(one.status()["files"]["held"])


def cancelled(times: int) -> str:
    """F25: so many streams are opened and cancelled, and a hundredth as many connections made."""
    with federation(2) as world:
        hub = world.hub
        on_loop(_cancels(hub, times // 20))  # what is made once
        before = hub.memory
        began = time.monotonic()
        on_loop(_cancels(hub, times))
        rate = times / (time.monotonic() - began)
        streams = hub.memory - before
        on_loop(_reconnects(hub, times // 100))
        grown = hub.memory - before
        checked = world.check({})
    told = (
        f"{times} streams ({rate:.0f}/s): {streams:+.1f} MiB; with {times // 100} connections "
        f"{grown:+.1f} MiB; {checked}; {machine()}"
    )
    assert grown < 20, told
    return told


async def _cancels(hub: Member, times: int) -> None:
    left = iter(range(times))

    async def caller() -> None:
        async with hub.channel() as line:
            for number in left:
                call = services.BulletinsStub(line).Watch(pb.WatchRequest())
                if number % 2:
                    await call.read()
                call.cancel()
                with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                    await call.code()

    await asyncio.gather(*[caller() for _ in range(4)])


async def _reconnects(hub: Member, times: int) -> None:
    for _ in range(times):
        async with hub.channel() as line:
            await services.BulletinsStub(line).WhoAmI(pb.WhoAmIRequest())


def questioned(times: int) -> str:
    """F35: questions about the log are cancelled while another runs, so often, under load."""
    with federation(3) as world:
        traffic, hub = Traffic(world.hub), world.hub
        with traffic.flowing(world.others, RATE):
            answered = on_loop(_questions(hub, times))
        checked = world.check(traffic.ids())
        for one in (hub, *world.others):
            status = one.status()
            assert not status["alarms"], status["alarms"]
    return (
        f"{times} questions cancelled while {answered} were answered: all right, no alarm; {checked}; "
        f"{machine()}"
    )


async def _questions(hub: Member, times: int) -> int:
    dice, answered, going = random.Random(1), 0, True

    async def whole(line: grpc.aio.Channel) -> None:
        nonlocal answered
        while going:
            told = await services.OperationsStub(line).VerifyAudit(pb.VerifyAuditRequest())
            assert told.logs, told
            assert not told.findings, told
            answered += 1

    async with hub.channel("operator") as line:
        running = asyncio.create_task(whole(line))
        for _ in range(times):
            call = services.OperationsStub(line).VerifyAudit(pb.VerifyAuditRequest())
            await asyncio.sleep(dice.random() * 0.03)
            call.cancel()
        going = False
        await running
    return answered
