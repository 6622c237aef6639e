"""Row 52 of attacks.md on a real node: not there and not yours are the same words after the same time."""

from __future__ import annotations

import os
import time
from statistics import median

import grpc
import pytest

from intelshare.wire.v1 import user_pb2 as pb
from node_world import Client, Site, code_of, until, word

CALLS = 1000


async def hidden_from_a_reader(fra: Site, usa: Site) -> bytes:
    """A bulletin at USA that its analyst is not cleared for any more."""
    async with fra.client("a") as client:
        bulletin = bytes((await client.send(["USA"], "x" * 4096)).bulletin)

    async def accepted() -> bool:
        return await word(fra, bulletin, "USA") == "accepted"

    await until(accepted, "accepted")
    async with usa.client("o") as client:
        low = pb.NewUser(name="a", role="analyst", clearance="R1", nationality="USA", categories=["*"])
        await client.operations.ChangeUser(pb.ChangeUserRequest(user=low))
    return bulletin


async def refused(client: Client, bulletin: bytes) -> tuple[str, float]:
    """The details of the refusal without the id, and how long it took, in seconds."""
    began = time.perf_counter()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await client.bulletins.Read(pb.ReadRequest(id=bulletin.hex()))
    took = time.perf_counter() - began
    assert code_of(raised.value) == "NOT_FOUND"
    detail = dict(raised.value.trailing_metadata() or ())["intelshare-detail-bin"]
    return str(detail).replace(bulletin.hex(), "ID"), took


async def test_row_52_what_is_hidden_and_what_is_not_there_are_told_alike(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    hidden = await hidden_from_a_reader(fra, usa)
    async with usa.client("a") as client:
        assert (await refused(client, hidden))[0] == (await refused(client, os.urandom(16)))[0]


@pytest.mark.timed
@pytest.mark.timeout(300)
async def test_row_52_in_the_same_time(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    hidden = await hidden_from_a_reader(fra, usa)
    times: tuple[list[float], list[float]] = ([], [])
    async with usa.client("a") as client:
        for _ in range(CALLS):
            for kind, bulletin in enumerate((hidden, os.urandom(16))):
                times[kind].append((await refused(client, bulletin))[1])
    there, absent = median(times[0]), median(times[1])
    assert abs(there - absent) < 0.05 * absent, f"{there * 1e6:.0f} us and {absent * 1e6:.0f} us"
