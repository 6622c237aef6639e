"""Courier bundles: messages to one member in a file that reveals neither them nor the member.

    prefix    magic ‖ u16 suite ‖ sealed file key ‖ header of the stream
    chunks    of 64 KiB, one secretstream under the file key; the last bears FINAL
    inside    u32 length ‖ message, and so on; u32 0; zeros up to the padded length

The first message is the head (``trust.courier``), whose signature covers the prefix: whoever signed it made
the file key, so every later chunk counts as that node's statement, as on a link. Sans I/O, with at most a
chunk and a message in memory. A file that was cut yields the messages that lie whole in chunks before the
cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from intelshare.crypto.codec import malformed
from intelshare.crypto.pae import Domain, pae, u16
from intelshare.crypto.pieces import HEADER_LENGTH, KEY_LENGTH, OVERHEAD, PieceCipher
from intelshare.crypto.records import KeyRecord
from intelshare.crypto.suites import Random, Suites
from intelshare.envelope.open import SealingKeyHeld
from intelshare.envelope.padding import padded_length
from intelshare.errors import CryptoError, EnvelopeError
from intelshare.ids import KeyId, MemberCode

MAGIC: Final = b"intelshare bundle 1\n"

CHUNK: Final = 1 << 16
"""The bytes of every encrypted chunk except the last."""

MAX_HEAD: Final = 4 << 20
"""The most bytes of the first message."""

MAX_MESSAGE: Final = 1 << 20
"""The most bytes of any other message."""

FLOOR: Final = 4096
"""The length of the plaintext of a bundle without content."""

_LENGTH: Final = 4
_PLAIN: Final = CHUNK - OVERHEAD
_FIXED: Final = len(MAGIC) + 2


class BundleWriter:
    """Writes one bundle: ``prefix``, then what ``add`` and ``finish`` return, in order."""

    def __init__(
        self, recipient: MemberCode, kem: tuple[KeyId, KeyRecord], suites: Suites, random: Random
    ) -> None:
        """``kem`` is a sealing key of the recipient. Raises CryptoError KEM_KEY_UNKNOWN."""
        identity, record = kem
        suite, key, header = suites[record.suite], random(KEY_LENGTH), random(HEADER_LENGTH)
        sealed = suite.seal(record.public, bundle_info(record.suite, recipient, identity), key)
        self.prefix = MAGIC + u16(record.suite) + sealed + header
        self.messages = 0
        self._cipher = PieceCipher(key, header)
        self._waiting = bytearray()
        self._length = 0

    def add(self, message: bytes) -> bytes:
        """Return the chunks that this message completes."""
        self.messages += 1
        return self._put(len(message).to_bytes(_LENGTH, "big") + message)

    def finish(self) -> bytes:
        """Return the last chunks."""
        chunks = [self._put(bytes(_LENGTH))]
        missing = padded_length(self._length, FLOOR) - self._length
        while missing:
            part = min(missing, _PLAIN)
            chunks.append(self._put(bytes(part)))
            missing -= part
        chunks.append(self._cipher.seal(bytes(self._waiting), last=True))
        return b"".join(chunks)

    def _put(self, data: bytes) -> bytes:
        self._waiting += data
        self._length += len(data)
        chunks = []
        # The last chunk is never empty: a full one waits until more comes.
        while len(self._waiting) > _PLAIN:
            chunks.append(self._cipher.seal(bytes(self._waiting[:_PLAIN]), last=False))
            del self._waiting[:_PLAIN]
        return b"".join(chunks)


class BundleReader:
    """Reads one bundle: feed it the bytes as they come, then call ``finish``."""

    def __init__(self, member: MemberCode, keys: Mapping[KeyId, SealingKeyHeld], suites: Suites) -> None:
        """``keys`` are the member's sealing keys that can still open; each of the suite is tried."""
        self.prefix = b""
        """The bytes that the head's signature covers; empty until they have come."""
        self._member = member
        self._keys = keys
        self._suites = suites
        self._cipher: PieceCipher | None = None
        self._sealed = bytearray()
        self._plain = bytearray()
        self._length = 0
        self._messages = 0
        self._ended = False
        self._ended_at = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that these bytes complete, each before the next chunk is opened.

        Raises EnvelopeError ENVELOPE_MALFORMED (not a bundle, or one by other rules), BUNDLE_INCOMPLETE (cut
        or changed), CryptoError SUITE_UNKNOWN, BUNDLE_NOT_OURS.
        """
        self._sealed += data
        if self._cipher is None and not self._begin():
            return
        # The last chunk is recognised by what follows it: nothing.
        while len(self._sealed) > CHUNK:
            chunk = bytes(self._sealed[:CHUNK])
            del self._sealed[:CHUNK]
            yield from self._open(chunk, last=False)

    def finish(self) -> Iterator[bytes]:
        """Yield the messages of the last chunk.

        Raises as ``feed``; BUNDLE_INCOMPLETE also if the file was cut.
        """
        if self._cipher is None:
            if not (MAGIC.startswith(self._sealed[: len(MAGIC)]) or self._sealed.startswith(MAGIC)):
                raise _no_bundle()
            raise _broken()
        yield from self._open(bytes(self._sealed), last=True)
        if not self._ended:
            raise malformed("Bundle", "it ends in the middle of a message")
        if self._length != padded_length(self._ended_at, FLOOR):
            raise malformed("Bundle", "its padding has the wrong length")

    def _begin(self) -> bool:
        if not MAGIC.startswith(self._sealed[: len(MAGIC)]):
            raise _no_bundle()
        if len(self._sealed) < _FIXED:
            return False
        number = int.from_bytes(self._sealed[len(MAGIC) : _FIXED], "big")
        suite = self._suites.get(number)
        if suite is None:
            raise CryptoError(
                "SUITE_UNKNOWN",
                f"the bundle is sealed with suite {number}, unknown here",
                hint="the member that wrote it uses a later version: upgrade this node",
            )
        begin = _FIXED + suite.encapsulation + KEY_LENGTH
        end = begin + HEADER_LENGTH
        if len(self._sealed) < end:
            return False
        self.prefix = bytes(self._sealed[:end])
        del self._sealed[:end]
        key = self._open_key(number, self.prefix[_FIXED:begin])
        self._cipher = PieceCipher(key, self.prefix[begin:])
        return True

    def _open_key(self, suite: int, sealed: bytes) -> bytes:
        for identity, held in self._keys.items():
            if held.record.suite == suite:
                try:
                    return held.key.open(bundle_info(suite, self._member, identity), sealed)
                except CryptoError:
                    continue
        raise CryptoError(
            "BUNDLE_NOT_OURS",
            "the bundle opens with no sealing key of this member",
            hint="it is for another member, or older than the keys kept here: ask for a new one",
        )

    def _open(self, chunk: bytes, *, last: bool) -> Iterator[bytes]:
        assert self._cipher is not None  # noqa: S101 - made by ``_begin``
        try:
            opened = self._cipher.open(chunk, last=last)
        except CryptoError:
            raise _broken() from None
        self._length += len(opened)
        self._plain += opened
        while not self._ended:
            if len(self._plain) < _LENGTH:
                return
            size = int.from_bytes(self._plain[:_LENGTH], "big")
            if size > (MAX_MESSAGE if self._messages else MAX_HEAD):
                raise malformed("Bundle", f"a message of {size} bytes")
            if len(self._plain) < _LENGTH + size:
                return
            message = bytes(self._plain[_LENGTH : _LENGTH + size])
            del self._plain[: _LENGTH + size]
            if size:
                self._messages += 1
                yield message
            else:
                self._ended = True
                self._ended_at = self._length - len(self._plain)
        if self._plain.count(0) != len(self._plain):
            raise malformed("Bundle", "its padding is not zero")
        self._plain.clear()


def bundle_info(suite: int, recipient: MemberCode, kem: KeyId) -> bytes:
    """Return HPKE's info for the file key."""
    return pae(Domain.BUNDLE, u16(suite), recipient.encode(), kem)


def _no_bundle() -> EnvelopeError:
    return EnvelopeError(
        "ENVELOPE_MALFORMED",
        "this file is not a courier bundle",
        hint="`intelshare courier export` writes one",
    )


def _broken() -> EnvelopeError:
    return EnvelopeError(
        "BUNDLE_INCOMPLETE",
        "the bundle was cut or changed on its way",
        hint="what came before the damage was taken in; import a whole copy, or ask for the next bundle",
    )
