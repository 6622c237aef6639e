"""Two real nodes: from submit to the signed receipt over the link, through kills, restarts and refusals."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from intelshare.audit.proofs import fold, root_over
from intelshare.audit.tree import PAGE, Tree
from intelshare.audit.work import Work, finish
from intelshare.crypto.pae import sha256
from intelshare.node.run import NodeProcess
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, until, word


async def accepted(site: Site, bulletin: bytes) -> None:
    async def now() -> bool:
        return await word(site, bulletin, "USA") == "accepted"

    await until(now, "USA to accept")


async def inbox(site: Site) -> list[pb.InboxEntry]:
    async with site.client("a") as client:
        return list((await client.bulletins.Inbox(pb.InboxRequest(limit=500))).entries)


async def test_a_bulletin_is_accepted_read_and_its_receipt_comes_back(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    async with fra.client("a") as analyst:
        sent = await analyst.send(["USA"], "hello")
    assert [p.word for p in sent.pairs] == ["queued"]
    await accepted(fra, sent.bulletin)
    assert [entry.bulletin for entry in await inbox(usa)] == [sent.bulletin]
    async with usa.client("a") as reader:
        read = await reader.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
    assert [portion.portion.content for portion in read.portions] == [b"hello"]


async def test_what_is_sent_while_the_recipient_is_away_arrives_once_and_flash_first(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await usa.stop()
    async with fra.client("a") as analyst:
        for number in range(20):
            await analyst.send(["USA"], f"routine {number}")
        flash = await analyst.send(["USA"], "flash", precedence=4)
    await usa.start()
    await accepted(fra, flash.bulletin)
    await until(lambda: _holds(usa, 21), "USA to hold all 21")
    entries = await inbox(usa)
    assert len({entry.bulletin for entry in entries}) == 21
    first = min(entries, key=lambda entry: entry.sequence)
    assert first.bulletin == flash.bulletin


async def test_a_restarted_sender_goes_on_in_a_new_incarnation(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    async with fra.client("a") as analyst:
        before = await analyst.send(["USA"], "before")
    await accepted(fra, before.bulletin)
    port = fra.running.peer_port
    await fra.stop()
    await fra.start()
    assert fra.running.peer_port == port, "peers that were away would dial the old one"
    async with fra.client("a") as analyst:
        after = await analyst.send(["USA"], "after")
    await accepted(fra, after.bulletin)
    assert [entry.sequence for entry in await inbox(usa)] == [1, 1]


async def test_many_bulletins_at_once_arrive_each_once(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    async with fra.client("a") as analyst:
        sent = await asyncio.gather(*[analyst.send(["USA"], f"bulletin {n}") for n in range(200)])
    await until(lambda: _holds(usa, 200), "USA to hold all 200")
    entries = await inbox(usa)
    assert {entry.bulletin for entry in entries} == {answer.bulletin for answer in sent}
    assert sorted(entry.sequence for entry in entries) == list(range(1, 201))


async def test_one_link_stays_when_both_sides_dial(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await until(lambda: _linked(fra.running) and _linked(usa.running), "the link")
    # A second link would be open, and settled against the first, before this has gone there and back twice.
    for number in range(2):
        async with fra.client("a") as analyst:
            sent = await analyst.send(["USA"], f"bulletin {number}")
        await accepted(fra, sent.bulletin)
    assert _linked(fra.running)
    assert _linked(usa.running)
    assert fra.log.getvalue().count("link.opened") <= 3


async def test_a_peer_that_is_revoked_loses_its_open_link(pair: tuple[Site, Site]) -> None:
    await _seconds_until_a_revoked_peer_is_cut_off(*pair)


@pytest.mark.timed
async def test_a_peer_that_is_revoked_loses_its_open_link_within_5_seconds(pair: tuple[Site, Site]) -> None:
    assert await _seconds_until_a_revoked_peer_is_cut_off(*pair) < 5


async def _seconds_until_a_revoked_peer_is_cut_off(fra: Site, usa: Site) -> float:
    await until(lambda: _linked(fra.running) and _linked(usa.running), "the link")
    began = time.monotonic()
    await _revoke_own_node(usa)
    await until(lambda: "PEER_REVOKED" in fra.log.getvalue(), "FRA to refuse USA's node")
    await until(lambda: not _linked(fra.running), "the link to end")
    return time.monotonic() - began


async def test_the_log_of_both_verifies(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    async with fra.client("a") as analyst:
        sent = await analyst.send(["USA"], "hello")
    await accepted(fra, sent.bulletin)
    for site in pair:
        async with site.client("u") as auditor:
            said = await auditor.operations.VerifyAudit(pb.VerifyAuditRequest())
        assert not said.findings
        assert said.logs[0].size > 2


async def _holds(site: Site, count: int) -> bool:
    return len(await inbox(site)) == count


def _linked(node: NodeProcess) -> bool:
    return bool(node.links.engine.linked)


async def _revoke_own_node(site: Site) -> None:
    """The member says that its node no longer counts, and its node tells the peers."""
    from intelshare.broker.kernel.documents import adopt
    from intelshare.broker.line.hello import announce
    from intelshare.node.renewal import directory_signer
    from intelshare.trust import Revocation, Revoked, Why, renew_directory

    runtime = site.running.runtime
    directory = runtime.node.trust.members[runtime.node.member].directory
    assert directory is not None
    revocation = Revocation(Revoked.NODE, runtime.node.uri.encode(), Why.COMPROMISED, runtime.now())
    signed = renew_directory(directory, directory_signer(runtime), runtime.now(), revoke=[revocation])
    await runtime.step(adopt, signed)
    await site.running.links.act(announce, ["FRA"])


async def test_status_tells_counts_to_overseers_alone(pair: tuple[Site, Site]) -> None:
    """A log that grows, or a queue, would tell an analyst of what it may not see (attacks.md row 51)."""
    fra, usa = pair
    await usa.stop()
    async with fra.client("a") as analyst:
        await analyst.send(["USA"], "waits")
    seen = {}
    for role in ("a", "r", "o", "u"):
        async with fra.client(role) as client:
            status = await client.operations.Status(pb.StatusRequest())
        seen[role] = [
            status.log_size > 0,
            status.steps >= status.commits > 0,
            *(peer.queued > 0 for peer in status.peers),
        ]
        told = [status.HasField("log_size"), *(peer.HasField("queued") for peer in status.peers)]
        assert told == [role in "ou"] * 2, "a count that may not be seen is absent, not 0"
    assert seen == {"a": [False] * 3, "r": [False] * 3, "o": [True] * 3, "u": [True] * 3}


@pytest.mark.parametrize("page", range(6))
async def test_a_question_about_a_log_that_is_cancelled_at_any_page_spoils_no_later_proof(
    pair: tuple[Site, Site], page: int
) -> None:
    """A link that ends cancels its question; the thread goes on, and the next question waits for it."""
    links = pair[0].running.links
    size = 6 * PAGE + 83
    entries = [sha256(n.to_bytes(4, "big")) for n in range(size + 3 * PAGE)]
    tree, at_page, go_on = Tree(), threading.Event(), threading.Event()
    asking: list[int] = []

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        if low == page * PAGE and not at_page.is_set():
            at_page.set()
            assert go_on.wait(patient(10))
        return entries[low:high]

    def question(end: int) -> list[bytes]:
        asking.append(end)
        assert len(asking) == 1, "one question at a time"
        proof = finish(tree.prefix(fetch, 5 * PAGE + 15, end))
        asking.remove(end)
        return proof

    ended = asyncio.create_task(links.over_logs(lambda _: question(size)))
    await asyncio.to_thread(at_page.wait, 10)
    ended.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ended
    following = asyncio.create_task(links.over_logs(lambda _: question(len(entries))))
    done, _ = await asyncio.wait([following], timeout=0.05)
    go_on.set()
    assert not done
    assert fold(5 * PAGE + 15, len(entries), await following) == (
        root_over(entries[: 5 * PAGE + 15]),
        root_over(entries),
    )
