"""A node that forgot waits for each member by itself, until a link to it was open long enough."""

from __future__ import annotations

import json
from functools import partial

import pytest

from intelshare.broker.lifecycle.hearing import unheard
from intelshare.engine import Limits
from intelshare.instant import SECOND
from intelshare.node import links
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, until


def waited(site: Site) -> list[str]:
    return [row.member for row in site.running.runtime.store.ask_now(unheard)]


async def told(site: Site) -> list[bool]:
    async with site.client("u") as auditor:
        status = await auditor.operations.Status(pb.StatusRequest())
    return [peer.reading_waits for peer in status.peers]


async def test_a_member_is_heard_once_a_link_to_it_was_open_long_enough(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "Limits", partial(Limits, hearing=SECOND // 2))
    fra, usa = pair
    await fra.stop()
    await usa.stop()
    await usa.start(accept_loss=True)
    await usa.let_in()
    assert (waited(usa), await told(usa)) == (["FRA"], [True])
    await usa.stop()
    await usa.start()
    assert (waited(usa), await told(usa)) == (["FRA"], [True])
    await fra.start()
    await until(lambda: not waited(usa), "FRA to be heard")
    assert await told(usa) == [False]
    lines = [json.loads(line) for line in usa.log.getvalue().splitlines()]
    assert [line["peer"] for line in lines if line["event"] == "node.heard"] == [fra.running.runtime.node.uri]
