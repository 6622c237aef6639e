"""The pieces of files on the disk: bounds, what is missing after any end, what is removed."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from intelshare.broker.lifecycle.attachments import Kept
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PIECE
from intelshare.errors import CryptoError, DeliveryError, StoreError
from intelshare.ids import FilePlace, MemberCode
from intelshare.node.pieces import PieceFiles

ONE, OTHER = FilePlace(b"1" * 16), FilePlace(b"2" * 16)
PIECES = (bytes(PIECE), b"\x01" * PIECE, b"\x02" * 100)
DIGESTS = tuple(sha256(piece) for piece in PIECES)
SIZE = sum(map(len, PIECES)) - 17 * len(PIECES)


FRA, DEU = MemberCode("FRA"), MemberCode("DEU")
SEALED = sum(map(len, PIECES))
MUCH = 1 << 40


class Files(PieceFiles):
    """Whose files are FRA's, where nothing else is said."""

    async def open(
        self, place: FilePlace, size: int, pieces: Sequence[bytes], member: MemberCode = FRA
    ) -> list[int]:
        return await super().open(place, member, size, pieces)


def files(folder: Path, *kept: FilePlace, largest: int = MUCH, total: int = MUCH, share: int = MUCH) -> Files:
    known = [Kept(place, SIZE, FRA) for place in kept]
    return Files(folder, known, largest=largest, total=total, share=share)


async def write(at: PieceFiles, place: FilePlace, *numbers: int) -> None:
    for number in numbers:
        await at.write(place, number, [PIECES[number]], DIGESTS[number])


async def test_what_is_missing_is_seen_after_any_end(tmp_path: Path) -> None:
    first = files(tmp_path)
    assert await first.open(ONE, SIZE, DIGESTS) == [0, 1, 2]
    await write(first, ONE, 2, 0)
    first.close()
    again = files(tmp_path, ONE)
    assert await again.open(ONE, SIZE, DIGESTS) == [1]
    await write(again, ONE, 1)
    assert await again.open(ONE, SIZE, DIGESTS) == []
    assert await again.read(ONE, PIECE, 3) == b"\x01\x01\x01"
    again.close()


async def test_a_torn_piece_is_missing(tmp_path: Path) -> None:
    at = files(tmp_path)
    await at.open(ONE, SIZE, DIGESTS)
    await write(at, ONE, 0, 1, 2)
    path = tmp_path / ONE.hex()
    path.write_bytes(path.read_bytes()[: 2 * PIECE + 50])
    assert await at.open(ONE, SIZE, DIGESTS) == [2]
    at.close()


async def test_a_piece_that_is_not_the_right_one_is_not_written(tmp_path: Path) -> None:
    at = files(tmp_path)
    await at.open(ONE, SIZE, DIGESTS)
    with pytest.raises(CryptoError, match="COMMITMENT_MISMATCH"):
        await at.write(ONE, 0, [PIECES[1]], DIGESTS[0])
    assert await at.open(ONE, SIZE, DIGESTS) == [0, 1, 2]
    at.close()


async def test_only_what_is_here_takes_room(tmp_path: Path) -> None:
    """A peer that promises much and sends nothing keeps nobody out."""
    at = files(tmp_path, total=SIZE + 17 * 3)
    await at.open(ONE, SIZE, DIGESTS)
    assert await at.open(OTHER, SIZE, DIGESTS) == [0, 1, 2]
    await write(at, ONE, 0, 1)
    with pytest.raises(StoreError, match="DISK_FULL"):
        await write(at, OTHER, 1)
    await at.remove([ONE])
    await write(at, OTHER, 0, 1, 2)
    with pytest.raises(StoreError, match="DISK_FULL"):
        await at.open(ONE, SIZE, DIGESTS)
    at.close()


async def test_what_is_too_large_is_refused_before_there_is_a_file(tmp_path: Path) -> None:
    at = files(tmp_path, largest=SIZE - 1)
    with pytest.raises(DeliveryError, match="TOO_LARGE"):
        await at.open(ONE, SIZE, DIGESTS)
    assert list(tmp_path.iterdir()) == []
    at.close()


