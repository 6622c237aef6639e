"""AES-256-GCM under keys that encrypt exactly one message, so that the nonce is zero."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intelshare.crypto.suites import open_failed

_ZERO_NONCE: Final = bytes(12)

TAG_LENGTH: Final = 16

CHECKSUM_KEY: Final = bytes(16)
"""The key of ``checksum``, which everybody knows."""

_KNOWN_TO_ALL: Final = AESGCM(CHECKSUM_KEY)


def checksum(data: bytes) -> bytes:
    """Return 16 bytes that show whether data was damaged since it was written.

    They protect against bit rot, not against people: anybody can make them. This is GMAC under a key that is
    not secret, because with AES instructions it is ten times as fast as SHA-256, and a node computes it for
    everything that it stores.
    """
    return _KNOWN_TO_ALL.encrypt(_ZERO_NONCE, b"", data)


def seal_once(key: bytes, plaintext: bytes, bound: bytes = b"") -> bytes:
    """Return ciphertext ‖ tag. ``key`` is 32 bytes and must never encrypt anything else."""
    return AESGCM(key).encrypt(_ZERO_NONCE, plaintext, bound)


def open_once(key: bytes, sealed: bytes, bound: bytes, what: str) -> bytes:
    """Return the plaintext. Raises CryptoError OPEN_FAILED, naming ``what`` did not open."""
    try:
        return AESGCM(key).decrypt(_ZERO_NONCE, sealed, bound)
    except (InvalidTag, ValueError):
        raise open_failed(what) from None
