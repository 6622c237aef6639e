"""The phases of ours between two real nodes: submit alone and the backlog of it, and submit to receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bench.load import load
from bench.measured import Phase, Side, Watched
from bench.nodes import Node
from bench.processor import Used

SUBMIT, BACKLOG, WHOLE = "submit", "backlog", "whole"


async def queued(fra: Node, usa: Node, count: int, in_flight: int) -> dict[str, Phase]:
    """``count`` releases submitted while the peer is stopped, then drained. Both run before and after."""
    usa.stop()
    async with load(fra) as sender:
        mark = await sender.mark()
        watched, client = Watched(sender=fra), time.process_time()
        seconds = await sender.submit_all(count, in_flight)
        submitted = Phase(count, seconds, watched.spent() | _client(client))

        watched = Watched(sender=fra)
        await asyncio.to_thread(usa.start)
        began, started = time.time(), Watched(recipient=usa)
        await sender.idle()
        sides = watched.spent() | started.spent()
        drained = _drain([at for at, _ in await sender.receipts(mark, count)], began)
    return {SUBMIT: submitted, BACKLOG: Phase(count, drained, sides)}


async def whole(fra: Node, usa: Node, count: int, in_flight: int) -> dict[str, Phase]:
    """``count`` releases from submit to receipt, never more than ``in_flight`` without one."""
    async with load(fra) as sender:
        await sender.linked()
        mark = await sender.mark()
        began, watched, client = time.time(), Watched(sender=fra, recipient=usa), time.process_time()
        await sender.submit_bounded(count, in_flight)
        sides = watched.spent() | _client(client)
        last = max(at for at, _ in await sender.receipts(mark, count))
    return {WHOLE: Phase(count, last - began, sides)}


def _client(before: float) -> dict[str, Side]:
    """What the load generator, which is this process, has spent since."""
    return {"client": Side(Used(time.process_time() - before))}


def _drain(receipts: Sequence[float], started: float) -> float:
    """Seconds for all of them, at the rate from the first batch of receipts on.

    How long a node takes to link is another matter; where all came at once, from its start on.
    """
    first, last = min(receipts), max(receipts)
    after = sum(at > first for at in receipts)
    return (last - first) * len(receipts) / after if after else last - started
