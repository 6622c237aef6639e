"""A machine's files in pieces: durable once written, and never restored with its disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from intelshare.crypto.pieces import PIECE, check_piece
from intelshare.engine.actions import OpenPieces, ReadSlice, WritePiece
from intelshare.engine.events import PiecesOpened, PieceWritten
from intelshare.errors import CryptoError, StoreError
from intelshare.ids import FilePlace


class Pieces:
    """The pieces by place and number."""

    def __init__(self) -> None:
        self.files: dict[FilePlace, dict[int, bytes]] = {}
        self.decayed: set[tuple[FilePlace, int]] = set()
        """Pieces that the disk has lost and that were not written again."""

    def copy(self) -> Pieces:
        """Return a copy."""
        made = Pieces()
        made.files = {place: dict(held) for place, held in self.files.items()}
        made.decayed = set(self.decayed)
        return made

    def put(self, place: FilePlace, pieces: Sequence[bytes]) -> None:
        """Store a file that a user has brought."""
        self.files[place] = dict(enumerate(pieces))

    def keep(self, places: Iterable[FilePlace]) -> None:
        """Remove the files that the store does not know."""
        known = set(places)
        self.files = {place: held for place, held in self.files.items() if place in known}

    def remove(self, places: Iterable[FilePlace]) -> None:
        """Remove these files."""
        for place in places:
            self.files.pop(place, None)

    def decay(self, place: FilePlace, number: int) -> None:
        """Let the disk lose a piece."""
        if self.files.get(place, {}).pop(number, None) is not None:
            self.decayed.add((place, number))

    def open(self, action: OpenPieces) -> PiecesOpened:
        """See ``OpenPieces``."""
        held = self.files.setdefault(action.place, {})
        return PiecesOpened(action.place, [n for n in range(len(action.pieces)) if n not in held])

    def write(self, action: WritePiece) -> PieceWritten:
        """See ``WritePiece``."""
        piece, held = b"".join(action.parts), self.files.get(action.place)
        try:
            check_piece(piece, action.expected)
            if held is None:
                raise StoreError("NOT_FOUND", "this file was removed")
        except (CryptoError, StoreError) as error:
            return PieceWritten(action.place, action.number, error)
        held[action.number] = piece
        self.decayed.discard((action.place, action.number))
        return PieceWritten(action.place, action.number)

    def read(self, action: ReadSlice) -> bytes:
        """See ``ReadSlice``."""
        piece = self.files.get(action.place, {}).get(action.start // PIECE, b"")
        start = action.start % PIECE
        return piece[start : start + action.length]
