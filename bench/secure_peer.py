"""The yardstick at equal protection: what a good engineer writes in a day to protect messages over a broker.

The publisher signs each message (Ed25519) and encrypts it for the recipient (NaCl box: X25519,
XSalsa20-Poly1305). The consumer opens and verifies it and answers with a signed acknowledgement. No policy,
no log, no durable client, no post-quantum algorithms, nothing sealed at rest. ``bench.jetstream`` carries it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import SigningKey, VerifyKey


@dataclass(frozen=True, slots=True)
class Peer:
    """What one side holds: its own secret keys and the other's public ones, 32 bytes each."""

    sign: bytes
    box: bytes
    their_verify: bytes
    their_box: bytes


def make_peers() -> tuple[Peer, Peer]:
    """Two that know each other."""
    signing = [SigningKey.generate() for _ in range(2)]
    boxes = [PrivateKey.generate() for _ in range(2)]
    one, two = [
        Peer(
            bytes(signing[me]),
            bytes(boxes[me]),
            bytes(signing[1 - me].verify_key),
            bytes(boxes[1 - me].public_key),
        )
        for me in (0, 1)
    ]
    return one, two


class Seals:
    """Sign, then encrypt; decrypt, then verify. An acknowledgement is the signed digest of what came."""

    def __init__(self, peer: Peer) -> None:
        self._sign, self._verify = SigningKey(peer.sign), VerifyKey(peer.their_verify)
        self._box = Box(PrivateKey(peer.box), PublicKey(peer.their_box))

    def seal(self, text: bytes) -> bytes:
        """Signed and encrypted, with a random nonce."""
        return bytes(self._box.encrypt(bytes(self._sign.sign(text))))

    def open(self, sealed: bytes) -> bytes:
        """The text. Raises CryptoError, of which BadSignatureError is one."""
        return bytes(self._verify.verify(self._box.decrypt(sealed)))

    def acknowledge(self, sealed: bytes) -> bytes:
        """For ``acknowledged`` at the other side."""
        return bytes(self._sign.sign(digest(sealed)))

    def acknowledged(self, answer: bytes) -> bytes:
        """The digest of the message that was received. Raises BadSignatureError."""
        return bytes(self._verify.verify(answer))


def digest(sealed: bytes) -> bytes:
    """By which an acknowledgement names a message."""
    return hashlib.sha256(sealed).digest()
