"""The names of things: one type each, so that a digest cannot be passed where a key id is meant."""

from __future__ import annotations

from typing import NewType

MemberCode = NewType("MemberCode", str)
"""A state (ISO 3166-1 alpha-3, ``FRA``) or an organisation with a node (``NATO``)."""

NodeUri = NewType("NodeUri", str)
"""``intelshare://fra.intelshare.internal/node/paris-1``; compared exactly, never parsed."""

UserUri = NewType("UserUri", str)
"""``intelshare://fra.intelshare.internal/user/m.durand``; compared exactly, never parsed."""

BulletinId = NewType("BulletinId", bytes)
"""16 random bytes, unique per originator."""

Digest = NewType("Digest", bytes)
"""32 bytes of SHA-256 over a PAE (docs/format.md)."""

LeafId = NewType("LeafId", bytes)
"""The digest of one statement: kind, nonce and bytes. 32 bytes."""

ManifestDigest = NewType("ManifestDigest", bytes)
"""``md``: the digest of a manifest. 32 bytes."""

KeyId = NewType("KeyId", bytes)
"""The digest of a key record, never truncated. 32 bytes."""

Incarnation = NewType("Incarnation", int)
"""One start of a node: a random u64, never 0."""

ReleaseNumber = NewType("ReleaseNumber", int)
"""The number of a release in its stream, from 1."""

FilePlace = NewType("FilePlace", bytes)
"""The name under which a node keeps the pieces of a file: 16 random bytes that reveal nothing."""
