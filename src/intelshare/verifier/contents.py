"""The comparison of a file on the reader's disk with the portions of a release proof.

Text and small files are in the proof, byte for byte. An attachment is not: the proof has the key, the header
and the hash of every piece (docs/format.md, "Attachments"), and encrypting the file again must yield them
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PLAIN, PieceCipher, read_attachment
from intelshare.crypto.records import PortionKind
from intelshare.verifier.releases import ShownPortion

PART: Final = PLAIN
"""The bytes read at once: no more of a file is in memory, whatever its size."""


def matching_slots(
    portions: Iterable[ShownPortion], read: Callable[[int], bytes], size: int
) -> tuple[int, ...]:
    """Return the slots of the portions whose content a file of ``size`` bytes is; ``read`` returns its next
    bytes.

    Raises EnvelopeError ENVELOPE_MALFORMED for an attachment whose record is malformed, and whatever ``read``
    raises.
    """
    left = {
        portion.slot: comparing
        for portion in portions
        if (comparing := _comparing(portion, size)) is not None
    }
    at = 0
    while left:
        # An empty file has one empty part.
        part = _exactly(read, min(PART, size - at))
        at += len(part)
        left = {slot: one for slot, one in left.items() if one.takes(part, last=at == size)}
        if at == size:
            break
        if len(part) < PART:
            return ()
    return tuple(left) if not left or not read(1) else ()


class _Comparing(Protocol):
    """One portion whose content the file may be."""

    def takes(self, part: bytes, *, last: bool) -> bool:
        """Return True if the next part of the file is that of the portion."""


def _comparing(portion: ShownPortion, size: int) -> _Comparing | None:
    if portion.kind is not PortionKind.ATTACHMENT:
        return _Within(portion.content) if len(portion.content) == size else None
    record = read_attachment(portion.content)
    return _Sealed(record.key, record.header, record.pieces) if record.size == size else None


class _Within:
    """A portion whose content the proof contains."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def takes(self, part: bytes, *, last: bool) -> bool:
        """Return True if the content continues with this part."""
        same, self._left = self._left[: len(part)] == part, self._left[len(part) :]
        return same and (not last or not self._left)


class _Sealed:
    """A portion for which the proof contains the hashes of a file's pieces."""

    def __init__(self, key: bytes, header: bytes, pieces: Sequence[bytes]) -> None:
        self._cipher = PieceCipher(key, header)
        self._pieces = iter(pieces)

    def takes(self, part: bytes, *, last: bool) -> bool:
        """Return True if this part encrypts to the next piece."""
        return sha256(self._cipher.seal(part, last=last)) == next(self._pieces, None)


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    """Read ``count`` bytes; fewer at the end of the file."""
    parts = []
    while count and (part := read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
