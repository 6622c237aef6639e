"""Attachments between two real nodes: whole, resumed after a cut, bounded, gone with their bulletin."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from intelshare.broker.kernel.tables import FILE
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.crypto.pieces import PIECE, PLAIN
from intelshare.errors import StoreError
from intelshare.ids import FilePlace
from intelshare.node.pieces import PieceFiles
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, code_of, introduce, make_site, until, word

PART = 1 << 18
SIZES = (0, 1, PLAIN, PLAIN + 1, 5 * PLAIN + 12345)


class Written:
    """The pieces that nodes have written, by folder; and how many they may."""

    def __init__(self) -> None:
        self.most: dict[Path, int] = {}
        self._loop = asyncio.get_running_loop()
        self._numbers: dict[Path, list[int]] = {}
        self._changed = asyncio.Event()

    def put(self, folder: Path, number: int, put: Callable[[], None]) -> None:
        numbers = self._numbers.setdefault(folder, [])
        if len(numbers) >= self.most.get(folder, 1 << 30):
            raise StoreError("DISK_FULL", "no room")
        put()
        numbers.append(number)
        self._loop.call_soon_threadsafe(self._changed.set)

    def of(self, site: Site) -> list[int]:
        return self._numbers.get(site.root / "files", [])

    async def wait_for(self, site: Site, count: int) -> None:
        while len(self.of(site)) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), patient(60))


@pytest.fixture
async def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    noted, put = Written(), PieceFiles.put

    def put_and_note(self: PieceFiles, place: FilePlace, number: int, piece: bytes) -> None:
        noted.put(self.folder, number, lambda: put(self, place, number, piece))

    monkeypatch.setattr(PieceFiles, "put", put_and_note)
    return noted


def states(site: Site) -> list[FileState]:
    found = site.running.runtime.store.ask_now(lambda view: view.find(FILE, "key"))
    return [FileState(row.state) for row in found]


def held(site: Site) -> list[Path]:
    return sorted((site.root / "files").iterdir())


async def codes(site: Site, bulletin: bytes) -> list[str]:
    async with site.client("a") as client:
        answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
    return list(answer.entries[0].pairs[0].codes)


async def whole(site: Site, bulletin: bytes) -> None:
    async def told() -> bool:
        return "WHOLE" in await codes(site, bulletin)

    await until(told, "the receipt that all attachments have arrived")


async def test_files_of_every_size_arrive_as_they_were(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    contents = [os.urandom(size) for size in SIZES]
    async with fra.client("a") as analyst:
        records = [await analyst.upload(content) for content in contents]
        sent = await analyst.attach(["USA"], *records)
    await whole(fra, sent.bulletin)
    async with usa.client("a") as reader:
        shown = await reader.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
        assert [(one.file_size, one.file_here, one.portion.content) for one in shown.portions[1:]] == [
            (size, True, b"") for size in SIZES
        ]
        for number, content in enumerate(contents, 2):
            assert await reader.download(sent.bulletin, number) == content
    assert [path.stat().st_size for path in held(fra)] != []
    for path in (*held(fra), *held(usa)):
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"annex" not in path.name.encode()


async def test_an_upload_that_was_cut_goes_on_also_after_a_restart(
    pair: tuple[Site, Site], written: Written
) -> None:
    fra, _ = pair
    content, upload_id = os.urandom(4 * PLAIN + 5), os.urandom(16)
    async with fra.client("a") as analyst:
        call = analyst.files.Upload()
        await call.write(pb.UploadRequest(id=upload_id, size=len(content)))
        assert (await call.read()).held == 0
        for start in range(0, 2 * PLAIN + 10, PART):
            await call.write(pb.UploadRequest(data=content[start : min(start + PART, 2 * PLAIN + 10)]))
        await written.wait_for(fra, 2)
        call.cancel()
    await fra.stop()
    await fra.start()
    async with fra.client("a") as analyst:
        call = analyst.files.Upload()
        await call.write(pb.UploadRequest(id=upload_id, size=len(content)))
        assert (await call.read()).held == 2 * PLAIN
        call.cancel()

        async def goes_on() -> bool:
            try:
                return bool(await analyst.upload(content, upload_id))
            except grpc.aio.AioRpcError as error:
                if code_of(error) != "RATE":
                    raise
                return False  # the call that was cut is still open there

        await until(goes_on, "the upload to go on")
        again = await analyst.upload(content, upload_id)
        assert again == await analyst.upload(content, upload_id)
        sent = await analyst.attach(["USA"], again)
    await whole(fra, sent.bulletin)


async def test_a_transfer_that_was_cut_goes_on_with_the_missing_pieces(
    pair: tuple[Site, Site], written: Written
) -> None:
    """The recipient ends in the middle; what it had written does not travel again."""
    fra, usa = pair
    content = os.urandom(12 * PLAIN)
    written.most[usa.root / "files"] = 3
    async with fra.client("a") as analyst:
        sent = await analyst.attach(["USA"], await analyst.upload(content))
    await written.wait_for(usa, 3)
    await usa.stop()
    written.most.clear()
    await usa.start()
    await whole(fra, sent.bulletin)
    assert sorted(written.of(usa)) == list(range(12)), "each piece once"
    async with usa.client("a") as reader:
        assert await reader.download(sent.bulletin) == content


async def test_a_recall_removes_the_pieces_at_both_ends(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    async with fra.client("a") as analyst:
        sent = await analyst.attach(["USA"], await analyst.upload(os.urandom(PLAIN + 9)))
    await whole(fra, sent.bulletin)
    assert held(fra)
    assert held(usa)
    async with fra.client("a") as analyst:
        await analyst.bulletins.Recall(pb.RecallRequest(id=sent.bulletin.hex(), reason="wrong"))

    async def destroyed() -> bool:
        return await word(fra, sent.bulletin, "USA") == "destroyed"

    await until(destroyed, "USA to destroy it")
    await until(lambda: not held(fra) and not held(usa), "the pieces to be removed")
    assert states(fra) == states(usa) == []
    assert await codes(fra, sent.bulletin) == ["RECALLED"]


def rot(path: Path) -> None:
    """Of its second piece."""
    with path.open("r+b") as file:
        file.seek(PIECE + 5)
        file.write(b"rot")


async def test_a_piece_that_rots_on_the_disk_reaches_nobody_and_is_fetched_again(
    pair: tuple[Site, Site], written: Written
) -> None:
    """Also across a restart: that piece alone travels, and its sender hears of it no second time."""
    fra, usa = pair
    content = os.urandom(3 * PLAIN)
    async with fra.client("a") as analyst:
        sent = await analyst.attach(["USA"], await analyst.upload(content))
    await whole(fra, sent.bulletin)
    (path,) = held(usa)
    rot(path)
    written.most[usa.root / "files"] = 3
    async with usa.client("a") as reader:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await reader.download(sent.bulletin)
        assert code_of(error.value) == "COMMITMENT_MISMATCH"
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await reader.download(sent.bulletin)
        assert code_of(error.value) == "FILE_INCOMPLETE"
        shown = await reader.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
        assert (shown.portions[1].file_here, shown.portions[1].file_lost) == (False, True)
    await usa.stop()
    written.most.clear()
    await usa.start()
    await until(lambda: states(usa) == [FileState.WHOLE], "the piece to be fetched again")
    assert written.of(usa) == [0, 1, 2, 1]
    async with usa.client("a") as reader:
        assert await reader.download(sent.bulletin) == content
    async with fra.client("a") as analyst:
        told = await analyst.bulletins.Receipts(pb.ReceiptsRequest(id=sent.bulletin.hex()))
    assert [list(one.codes) for one in told.receipts].count(["WHOLE"]) == 1


async def test_a_file_that_left_the_disk_is_fetched_again(pair: tuple[Site, Site]) -> None:
    """As after a restore of the database without the folder of files."""
    fra, usa = pair
    content = os.urandom(PLAIN + 5)
    async with fra.client("a") as analyst:
        sent = await analyst.attach(["USA"], await analyst.upload(content))
    await whole(fra, sent.bulletin)
    held(usa)[0].unlink()
    async with usa.client("a") as reader:
        with pytest.raises(grpc.aio.AioRpcError):
            await reader.download(sent.bulletin)
        await until(lambda: states(usa) == [FileState.WHOLE], "the file to be fetched again")
        assert await reader.download(sent.bulletin) == content


async def test_who_wrote_it_gets_the_file_back_until_it_ends(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    content = os.urandom(PLAIN + 5)
    async with fra.client("a") as analyst:
        sent = await analyst.attach(["USA"], await analyst.upload(content))
        shown = await analyst.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))
        assert (shown.originator, shown.received_at, shown.portions[1].file_here) == ("FRA", 0, True)
        assert await analyst.download(sent.bulletin) == content
        rot(held(fra)[0])
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await analyst.download(sent.bulletin)
        assert code_of(error.value) == "COMMITMENT_MISMATCH"
        await analyst.bulletins.Recall(pb.RecallRequest(id=sent.bulletin.hex(), reason="wrong"))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await analyst.download(sent.bulletin)
        assert code_of(error.value) == "NOT_FOUND"
        assert (
            (await analyst.bulletins.Read(pb.ReadRequest(id=sent.bulletin.hex()))).portions[0].portion.content
        )


async def test_one_peer_leaves_room_for_others_and_its_texts_arrive(tmp_path: Path) -> None:
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA", peer_files=3 << 20)
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        async with fra.client("a") as analyst:
            first = await analyst.attach(["USA"], await analyst.upload(bytes(2 << 20)))
            await whole(fra, first.bulletin)
            second = await analyst.attach(["USA"], await analyst.upload(bytes(2 << 20)))

            async def accepted() -> bool:
                return await word(fra, second.bulletin, "USA") == "accepted"

            await until(accepted, "USA to accept the text beside it")
        async with usa.client("a") as analyst:
            await analyst.upload(bytes(2 << 20))
        assert usa.running.runtime.health.codes == ()
        async with usa.client("o") as operator:
            status = await operator.operations.Status(pb.StatusRequest())
        (peer,) = status.peers
        assert peer.files_wanted == 1
        assert 2 << 20 < peer.file_bytes < 3 << 20
        assert status.files.peer_most == 3 << 20
        async with fra.client("a") as analyst:
            await analyst.bulletins.Recall(pb.RecallRequest(id=first.bulletin.hex(), reason="room"))
        await whole(fra, second.bulletin)
    finally:
        await fra.stop()
        await usa.stop()


async def test_what_is_too_large_for_a_node_is_refused_there_and_waits_here(tmp_path: Path) -> None:
    """USA takes files of 1 MiB: it says so to its own user; of FRA it has the text, and not the file."""
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA", largest_file=1 << 20)
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        async with usa.client("a") as analyst:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await analyst.upload(bytes(2 << 20))
            assert code_of(error.value) == "TOO_LARGE"
        async with fra.client("a") as analyst:
            large = await analyst.attach(["USA"], await analyst.upload(bytes(2 << 20)))
            small = await analyst.attach(["USA"], await analyst.upload(bytes(1 << 20)))
        await whole(fra, small.bulletin)
        assert await word(fra, large.bulletin, "USA") == "accepted"
        async with usa.client("a") as reader:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await reader.download(large.bulletin)
        assert code_of(error.value) == "FILE_INCOMPLETE"
    finally:
        await fra.stop()
        await usa.stop()


async def test_where_all_files_together_are_too_many_one_waits_until_another_goes(tmp_path: Path) -> None:
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA")
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA", all_files=3 << 20)
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        async with fra.client("a") as analyst:
            first = await analyst.attach(["USA"], await analyst.upload(bytes(2 << 20)))
            await whole(fra, first.bulletin)
            second = await analyst.attach(["USA"], await analyst.upload(bytes(2 << 20)))
        await until(lambda: "DISK_FULL" in usa.running.runtime.health.codes, "USA to say that it has no room")
        async with fra.client("a") as analyst:
            await analyst.send(["USA"], "goes on all the same")
            await analyst.bulletins.Recall(pb.RecallRequest(id=first.bulletin.hex(), reason="room"))
        await whole(fra, second.bulletin)
        assert "DISK_FULL" not in usa.running.runtime.health.codes
    finally:
        await fra.stop()
        await usa.stop()


async def test_what_the_store_does_not_know_is_removed_at_a_start(pair: tuple[Site, Site]) -> None:
    fra, _ = pair
    async with fra.client("a") as analyst:
        await analyst.upload(b"kept")
    await fra.stop()
    (fra.root / "files" / "left over").write_bytes(b"x")
    await fra.start()
    assert [path.stat().st_size for path in held(fra)] == [4 + 17]


async def test_flash_is_not_delayed_by_a_file(pair: tuple[Site, Site]) -> None:
    """While a file is on its way an urgent bulletin is accepted long before the file is whole."""
    fra, usa = pair

    async with fra.client("a") as analyst:
        record = await analyst.upload(os.urandom(20 * PLAIN))
        sent = await analyst.attach(["USA"], record)
        await until(lambda: states(usa) == [FileState.WANTED], "the file to be wanted")
        flash = await analyst.send(["USA"], "flash", precedence=4)

        async def accepted() -> bool:
            return await word(fra, flash.bulletin, "USA") == "accepted"

        await until(accepted, "USA to accept the urgent one")
        arrived_first = "WHOLE" not in await codes(fra, sent.bulletin)
    await whole(fra, sent.bulletin)
    assert arrived_first
