"""`node repair` on the folder of a node that does not run: it says what a running one would do, and what it
does is whole before it ends.
"""

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
from node_world import PASSPHRASE, Site, send_accepted, until
from rot import spoil


async def stopped_with_a_lost_bulletin(pair: tuple[Site, Site]) -> Site:
    """A node that received a bulletin, does not run, and whose inbox row is damaged."""
    fra, usa = pair
    await send_accepted(fra)
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


async def test_where_no_node_runs_every_record_is_read_and_who_has_one_is_named(
    pair: tuple[Site, Site],
) -> None:
    usa = await stopped_with_a_lost_bulletin(pair)
    spoil(usa.root / "intelshare.db", "user")
    found = await repair(usa)
    assert found.read_all
    by_table = {one.table: one for one in found.records}
    assert {one.state for one in found.records} == {"damaged"}
    assert by_table["inbox"].remedy == "--fetch, then start the node: it asks FRA"
    assert by_table["user"].remedy.startswith("give it up")
    await repair(usa, drop=[by_table["user"].id], reason="a bad disk")
    assert [one.table for one in (await repair(usa)).records] == ["inbox"]
    await usa.start()
    async with usa.client("o") as client:
        found = await client.operations.Repair(pb.RepairRequest(scrub=True))
        assert not any(one.remedy.startswith("give it up") for one in found.records)
        assert all("asks FRA" in one.remedy for one in found.records if one.state == "damaged")

    async def whole() -> bool:
        async with usa.client("o") as client:
            return not (await client.operations.Repair(pb.RepairRequest(scrub=True))).records

    await until(whole, "FRA to hand it over again")


async def test_what_only_a_running_node_asks_for_is_left_for_its_start(pair: tuple[Site, Site]) -> None:
    """No row says that somebody was asked for it: after the command nobody would know."""
    fra, _ = pair
    await send_accepted(pair[0])
    await fra.stop()
    spoil(fra.root / "intelshare.db", "portion")
    for fetch in (False, True):
        (record,) = (await repair(fra, fetch=fetch)).records
        assert (record.table, record.state) == ("portion", "damaged")
        assert record.remedy == "start the node, then --scrub: it asks USA"
