"""Recall and expiry between two real nodes; of a destroyed bulletin nothing is left on the disk (I8)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc
import pytest

from intelshare.broker.kernel.tables import INBOX, SECRET
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.crypto.rest import open_at_rest
from intelshare.errors import CryptoError, StoreError
from intelshare.instant import SECOND
from intelshare.store.sidecar import read_sidecar
from intelshare.store.sqlite import SqliteStore
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, Site, code_of, now, until, word

CANARY = "the heron nests at dawn"


async def delivered(fra: Site, text: str = CANARY, **changes: Any) -> bytes:
    """A bulletin that USA has accepted; its id."""
    portion = pb.Portion(kind=1, label=LABEL, category="cyber", media="text/plain", content=text.encode())
    request = pb.SubmitRequest(key=os.urandom(16), to=["USA"], precedence=1, portions=[portion], **changes)
    async with fra.client("a") as analyst:
        sent = await analyst.bulletins.Submit(request)
    await shows(fra, sent.bulletin, "accepted")
    bulletin: bytes = sent.bulletin
    return bulletin


async def shows(fra: Site, bulletin: bytes, wanted: str) -> None:
    async def now_() -> bool:
        return await word(fra, bulletin, "USA") == wanted

    await until(now_)


async def recall(site: Site, bulletin: bytes, by: str = "a", **changes: Any) -> pb.RecallResponse:
    async with site.client(by) as client:
        answer: pb.RecallResponse = await client.bulletins.Recall(
            pb.RecallRequest(id=bulletin.hex(), reason="wrong source", **changes)
        )
    return answer


async def receipts(site: Site, bulletin: bytes) -> list[pb.SignedReceipt]:
    async with site.client("a") as client:
        answer = await client.bulletins.Receipts(pb.ReceiptsRequest(id=bulletin.hex()))
    return list(answer.receipts)


async def opens(site: Site, bulletin: bytes) -> bool:
    async with site.client("a") as client:
        try:
            await client.bulletins.Read(pb.ReadRequest(id=bulletin.hex()))
        except grpc.aio.AioRpcError as error:
            return code_of(error) != "NOT_FOUND"
    return True


def secrets_of(site: Site) -> list[bytes]:
    """What opens each portion that this site holds, as it stands on the disk."""
    rows = site.running.runtime.store.ask_now(lambda view: view.find(SECRET, "key"))
    return [row.sealed for row in rows if any(row.sealed)]


def gone(site: Site) -> list[int]:
    return [row.gone for row in site.running.runtime.store.ask_now(lambda view: view.find(INBOX, "key"))]


def on_disk(site: Site, content: bytes) -> bool:
    return any(content in file.read_bytes() for file in site.root.rglob("*") if file.is_file())


async def test_i8_a_recalled_bulletin_is_gone_from_the_disk_before_its_destruction_is_signed(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    bulletin = await delivered(fra)
    assert await opens(usa, bulletin)
    (sealed,) = secrets_of(usa)
    assert on_disk(usa, sealed), "the check could not fail"
    seen: list[bool] = []
    node = usa.running.runtime
    perform = node.store.perform

    async def watching(step: Any, then: Any = None) -> Any:
        if gone(usa) == [Gone.MARKED]:
            seen.append(on_disk(usa, sealed))
        return await perform(step, then)

    monkeypatch.setattr(node.store, "perform", watching)
    answer = await recall(fra, bulletin)
    assert [(one.recipient, one.effect) for one in answer.pairs] == [("USA", "asked")]
    await shows(fra, bulletin, "destroyed")
    # Of the steps between the two commits the last one signs, and by then nothing was left.
    assert seen
    assert not seen[-1]
    assert not on_disk(usa, sealed)
    assert not on_disk(usa, CANARY.encode())
    storage = node.node.storage_key
    row = node.store.ask_now(lambda view: view.find(SECRET, "key"))[0]
    with pytest.raises(CryptoError):
        open_at_rest(storage, row.sealed, table="secret", row=row.md, slot=row.slot)
    assert not await opens(usa, bulletin)
    signed = await receipts(fra, bulletin)
    assert [(one.status, list(one.codes), one.flaw) for one in signed] == [
        ("ACCEPTED", [], ""),
        ("DESTROYED", ["RECALLED"], ""),
    ]
    for site in pair:
        async with site.client("u") as auditor:
            said = await auditor.operations.VerifyAudit(pb.VerifyAuditRequest())
        assert list(said.findings) == []


async def test_c16_a_node_that_ends_before_it_signed_shreds_and_signs_at_its_next_start(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = pair
    bulletin = await delivered(fra)
    assert await opens(usa, bulletin)

    async def never(self: SqliteStore) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "shred", never)
        await recall(fra, bulletin)
        await until(lambda: gone(usa) == [Gone.MARKED])
        assert not await opens(usa, bulletin)
        assert await word(fra, bulletin, "USA") == "accepted"
        async with fra.client("a") as client:
            entry = (await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))).entries[0]
        assert entry.pairs[0].recall_requested
        assert entry.recalled_at
        await usa.stop()
    shredded: list[int] = []
    shred = SqliteStore.shred

    async def counted(self: SqliteStore) -> None:
        await shred(self)
        shredded.append(1)

    monkeypatch.setattr(SqliteStore, "shred", counted)
    await usa.start()
    await shows(fra, bulletin, "destroyed")
    assert shredded == [1]
    assert [one.status for one in await receipts(fra, bulletin)] == ["ACCEPTED", "DESTROYED"]


async def test_a_node_stops_cleanly_while_a_reader_holds_up_the_shredding(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup or a report may look for minutes; the next start shreds and signs."""
    fra, usa = pair
    bulletin = await delivered(fra)
    looked: list[int] = []

    def held_up(_: SqliteStore) -> bool:
        looked.append(1)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "_clear", held_up)
        await recall(fra, bulletin)
        await until(lambda: len(looked) > 1)
        node = usa.running
        await usa.stop()
    assert not node.runtime.failed.done()
    kept = read_sidecar(node.runtime.folder.sidecar)
    assert kept is not None
    assert kept.clean
    assert "node.defect" not in usa.log.getvalue()
    await usa.start()
    await shows(fra, bulletin, "destroyed")


