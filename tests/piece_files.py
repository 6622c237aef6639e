"""Pieces of files in memory, as a driver keeps them, and members that have a file to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from builders import NOW, actor, text
from intelshare.broker.lifecycle.attachments import BeginUpload, FinishUpload, begin_upload, finish_upload
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PIECE, PLAIN, PieceCipher, check_piece, piece_count
from intelshare.crypto.records import Attachment, Portion, PortionKind
from intelshare.engine.actions import OpenPieces, ReadSlice, WritePiece
from intelshare.engine.events import PiecesOpened, PieceWritten
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace
from line_world import TO_USA


def place(number: int = 1) -> FilePlace:
    """Of an upload."""
    return FilePlace(bytes([number]) * 16)


def portion(made: Attachment, label: str = TO_USA) -> Portion:
    """What stands for a file."""
    return replace(
        text(label),
        kind=PortionKind.ATTACHMENT,
        media="application/pdf; name=annex.pdf",
        content=encode(Attachment, made),
    )


def uploaded(member: Any, content: bytes, number: int = 1) -> tuple[Attachment, bytes]:
    """The record of a file that the analyst has sent to the node, and its pieces."""
    who = actor(member.node.member, "a")
    upload = member.do(begin_upload, BeginUpload(who, place(number), len(content)), at=NOW)
    cipher, count = PieceCipher(upload.key, upload.header), piece_count(len(content))
    pieces = [cipher.seal(content[n * PLAIN : (n + 1) * PLAIN], last=n == count - 1) for n in range(count)]
    finished = FinishUpload(who, place(number), tuple(sha256(piece) for piece in pieces))
    return member.do(finish_upload, finished, at=NOW), b"".join(pieces)


class PieceFiles:
    """What a disk holds: the pieces of each file, by number."""

    def __init__(self) -> None:
        self.files: dict[FilePlace, dict[int, bytes]] = {}
        self.fails: list[IntelshareError] = []
        """What the next writes and openings come to."""
        self.written: list[int] = []

    def keep(self, at: FilePlace, pieces: bytes) -> None:
        """A file that is all here."""
        self.files[at] = {
            n: pieces[start : start + PIECE] for n, start in enumerate(range(0, len(pieces), PIECE))
        }

    def open(self, action: OpenPieces) -> PiecesOpened:
        """See ``OpenPieces``."""
        if self.fails:
            return PiecesOpened(action.place, error=self.fails.pop(0))
        held = self.files.setdefault(action.place, {})
        return PiecesOpened(action.place, [n for n in range(len(action.pieces)) if n not in held])

    def write(self, action: WritePiece) -> PieceWritten:
        """See ``WritePiece``."""
        try:
            if self.fails:
                raise self.fails.pop(0)
            check_piece(b"".join(action.parts), action.expected)
        except IntelshareError as error:
            return PieceWritten(action.place, action.number, error)
        self.files[action.place][action.number] = b"".join(action.parts)
        self.written.append(action.number)
        return PieceWritten(action.place, action.number)

    def read(self, action: ReadSlice) -> bytes:
        """See ``ReadSlice``."""
        held = self.files.get(action.place, {})
        return b"".join(held[n] for n in sorted(held))[action.start : action.start + action.length]

    def remove(self, places: Sequence[FilePlace]) -> None:
        """See ``Shred``."""
        for one in places:
            self.files.pop(one, None)
