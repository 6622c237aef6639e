"""A peer, or a caller, that is gone in the middle of anything: what was begun ends, and the node goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from intelshare.broker.line.submit import submit
from intelshare.node import links
from intelshare.node.backend import NodeBackend
from intelshare.node.streams import Call
from intelshare.ports import Plan
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, until


class _GoneBeforeTheFirstWord:
    """A call that is over without anybody having said so: what gRPC raises then is no gRPC error."""

    def __init__(self) -> None:
        self.writes = 0

    async def read(self) -> Any:
        await asyncio.Event().wait()

    async def write(self, _: bytes) -> None:
        self.writes += 1
        raise asyncio.InvalidStateError("RPC already finished.")


async def test_a_peer_that_is_gone_when_it_is_written_to_costs_its_link_alone(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    gone = _GoneBeforeTheFirstWord()
    real = links.dial

    @asynccontextmanager
    async def dial(runtime: Any, *where: Any) -> AsyncIterator[tuple[Call, Any]]:
        async with real(runtime, *where) as (_, channel):
            yield gone, channel

    await usa.stop()
    monkeypatch.setattr(links, "dial", dial)
    await usa.start()
    await until(lambda: gone.writes, "somebody to write to a call that is over")
    monkeypatch.undo()
    await until(lambda: fra.running.links.engine.linked and usa.running.links.engine.linked, "the next link")
    for site in pair:
        assert "node.defect" not in site.log.getvalue()


@asynccontextmanager
async def _busy(site: Site) -> AsyncIterator[None]:
    """The writer of the node is at work: what is asked for meanwhile waits for it."""
    begun, free = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def step(_: Any) -> Plan[None]:
        loop.call_soon_threadsafe(begun.set)
        free.wait()
        return Plan((), None, last=True)

    work = asyncio.ensure_future(site.running.runtime.store.perform(step))
    await begun.wait()
    try:
        yield
    finally:
        free.set()
        await work


async def _given_up(site: Site, step: Callable[..., Any], call: Any, patch: pytest.MonkeyPatch) -> None:
    """The caller gives up what it has asked while its step waits for the writer; then the writer goes on."""
    asked, gone = asyncio.Event(), asyncio.Event()
    real = NodeBackend.perform

    async def perform(self: NodeBackend, what: Any, *event: object, **named: Any) -> Any:
        if what is step:
            asked.set()
        try:
            return await real(self, what, *event, **named)
        except asyncio.CancelledError:
            gone.set()
            raise

    patch.setattr(NodeBackend, "perform", perform)
    async with _busy(site):
        calling = asyncio.ensure_future(call)
        await asked.wait()
        await asyncio.sleep(0)
        calling.cancel()
        await gone.wait()


async def test_what_a_caller_has_sent_goes_its_way_although_the_caller_has_gone(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "the link")
    async with fra.client("a") as analyst:
        await _given_up(fra, submit, analyst.send(["USA"], "one"), monkeypatch)

    async def arrived() -> bool:
        async with usa.client("a") as reader:
            return len((await reader.bulletins.Inbox(pb.InboxRequest())).entries) == 1

    await until(arrived, "USA to hold it")
