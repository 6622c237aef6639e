"""`node repair` on the folder of a node that does not run: what it does is whole before it ends."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest

from intelshare.errors import StoreError
from intelshare.node.links import Links
from intelshare.node.offline import operate_offline
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, until, word
from rot import spoil


async def stopped_with_a_lost_bulletin(pair: tuple[Site, Site]) -> Site:
    """A node that received a bulletin, does not run, and whose inbox row is damaged."""
    fra, usa = pair
    async with fra.client("a") as client:
        sent = await client.send(["USA"], "from France")

    async def accepted() -> bool:
        return await word(fra, sent.bulletin, "USA") == "accepted"

    await until(accepted, "USA to accept it")
    await usa.stop()
    spoil(usa.root / "intelshare.db", "inbox")
    return usa


async def repair(site: Site, **asked: Any) -> pb.RepairResponse:
    request = pb.RepairRequest(**asked)
    call = partial(operate_offline, site.root, lambda: PASSPHRASE, "Repair", request)
    answer: pb.RepairResponse = await asyncio.to_thread(call)
    return answer


async def test_what_a_command_on_a_stopped_node_began_ends_before_its_store_is_closed(
    pair: tuple[Site, Site], caplog: pytest.LogCaptureFixture
) -> None:
    usa = await stopped_with_a_lost_bulletin(pair)
    with caplog.at_level(logging.ERROR, "asyncio"):
        (record,) = (await repair(usa, scrub=True, fetch=True)).records
    assert (record.table, record.state, record.member) == ("inbox", "forgotten", "FRA")
    assert not [one.getMessage() for one in caplog.records]


async def test_what_fails_after_the_answer_of_a_command_on_a_stopped_node_is_said(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("a defect")

    usa = await stopped_with_a_lost_bulletin(pair)
    monkeypatch.setattr(Links, "_query", broken)
    with pytest.raises(StoreError, match="a defect") as caught:
        await repair(usa, scrub=True, fetch=True)
    assert caught.value.code == "INTERNAL"
