"""What 100,000 stored bulletins change: submit, the start of a node, and lists of 50.

python -m bench.growth [--stored 100000] [--count 2000] [--json]

Two federations of two nodes: one with hardly anything stored, one after so many were submitted, handed over
and receipted. Then both are measured in turn, a piece each, so that a bad minute of the machine hits both. A
reading begins once a node that was started has read its keys. With 100,000 it takes about as many seconds as
a thousand times the processor milliseconds of a release.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from bench.load import Load, load
from bench.measured import Watched
from bench.nodes import PATIENCE, Failed, Node, federation
from bench.once import run
from bench.processor import resident
from intelshare.wire.v1 import user_pb2 as pb

IN_FLIGHT = 256
LIST = 50
TIMES = 5
PIECE = 5_000
"""Bulletins of the filling at once, so that a stuck one is noticed."""

IDLE = 0.05
"""Two nodes that spend fewer seconds of processor time than this in a second are idle."""

Pair = tuple[Node, Node]
"""Sender and recipient."""

Found = dict[str, list[float]]
"""Readings by name."""


async def look(nodes: Pair, count: int, found: Found) -> None:
    """One reading of each figure."""
    for name, node in zip(("sender", "recipient"), nodes, strict=True):
        await asyncio.to_thread(node.stop)
        _note(found, f"{name}_start_s", await asyncio.to_thread(node.start))
        _note(found, f"{name}_start_cpu_s", node.used().whole)
    fra, usa = nodes
    async with load(fra) as sender, load(usa) as recipient:
        await sender.linked()
        await settled(nodes)
        outbox, inbox = pb.OutboxRequest(limit=LIST), pb.InboxRequest(limit=LIST)
        await _listed(found, "outbox", fra, lambda: sender.bulletins.Outbox(outbox))
        await _listed(found, "inbox", usa, lambda: recipient.bulletins.Inbox(inbox))
        watched = Watched(sender=fra)
        _note(found, "submit_per_s", count / await sender.submit_all(count, IN_FLIGHT))
        await sender.idle()
        spent = watched.spent()["sender"]
        _note(found, "release_us", spent.used.whole / count * 1e6)
        _note(found, "release_kib", (spent.written or 0) / count / 1024)
        for name, node in zip(("sender", "recipient"), nodes, strict=True):
            _note(found, f"{name}_mib", resident(node.pid) / 2**20)


async def settled(nodes: Pair) -> None:
    """Wait until neither node does anything: a while after a start it still reads its keys (``traces``)."""
    end = time.monotonic() + PATIENCE
    used = before = sum(node.used().whole for node in nodes)
    while time.monotonic() < end:
        await asyncio.sleep(1)
        before, used = used, sum(node.used().whole for node in nodes)
        if used - before < IDLE:
            return
    raise Failed(f"a node is still busy after {PATIENCE:.0f} s")


async def fill(sender: Load, stored: int) -> None:
    """Submit so many and wait for all of their receipts."""
    left = stored
    while left:
        piece = min(PIECE, left)
        await sender.submit_bounded(piece, IN_FLIGHT)
        left -= piece
        print(f"\r{stored - left:,} of {stored:,} stored ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


async def measure(empty: Pair, full: Pair, stored: int, count: int) -> dict[str, Any]:
    """Both in turn, once one of them has ``stored``."""
    began = time.monotonic()
    for (fra, _), number in ((empty, LIST), (full, stored)):
        async with load(fra) as sender:
            await sender.linked()
            await fill(sender, number)
    filled = time.monotonic() - began
    before: Found = {}
    after: Found = {}
    for _ in range(TIMES):
        await look(empty, count // TIMES, before)
        await look(full, count // TIMES, after)
    return {"stored": stored, "seconds": filled, "before": _told(before), "after": _told(after)}


def _note(found: Found, name: str, value: float) -> None:
    found.setdefault(name, []).append(value)


def _told(found: Found) -> dict[str, float]:
    """The median; of what other work on the machine only makes worse the best."""
    best = {"submit_per_s": max, "release_us": min, "release_kib": median}
    return {name: float(best.get(name, min)(values)) for name, values in found.items()}


async def _listed(found: Found, name: str, node: Node, ask: Callable[[], Awaitable[Any]]) -> None:
    """Milliseconds of a list, and of the node's processor; all entries must be there."""
    for _ in range(TIMES):
        began, used = time.perf_counter(), node.used().whole
        listed = await ask()
        _note(found, f"{name}_ms", (time.perf_counter() - began) * 1e3)
        _note(found, f"{name}_cpu_ms", (node.used().whole - used) * 1e3)
        assert len(listed.entries) == LIST, f"{len(listed.entries)} entries"


WORDS = {
    "submit_per_s": "submit alone, per second",
    "release_us": "submit to receipt, processor µs at the sender",
    "release_kib": "submit to receipt, KiB written at the sender",
    "sender_start_s": "start of the sender's node, seconds",
    "sender_start_cpu_s": "  of its processor",
    "recipient_start_s": "start of the recipient's node, seconds",
    "recipient_start_cpu_s": "  of its processor",
    "outbox_ms": f"outbox of {LIST} at the sender, milliseconds",
    "outbox_cpu_ms": "  of its processor",
    "inbox_ms": f"inbox of {LIST} at the recipient, milliseconds",
    "inbox_cpu_ms": "  of its processor",
    "sender_mib": "resident memory of the sender, MiB",
    "recipient_mib": "resident memory of the recipient, MiB",
}


def show(found: dict[str, Any]) -> None:
    """A line a figure."""
    print(f"{'':<48}{'empty':>12}{format(found['stored'], ',') + ' stored':>16}{'ratio':>8}")
    for name, words in WORDS.items():
        before, after = found["before"][name], found["after"][name]
        print(f"{words:<48}{before:>12,.2f}{after:>16,.2f}{after / before if before else 0:>8.2f}")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    with federation(("FRA", "USA")) as empty, federation(("FRA", "USA")) as full:
        pairs = (empty[0], empty[1]), (full[0], full[1])
        return asyncio.run(measure(*pairs, options.stored, options.count))


if __name__ == "__main__":
    sys.exit(run(__doc__, measured, show, {"--stored": 100_000, "--count": 2_000}))
