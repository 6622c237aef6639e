"""The constant bytes of the constructions of ``construct``, for the loops over batches.

Each construction hashes or derives from PAE(domain, parts): the version, the number of parts, the domain,
then each part after its length. Nearly all parts have one length, so what stands before the first byte
that changes is made once, here::

    body-key      BODY_KEY ‖ md ‖ SLOTS[slot] ‖ 01                key of a body        (keyed with the secret)
    body          BODY ‖ md ‖ SLOTS[slot]                         what a body is bound to
    portion-salt  SALT ‖ bulletin id ‖ SLOTS[slot] ‖ 01           salt                 (keyed with the secret)
    portion       COMMITMENT ‖ bulletin id ‖ SLOTS[slot] ‖ u64 32 ‖ salt ‖ u64 length ‖ padded portion
    manifest      head ‖ u64 length ‖ manifest
    grant         head ‖ u64 length ‖ claims ‖ u64 32 ‖ H(secrets)
    grant-key     per stream and batch key: the hash as far as the number; then number ‖ u64 16 ‖ nonce ‖ 01
    sealed        per batch key: the hash as far as the grant; then the grant and the digests of the bodies

"Keyed" is HKDF-Expand to one block, which is one HMAC: H(opad ‖ H(ipad ‖ info ‖ 01)) under ``pads``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

from intelshare.crypto.pae import Domain, u16, u32, u64
from intelshare.ids import Incarnation, MemberCode, NodeUri

_sha256 = hashlib.sha256
length_of = struct.Struct(">Q").pack
"""u64: the length of a part, written before it."""

MAX_SLOTS: Final = 256
COUNTERS: Final = 1 << 63
"""Numbers of releases are below this."""
U64_32: Final = u64(32)
SLOTS: Final = tuple(u64(4) + u32(slot) for slot in range(MAX_SLOTS))
"""Each slot as a part, with its length."""
BODY: Final = Domain.BODY.heads[2] + U64_32
BODY_KEY: Final = Domain.BODY_KEY.heads[2] + U64_32
SALT: Final = Domain.PORTION_SALT.heads[2] + u64(16)
COMMITMENT: Final = Domain.PORTION.heads[4] + u64(16)
_MANIFEST: Final = Domain.MANIFEST.heads[1]
_GRANT: Final = Domain.GRANT.heads[2]
_GRANT_KEY: Final = Domain.GRANT_KEY.heads[6]
_SEALED: Final = Domain.SEALED.heads[0]
_VERSION: Final = len(b"intelshare/v1")
_BODY_PART: Final = 8 + 32

_INNER: Final = bytes(b ^ 0x36 for b in range(256))
_OUTER: Final = bytes(b ^ 0x5C for b in range(256))
_INNER_REST: Final = b"\x36" * 32
_OUTER_REST: Final = b"\x5c" * 32
_NONCE: Final = u64(16)


def pads(key: bytes) -> tuple[bytes, bytes]:
    """Return ipad and opad of HMAC-SHA-256 under a key of 32 bytes."""
    return key.translate(_INNER) + _INNER_REST, key.translate(_OUTER) + _OUTER_REST


def grant_key_maker(
    batch_key: bytes, suite: int, stream: tuple[NodeUri, Incarnation, MemberCode]
) -> Callable[[int, bytes], bytes]:
    """Return ``construct.grant_key`` for one batch key and stream: (number, nonce of 16 bytes) -> key."""
    origin, incarnation, recipient = stream[0].encode(), stream[1], stream[2].encode()
    inner, outer = map(_sha256, pads(batch_key))
    inner.update(_GRANT_KEY + u64(2) + u16(suite) + u64(len(origin)) + origin + u64(8) + u64(incarnation))
    inner.update(u64(len(recipient)) + recipient + u64(8))

    def key(number: int, nonce: bytes) -> bytes:
        first, second = inner.copy(), outer.copy()
        first.update(length_of(number) + _NONCE + nonce + b"\x01")
        second.update(first.digest())
        return second.digest()

    return key


def sealed_maker(batch_key: bytes) -> Callable[[bytes, bytes], bytes]:
    """Return ``construct.sealed_digest`` for one sealed batch key.

    The result takes (grant, the 32-byte digests of the bodies, each after ``U64_32``) and returns the digest.
    """
    starts: dict[int, hashlib._Hash] = {}

    def digest(grant: bytes, bodies: bytes) -> bytes:
        start = starts.get(len(bodies))
        if start is None:
            # The head for any number of parts is that for none, with another number in it.
            parts = u64(len(bodies) // _BODY_PART + 3)
            head = _SEALED[:_VERSION] + parts + _SEALED[_VERSION + 8 :]
            start = starts[len(bodies)] = _sha256(head + u64(len(batch_key)) + batch_key)
        hashed = start.copy()
        hashed.update(length_of(len(grant)) + grant + bodies)
        return hashed.digest()

    return digest


def digest_of_grant(claims: bytes, secrets_digest: bytes) -> bytes:
    """Return ``construct.grant_digest``; ``secrets_digest`` is 32 bytes long."""
    return _sha256(b"".join((_GRANT, length_of(len(claims)), claims, U64_32, secrets_digest))).digest()


def digest_of_manifest(manifest: bytes) -> bytes:
    """Return ``construct.manifest_digest``."""
    return _sha256(_MANIFEST + length_of(len(manifest)) + manifest).digest()