async def test_a_full_disk_only_delays_the_signature(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, _ = pair
    bulletin = await delivered(fra)
    shred, tried = SqliteStore.shred, []

    async def full_once(self: SqliteStore) -> None:
        tried.append(1)
        if len(tried) == 1:
            raise StoreError("DISK_FULL", "as if")
        await shred(self)

    monkeypatch.setattr(SqliteStore, "shred", full_once)
    await recall(fra, bulletin)
    await shows(fra, bulletin, "destroyed")
    assert len(tried) == 2


async def test_a_bulletin_ends_by_itself_at_both_sides(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    bulletin = await delivered(fra, valid_until=now() + 2 * SECOND)
    assert await opens(usa, bulletin)
    await shows(fra, bulletin, "destroyed")
    assert not await opens(usa, bulletin)
    async with usa.client("a") as reader:
        (entry,) = (await reader.bulletins.Inbox(pb.InboxRequest())).entries
    assert (entry.destroyed, entry.title, entry.banner, entry.portions) == ("EXPIRED", "", "", 0)
    (_, signed) = await receipts(fra, bulletin)
    assert (signed.status, list(signed.codes)) == ("DESTROYED", ["EXPIRED"])


async def test_a_recall_reaches_a_recipient_that_was_away(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    bulletin = await delivered(fra)
    await usa.stop()
    answer = await recall(fra, bulletin, "r")
    assert [one.word for one in answer.pairs] == ["accepted"]
    await fra.stop()
    await fra.start()
    await usa.start()
    await shows(fra, bulletin, "destroyed")


async def test_many_recalls_at_once_are_each_signed_for_once(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    bulletins = [await delivered(fra, f"bulletin {n}") for n in range(10)]
    await asyncio.gather(*[recall(fra, bulletin) for bulletin in bulletins])
    for bulletin in bulletins:
        await shows(fra, bulletin, "destroyed")
        assert [one.status for one in await receipts(fra, bulletin)] == ["ACCEPTED", "DESTROYED"]
    assert secrets_of(usa) == []


async def test_row_41_a_reader_of_another_member_is_told_that_it_is_not_theirs(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    bulletin = await delivered(fra)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recall(usa, bulletin, "r")
    assert code_of(caught.value) == "RECALL_NOT_ORIGINATOR"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await recall(usa, bytes(16), "r")
    assert code_of(caught.value) == "NOT_FOUND"
    assert await opens(usa, bulletin)
    assert await word(fra, bulletin, "USA") in {"accepted", "read"}
