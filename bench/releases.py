"""Releases per second between two node processes, beside JetStream and a floor, in one run on one machine.

python -m bench.releases [--count 4000] [--in-flight 256] [--size 2048] [--json]

A release counts when the recipient's signed receipt is durable at the sender: all checks on, mutual TLS,
SQLite FULL at both ends. Three figures of ours, because a bulletin enters by an RPC of its own:

    submit    RPCs until OK is durable, with the recipient away, so that a backlog forms
    drain     hand-over to receipt, of that backlog
    whole     submit to receipt, never more than --in-flight bulletins without one
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.floor import floor
from bench.jetstream import ADDRESS, jetstream
from bench.nodes import LABEL, NodeProcess, Receipts, make_pair

from intelshare.crypto.x509 import to_pem
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

PATIENCE = 120.0

POLL = 0.02
"""Seconds between two counts of receipts: more often would cost the nodes the processor that they share."""


class Load:
    """Submits over one channel, many calls at once."""

    def __init__(self, channel: Any, size: int) -> None:
        self._submit = services.BulletinsStub(channel).Submit
        self._text = os.urandom(size // 2).hex().encode()
        self.answered = 0

    async def one(self) -> None:
        portion = pb.Portion(kind=1, label=LABEL, category="cyber", media="text/plain", content=self._text)
        request = pb.SubmitRequest(key=os.urandom(16), to=["USA"], precedence=1, portions=[portion])
        answer = await self._submit(request)
        assert answer.pairs[0].word == "queued", answer
        self.answered += 1


async def submit_all(load: Load, count: int, in_flight: int) -> float:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await load.one()

    start = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(in_flight)])
    return count / (time.perf_counter() - start)


async def whole(load: Load, receipts: Receipts, count: int, in_flight: int) -> float:
    before = receipts.count()
    calls: set[asyncio.Task[None]] = set()
    started = done = 0
    start = time.perf_counter()
    while done < count:
        for _ in range(min(in_flight - (started - done), count - started)):
            call = asyncio.create_task(load.one())
            calls.add(call)
            call.add_done_callback(calls.discard)
            started += 1
        await asyncio.sleep(POLL)
        done = receipts.count() - before
        if time.perf_counter() - start > PATIENCE:
            raise SystemExit(f"only {done} of {count} receipts in {PATIENCE:.0f} s")
    return count / (time.perf_counter() - start)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the nodes did not finish in time")
        await asyncio.sleep(POLL)


async def ours(folder: Path, count: int, size: int, in_flight: int) -> dict[str, Any]:
    fra, usa = await make_pair(folder)
    found: dict[str, Any] = {}
    used: dict[str, float] = {}

    async def measured(name: str, work: Any) -> None:
        before = fra.cpu(), usa.cpu() if usa.process else 0.0
        found[name] = await work
        after = fra.cpu(), usa.cpu() if usa.process else 0.0
        for who, spent in zip(
            ("sender", "recipient"), (after[0] - before[0], after[1] - before[1]), strict=True
        ):
            used[f"{name} {who}"] = spent / count * 1e6

    try:
        async with fra.site.channel(fra.site.leaf("a"), fra.site.running.user_port) as channel:
            load = Load(channel, size)
            await load.one()
            receipts = await linked(fra)
            await whole(load, receipts, min(count, 512), in_flight)
            usa.stop()
            held = receipts.count()
            await measured("submit", submit_all(load, count, in_flight))
            await asyncio.to_thread(usa.start)
            await measured("drain", drained(receipts, held, count))
            await measured("whole", whole(load, receipts, count, in_flight))
    finally:
        fra.stop()
        usa.stop()
    found["cpu_us"] = used
    return found


async def drained(receipts: Receipts, held: int, count: int) -> float:
    await until(lambda: receipts.count() > held)
    # From the first receipts on: how long the recipient takes to start is another matter.
    start, first = time.perf_counter(), receipts.count()
    await until(lambda: receipts.count() >= held + count)
    return (held + count - first) / (time.perf_counter() - start)


async def linked(sender: NodeProcess) -> Receipts:
    """The counter of receipts, once the first one shows that the link is open."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        receipts = Receipts(sender.site)
        if receipts.known() and receipts.count():
            return receipts
        await asyncio.sleep(0.05)
    raise SystemExit("the two nodes did not link")


def pki() -> tuple[bytes, bytes, bytes, str]:
    """Key, certificate, roots and name of a node, for the floor's mutual TLS."""
    from intelshare.crypto.x509 import issue_node
    from node_world import Founding, MemberCode, create_member, now

    founded = create_member(Founding(MemberCode("FRA"), "France", "one"), now(), os.urandom)
    leaf = issue_node(founded.node_authority, founded.node.uri, founded.node.dns, now(), os.urandom)
    roots = to_pem((founded.node_authority.certificate,))
    return leaf.key, to_pem((leaf.certificate,)), roots, founded.node.dns


def show(found: dict[str, Any]) -> None:
    lines = [
        ("intelshare, submit to receipt", found["whole"]),
        ("intelshare, hand-over to receipt (backlog)", found["drain"]),
        ("intelshare, submit RPC to OK", found["submit"]),
        ("floor: gRPC + SQLite FULL, no crypto, no policy", found["floor"]),
        (f"JetStream {found['nats_version']} (plaintext, default fsync)", found["jetstream"]),
    ]
    head = f"releases of {found['size']} B, {found['in_flight']} in flight"
    print(f"{head:<50}{'per s':>9}{'/ JetStream':>13}{'/ floor':>9}")
    for name, rate in lines:
        if rate is None:
            continue
        beside = f"{rate / found['jetstream']:>12.2f}x" if found["jetstream"] else f"{'-':>13}"
        print(f"{name:<50}{rate:>9,.0f}{beside}{rate / found['floor']:>8.2f}x")
    for name, spent in found["cpu_us"].items():
        print(f"  processor, {name:<37}{spent:>9,.0f} µs a release")
    if found["jetstream"] is None and not found["only_ours"]:
        print("\nNO NATS SERVER AT {}:{}: NOTHING TO COMPARE WITH.".format(*ADDRESS))
        print("Start `nats-server -js` and run again.")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="intelshare-bench-") as folder:
        found = asyncio.run(ours(Path(folder), options.count, options.size, options.in_flight))
        found |= {"size": options.size, "in_flight": options.in_flight, "count": options.count}
        found["only_ours"] = options.only_ours
        count = options.count - options.count % 64
        found["floor"] = floor(count, options.in_flight, pki())
        beside = None if options.only_ours else jetstream(options.count, options.size, options.in_flight)
        found["jetstream"], found["nats_version"] = beside or (None, None)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
