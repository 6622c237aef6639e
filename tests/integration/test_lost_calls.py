"""A peer, or a caller, that is gone in the middle of anything: what was begun ends, and the node goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from intelshare.node import links
from intelshare.node.streams import Call
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
    await until(lambda: fra.running.links.linked and usa.running.links.linked, "the next link")
    for site in pair:
        assert "node.defect" not in site.log.getvalue()
