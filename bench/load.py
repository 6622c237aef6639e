"""The load generator: a client of a node over gRPC, as any program, and what became of what it sent."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from bench.nodes import ANALYST, OPERATOR, PATIENCE, Failed, Node
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

POLL = 0.04
"""Seconds between two questions how much is open: each takes a millisecond of the node's processor."""

CALL = 64
"""Drafts in one call, as a client that has many sends them."""

ROUTINE, FLASH = 1, 4


async def submit(bulletins: Any, drafts: Sequence[pb.SubmitRequest]) -> Sequence[pb.SubmitResponse]:
    """One call of the node for these drafts; returns when all are durable. Alone knows which RPC that is."""
    if len(drafts) == 1:
        return (await bulletins.Submit(drafts[0]),)

    async def messages() -> AsyncIterator[pb.SubmitManyRequest]:
        yield pb.SubmitManyRequest(drafts=drafts)

    stored: list[pb.SubmitResponse] = []
    async for message in bulletins.SubmitMany(messages()):
        for outcome in message.outcomes:
            if not outcome.HasField("stored"):
                raise Failed(f"a draft was refused: {outcome.refused}")
            stored.append(outcome.stored)
    return stored


@dataclass(frozen=True, slots=True)
class Kind:
    """What is sent, all portions being one text."""

    to: tuple[str, ...] = ("USA",)
    label: str = "//FRA SECRET//REL TO FRA, USA"
    category: str = "cyber"
    size: int = 2048


class Load:
    """One user's connection for bulletins, and the operator's for how much of them is open."""

    def __init__(self, bulletins: Any, operations: Any, *kinds: Kind) -> None:
        """``kinds`` are sent in turn; each to as many members."""
        self.bulletins, self._operations = bulletins, operations
        self._kinds, self._pairs = cycle(kinds), len(kinds[0].to)
        self._text = os.urandom(max(one.size for one in kinds) // 2).hex().encode()
        self._calling = 0

    def draft(self, precedence: int = ROUTINE) -> pb.SubmitRequest:
        """Another bulletin, with a key of its own."""
        kind = next(self._kinds)
        content = self._text[: kind.size]
        portion = pb.Portion(
            kind=1, label=kind.label, category=kind.category, media="text/plain", content=content
        )
        return pb.SubmitRequest(key=os.urandom(16), to=kind.to, precedence=precedence, portions=[portion])

    async def one(self, precedence: int = ROUTINE) -> bytes:
        """Submit one alone; its id."""
        return (await self._call([self.draft(precedence)]))[0]

    async def submit_all(self, count: int, in_flight: int) -> float:
        """Seconds until all are durable, ``in_flight`` drafts being under way at any time."""
        start = time.perf_counter()
        left = iter(range(count))

        async def caller() -> None:
            while drafts := [self.draft() for _, _ in zip(range(CALL), left, strict=False)]:
                await self._call(drafts)

        await asyncio.gather(*[caller() for _ in range(max(1, in_flight // CALL))])
        return time.perf_counter() - start

    async def submit_bounded(self, count: int, in_flight: int) -> None:
        """Submit so that never more than ``in_flight`` are without a receipt; returns when none is."""
        left, end = count, time.monotonic() + PATIENCE
        async with asyncio.TaskGroup() as calls:
            while True:
                open_ = self._calling + await self.open()
                if not left and not open_:
                    return
                room = in_flight - open_
                while left and room >= (size := min(CALL, left)):
                    calls.create_task(self._counted(size))
                    left, room = left - size, room - size
                await asyncio.sleep(POLL)
                if time.monotonic() > end:
                    raise Failed(f"{left} of {count} not sent, {open_} open after {PATIENCE:.0f} s")

    async def open(self) -> int:
        """How many the node has not handed over, or has and waits for the answer."""
        status = await self._operations.Status(pb.StatusRequest())
        return sum(int(peer.queued + peer.unacknowledged) for peer in status.peers)

    async def linked(self) -> None:
        """Wait until every peer's link is open."""
        end = time.monotonic() + PATIENCE
        while True:
            peers = (await self._operations.Status(pb.StatusRequest())).peers
            if peers and all(peer.state == "linked" for peer in peers):
                return
            if time.monotonic() > end:
                raise Failed(f"no link: {', '.join(f'{one.member} {one.last_error}' for one in peers)}")
            await asyncio.sleep(POLL)

    async def idle(self) -> None:
        """Wait until nothing is open."""
        end = time.monotonic() + PATIENCE
        while left := await self.open():
            if time.monotonic() > end:
                raise Failed(f"{left} still open after {PATIENCE:.0f} s")
            await asyncio.sleep(POLL)

    async def mark(self) -> str:
        """A place in what happens; ``receipts`` tells what came after it."""
        async for event in self.bulletins.Watch(pb.WatchRequest(once=True)):
            cursor = str(event.cursor)
        return cursor

    async def receipts(self, mark: str, count: int) -> list[tuple[float, bytes]]:
        """(second since 1970 in which it became durable, bulletin) of every signed receipt after ``mark``.

        Waits until there are ``count``. Raises Failed if there are more, or anything was refused: what the
        node's own count of open ones says is not believed.
        """
        end = time.monotonic() + PATIENCE
        while True:
            watched = self.bulletins.Watch(pb.WatchRequest(cursor=mark, once=True))
            events = [(event.what, event.at / 1e6, bytes(event.bulletin)) async for event in watched]
            found = [(at, bulletin) for what, at, bulletin in events if what == "accepted"]
            if len(found) > count or {"refused", "withheld", "undeliverable"} & {
                what for what, _, _ in events
            }:
                raise Failed(f"{len(found)} receipts where {count} were due, and {events[-3:]}")
            if len(found) == count:
                return found
            if time.monotonic() > end:
                raise Failed(f"only {len(found)} of {count} receipts after {PATIENCE:.0f} s")
            await asyncio.sleep(POLL)

    async def _call(self, drafts: Sequence[pb.SubmitRequest]) -> list[bytes]:
        answers = await submit(self.bulletins, drafts)
        for answer in answers:
            assert len(answer.pairs) == self._pairs, answer
            assert all(pair.word == "queued" for pair in answer.pairs), answer
        return [bytes(answer.bulletin) for answer in answers]

    async def _counted(self, size: int) -> None:
        self._calling += size
        try:
            await self._call([self.draft() for _ in range(size)])
        finally:
            self._calling -= size


@asynccontextmanager
async def load(node: Node, kind: Kind | None = None) -> AsyncIterator[Load]:
    """Connections to a running node."""
    async with node.channel(ANALYST) as analyst, node.channel(OPERATOR) as operator:
        yield Load(
            services.BulletinsStub(analyst),
            services.OperationsStub(operator),
            kind if kind is not None else Kind(),
        )
