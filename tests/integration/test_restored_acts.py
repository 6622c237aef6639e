"""Treaty acts that a node has forgotten come back from who holds them, and the next one continues them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from test_treaty_acts import do

from intelshare.broker.kernel.tables import ACT, EVIDENCE
from intelshare.broker.treaty.act import ActState
from intelshare.ids import MemberCode
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, back_up, code_of, introduce, make_site, restore, show_member, until

FRA = MemberCode("FRA")


def states(site: Site) -> Sequence[tuple[int, int]]:
    """The acts of FRA that a node holds, and how they stand."""
    found = site.running.runtime.store.ask_now(lambda view: view.find(ACT, "key", FRA))
    return [(row.n, row.state) for row in found]


@pytest.mark.parametrize("known", [True, False])
async def test_acts_that_a_restored_node_has_forgotten_come_back_and_the_next_one_continues_them(
    tmp_path: Path, known: bool
) -> None:
    """``known``: whether the backup knows the member that holds them; if not, it is imported again."""
    fra, ken = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "KEN")]
    both = [(1, ActState.COUNTS), (2, ActState.COUNTS)]
    try:
        await fra.start()
        await ken.start()
        if not known:
            await asyncio.to_thread(back_up, fra, tmp_path / "backup")
        await introduce(fra, ken)
        if known:
            await asyncio.to_thread(back_up, fra, tmp_path / "backup")
        await do(fra, "suspend")
        await do(fra, "reinstate")
        await until(lambda: states(ken) == both, "KEN to hold both")
        await ken.stop()
        await fra.stop()
        await asyncio.to_thread(restore, tmp_path / "backup", tmp_path / "again")
        fra = replace(fra, root=tmp_path / "again", node=None)
        await fra.start()
        await fra.let_in()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await do(fra, "suspend")
        assert code_of(refused.value) == "ID_CONFLICT", "who may hold acts was not heard"
        await ken.start()
        if not known:
            await show_member(ken, fra)
        await until(lambda: states(fra) == both, "FRA to have them again")
        assert sorted(act.n for act in fra.running.runtime.node.world.acts) == [1, 2]
        async with fra.client("o") as client:
            await client.operations.AllowReading(
                pb.AllowReadingRequest(member="KEN", reason="they have said so")
            )
        await do(fra, "suspend")
        await until(lambda: states(ken) == [*both, (3, ActState.COUNTS)], "KEN to hold the next one")
        for site in (fra, ken):
            found = site.running.runtime.store.ask_now(lambda view: view.find(EVIDENCE, "key"))
            assert "SEQUENCE_FORK" not in {row.code for row in found}
    finally:
        await fra.stop()
        await ken.stop()
