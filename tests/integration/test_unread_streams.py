"""A client that stops reading holds a stream for two minutes, and loses nothing (F20)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from intelshare.patience import patient
from intelshare.wire import MAX_DRAFTS
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, Site, code_of

MANY = 48


async def drafts() -> AsyncIterator[pb.SubmitManyRequest]:
    portion = pb.Portion(kind=1, label=LABEL, category="cyber", media="text/plain", content=b"x")
    for _ in range(MANY):
        yield pb.SubmitManyRequest(
            drafts=[
                pb.SubmitRequest(key=os.urandom(16), to=["USA"], precedence=1, portions=[portion])
                for _ in range(MAX_DRAFTS)
            ]
        )


async def read_into(events: list[pb.WatchEvent], watch: Any) -> None:
    """Read what comes until the node ends it."""
    while (event := await watch.read()) is not grpc.aio.EOF:
        events.append(event)


@pytest.mark.soak
async def test_a_watcher_that_stops_reading_is_ended_and_goes_on_from_its_cursor(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelshare.node.rpc_gateway.UNREAD", 0.5)
    # Otherwise gRPC takes the more at once, the faster the machine is.
    async with pair[0].client("a", ("grpc.http2.bdp_probe", 0)) as client:
        watch = client.bulletins.Watch(pb.WatchRequest())
        await watch.read()
        stored = [o async for many in client.bulletins.SubmitMany(drafts()) for o in many.outcomes]
        assert len(stored) == MANY * MAX_DRAFTS
        # The stream has more to say than gRPC takes from it while nobody reads.
        await asyncio.sleep(3)
        events: list[pb.WatchEvent] = []
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(read_into(events, watch), patient(20))
        assert code_of(ended.value) == "TIMED_OUT"
        assert len(events) < len(stored)
        again = client.bulletins.Watch(pb.WatchRequest(cursor=events[-1].cursor, once=True))
        events += [event async for event in again]
        seen = [event.bulletin for event in events if event.what == "submitted"]
        assert len(seen) == len(set(seen)) == len(stored)
