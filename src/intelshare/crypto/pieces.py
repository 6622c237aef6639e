"""A file in pieces, each of which can be kept, sent and checked alone (docs/format.md, "Attachments").

One secretstream of libsodium (XChaCha20-Poly1305) per file, under a key that encrypts nothing else. Each
piece is one message of the stream; the last has the tag FINAL, so that a truncated file is noticed.
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
"""The size in bytes of every encrypted piece but the last."""

OVERHEAD: Final = 17
"""The bytes that encryption adds to a piece: its tag and its authenticator."""

PLAIN: Final = PIECE - OVERHEAD
"""The bytes of the file in every piece but the last."""

MAX_FILE: Final = 2 << 30

KEY_LENGTH: Final = 32
HEADER_LENGTH: Final = 24


def piece_count(size: int) -> int:
    """Return the number of pieces of a file of ``size`` bytes; an empty file has one."""
    return max(1, -(-size // PLAIN))


def sealed_size(size: int) -> int:
    """Return the total size of the encrypted pieces of a file of ``size`` bytes."""
    return size + OVERHEAD * piece_count(size)


def piece_span(size: int, number: int) -> tuple[int, int]:
    """Return the start and end of a piece (numbered from 0) among the bytes of all pieces."""
    start = number * PIECE
    return start, min(start + PIECE, sealed_size(size))


def pieces_id(digests: Sequence[bytes]) -> Digest:
    """Return the name by which a file's pieces are requested; nobody can know it without opening the file's
    portion.
    """
    return digest(Domain.PIECES, *digests)


def read_attachment(content: bytes) -> Attachment:
    """Decode the content of a portion that is an attachment. Raises EnvelopeError ENVELOPE_MALFORMED."""
    found = decode(Attachment, content)
    if found.size > MAX_FILE or len(found.pieces) != piece_count(found.size):
        raise EnvelopeError("ENVELOPE_MALFORMED", "the number of pieces does not fit the attachment's size")
    return found


def check_piece(piece: bytes, expected: bytes) -> None:
    """Raise CryptoError COMMITMENT_MISMATCH if this is not the piece that was committed to."""
    if sha256(piece) != expected:
        raise CryptoError("COMMITMENT_MISMATCH", "a piece of a file is not what its originator committed to")


class PieceCipher:
    """The cipher of one file, which encrypts or decrypts its pieces in order.

    Both directions advance the same state, so that an interrupted encryption can resume: decrypt the pieces
    that exist, then encrypt the rest.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        """Start a stream. ``key`` is 32 bytes and must encrypt no other file; ``header`` is 24 random
        bytes.
        """
        self._state = crypto_secretstream_xchacha20poly1305_state()
        crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def seal(self, content: bytes, *, last: bool) -> bytes:
        """Encrypt the next piece of the file."""
        tag = (
            crypto_secretstream_xchacha20poly1305_TAG_FINAL
            if last
            else crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        )
        sealed: bytes = crypto_secretstream_xchacha20poly1305_push(self._state, content, tag=tag)
        return sealed

    def open(self, piece: bytes, *, last: bool) -> bytes:
        """Decrypt the next piece. Raises CryptoError OPEN_FAILED, also if the file ends at another piece."""
        try:
            content, tag = crypto_secretstream_xchacha20poly1305_pull(self._state, piece)
        except (RuntimeError, ValueError):
            raise open_failed("a piece of a file") from None
        if (tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL) is not last:
            raise open_failed("a piece of a file that ends elsewhere")
        opened: bytes = content
        return opened
