"""An operator stops dealing with a member, the node running: links, queues, doors, and what stays."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from intelshare.node.offline import operate_offline
from intelshare.wire.v1 import user_pb2 as pb
from node_world import PASSPHRASE, Site, code_of, until, word


async def operate(site: Site, method: str, request: object) -> pb.ExclusionResponse:
    async with site.client("o") as client:
        answer: pb.ExclusionResponse = await getattr(client.operations, method)(request)
    return answer


async def linked(*sites: Site) -> None:
    await until(lambda: all(site.running.links.engine.linked for site in sites), "links")


async def codes(site: Site, bulletin: bytes) -> tuple[str, list[str]]:
    async with site.client("a") as client:
        answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
    (pair,) = answer.entries[0].pairs
    return pair.word, list(pair.codes)


async def state(site: Site) -> str:
    """What ``status`` shows of the one peer."""
    async with site.client("o") as client:
        (peer,) = (await client.operations.Status(pb.StatusRequest())).peers
    return str(peer.state)


async def shows(site: Site, code: str) -> None:
    """Wait until the one peer has this last error."""

    async def reached() -> bool:
        async with site.client("o") as client:
            (peer,) = (await client.operations.Status(pb.StatusRequest())).peers
        return str(peer.last_error) == code

    await until(reached, code)


async def becomes(site: Site, bulletin: bytes, wanted: str) -> None:
    async def reached() -> bool:
        return await word(site, bulletin, "USA") == wanted

    await until(reached, wanted)


async def sent(site: Site, text: str) -> bytes:
    async with site.client("a") as client:
        return bytes((await client.send(["USA"], text)).bulletin)


async def read(site: Site, bulletin: bytes) -> bytes:
    async with site.client("a") as client:
        answer = await client.bulletins.Read(pb.ReadRequest(id=bulletin.hex()))
    return bytes(answer.portions[0].portion.content)


async def test_a_suspension_ends_the_link_at_once_and_a_resumption_goes_on(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await linked(fra, usa)
    answer = await operate(fra, "SuspendMember", pb.SuspendMemberRequest(member="USA"))
    assert (answer.exclusion, answer.changed) == ("suspended", True)
    await until(
        lambda: not fra.running.links.engine.linked and not usa.running.links.engine.linked, "no link"
    )
    waiting = await sent(fra, "while it is suspended")
    assert await codes(fra, waiting) == ("queued", ["MEMBER_SUSPENDED"])
    assert await state(fra) == "suspended"

    await shows(usa, "PEER_REVOKED")
    assert not fra.running.links.engine.linked
    await fra.stop()
    await fra.start()
    assert await codes(fra, waiting) == ("queued", ["MEMBER_SUSPENDED"])
    await operate(fra, "ResumeMember", pb.ResumeMemberRequest(member="USA"))
    await becomes(fra, waiting, "accepted")
    async with usa.client("a") as client:
        assert len((await client.bulletins.Inbox(pb.InboxRequest())).entries) == 1


async def test_a_removed_member_is_a_stranger_until_it_is_imported_on_purpose(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await linked(fra, usa)
    arrived = await sent(fra, "before")
    await becomes(fra, arrived, "accepted")
    await usa.stop()
    queued = await sent(fra, "nobody takes it")
    async with fra.client("o") as client:
        planned = await client.operations.RemoveMember(pb.RemoveMemberRequest(member="USA", dry_run=True))
    assert (planned.queued, planned.changed) == (1, False)
    await operate(fra, "RemoveMember", pb.RemoveMemberRequest(member="USA"))
    assert await codes(fra, queued) == ("undeliverable", ["MEMBER_REMOVED"])
    assert await word(fra, arrived, "USA") == "accepted"
    assert await state(fra) == "removed"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await sent(fra, "to a stranger")
    assert code_of(refused.value) == "UNKNOWN_MEMBER"
    await usa.start()
    async with usa.client("o") as client:
        said = await client.operations.ExportMember(pb.ExportMemberRequest())
    file = pb.ImportMemberRequest(text=said.text, fingerprint=said.fingerprint)
    async with fra.client("o") as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.operations.ImportMember(file)
        assert code_of(refused.value) == "MEMBER_REMOVED"
        wrong = pb.ImportMemberRequest(text=said.text, fingerprint="0" * 20, again=True)
        with pytest.raises(grpc.aio.AioRpcError):
            await client.operations.ImportMember(wrong)
        assert await state(fra) == "removed"
        file.again = True
        await client.operations.ImportMember(file)
    anew = await sent(fra, "dealt with again")
    await becomes(fra, anew, "accepted")
    assert await codes(fra, queued) == ("undeliverable", ["MEMBER_REMOVED"])


async def test_a_removed_member_sees_that_its_certificate_is_refused_and_not_that_nobody_answers(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await linked(fra, usa)
    await operate(fra, "RemoveMember", pb.RemoveMemberRequest(member="USA"))
    await shows(usa, "TLS_REFUSED")
    await fra.stop()
    await shows(usa, "NODE_UNREACHABLE")


async def test_what_a_removed_member_sent_stays_readable_and_provable(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await linked(fra, usa)
    bulletin = await sent(fra, "kept")
    await becomes(fra, bulletin, "accepted")
    await operate(usa, "RemoveMember", pb.RemoveMemberRequest(member="FRA"))
    assert await read(usa, bulletin) == b"kept"
    async with usa.client("a") as client:
        exported = await client.audit.ExportRelease(pb.ExportReleaseRequest(bulletin=bulletin.hex()))
    assert '"FRA"' in exported.text, "its documents are in the file: the judge needs nothing else"


async def test_the_folder_of_a_node_that_does_not_run_does_the_same(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await linked(fra, usa)
    await usa.stop()
    queued = await sent(fra, "queued")
    await fra.stop()

    def offline(method: str, request: object) -> pb.ExclusionResponse:
        answer: pb.ExclusionResponse = operate_offline(fra.root, lambda: PASSPHRASE, method, request)
        return answer

    asked = await asyncio.to_thread(offline, "SuspendMember", pb.SuspendMemberRequest(member="USA"))
    assert asked.exclusion == "suspended"
    removed = await asyncio.to_thread(offline, "RemoveMember", pb.RemoveMemberRequest(member="USA"))
    assert (removed.exclusion, removed.queued) == ("removed", 1)
    listed = await asyncio.to_thread(offline, "ListMembers", pb.ListMembersRequest())
    entry = next(one for one in listed.members if one.member == "USA")
    assert entry.exclusion == "removed"
    assert entry.excluded_by.endswith("/user/folder-owner")
    await fra.start()
    await usa.start()
    assert await codes(fra, queued) == ("undeliverable", ["MEMBER_REMOVED"])
