"""How long one bulletin takes: alone, and with FLASH behind a long queue; beside a gRPC call that does
nothing.

python -m bench.latency [--count 50] [--queue 10000] [--json]

From before the submit call until the recipient's signed receipt is in the sender's log, by the clock that
both are read from. The queue is of ROUTINE for the same peer, made while it was stopped; FLASH goes in once
receipts come. The memory of both nodes is read when they are linked and have nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import median
from typing import Any

from bench.floor import channel, make_pki, receiver
from bench.load import FLASH, Load, load
from bench.nodes import Failed, Node, federation
from bench.once import run
from bench.processor import resident

IN_FLIGHT = 256
APART = 0.25
"""Seconds between two FLASH."""

SETTLE = 3.0
"""Seconds that a node is left alone before its memory is read."""


async def idle(sender: Load, count: int) -> list[float]:
    """Seconds from submit to receipt, one after the other, on nodes that do nothing else."""
    took = []
    for _ in range(count):
        mark, began = await sender.mark(), time.time()
        await sender.one()
        ((at, _),) = await sender.receipts(mark, 1)
        took.append(at - began)
    return took


async def behind(usa: Node, sender: Load, queue: int, count: int) -> list[float]:
    """Seconds from submit to receipt of FLASH while ``queue`` ROUTINE are being handed over."""
    usa.stop()
    mark = await sender.mark()
    await sender.submit_all(queue, IN_FLIGHT)
    held = await sender.open()
    await asyncio.to_thread(usa.start)
    while await sender.open() == held:
        await asyncio.sleep(0.01)
    sent: dict[bytes, float] = {}
    while len(sent) < count and await sender.open() > IN_FLIGHT:
        began = time.time()
        sent[await sender.one(FLASH)] = began
        await asyncio.sleep(APART)
    await sender.idle()
    receipts = await sender.receipts(mark, queue + len(sent))
    if not sent:
        raise Failed(f"a queue of {queue} was gone before a FLASH could be sent behind it: make it longer")
    return [at - sent[bulletin] for at, bulletin in receipts if bulletin in sent]


async def unary(count: int) -> list[float]:
    """Seconds of a call that gives back 2 KiB, over mutual TLS, to another process."""
    pki, took = make_pki(), []
    with tempfile.TemporaryDirectory() as folder, receiver(Path(folder), pki) as (port, pipe):
        async with channel(port, pki) as link:
            call: Callable[[bytes], Coroutine[Any, Any, bytes]] = link.unary_unary("/floor/Echo")
            for number in range(count + 10):
                began = time.perf_counter()
                await call(bytes(2048))
                if number >= 10:
                    took.append(time.perf_counter() - began)
                await asyncio.sleep(0.005)
        pipe.send("done")
    return took


async def measure(fra: Node, usa: Node, count: int, queue: int) -> dict[str, Any]:
    """All of it, in one run."""
    echo = sorted(await unary(count))
    async with load(fra) as sender:
        await sender.linked()
        await idle(sender, 10)
        await asyncio.sleep(SETTLE)
        memory = {node.code: resident(node.pid) for node in (fra, usa)}
        alone = sorted(await idle(sender, count))
        echo = sorted(echo + await unary(count))
        flash = sorted(await behind(usa, sender, queue, 20))
    return {
        "queue": queue,
        "unary_ms": _spread(echo),
        "idle_ms": _spread(alone),
        "flash_ms": _spread(flash),
        "flashes": len(flash),
        "idle_per_unary": median(alone) / median(echo),
        "flash_per_idle": median(flash) / median(alone),
        "worst_flash_per_idle": flash[-1] / median(alone),
        "resident_mib": {code: size / 2**20 for code, size in memory.items()},
    }


def _spread(took: list[float]) -> dict[str, float]:
    return {
        "best": took[0] * 1e3,
        "median": median(took) * 1e3,
        "p95": took[len(took) * 95 // 100] * 1e3,
        "worst": took[-1] * 1e3,
    }


def show(found: dict[str, Any]) -> None:
    """One table and three figures."""
    print(f"{'milliseconds':<52}{'best':>9}{'median':>9}{'p95':>9}{'worst':>9}")
    lines = (
        ("unary_ms", "a gRPC call that does nothing, mutual TLS"),
        ("idle_ms", "submit to receipt, nothing else to do"),
        ("flash_ms", f"the same, FLASH behind {found['queue']:,} ROUTINE ({found['flashes']})"),
    )
    for name, words in lines:
        print(f"{words:<52}" + "".join(f"{value:>9.1f}" for value in found[name].values()))
    print(f"\nidle per gRPC call: {found['idle_per_unary']:.1f} (medians)")
    print(f"FLASH per idle: {found['flash_per_idle']:.1f}, the worst {found['worst_flash_per_idle']:.1f}")
    memory = ", ".join(f"{code} {size:.0f} MiB" for code, size in found["resident_mib"].items())
    print(f"resident memory of an idle linked node: {memory}")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    with federation(("FRA", "USA")) as (fra, usa):
        return asyncio.run(measure(fra, usa, options.count, options.queue))


if __name__ == "__main__":
    sys.exit(run(__doc__, measured, show, {"--count": 50, "--queue": 10_000}))
