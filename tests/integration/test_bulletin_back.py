"""A bulletin whose row was destroyed on the disk comes back from its recipient (promise P13, decision 97)."""

from __future__ import annotations

from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, send_accepted, until
from rot import spoil


async def test_a_bulletin_whose_chunk_was_overwritten_comes_back_from_its_recipient(
    pair: tuple[Site, Site],
) -> None:
    fra, _ = pair
    await fra.stop()
    await fra.start()  # what was written before is in other chunks
    bulletin = await send_accepted(fra)

    async def listed() -> bool:
        async with fra.client("r") as client:
            entries = (await client.bulletins.Outbox(pb.OutboxRequest())).entries
        return [one.bulletin for one in entries] == [bulletin]

    await fra.stop()
    spoil(fra.root / "intelshare.db", "bulletin", -1)
    await fra.start()
    await until(listed, "USA to hand it back")
