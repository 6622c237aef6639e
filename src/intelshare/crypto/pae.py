"""Hashing and key derivation: PAE with a closed list of domains, H and KDF (docs/format.md).

Each domain is used by exactly one construction; ``tests/unit/crypto/test_crypto.py`` checks it.
"""

from __future__ import annotations

import hashlib
import struct
from enum import Enum
from typing import Final

from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyRecord
from intelshare.ids import Digest, KeyId

_VERSION: Final = b"intelshare/v1"


_pack_length = struct.Struct(">Q").pack
_pack_u16 = struct.Struct(">H").pack
_pack_u32 = struct.Struct(">I").pack
_LENGTHS: Final = tuple(_pack_length(n) for n in range(4096))
"""The length prefixes of the usual lengths, made once: PAE is the function that a node calls most often."""
_USUAL_PARTS: Final = 16


def _head(name: bytes, parts: int) -> bytes:
    return _VERSION + _pack_length(parts + 1) + _pack_length(len(name)) + name


class Domain(Enum):
    """The purpose for which bytes are hashed. No two constructions share one."""

    def __init__(self, name: bytes) -> None:
        self.heads = tuple(_head(name, count) for count in range(_USUAL_PARTS))

    KEY = b"key"
    MANIFEST = b"manifest"
    PORTION = b"portion"
    PORTION_SALT = b"portion-salt"
    BODY_KEY = b"body-key"
    BODY = b"body"
    BATCH_KEY = b"batch-key"
    GRANT = b"grant"
    GRANT_KEY = b"grant-key"
    SEALED = b"sealed"
    PIECES = b"pieces"
    STREAM = b"stream"
    LEAF = b"leaf"
    BATCH = b"batch"
    HELLO = b"hello"
    ROOT = b"root"
    DIRECTORY = b"directory"
    BUNDLE = b"bundle"
    BUNDLE_HEAD = b"bundle-head"
    REST = b"rest"
    LOG_ENTRY = b"log-entry"
    REST_GROUP = b"rest-group"
    DECIDED = b"decided"
    DECISION_SALTS = b"decision-salts"
    DECIDED_PORTION = b"decided-portion"


def pae(domain: Domain, *parts: bytes) -> bytes:
    """Return the pre-authentication encoding of these parts under a domain; different inputs never encode
    alike.
    """
    count = len(parts)
    out = [domain.heads[count] if count < _USUAL_PARTS else _head(domain.value, count)]
    for part in parts:
        length = len(part)
        out += (_LENGTHS[length] if length < 4096 else _pack_length(length), part)
    return b"".join(out)


def u16(value: int) -> bytes:
    """Encode a PAE part: an integer of two bytes."""
    return _pack_u16(value)


def u32(value: int) -> bytes:
    """Encode a PAE part: an integer of four bytes."""
    return _pack_u32(value)


def u64(value: int) -> bytes:
    """Encode a PAE part: an integer of eight bytes."""
    return _pack_length(value)


def sha256(data: bytes) -> bytes:
    """Return H of the format: SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


_INNER: Final = bytes(b ^ 0x36 for b in range(256))
_OUTER: Final = bytes(b ^ 0x5C for b in range(256))


def kdf(key: bytes, domain: Domain, *parts: bytes) -> bytes:
    """Return 32 bytes of HKDF-Expand (RFC 5869) with SHA-256; ``key`` is 32 uniformly random bytes.

    One output block is one HMAC, which is written out here: it takes 1.3 µs, against 1.8 µs with
    ``hmac.digest``.
    """
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(block.translate(_INNER) + pae(domain, *parts) + b"\x01").digest()
    return hashlib.sha256(block.translate(_OUTER) + inner).digest()


def key_id(record: KeyRecord) -> KeyId:
    """Return the id of a key record: a digest of the whole record, never truncated."""
    return KeyId(sha256(pae(Domain.KEY, encode(KeyRecord, record))))


def digest(domain: Domain, *parts: bytes) -> Digest:
    """Return H over the PAE of these parts."""
    return Digest(hashlib.sha256(pae(domain, *parts)).digest())
