"""AES-256-GCM under keys that encrypt exactly one message, so that the nonce is zero."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intelshare.crypto.suites import open_failed

_ZERO_NONCE: Final = bytes(12)

TAG_LENGTH: Final = 16


def seal_once(key: bytes, plaintext: bytes, bound: bytes = b"") -> bytes:
    """ciphertext ‖ tag. ``key`` is 32 bytes and must never encrypt anything else."""
    return AESGCM(key).encrypt(_ZERO_NONCE, plaintext, bound)


def open_once(key: bytes, sealed: bytes, bound: bytes, what: str) -> bytes:
    """The plaintext. Raises CryptoError OPEN_FAILED, naming ``what`` did not open."""
    try:
        return AESGCM(key).decrypt(_ZERO_NONCE, sealed, bound)
    except (InvalidTag, ValueError):
        raise open_failed(what) from None
