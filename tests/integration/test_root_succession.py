"""A new root, signed by file, over the link: to a peer that is there, and to one that was away."""

from __future__ import annotations

import grpc
import pytest

from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITES, load_signer
from intelshare.ids import MemberCode
from intelshare.trust import propose_root, read_proposal, sign_proposal, write_proposal
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, code_of, until, word

FRA = MemberCode("FRA")


async def proposed(site: Site) -> str:
    async with site.client("o") as client:
        answer = await client.operations.ProposeRoot(pb.ProposeRootRequest(new_directory_key=True))
    return str(answer.text)


def signed(site: Site, text: str) -> str:
    """By the one holder, on a machine of its own."""
    (key,) = site.founded.root_keys
    signer = load_signer(SUITES[key.record.suite], key.record, key.key_id, key.secret)
    return write_proposal(sign_proposal(read_proposal(text.encode(), "file", SUITES), signer))


async def publish(site: Site, text: str) -> None:
    async with site.client("o") as client:
        await client.operations.PublishRoot(pb.PublishRootRequest(text=text))


def version(site: Site) -> tuple[int, bool]:
    """FRA's root as this node has it, and whether the directory beside it counts."""
    held = site.running.runtime.node.trust.members[FRA]
    return held.root.version, held.fresh(site.running.runtime.now())


async def arrives(fra: Site, text: str) -> None:
    async with fra.client("a") as client:
        bulletin = bytes((await client.send(["USA"], text)).bulletin)

    async def accepted() -> bool:
        return await word(fra, bulletin, "USA") == "accepted"

    await until(accepted, "accepted")


async def test_a_linked_peer_follows_at_once_and_one_that_was_away_when_it_comes_back(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    old = fra.running.runtime.node.trust.members[FRA].root.directory[0]
    await publish(fra, signed(fra, await proposed(fra)))
    assert version(fra) == (2, True)
    await until(lambda: version(usa) == (2, True), "USA to follow")
    await arrives(fra, "under the second root")
    await usa.stop()
    await publish(fra, signed(fra, await proposed(fra)))
    await publish(fra, signed(fra, await proposed(fra)))
    assert version(fra) == (4, True)
    await usa.start()
    await until(lambda: version(usa) == (4, True), "USA to follow")
    await arrives(fra, "under the fourth root")
    await fra.stop()
    await fra.start()
    assert version(fra) == (4, True)
    directory = [key for key in fra.running.runtime.vault.held_keys() if key.record.use is KeyUse.DIRECTORY]
    assert [key.retired for key in directory if key.record == old] == [True]
    assert sum(not key.retired for key in directory) == 1


async def test_a_root_that_too_few_have_signed_changes_nothing(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    text = await proposed(fra)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(fra, text)
    assert code_of(refused.value) == "TRUST_THRESHOLD"
    foreign = signed(fra, text)
    async with usa.client("o") as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.operations.PublishRoot(pb.PublishRootRequest(text=foreign))
    assert code_of(refused.value) == "NOT_AUTHORISED"
    assert version(fra) == (1, True)
    assert version(usa) == (1, True)
    await publish(fra, foreign)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(fra, signed(fra, beside(text)))
    assert code_of(refused.value) == "TRUST_FORK"


def beside(text: str) -> str:
    """Another second root: of two that were proposed side by side one is late."""
    return write_proposal(propose_root(read_proposal(text.encode(), "file", SUITES).present_signed, SUITES))
