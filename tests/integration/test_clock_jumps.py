"""F14 and F32 on real nodes: a clock that was wrong stops nothing once it is right (promise P10)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import pytest

from intelshare.broker.kernel.tables import PORTION
from intelshare.cli.operator.doctor_memory import memory
from intelshare.cli.shared.node_folder import Passphrase
from intelshare.client import AsyncClient
from intelshare.instant import DAY, Instant
from intelshare.node.offline import operate_offline
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, code_of, introduce, make_site, now, until, word


@pytest.mark.parametrize("days", [1, 400])
async def test_what_was_signed_ahead_arrives_once_the_clock_is_right_also_after_a_restart(
    tmp_path: Path, days: int
) -> None:
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    ahead = [0]
    try:
        await fra.start()
        await usa.start(wall=lambda: Instant(now() + ahead[0]))
        await introduce(fra, usa)
        async with fra.client("a") as client:
            await _linked(fra)
            ahead[0] = days * DAY
            sent = bytes((await client.send(["USA"], "x")).bulletin)
            if days == 1:
                await until(lambda: "CLOCK_SKEW" in usa.log.getvalue(), "the receipt to be rejected")
            await until(lambda: "CLOCK" in usa.running.runtime.health.codes, "CLOCK to show")
            ahead[0] = 0
            await _is(fra, sent, "accepted")
            await until(lambda: not usa.running.runtime.health.codes, "USA to serve")
            await usa.stop()
            await usa.start()
            again = bytes((await client.send(["USA"], "y")).bulletin)
            await _is(fra, again, "accepted")
        assert not usa.running.runtime.clock.wrong()
    finally:
        await fra.stop()
        await usa.stop()


async def _believed(client: AsyncClient) -> pb.ClockResponse:
    """Both sides may have dialled: between two links nobody is there to agree, and one asks again."""
    said: list[pb.ClockResponse] = []

    async def believes() -> bool:
        with contextlib.suppress(grpc.aio.AioRpcError):
            said.append(await client.operations.Clock(pb.ClockRequest(believe=True)))
        return bool(said)

    await until(believes, "a peer to agree")
    return said[0]


async def test_an_operator_believes_a_clock_with_which_peers_agree(tmp_path: Path) -> None:
    """USA started, with nothing to hold its clock against, a day ahead."""
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await usa.stop()
        await usa.start(wall=lambda: Instant(now() + DAY))
        await usa.stop()
        await usa.start()
        await until(lambda: "CLOCK" in usa.running.runtime.health.codes, "CLOCK to show")
        await _linked(usa)
        async with usa.client("o") as client:
            status = (await client.operations.Status(pb.StatusRequest())).clock
            assert not status.believed
            assert status.expected > status.until > status.now + DAY // 2
            done = await _believed(client)
            assert (list(done.agreed), done.clock.believed) == (["FRA"], True)
        await until(lambda: not usa.running.runtime.health.codes, "USA to serve")
        async with usa.client("a") as client:
            await _is(
                usa,
                bytes((await client.send(["FRA"], "z", label="//USA SECRET//REL TO FRA, USA")).bulletin),
                "accepted",
                "FRA",
            )
        await usa.stop()
        await usa.start()
        assert not usa.running.runtime.clock.wrong()
    finally:
        await fra.stop()
        await usa.stop()


async def test_a_clock_with_which_nobody_agrees_needs_a_reason(tmp_path: Path) -> None:
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA")
    try:
        await usa.start(wall=lambda: Instant(now() + DAY))
        await usa.stop()
        await usa.start()
        async with usa.client("o") as client:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await client.operations.Clock(pb.ClockRequest(believe=True))
            assert code_of(raised.value) == "CLOCK"
            done = await client.operations.Clock(pb.ClockRequest(believe=True, reason="set by hand"))
            assert done.clock.believed
    finally:
        await usa.stop()


async def test_doctor_says_of_a_stopped_node_that_its_start_will_not_believe_the_clock(
    tmp_path: Path,
) -> None:
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA")

    def clock() -> list[tuple[str, str, bool]]:
        found = memory(usa.root, Passphrase(None, None), now())
        return [
            (one.state, one.code, "node clock --believe" in one.remedy)
            for one in found
            if one.check == "clock"
        ]

    await usa.start()
    await usa.stop()
    assert not clock()
    await usa.start(wall=lambda: Instant(now() + 3 * DAY))
    await usa.stop()
    assert clock() == [("wrong", "CLOCK", True)]
    request = pb.ClockRequest(believe=True, reason="set by hand")
    await asyncio.to_thread(operate_offline, usa.root, lambda: PASSPHRASE, "Clock", request)
    assert not clock()
    await usa.start()
    assert not usa.running.runtime.health.codes
    await usa.stop()


async def _linked(site: Site) -> None:
    await until(lambda: site.running.links.engine.linked, "a link")


async def _is(site: Site, bulletin: bytes, wanted: str, recipient: str = "USA") -> None:
    async def reached() -> bool:
        return await word(site, bulletin, recipient) == wanted

    await until(reached, wanted)


async def test_a_start_with_a_clock_far_ahead_destroys_nothing(tmp_path: Path) -> None:
    """Everything of USA is over by its clock: a key, a received bulletin, one that waits for FRA, delivered
    content. FRA, which is linked later, does not agree; then the clock is right.
    """
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    label = "//USA SECRET//REL TO FRA, USA"
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        async with fra.client("a") as client:
            received = bytes((await client.send(["USA"], "received", days=10)).bulletin)
            await _is(fra, received, "accepted")
        async with usa.client("a") as client:
            delivered = bytes((await client.send(["FRA"], "delivered", label=label, days=10)).bulletin)
            await _is(usa, delivered, "accepted", "FRA")
            await fra.stop()
            waits = bytes((await client.send(["FRA"], "waits", label=label, days=10)).bulletin)
        before = dict(usa.running.runtime.vault.sealing_keys())
        await usa.stop()
        await usa.start(wall=lambda: Instant(now() + 100 * DAY))
        await fra.start()
        # By then each chore has been due more than once.
        await until(lambda: usa.log.getvalue().count("link.dial_failed") >= 4, "USA to dial in vain")
        reading = usa.running.runtime.clock.read()
        assert (reading.believed, reading.confirmed) == (True, False)
        assert set(before) < set(usa.running.runtime.vault.sealing_keys()), "the new one is one more"
        # Restarted, it finds the time that it stored itself: nobody has confirmed that either.
        await usa.stop()
        await usa.start(wall=lambda: Instant(now() + 100 * DAY))
        await asyncio.sleep(1)
        assert not usa.running.runtime.clock.read().confirmed
        await usa.stop()
        await usa.start()
        async with usa.client("o") as client:
            await client.operations.Clock(pb.ClockRequest(believe=True, reason="set by hand"))
        await until(lambda: not usa.running.runtime.health.codes, "USA to serve")
        assert usa.running.runtime.clock.read().confirmed
        await _is(usa, waits, "accepted", "FRA")
        async with usa.client("a") as client:
            assert (await client.bulletins.Read(pb.ReadRequest(id=received.hex()))).portions
        portions = usa.running.runtime.store.ask_now(lambda view: view.find(PORTION, "key"))
        assert len(portions) == 3
        assert all(portion.body for portion in portions), "what was delivered is not purged"
        assert set(before) <= set(usa.running.runtime.vault.sealing_keys())
    finally:
        await fra.stop()
        await usa.stop()


async def test_a_clock_is_confirmed_by_most_of_the_linked_members(tmp_path: Path) -> None:
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    try:
        await fra.start()
        await usa.start()
        assert not usa.running.runtime.clock.read().confirmed, "nobody is linked yet"
        await introduce(fra, usa)
        await until(lambda: usa.running.runtime.clock.read().confirmed, "the clock to be confirmed")
        await fra.stop()
        await usa.stop()
        await usa.start()
        assert usa.running.runtime.clock.read().confirmed, "it goes on from what was stored"
    finally:
        await fra.stop()
        await usa.stop()
