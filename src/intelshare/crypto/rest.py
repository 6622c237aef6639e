"""Encryption at rest: XChaCha20-Poly1305 bound to the row that holds the bytes (docs/format.md, "At rest").

The caller passes the vault's storage key and a random nonce; the nonce is stored in front of the ciphertext.

This module calls libsodium directly, as PyNaCl's wrapper does: ten rows are sealed for each release, and the
wrapper spends 6 of its 8 µs on building error messages that are not used. This module checks the lengths.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import nacl.bindings  # noqa: F401 - initialises libsodium
from nacl._sodium import ffi, lib  # type: ignore[import-not-found]

from intelshare.crypto.aead import open_once, seal_once
from intelshare.crypto.pae import Domain, kdf, u32, u64
from intelshare.crypto.suites import open_failed

NONCE_LENGTH: Final = 24
KEY_LENGTH: Final = 32
_TAG_LENGTH: Final = 16
_FOUR: Final = u64(4)
_SALT_LENGTH: Final = 32


def seal_at_rest(
    key: bytes, nonce: bytes, plaintext: bytes, *, table: str, row: bytes, slot: int, beside: bytes = b""
) -> bytes:
    """Return nonce ‖ ciphertext ‖ tag, which opens only for this table, row and slot, and together with the
    bytes ``beside``.

    ``nonce`` is 24 random bytes, never used before under this key; 24 + 16 bytes are added. Raises ValueError
    for a key or nonce of another length.
    """
    if len(key) != KEY_LENGTH or len(nonce) != NONCE_LENGTH:
        raise ValueError("encryption at rest takes a key of 32 and a nonce of 24 bytes")
    bound = _bound(table, row, slot, beside)
    sealed = ffi.new("unsigned char[]", len(plaintext) + _TAG_LENGTH)
    failed = lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
        sealed, ffi.NULL, plaintext, len(plaintext), bound, len(bound), ffi.NULL, nonce, key
    )
    if failed:
        raise ValueError("libsodium refused to encrypt")
    return nonce + bytes(ffi.buffer(sealed))


def open_at_rest(
    key: bytes, sealed: bytes, *, table: str, row: bytes, slot: int, beside: bytes = b""
) -> bytes:
    """Return the plaintext. Raises CryptoError OPEN_FAILED if it was changed, moved or sealed under another
    key.
    """
    length = len(sealed) - NONCE_LENGTH - _TAG_LENGTH
    if len(key) != KEY_LENGTH or length < 0:
        raise open_failed(f"a row of {table}")
    bound = _bound(table, row, slot, beside)
    plaintext = ffi.new("unsigned char[]", max(length, 1))
    failed = lib.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plaintext, ffi.NULL, ffi.NULL, sealed[NONCE_LENGTH:], length + _TAG_LENGTH, bound, len(bound),
        sealed[:NONCE_LENGTH], key,
    )  # fmt: skip
    if failed:
        raise open_failed(f"a row of {table}")
    return bytes(ffi.buffer(plaintext, length))


@cache
def _head(table: str, parts: int) -> bytes:
    """Return the PAE prefix up to the row; it is cached, for a node has only some thirty tables."""
    raw = table.encode()
    return Domain.REST.heads[parts] + u64(len(raw)) + raw


def _bound(table: str, row: bytes, slot: int, beside: bytes) -> bytes:
    parts = (u64(len(row)), row, _FOUR, u32(slot))
    if beside:
        return b"".join((_head(table, 4), *parts, u64(len(beside)), beside))
    return b"".join((_head(table, 3), *parts))


def seal_group(
    key: bytes, salt: bytes, plaintext: bytes, *, what: bytes, place: int, epoch: int = 0
) -> bytes:
    """Return salt ‖ AES-256-GCM of many records at once, which opens only as ``what`` in this place and
    epoch.

    Each group has a separate key, derived from ``salt``: 32 random bytes, never used before under ``key``.
    Raises ValueError for a key or salt of another length.
    """
    if len(key) != KEY_LENGTH or len(salt) != _SALT_LENGTH:
        raise ValueError("a group is sealed with a key and a salt of 32 bytes each")
    return salt + seal_once(_group_key(key, salt, what, place, epoch), plaintext)


def open_group(key: bytes, sealed: bytes, *, what: bytes, place: int, epoch: int = 0) -> bytes:
    """Return the plaintext. Raises CryptoError OPEN_FAILED if it was changed, moved or sealed under another
    key.
    """
    salt = sealed[:_SALT_LENGTH]
    name = f"{what.decode()} {place}"
    if len(key) != KEY_LENGTH or len(salt) != _SALT_LENGTH:
        raise open_failed(name)
    return open_once(_group_key(key, salt, what, place, epoch), sealed[_SALT_LENGTH:], b"", name)


def _group_key(key: bytes, salt: bytes, what: bytes, place: int, epoch: int) -> bytes:
    return kdf(key, Domain.REST_GROUP, what, salt, u64(place), u64(epoch))
