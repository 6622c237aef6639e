"""What 100,000 stored bulletins change: submit, the start of a node, and lists of 50.

python -m bench.growth [--stored 100000] [--count 2000] [--json]

The same measured twice in one run: with hardly anything stored, and after so many were submitted, handed over
and receipted. With 100,000 it takes about as many seconds as a thousand times the processor milliseconds of a
release.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.load import Load, load
from bench.measured import Watched
from bench.nodes import Failed, Node, federation
from bench.processor import resident
from intelshare.wire.v1 import user_pb2 as pb

IN_FLIGHT = 256
LIST = 50
TIMES = 5
PIECE = 5_000
"""Bulletins of the filling at once, so that a stuck one is noticed."""


async def look(fra: Node, usa: Node, count: int) -> dict[str, float]:
    """All figures as things are now."""
    found = {}
    for name, node in (("sender", fra), ("recipient", usa)):
        starts = []
        for _ in range(3):
            await asyncio.to_thread(node.stop)
            starts.append(await asyncio.to_thread(node.start))
        found[f"{name}_start_s"] = min(starts)
    async with load(fra) as sender, load(usa) as recipient:
        await sender.linked()
        outbox, inbox = pb.OutboxRequest(limit=LIST), pb.InboxRequest(limit=LIST)
        found["outbox_ms"] = await _listed(lambda: sender.bulletins.Outbox(outbox))
        found["inbox_ms"] = await _listed(lambda: recipient.bulletins.Inbox(inbox))
        rates, costs = [], []
        for _ in range(TIMES):
            watched = Watched(sender=fra)
            rates.append(count / TIMES / await sender.submit_all(count // TIMES, IN_FLIGHT))
            costs.append(watched.spent()["sender"].used.whole / (count // TIMES))
            await sender.idle()
        found["submit_per_s"], found["submit_us"] = max(rates), min(costs) * 1e6
        for name, node in (("sender", fra), ("recipient", usa)):
            found[f"{name}_mib"] = resident(node.pid) / 2**20
    return found


async def fill(sender: Load, stored: int) -> None:
    """Submit so many and wait for all of their receipts."""
    left = stored
    while left:
        piece = min(PIECE, left)
        await sender.submit_bounded(piece, IN_FLIGHT)
        left -= piece
        print(f"\r{stored - left:,} of {stored:,} stored ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


async def measure(fra: Node, usa: Node, stored: int, count: int) -> dict[str, Any]:
    """Before, and after ``stored`` more."""
    async with load(fra) as sender:
        await sender.linked()
        await fill(sender, LIST)
    before = await look(fra, usa, count)
    began = time.monotonic()
    async with load(fra) as sender:
        await fill(sender, stored)
    filled = time.monotonic() - began
    return {"stored": stored, "seconds": filled, "before": before, "after": await look(fra, usa, count)}


async def _listed(ask: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds of the best of five; all must be there."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        listed = await ask()
        took.append(time.perf_counter() - began)
        assert len(listed.entries) == LIST, f"{len(listed.entries)} entries"
    return min(took) * 1e3


WORDS = {
    "submit_per_s": "submit alone, per second",
    "submit_us": "submit, processor µs at the sender",
    "sender_start_s": "start of the sender's node, seconds",
    "recipient_start_s": "start of the recipient's node, seconds",
    "outbox_ms": f"outbox of {LIST} at the sender, milliseconds",
    "inbox_ms": f"inbox of {LIST} at the recipient, milliseconds",
    "sender_mib": "resident memory of the sender, MiB",
    "recipient_mib": "resident memory of the recipient, MiB",
}


def show(found: dict[str, Any]) -> None:
    """A line a figure."""
    print(f"{'':<48}{'empty':>12}{format(found['stored'], ',') + ' stored':>16}{'ratio':>8}")
    for name, words in WORDS.items():
        before, after = found["before"][name], found["after"][name]
        print(f"{words:<48}{before:>12,.2f}{after:>16,.2f}{after / before:>8.2f}")


def main() -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with federation(("FRA", "USA")) as (fra, usa):
            found = asyncio.run(measure(fra, usa, options.stored, options.count))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found)) if options.json else show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
