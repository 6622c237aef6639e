"""Encryption at rest: XChaCha20-Poly1305 bound to the row that holds the bytes (docs/format.md, "At rest").

The caller passes the vault's storage key and a random nonce; the nonce is stored in front.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings as sodium
from nacl.exceptions import CryptoError as SodiumError

from intelshare.crypto.pae import Domain, pae, u32
from intelshare.crypto.suites import open_failed

NONCE_LENGTH: Final = 24
KEY_LENGTH: Final = 32


def seal_at_rest(key: bytes, nonce: bytes, plaintext: bytes, *, table: str, row: bytes, slot: int) -> bytes:
    """nonce ‖ ciphertext ‖ tag, which opens only for this table, row and slot.

    ``nonce`` is 24 random bytes, never used before under this key; 24 + 16 bytes are added.
    """
    bound = _bound(table, row, slot)
    return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, bound, nonce, key)


def open_at_rest(key: bytes, sealed: bytes, *, table: str, row: bytes, slot: int) -> bytes:
    """The plaintext. Raises CryptoError OPEN_FAILED if it was changed, moved or sealed under another key."""
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE_LENGTH:], _bound(table, row, slot), sealed[:NONCE_LENGTH], key
        )
    except (SodiumError, ValueError):
        raise open_failed(f"a row of {table}") from None


def _bound(table: str, row: bytes, slot: int) -> bytes:
    return pae(Domain.REST, table.encode(), row, u32(slot))
