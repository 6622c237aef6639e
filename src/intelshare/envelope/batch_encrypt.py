"""Encrypts many bulletins: the same bytes as ``encrypt_bulletin`` from the same draws, in one flat loop.

    manifest    u16 1 ‖ bulletin id ‖ s originator ‖ u64 created ‖ u8 precedence ‖ u64 expires ‖ L<[32]>
    portion     u8 kind ‖ s label ‖ s category ‖ L<s> flags ‖ s grade ‖ s media ‖ u32 length ‖ content ‖ zeros
                `----------------- the same for many portions -----------------'

The hashes, keys and bound strings are in ``heads``. Where ``encrypt_bulletin`` would raise, the answer is
None, and nothing was drawn for that bulletin: then call ``encrypt_bulletin``, whose error says why.
``tests/property/test_batch_agreement.py`` holds both to it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import encode, record
from intelshare.crypto.draw import cut, draw_distinct
from intelshare.crypto.records import SLOT_COUNTS, Member, Portion, Precedence
from intelshare.crypto.suites import Random
from intelshare.envelope.encrypt import MAX_CONTENT, MAX_PORTIONS
from intelshare.envelope.heads import (
    BODY,
    BODY_KEY,
    COMMITMENT,
    SALT,
    SLOTS,
    U64_32,
    digest_of_manifest,
    length_of,
    pads,
)
from intelshare.envelope.padding import PORTION_FLOOR, padded_length
from intelshare.errors import EnvelopeError
from intelshare.ids import BulletinId, Digest, ManifestDigest, MemberCode
from intelshare.instant import LATEST, Instant, is_end

_sha256 = hashlib.sha256
_content_length = struct.Struct(">I").pack
_manifest_middle = struct.Struct(">QBQH").pack


class ToEncrypt(NamedTuple):
    """One bulletin: portions in reading order, creation, precedence and end (half open, NEVER: no end)."""

    portions: Sequence[Portion]
    created: Instant
    precedence: Precedence
    expires: Instant


class Encrypted(NamedTuple):
    """An encrypted bulletin as stored; the lists correspond, in the order in which portions were given."""

    bulletin: BulletinId
    manifest: bytes
    md: ManifestDigest
    slots: list[int]
    secrets: list[bytes]
    bodies: list[bytes]
    digests: list[Digest]
    """The hash of each body."""

    def __repr__(self) -> str:
        return f"Encrypted(md={self.md.hex()})"


@record
class _Originator:
    originator: Member


def encrypt_many(
    bulletins: Sequence[ToEncrypt], originator: MemberCode, random: Random
) -> list[Encrypted | None]:
    """Commit to the portions of each bulletin and encrypt them, in the order given; None: see the module.

    Raises EnvelopeError ENVELOPE_MALFORMED for an originator that no manifest can carry.
    """
    start = encode(_Originator, _Originator(originator))
    take = cut(random, 704 * len(bulletins))
    heads: dict[tuple[object, ...], bytes] = {}
    made: list[Encrypted | None] = []
    for portions, created, precedence, expires in bulletins:
        try:
            padded = _padded(portions, heads)
            count = next(count for count in SLOT_COUNTS if len(padded) <= count)
            if created > LATEST or not is_end(expires):
                raise ValueError("no time")
            middle = _manifest_middle(created, Precedence(precedence), expires, count)
        except (EnvelopeError, TypeError, ValueError, struct.error):
            made.append(None)
            continue
        made.append(_encrypt(padded, count, start + middle, take))
    return made


def _padded(portions: Sequence[Portion], heads: dict[tuple[object, ...], bytes]) -> list[bytes]:
    """Return the padded portions. Raises EnvelopeError or ValueError where ``encrypt_bulletin`` raises."""
    if not 1 <= len(portions) <= MAX_PORTIONS:
        raise ValueError("too few or too many portions")
    content = 0
    padded = []
    for portion in portions:
        data = portion.content
        marks = (
            portion.kind, portion.label, portion.category, portion.flags, portion.grade, portion.media
        )  # fmt: skip
        head = heads.get(marks)
        if head is None:
            head = heads[marks] = encode(Portion, Portion(*marks, b""))[:-4]
        content += len(data)
        framed = head + _content_length(len(data)) + data
        padded.append(framed.ljust(padded_length(len(framed), PORTION_FLOOR), b"\0"))
    if content > MAX_CONTENT:
        raise ValueError("too much content")
    return padded


def _encrypt(padded: list[bytes], count: int, middle: bytes, take: Random) -> Encrypted:
    """Encrypt one bulletin; ``middle`` is the part of the manifest between bulletin id and commitments."""
    bulletin = take(16)
    slots = draw_distinct(len(padded), count, take)
    commitments = bytearray(take(32 * count))
    secrets = [take(32) for _ in padded]
    keyed = [pads(secret) for secret in secrets]
    for slot, (inner, outer), data in zip(slots, keyed, padded, strict=True):
        place = SLOTS[slot]
        salt = _sha256(outer + _sha256(inner + SALT + bulletin + place + b"\x01").digest()).digest()
        commitments[32 * slot : 32 * slot + 32] = _sha256(
            b"".join((COMMITMENT, bulletin, place, U64_32, salt, length_of(len(data)), data))
        ).digest()
    manifest = b"".join((b"\x00\x01", bulletin, middle, commitments))
    md = digest_of_manifest(manifest)
    bodies = []
    for slot, (inner, outer), data in zip(slots, keyed, padded, strict=True):
        at = md + SLOTS[slot]
        key = _sha256(outer + _sha256(inner + BODY_KEY + at + b"\x01").digest()).digest()
        bodies.append(seal_once(key, data, BODY + at))
    return Encrypted(
        BulletinId(bulletin),
        manifest,
        ManifestDigest(md),
        slots,
        secrets,
        bodies,
        [Digest(_sha256(body).digest()) for body in bodies],
    )
