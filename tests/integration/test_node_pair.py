"""Two real nodes: from submit to the signed receipt, over the link and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, introduce, make_site, until

LABEL = "CONFIDENTIEL DEFENSE//REL TO FRA, USA"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    import asyncio

    sites = [
        await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")
    ]
    try:
        for site in sites:
            await site.start()
        await introduce(*sites)
        yield sites[0], sites[1]
    finally:
        for site in sites:
            await site.stop()


async def word(site: Site, bulletin: bytes, recipient: str) -> str:
    async with site.client("a") as client:
        answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
        return next(p.word for p in answer.entries[0].pairs if p.recipient == recipient)


async def test_a_bulletin_is_accepted_by_the_recipient_and_its_receipt_comes_back(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    async with fra.client("a") as analyst:
        sent = await analyst.send(["USA"], "hello", label=LABEL)
    assert [p.word for p in sent.pairs] == ["queued"], sent
    await until(lambda: _is(fra, sent.bulletin, "accepted"))
    async with usa.client("a") as reader:
        inbox = await reader.bulletins.Inbox(pb.InboxRequest())
        assert [e.bulletin for e in inbox.entries] == [sent.bulletin]
        read = await reader.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
        assert [p.portion.content for p in read.portions] == [b"hello"]


async def _is(site: Site, bulletin: bytes, wanted: str) -> bool:
    return await word(site, bulletin, "USA") == wanted
