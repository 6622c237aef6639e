"""Files in pieces on the disk: each is one file in the folder ``files``, under a meaningless name.

A piece has a fixed offset by its number, so that after any end of the process it is clear which pieces are
here: those that do not match their hash are missing. One thread does all the work, in order: nothing is
written into a file that was removed, and the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from intelshare.broker.lifecycle.attachments import Kept, Upload
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import (
    PIECE,
    PLAIN,
    PieceCipher,
    check_piece,
    piece_count,
    piece_span,
    sealed_size,
)
from intelshare.crypto.records import Attachment
from intelshare.errors import CryptoError, DeliveryError, StoreError
from intelshare.ids import FilePlace, MemberCode
from intelshare.node.reserve import free_bytes
from intelshare.private_files import disk_errors, make_private_folder, sync_folder
from intelshare.services import FileFacts

T = TypeVar("T")

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class PieceFiles:
    """All files of one node. Call ``close`` at the end."""

    def __init__(
        self,
        folder: Path,
        kept: Iterable[Kept] | None,
        *,
        largest: int,
        total: int,
        share: int,
        keep_free: int = 0,
    ) -> None:
        """``kept``: see ``take_stock``; None: they are another replica's until that is called. Bounds are in
        bytes.

        ``share``: the bound on the files of one peer together. ``keep_free``: the disk space left for
        everything else.
        """
        self.folder = folder
        self._largest = largest
        self._total = total
        self._share = share
        self._keep_free = keep_free
        self._from: dict[FilePlace, MemberCode] = {}
        """The members from which received files come."""
        self._held: dict[FilePlace, int] = {}
        """The bytes of each file that are here: a file that is only announced takes no room."""
        self._uploading: set[FilePlace] = set()
        self._thread = ThreadPoolExecutor(1, "pieces")
        make_private_folder(folder)
        if kept is not None:
            self.take_stock(kept)

    def take_stock(self, kept: Iterable[Kept]) -> None:
        """``kept``: files that the store knows; any other file here is removed."""
        known = {one.place.hex(): one for one in kept}
        for path in self.folder.iterdir():
            one = known.get(path.name)
            if one is None:
                path.unlink(missing_ok=True)
                continue
            self._held[one.place] = path.stat().st_size
            if one.member:
                self._from[one.place] = one.member
        with disk_errors(self.folder):
            sync_folder(self.folder)  # the process before may have ended right after it made a file

    def close(self) -> None:
        """Finish the work that has begun."""
        self._thread.shutdown(cancel_futures=True)

    async def open(
        self, place: FilePlace, member: MemberCode, size: int, pieces: Sequence[bytes]
    ) -> list[int]:
        """Make room for a file from a member; return the numbers of the missing pieces.

        Raises DeliveryError TOO_LARGE, SHARE_FULL, StoreError DISK_FULL, DISK_ERROR.
        """
        return await self.run(lambda: self._open(place, member, size, pieces))

    async def write(self, place: FilePlace, number: int, parts: Sequence[bytes], expected: bytes) -> None:
        """Write a piece durably.

        Raises CryptoError COMMITMENT_MISMATCH, DeliveryError SHARE_FULL, StoreError DISK_FULL, DISK_ERROR,
        NOT_FOUND (it was removed).
        """

        def work() -> None:
            piece = b"".join(parts)
            check_piece(piece, expected)
            self.put(place, number, piece)

        await self.run(work)

    async def read(self, place: FilePlace, start: int, length: int) -> bytes:
        """Return bytes of the pieces; fewer, or none, if they are not here."""
        return await self.run(lambda: self.get(place, start, length))

    async def remove(self, places: Sequence[FilePlace]) -> None:
        """Remove files. Raises StoreError DISK_ERROR."""
        await self.run(lambda: self._remove(places))

    async def contents(self, place: FilePlace, record: Attachment) -> AsyncIterator[bytes]:
        """Yield the content of a file in parts: all of it, or an error.

        Raises CryptoError COMMITMENT_MISMATCH, OPEN_FAILED.
        """
        cipher, last = PieceCipher(record.key, record.header), len(record.pieces) - 1

        def work(number: int) -> bytes:
            start, end = piece_span(record.size, number)
            piece = self.get(place, start, end - start)
            check_piece(piece, record.pieces[number])
            return cipher.open(piece, last=number == last)

        for number in range(last + 1):
            yield await self.run(lambda number=number: work(number))  # type: ignore[misc]

    @asynccontextmanager
    async def upload(self, begun: Upload) -> AsyncIterator[Uploading]:
        """Receive a file from a user of this node, or resume receiving it.

        Raises DeliveryError RATE (it is already being uploaded), TOO_LARGE, StoreError DISK_FULL, DISK_ERROR.
        """
        if begun.place in self._uploading:
            raise DeliveryError("RATE", "this file is already being sent", hint="wait until that call ends")
        self._uploading.add(begun.place)
        try:
            uploading = Uploading(self, begun)
            await self.run(uploading.resume)
            yield uploading
        finally:
            self._uploading.discard(begun.place)

    def facts(self) -> FileFacts:
        """Return how much room there is, and how much of it each peer uses."""
        held, whose = dict(self._held), dict(self._from)
        by = Counter[MemberCode]()
        for place, size in held.items():
            by[whose.get(place, MemberCode(""))] += size
        return FileFacts(sum(held.values()), self._total, self._share, by)

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work with the disk, after everything that was asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self, place: FilePlace, member: MemberCode, size: int, pieces: Sequence[bytes]) -> list[int]:
        self._from[place] = member
        self.make(place, size)
        return [
            number
            for number in range(piece_count(size))
            if not self._holds(place, size, number, pieces[number])
        ]

    def _holds(self, place: FilePlace, size: int, number: int, expected: bytes) -> bool:
        start, end = piece_span(size, number)
        piece = self.get(place, start, end - start)
        return len(piece) == end - start and sha256(piece) == expected

    def make(self, place: FilePlace, size: int) -> None:
        """Create a file if it does not exist, within the bounds.

        Raises DeliveryError TOO_LARGE, SHARE_FULL, StoreError DISK_FULL, DISK_ERROR.
        """
        if size > self._largest:
            raise DeliveryError(
                "TOO_LARGE",
                f"the file has {size} bytes, but this node accepts at most {self._largest}",
                hint="an operator sets [files] largest_mib in node.toml",
            )
        self._need_room(place, sealed_size(size))
        path = self._path(place)
        with disk_errors(path):
            os.close(os.open(path, _NEW, 0o600))
            if place not in self._held:
                sync_folder(self.folder)
        self._held.setdefault(place, 0)

    def _need_room(self, place: FilePlace, size: int) -> None:
        free = free_bytes(self.folder)
        if free < self._keep_free:
            raise StoreError(
                "DISK_FULL",
                f"the disk of {self.folder.parent} has {free >> 20} MiB free; files must leave "
                f"{self._keep_free >> 20} MiB of it for bulletins",
                hint="free some space; what waits then continues by itself",
            )
        member, others, of_member = self._from.get(place), 0, 0
        for other, length in self._held.items():
            if other != place:
                others += length
                of_member += length if member and self._from.get(other) == member else 0
        if member and of_member + size > self._share:
            raise DeliveryError(
                "SHARE_FULL",
                f"all files of {member} together may have at most {self._share} bytes here",
                hint="wait until one of them ends, or set [files] peer_mib in node.toml",
            )
        if others + size > self._total:
            raise StoreError(
                "DISK_FULL",
                f"all files together may have at most {self._total} bytes here",
                hint="recall what is no longer needed, or set [files] total_mib in node.toml",
            )

    # In the thread

    def put(self, place: FilePlace, number: int, piece: bytes) -> None:
        """Write a piece durably. Raises DeliveryError SHARE_FULL, StoreError."""
        path, end = self._path(place), max(self._held.get(place, 0), number * PIECE + len(piece))
        self._need_room(place, end)
        try:
            with disk_errors(path):
                descriptor = os.open(path, _OLD)
                try:
                    written = 0
                    while written < len(piece):
                        written += os.pwrite(descriptor, piece[written:], number * PIECE + written)
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            raise StoreError("NOT_FOUND", "this file was removed") from None
        self._held[place] = end

    def get(self, place: FilePlace, start: int, length: int) -> bytes:
        """Return bytes of the pieces; fewer, or none, if they are not here. Raises StoreError
        RESOURCES_SHORT.
        """
        path = self._path(place)
        try:
            with disk_errors(path):
                descriptor = os.open(path, _OLD)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, length, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # What the disk cannot read counts as missing: it is requested again, and overwritten.
            return b""
        finally:
            os.close(descriptor)

    def _remove(self, places: Sequence[FilePlace]) -> None:
        for place in places:
            path = self._path(place)
            with disk_errors(path), suppress(FileNotFoundError):
                path.unlink()
            self._held.pop(place, None)
            self._from.pop(place, None)

    def _path(self, place: FilePlace) -> Path:
        return self.folder / place.hex()


class Uploading:
    """One file that a user sends: encrypted part by part, each durable before the next is accepted."""

    def __init__(self, files: PieceFiles, begun: Upload) -> None:
        self._files = files
        self._begun = begun
        self._cipher = PieceCipher(begun.key, begun.header)
        self._last = piece_count(begun.size) - 1
        self._digests: list[bytes] = []
        self._waiting = bytearray()

    @property
    def held(self) -> int:
        """Return how many bytes of the file are durable."""
        return min(len(self._digests) * PLAIN, self._begun.size)

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """Return the hashes of all pieces. Raises DeliveryError INPUT_INVALID if the file is shorter than
        announced.
        """
        if len(self._digests) <= self._last:
            raise DeliveryError(
                "INPUT_INVALID",
                f"the file ends before its {self._begun.size} bytes",
                hint="attach it again when nothing writes to it any more",
            )
        return tuple(self._digests)

    async def add(self, data: bytes) -> None:
        """Add data to the file. Raises DeliveryError INPUT_INVALID if it becomes longer than announced,
        StoreError.
        """
        self._waiting += data
        if self.held + len(self._waiting) > self._begun.size:
            raise DeliveryError(
                "INPUT_INVALID",
                f"the file has more than its {self._begun.size} bytes",
                hint="attach it again when nothing writes to it any more",
            )
        while len(self._waiting) >= PLAIN or self._is_last():
            part = bytes(self._waiting[:PLAIN])
            del self._waiting[:PLAIN]
            await self._files.run(lambda part=part: self._seal(part))  # type: ignore[misc]

    def resume(self) -> None:
        """Open the existing pieces to restore the cipher's state; pieces that do not open are sent again.

        A failed opening leaves the cipher's state unchanged.
        """
        begun, files = self._begun, self._files
        files.make(begun.place, begun.size)
        for number in range(self._last + 1):
            start, end = piece_span(begun.size, number)
            piece = files.get(begun.place, start, end - start)
            try:
                self._cipher.open(piece, last=number == self._last)
            except CryptoError:
                return
            self._digests.append(sha256(piece))

    def _is_last(self) -> bool:
        at_the_end = self.held + len(self._waiting) == self._begun.size
        return at_the_end and len(self._digests) <= self._last

    def _seal(self, part: bytes) -> None:
        piece = self._cipher.seal(part, last=len(self._digests) == self._last)
        self._files.put(self._begun.place, len(self._digests), piece)
        self._digests.append(sha256(piece))
