"""A file in pieces, each of which can be kept, sent and checked alone (docs/format.md, "Attachments").

One secretstream of libsodium (XChaCha20-Poly1305) per file, under a key that encrypts nothing else. A piece
is one message of it; the last bears the tag FINAL, so that a file cannot end early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_pull,
    crypto_secretstream_xchacha20poly1305_pull,
    crypto_secretstream_xchacha20poly1305_push,
    crypto_secretstream_xchacha20poly1305_state,
    crypto_secretstream_xchacha20poly1305_TAG_FINAL,
    crypto_secretstream_xchacha20poly1305_TAG_MESSAGE,
)

from intelshare.crypto.codec import decode
from intelshare.crypto.pae import Domain, digest, sha256
from intelshare.crypto.records import Attachment
from intelshare.crypto.suites import open_failed
from intelshare.errors import CryptoError, EnvelopeError
from intelshare.ids import Digest

PIECE: Final = 1 << 20
"""Bytes of every piece but the last, encrypted."""

OVERHEAD: Final = 17
"""Bytes that encryption adds to a piece: its tag, and what authenticates it."""

PLAIN: Final = PIECE - OVERHEAD
"""Bytes of the file in every piece but the last."""

MAX_FILE: Final = 2 << 30

KEY_LENGTH: Final = 32
HEADER_LENGTH: Final = 24


def piece_count(size: int) -> int:
    """How many pieces a file of so many bytes has: an empty one has one."""
    return max(1, -(-size // PLAIN))


def sealed_size(size: int) -> int:
    """Bytes of all pieces of a file of ``size`` bytes."""
    return size + OVERHEAD * piece_count(size)


def piece_span(size: int, number: int) -> tuple[int, int]:
    """Where the piece of this number, from 0, begins among all pieces, and where it ends."""
    start = number * PIECE
    return start, min(start + PIECE, sealed_size(size))


def pieces_id(digests: Sequence[bytes]) -> Digest:
    """By what name the pieces of a file are asked for: who has not opened its portion cannot know it."""
    return digest(Domain.PIECES, *digests)


def read_attachment(content: bytes) -> Attachment:
    """The content of a portion that is an attachment. Raises EnvelopeError ENVELOPE_MALFORMED."""
    found = decode(Attachment, content)
    if found.size > MAX_FILE or len(found.pieces) != piece_count(found.size):
        raise EnvelopeError("ENVELOPE_MALFORMED", "an attachment whose pieces are not those of its size")
    return found


def check_piece(piece: bytes, expected: bytes) -> None:
    """Raise CryptoError COMMITMENT_MISMATCH if this is not the piece that was committed to."""
    if sha256(piece) != expected:
        raise CryptoError("COMMITMENT_MISMATCH", "a piece of a file is not what its originator committed to")


class PieceCipher:
    """Encrypts or decrypts the pieces of one file, in their order.

    Both directions move the same state, so that an interrupted encryption goes on where it was: decrypt what
    there is, then encrypt the rest.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        """``key`` is 32 bytes and must encrypt no other file; ``header`` 24 random bytes."""
        self._state = crypto_secretstream_xchacha20poly1305_state()
        crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def seal(self, content: bytes, *, last: bool) -> bytes:
        """The next piece of the file."""
        tag = (
            crypto_secretstream_xchacha20poly1305_TAG_FINAL
            if last
            else crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        )
        sealed: bytes = crypto_secretstream_xchacha20poly1305_push(self._state, content, tag=tag)
        return sealed

    def open(self, piece: bytes, *, last: bool) -> bytes:
        """What the next piece holds. Raises CryptoError OPEN_FAILED, also if the file ends elsewhere."""
        try:
            content, tag = crypto_secretstream_xchacha20poly1305_pull(self._state, piece)
        except (RuntimeError, ValueError):
            raise open_failed("a piece of a file") from None
        if (tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL) is not last:
            raise open_failed("a piece of a file that ends elsewhere")
        opened: bytes = content
        return opened