async def test_p1_the_name_of_a_new_file_is_durable_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(
            os, name, lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        )
    at = files(tmp_path / "files")
    assert synced == ["files"], "what the process before had made"
    await at.open(ONE, SIZE, DIGESTS)
    await at.open(ONE, SIZE, DIGESTS)
    await write(at, ONE, 0, 1)
    assert synced == ["files", "files", ONE.hex(), ONE.hex()]
    at.close()


async def test_nothing_is_written_into_a_file_that_was_removed(tmp_path: Path) -> None:
    at = files(tmp_path)
    await at.open(ONE, SIZE, DIGESTS)
    removed, written = at.remove([ONE]), write(at, ONE, 0)
    with pytest.raises(StoreError, match="NOT_FOUND"):
        await asyncio.gather(removed, written)
    assert list(tmp_path.iterdir()) == []
    at.close()


async def test_what_nobody_knows_is_removed_at_a_start(tmp_path: Path) -> None:
    at = files(tmp_path)
    await at.open(ONE, SIZE, DIGESTS)
    await at.open(OTHER, SIZE, DIGESTS)
    at.close()
    files(tmp_path, OTHER).close()
    assert [path.name for path in tmp_path.iterdir()] == [OTHER.hex()]
    assert tmp_path.stat().st_mode & 0o777 == 0o700


async def test_no_peer_takes_more_than_its_share_and_others_find_room(tmp_path: Path) -> None:
    at = files(tmp_path, share=SEALED + 10)
    await at.open(ONE, SIZE, DIGESTS)
    await write(at, ONE, 0, 1, 2)
    with pytest.raises(DeliveryError, match="SHARE_FULL"):
        await at.open(OTHER, SIZE, DIGESTS)
    assert await at.open(OTHER, SIZE, DIGESTS, DEU) == [0, 1, 2]
    await write(at, OTHER, 0, 1, 2)
    assert at.facts().of == {FRA: SEALED, DEU: SEALED}
    await at.remove([ONE])
    assert await at.open(ONE, SIZE, DIGESTS) == [0, 1, 2]
    at.close()


async def test_files_that_were_promised_room_together_still_share_it(tmp_path: Path) -> None:
    """Both may begin: only what is here takes room; and the one that comes second waits in the middle."""
    at = files(tmp_path, share=SEALED + 10)
    await at.open(ONE, SIZE, DIGESTS)
    await at.open(OTHER, SIZE, DIGESTS)
    await write(at, ONE, 0, 1)
    with pytest.raises(DeliveryError, match="SHARE_FULL"):
        await write(at, OTHER, 0)
    at.close()


async def test_a_share_is_counted_again_after_a_start(tmp_path: Path) -> None:
    first = files(tmp_path)
    await first.open(ONE, SIZE, DIGESTS)
    await write(first, ONE, 0, 1, 2)
    first.close()
    again = files(tmp_path, ONE, share=SEALED)
    with pytest.raises(DeliveryError, match="SHARE_FULL"):
        await again.open(OTHER, SIZE, DIGESTS)
    assert await again.open(ONE, SIZE, DIGESTS) == [], "and what is here already is not counted twice"
    again.close()


async def test_what_the_disk_cannot_read_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector is an error of the system, not wrong bytes."""
    at = files(tmp_path)
    await at.open(ONE, SIZE, DIGESTS)
    await write(at, ONE, 0, 1, 2)
    pread = os.pread

    def bad(descriptor: int, length: int, start: int) -> bytes:
        if start == PIECE:
            raise OSError(errno.EIO, "bad sector")
        return pread(descriptor, length, start)

    monkeypatch.setattr(os, "pread", bad)
    assert await at.open(ONE, SIZE, DIGESTS) == [1]
    assert await at.read(ONE, PIECE, 5) == b""
    at.close()


async def test_who_does_not_lead_removes_nothing_until_it_takes_stock(tmp_path: Path) -> None:
    leading = files(tmp_path)
    await leading.open(ONE, SIZE, DIGESTS)
    await write(leading, ONE, 0)
    beside = Files(tmp_path, None, largest=MUCH, total=MUCH, share=MUCH)
    assert len(list(tmp_path.iterdir())) == 1
    beside.take_stock([Kept(ONE, SIZE, FRA)])
    assert await beside.open(ONE, SIZE, DIGESTS) == [1, 2]
    beside.take_stock([])
    assert list(tmp_path.iterdir()) == []
    for one in (leading, beside):
        one.close()
