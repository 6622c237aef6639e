"""Encryption at submit: each portion is committed to and encrypted once, for all recipients ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import encode
from intelshare.crypto.draw import draw_distinct
from intelshare.crypto.records import SLOT_COUNTS, Manifest, Portion, Precedence
from intelshare.crypto.suites import Random
from intelshare.envelope.construct import body_bound, body_digest, body_key, commitment, manifest_digest
from intelshare.envelope.padding import PORTION_FLOOR, pad
from intelshare.errors import EnvelopeError
from intelshare.ids import BulletinId, Digest, ManifestDigest, MemberCode
from intelshare.instant import Instant

MAX_PORTIONS: Final = 64
MAX_CONTENT: Final = 512 * 1024
"""The most bytes of content in all portions together; larger files travel as attachments."""


@dataclass(frozen=True, slots=True)
class EncryptedPortion:
    """A portion's ciphertext, and the one secret that is granted, re-wrapped and destroyed."""

    slot: int
    secret: bytes = field(repr=False)
    body: bytes = field(repr=False)
    digest: Digest
    """H(body): hand-over needs this and not the body."""


@dataclass(frozen=True, slots=True)
class EncryptedBulletin:
    """An encrypted bulletin as it is stored; ``portions`` is in the order in which they were given."""

    bulletin: BulletinId
    manifest: bytes
    md: ManifestDigest
    portions: tuple[EncryptedPortion, ...]


def encrypt_bulletin(
    portions: Sequence[Portion],
    originator: MemberCode,
    random: Random,
    *,
    created: Instant,
    precedence: Precedence,
    expires: Instant,
) -> EncryptedBulletin:
    """Commit to the portions in random slots of a new manifest and encrypt them.

    ``expires`` is half open, NEVER for no end. Raises EnvelopeError TOO_LARGE for no portion, more than 64,
    or more than 512 KiB of content; ENVELOPE_MALFORMED for a portion that its record cannot carry.
    """
    if not 1 <= len(portions) <= MAX_PORTIONS:
        raise EnvelopeError(
            "TOO_LARGE",
            f"a bulletin has 1 to {MAX_PORTIONS} portions, not {len(portions)}",
            hint="split it into several bulletins",
        )
    content = sum(len(portion.content) for portion in portions)
    if content > MAX_CONTENT:
        raise EnvelopeError(
            "TOO_LARGE",
            f"{content} bytes of content are more than the allowed {MAX_CONTENT}",
            hint="split it into several bulletins",
        )
    bulletin = BulletinId(random(16))
    count = next(count for count in SLOT_COUNTS if len(portions) <= count)
    slots = draw_distinct(len(portions), count, random)
    filler = random(32 * count)
    commitments = [filler[i : i + 32] for i in range(0, len(filler), 32)]
    secrets = [random(32) for _ in portions]
    padded = [pad(encode(Portion, portion), PORTION_FLOOR) for portion in portions]
    for slot, secret, data in zip(slots, secrets, padded, strict=True):
        commitments[slot] = commitment(secret, bulletin, slot, data)
    manifest = encode(
        Manifest, Manifest(1, bulletin, originator, created, precedence, expires, tuple(commitments))
    )
    md = manifest_digest(manifest)
    return EncryptedBulletin(
        bulletin,
        manifest,
        md,
        tuple(
            _encrypt(md, slot, secret, data)
            for slot, secret, data in zip(slots, secrets, padded, strict=True)
        ),
    )


def _encrypt(md: ManifestDigest, slot: int, secret: bytes, padded: bytes) -> EncryptedPortion:
    body = seal_once(body_key(secret, md, slot), padded, body_bound(md, slot))
    return EncryptedPortion(slot, secret, body, body_digest(body))
