"""Every digest, key and bound string of the envelope, one function for each (docs/format.md).

Sealing and opening both call these and nothing else, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.crypto.pae import Domain, digest, kdf, pae, sha256, u16, u32, u64
from intelshare.ids import (
    BulletinId,
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    NodeUri,
    ReleaseNumber,
)


def manifest_digest(manifest: bytes) -> ManifestDigest:
    """Return ``md``, the digest of a manifest's bytes."""
    return ManifestDigest(digest(Domain.MANIFEST, manifest))


def portion_salt(secret: bytes, bulletin: BulletinId, slot: int) -> bytes:
    """Return the salt that makes a commitment unguessable: it is gone with the secret."""
    return kdf(secret, Domain.PORTION_SALT, bulletin, u32(slot))


def commitment(secret: bytes, bulletin: BulletinId, slot: int, padded: bytes) -> bytes:
    """Return the salted hash of a padded portion. Without the secret nobody can test a guess."""
    return digest(Domain.PORTION, bulletin, u32(slot), portion_salt(secret, bulletin, slot), padded)


def body_key(secret: bytes, md: ManifestDigest, slot: int) -> bytes:
    """Return the key that encrypts one portion, and nothing else ever."""
    return kdf(secret, Domain.BODY_KEY, md, u32(slot))


def body_bound(md: ManifestDigest, slot: int) -> bytes:
    """Return the AAD of a body: no body opens in another manifest or slot."""
    return pae(Domain.BODY, md, u32(slot))


def body_digest(body: bytes) -> Digest:
    """Return H of a body's ciphertext, as ``sealed_digest`` takes it."""
    return Digest(sha256(body))


def batch_key_info(suite: int, signer: KeyId, origin: NodeUri, recipient: MemberCode, kem: KeyId) -> bytes:
    """Return a batch key's HPKE info: no signer can pass off another's, and no recipient can pass it on."""
    return pae(Domain.BATCH_KEY, u16(suite), signer, origin.encode(), recipient.encode(), kem)


def grant_key(
    batch_key: bytes,
    suite: int,
    stream: tuple[NodeUri, Incarnation, MemberCode],
    sequence: ReleaseNumber,
    nonce: bytes,
) -> bytes:
    """Return the key of one grant: it cannot be moved to another release, stream or signer."""
    origin, incarnation, recipient = stream
    return kdf(
        batch_key,
        Domain.GRANT_KEY,
        u16(suite),
        origin.encode(),
        u64(incarnation),
        recipient.encode(),
        u64(sequence),
        nonce,
    )


def grant_digest(claims: bytes, secrets_digest: bytes) -> Digest:
    """Return the digest that binds a grant's content, whatever its ciphertext; provable without secrets."""
    return digest(Domain.GRANT, claims, secrets_digest)


def sealed_digest(batch_key: bytes, grant: bytes, bodies: Sequence[bytes]) -> Digest:
    """Return one digest over all that travels beside a release; ``bodies`` are digests in grant order."""
    return digest(Domain.SEALED, batch_key, grant, *bodies)


def stream_start(origin: NodeUri, incarnation: Incarnation, recipient: MemberCode) -> LeafId:
    """Return the digest that number 1 of a stream names as the one before it."""
    return LeafId(digest(Domain.STREAM, origin.encode(), u64(incarnation), recipient.encode()))
