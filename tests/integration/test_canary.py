"""Invariant I15: no canary of a portion in logs, metrics, errors or what `status` says."""

from __future__ import annotations

import json
from contextlib import suppress

import grpc

from intelshare.metrics import render
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, until, word

CANARY = "CANARY-7f3a9c"


async def test_no_canary_is_in_anything_that_is_printed(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    said: list[str] = []
    async with fra.client("a") as analyst:
        sent = await analyst.send(["USA"], f"text {CANARY}")
        for request in (  # refused, with content in them
            pb.SubmitRequest(key=bytes(16), to=[CANARY], precedence=1),
            pb.SubmitRequest(
                key=bytes(15) + b"1",
                to=["USA"],
                precedence=1,
                portions=[pb.Portion(kind=1, label=CANARY, media="text/plain", content=CANARY.encode())],
            ),
        ):
            try:
                await analyst.bulletins.Submit(request)
            except grpc.aio.AioRpcError as error:
                said.append(str(error.code()))
        with suppress(grpc.aio.AioRpcError):
            await analyst.bulletins.Read(pb.ReadRequest(id=CANARY))

    async def accepted() -> bool:
        return await word(fra, sent.bulletin, "USA") == "accepted"

    await until(accepted, "USA to accept")
    async with usa.client("a") as reader:
        read = await reader.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
        assert CANARY.encode() in read.portions[0].portion.content, "the canary was there to be found"
        await reader.bulletins.Search(pb.SearchRequest(query=CANARY, where=2))
    for site in pair:
        samples = await site.running.ports.metrics.samples()
        assert len(samples) > 30
        said.append(render(samples))
        async with site.client("o") as operator:
            said.append(str(await operator.operations.Status(pb.StatusRequest())))
            said.append(str(await operator.operations.Metrics(pb.MetricsRequest())))
        lines = site.log.getvalue()
        assert all(json.loads(line)["event"] for line in lines.splitlines())
        assert "link.opened" in lines
        said.append(lines)
        said.append((site.root / "run.json").read_text())
        said.append((site.root / "node.toml").read_text())
    assert [one for one in said if CANARY in one] == []
