"""A member with genuine keys floods a real node with everything it can say; two honest ones go on.

Findings S5, S7 and S8; rows 46, 83, 84, 106 and 111 of the attacks.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import hostile_member
from intelshare.broker.kernel.allowance import Lasting
from intelshare.crypto.records import Precedence
from intelshare.engine import Rate
from intelshare.engine.budgets import Passing
from intelshare.instant import MINUTE
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Client, Site, introduce, make_site, until, word
from processes import clean_environment, process

SECONDS = 1.0
"""For each kind of flood."""

DELAY = 5.0
"""Seconds that an honest bulletin may take while another member floods, on a busy machine."""

LOG, DATABASE, MEMORY = 256 << 10, 64 << 20, 160 << 20
"""Bytes by which log, data folder (its journal takes 32 MiB by itself) and memory may grow, in all floods."""

BUDGETS = {
    Passing.LINKS: Rate(400, MINUTE),
    Passing.CHECKS: Rate(100_000, MINUTE),
    Passing.ANSWERS: Rate(2_000, MINUTE),
    Passing.GAPS: Rate(32, MINUTE),
    Passing.LOGS: Rate(120, MINUTE),
    Passing.DIRECTORIES_SHOWN: Rate(100, MINUTE),
    Lasting.RECALLS: Rate(512, MINUTE),
}
"""So that each kind of flood gets its links, and that what it sends at least is more than it may."""

RATED = {
    "junk", "forged", "recalls", "one recall", "receipts", "releases", "heads", "acts", "consents",
    "checkpoints", "directories",
}  # fmt: skip
"""Floods of statements: each is answered, beyond the budget with RATE."""

CUT = {"acks", "acks with codes", "gaps", "log asks", "directories held"}
"""Floods of what has no answer of its own: the link ends with RATE."""


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[dict[str, Site]]:
    found = {
        code: await asyncio.to_thread(make_site, code, tmp_path / code, budgets=BUDGETS)
        for code in ("FRA", "USA", "KEN")
    }
    for site in found.values():
        await site.start()
    for one, other in (("FRA", "USA"), ("FRA", "KEN"), ("USA", "KEN")):
        await introduce(found[one], found[other])
    await until(lambda: len(found["FRA"].running.links.engine.linked) == 2, "FRA to be linked to both")
    await found["KEN"].stop()
    yield found
    for site in found.values():
        await site.stop()


async def exchange(sites: dict[str, Site], precedence: Precedence) -> float:
    """Seconds until a bulletin from FRA to USA is accepted."""
    began = time.monotonic()
    async with sites["FRA"].client("a") as client:
        sent = await client.send(["USA"], f"at {began}", precedence=precedence)

    async def accepted() -> bool:
        return await word(sites["FRA"], sent.bulletin, "USA") == "accepted"

    await until(accepted, "USA to accept")
    return time.monotonic() - began


def size_of(site: Site) -> int:
    return sum(one.stat().st_size for one in site.root.rglob("*") if one.is_file())


async def budgets(client: Client) -> dict[str, Any]:
    found = await client.operations.Status(pb.StatusRequest())
    assert found.health == "SERVING"
    return {one.name: one for one in found.budgets if one.member == "KEN"}


@pytest.mark.timeout(240)
async def test_two_honest_members_go_on_while_a_third_floods_one_of_them_with_all_that_it_can_say(
    sites: dict[str, Site],
) -> None:
    fra = sites["FRA"]
    await exchange(sites, Precedence.ROUTINE)
    log, database = len(fra.log.getvalue()), size_of(fra)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    port = str(fra.running.peer_port)
    words = [sys.executable, hostile_member.__file__, sites["KEN"].root, "FRA", port, str(SECONDS)]
    told: list[dict[str, Any]] = []
    delays: list[float] = []
    spent: dict[str, Any] = {}
    with process(words, stdout=-1, env=clean_environment()) as ken:
        assert ken.stdout is not None
        reading = asyncio.create_task(asyncio.to_thread(ken.stdout.read))
        while not reading.done():
            for precedence in (Precedence.FLASH, Precedence.ROUTINE):
                delays.append(await exchange(sites, precedence))
            async with fra.client("o") as client:
                spent |= await budgets(client)  # one that is whole again is not shown at the end
        told = [json.loads(line) for line in (await reading).splitlines()]
        assert await asyncio.to_thread(ken.wait, 30) == 0
        print(json.dumps(told), max(delays), len(fra.log.getvalue()) - log, size_of(fra) - database)
    by_name = {one["flood"]: one for one in told}
    assert max(delays) < DELAY, delays
    for name in RATED:
        answered, ended = by_name[name]["answers"], by_name[name]["ends"]
        assert answered.get("RATE", 0) + ended.get("RATE", 0) > 0, by_name[name]
    for name in CUT:
        # Who writes at the very moment of the end may see the stream end without its code.
        assert by_name[name]["ends"], by_name[name]
        assert set(by_name[name]["ends"]) <= {"RATE", ""}, by_name[name]
    assert any("RATE" in by_name[name]["ends"] for name in CUT)
    assert len(fra.log.getvalue()) - log < LOG
    assert size_of(fra) - database < DATABASE
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 < MEMORY
    assert "node.defect" not in fra.log.getvalue()
    async with fra.client("o") as client:
        spent |= await budgets(client)
    assert {"checks", "answers", "gaps", "logs", "unreadable"} <= set(spent)
    assert sum(one.refused for one in spent.values()) > 20

    # It behaves again, and is served again by itself.
    await sites["KEN"].start()

    async def back() -> bool:
        return "FRA" in sites["KEN"].running.links.engine.linked

    await until(back, "FRA to take a link of KEN again")
    async with sites["KEN"].client("a") as client:
        sent = await client.send(["FRA"], "an honest one", label="//KEN RESTRICTED//REL TO FRA, KEN")

    async def taken() -> bool:
        return await word(sites["KEN"], sent.bulletin, "FRA") in ("accepted", "refused")

    await until(taken, "FRA to answer KEN")
