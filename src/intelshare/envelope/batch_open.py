"""Opens many releases, in one flat loop, where checks 6 to 8 and 10 to 13 of ``open`` would all pass.

For each release the result is one row with all that those checks would have returned, or None: then call
``open``, so that every refusal is decided in one place, with the codes of one place. None means refused, *or*
less usual than this loop reads: carried consents, or a bulletin whose originator is not the signer. A row
says nothing about check 9 (the stream) and the end of check 12 (the same bulletin as before): those are the
caller's, as always.

    release     one ``struct``, as in ``batch_seal``: origin and recipient are known
    claims      u16 length ‖ manifest ‖ s recipient ‖ u16 1 ‖ u32 slot ‖ words ‖ decision ‖ 00 00
                words = citations ‖ obligations ‖ s banner ‖ L supersedes ‖ L reply
    manifest    u16 1 ‖ bulletin id ‖ s originator ‖ u64 created ‖ u8 precedence ‖ u64 expires ‖ L<[32]>
    portion     head ‖ u32 length ‖ content ‖ zeros
                head = u8 kind ‖ s label ‖ s category ‖ L<s> flags ‖ s grade ‖ s media

Words and heads repeat, and the codec reads them from left to right: the same bytes in the same place always
give the same values. So the codec reads each once per frame, and after that it is recognised by its bytes.
``tests/property/test_batch_open_agreement.py`` holds this loop to ``open``, honest and hostile.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode, decode_prefix
from intelshare.crypto.records import SLOT_COUNTS, Citation, Claims, Kind, Portion, Precedence, Reply
from intelshare.envelope.heads import (
    BODY,
    BODY_KEY,
    COMMITMENT,
    COUNTERS,
    SALT,
    SLOTS,
    U64_32,
    digest_of_grant,
    digest_of_manifest,
    grant_key_maker,
    length_of,
    pads,
    sealed_maker,
)
from intelshare.envelope.open import Opener
from intelshare.envelope.padding import GRANT_FLOOR, PORTION_FLOOR, padded_length
from intelshare.envelope.seal import MAX_RELEASE
from intelshare.errors import IntelshareError
from intelshare.ids import (
    BulletinId,
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    ReleaseNumber,
)
from intelshare.instant import LATEST, Instant, is_end
from intelshare.statement import VerifiedMany

_sha256 = hashlib.sha256
_u16 = struct.Struct(">H").pack
_u16_at = struct.Struct(">H").unpack_from
_u32_at = struct.Struct(">I").unpack_from
_PRECEDENCES: Final = {one.value: one for one in Precedence}
_ONE: Final = b"\0\1"
_NO_CONSENTS: Final = b"\0\0"
_MAX_HEADS: Final = 16
"""The most heads of portions remembered in a frame; the codec reads all further ones."""


class Beside(Protocol):
    """The payload of a release."""

    @property
    def grant(self) -> bytes: ...
    @property
    def bodies(self) -> Sequence[bytes]: ...


class Words(NamedTuple):
    """The content of claims, without slots and decision."""

    citations: tuple[tuple[Citation, ...], ...]
    """One entry per granted portion."""
    obligations: tuple[tuple[str, ...], ...]
    banner: str
    supersedes: tuple[ManifestDigest, ...]
    reply: tuple[Reply, ...]


class OpenedRow(NamedTuple):
    """A release that passed; the lists of portions correspond, in reading order."""

    leaf: LeafId
    incarnation: Incarnation
    number: ReleaseNumber
    prev: LeafId
    precedence: Precedence
    md: ManifestDigest
    bulletin: BulletinId
    created: Instant
    expires: Instant
    claims: bytes
    words: Words
    slots: tuple[int, ...]
    secrets: list[bytes]
    heads: list[Portion]
    """The portions without their content."""
    contents: list[bytes]
    digests: list[Digest]
    """The hash of each body."""

    def __repr__(self) -> str:
        return f"OpenedRow(number={self.number}, md={self.md.hex()})"


_MADE_HERE: Final = object()


@dataclass(frozen=True, slots=True)
class OpenedMany:
    """The rows of a frame, in order. Only this module makes one: all in it was committed to."""

    rows: tuple[OpenedRow | None, ...]
    made: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.made is not _MADE_HERE:
            raise TypeError("only envelope.batch_open makes an OpenedMany")


def open_many(
    verified: VerifiedMany, beside: Sequence[Beside], batch_key: bytes, member: MemberCode, at: Instant,
    opener: Opener,
) -> OpenedMany:  # fmt: skip
    """Open what ``verified`` proved for this member; ``beside`` is in the order of its statements.

    Nothing that a peer may send raises; another number of ``beside`` raises ValueError.
    """
    frame = _Frame(verified, batch_key, member, at, opener)
    rows: list[OpenedRow | None] = []
    for leaf, told, payload in zip(verified.leaves, verified.told, beside, strict=True):
        row: OpenedRow | None = None
        if leaf is not None and frame.usable:
            try:
                row = frame.open(leaf, told.nonce, told.data, payload.grant, payload.bodies)
            except (IntelshareError, LookupError, ValueError, struct.error):
                row = None  # ``open`` finds the reason
        rows.append(row)
    return OpenedMany(tuple(rows), _MADE_HERE)


class _Frame:
    """The state that the releases of a frame share. Its methods raise unless everything passes."""

    def __init__(
        self, verified: VerifiedMany, batch_key: bytes, member: MemberCode, at: Instant, opener: Opener
    ) -> None:
        self._batch, self._origin = verified.batch.record, verified.signer.node
        self._batch_key, self._member, self._at, self._opener = batch_key, member, at, opener
        self._node, self._me, self._sender = map(_text, (self._origin, member, verified.signer.member))
        self._release = struct.Struct(f">{len(self._node)}sQ{len(self._me)}sQ32sBQ32s32s32s")
        self._manifest = struct.Struct(f">H16s{len(self._sender)}sQBQH")
        self._grant_keys: dict[tuple[bytes, int], Callable[[int, bytes], bytes]] = {}
        self._sealed = sealed_maker(batch_key)
        self._words: dict[bytes, Words] = {}
        self._heads: list[tuple[bytes, Portion]] = []
        self.usable = verified.kind is Kind.RELEASE and self._release.size <= MAX_RELEASE
        """False: nothing in this frame can be opened here."""

    def open(
        self, leaf: LeafId, nonce: bytes, data: bytes, sealed_grant: bytes, bodies: Sequence[bytes]
    ) -> OpenedRow:
        """Run checks 6 to 8 and 10 to 13."""
        (
            node, incarnation, me, number, prev, urgency, deliver_by, kem, grant_digest, sealed
        ) = self._release.unpack(data)  # fmt: skip
        precedence = _PRECEDENCES[urgency]
        digests = [Digest(_sha256(body).digest()) for body in bodies]
        _need(node == self._node and me == self._me and self._at < deliver_by)
        _need(number < COUNTERS and is_end(deliver_by))
        _need(self._sealed(sealed_grant, b"".join([U64_32 + one for one in digests])) == sealed)
        key = self._grant_key(kem, incarnation)(number, nonce)
        claims, secrets = _grant(open_once(key, sealed_grant, b"", "the grant"), grant_digest)
        start = 2 + _u16_at(claims)[0]
        manifest = claims[2:start]
        _need(claims.startswith(self._me, start))
        slots, words = self._read_words(claims, start + len(self._me))
        bulletin, created, expires = self._read_manifest(manifest, urgency, slots)
        _need(len(secrets) == 32 * len(slots))
        md = digest_of_manifest(manifest)
        each = [secrets[i : i + 32] for i in range(0, len(secrets), 32)]
        heads, contents = [], []
        for slot, secret, body in zip(
            slots, each, bodies, strict=True
        ):  # raises for another number of bodies
            place = self._manifest.size + 32 * slot
            padded = _open_body(md, bulletin, slot, secret, body, manifest[place : place + 32])
            head, content = self._read_portion(padded)
            heads.append(head)
            contents.append(content)
        return OpenedRow(
            leaf, incarnation, number, prev, precedence, ManifestDigest(md), bulletin, created, expires,
            claims, words, slots, each, heads, contents, digests,
        )  # fmt: skip

    def _grant_key(self, kem: KeyId, incarnation: Incarnation) -> Callable[[int, bytes], bytes]:
        made = self._grant_keys.get((kem, incarnation))
        if made is None:
            # A key that does not open would be tried for each release: one failure ends the work of the loop.
            usable, self.usable = self.usable, False
            key = self._opener.key_of(self._batch, self._origin, self._member, kem, self._batch_key)
            self.usable = usable
            stream = (self._origin, incarnation, self._member)
            made = self._grant_keys[kem, incarnation] = grant_key_maker(key, self._batch.suite, stream)
        return made

    def _read_words(self, claims: bytes, at: int) -> tuple[tuple[int, ...], Words]:
        alone = claims[at : at + 2] == _ONE and claims.endswith(_NO_CONSENTS)
        if alone:
            words = self._words.get(claims[at + 6 : -34])
            if words is not None:
                return _u32_at(claims, at + 2), words
        read = decode(Claims, claims)
        _need(not read.consents)
        granted = read.granted
        words = Words(
            tuple([one.citations for one in granted]),
            tuple([one.obligations for one in granted]),
            read.banner,
            read.supersedes,
            read.reply,
        )
        if alone:
            self._words[claims[at + 6 : -34]] = words
        return tuple([one.slot for one in granted]), words

    def _read_manifest(
        self, manifest: bytes, urgency: int, slots: tuple[int, ...]
    ) -> tuple[BulletinId, Instant, Instant]:
        version, bulletin, originator, created, own, expires, count = self._manifest.unpack_from(manifest)
        _need(version == 1 and originator == self._sender and own == urgency and self._at < expires)
        _need(created <= LATEST and is_end(expires))
        _need(count in SLOT_COUNTS and len(manifest) == self._manifest.size + 32 * count)
        # For a slot that is out of range there is no commitment, and ``_open_body`` refuses.
        _need(len(set(slots)) == len(slots))
        return bulletin, created, expires

    def _read_portion(self, padded: bytes) -> tuple[Portion, bytes]:
        for head, known in self._heads:
            if padded.startswith(head):
                portion, start = known, len(head) + 4
                end = start + _u32_at(padded, start - 4)[0]
                break
        else:
            portion, end = decode_prefix(Portion, padded)
            start = end - len(portion.content)
            portion = replace(portion, content=b"")
            if len(self._heads) < _MAX_HEADS:
                self._heads.append((padded[: start - 4], portion))
        _need_padding(padded, end, PORTION_FLOOR)
        return portion, padded[start:end]


def _grant(framed: bytes, digest: bytes) -> tuple[bytes, bytes]:
    """Return claims and secrets of a grant's plaintext."""
    middle = 4 + _u32_at(framed)[0]
    end = middle + 4 + _u32_at(framed, middle)[0]
    _need_padding(framed, end, GRANT_FLOOR)
    claims, secrets = framed[4:middle], framed[middle + 4 : end]
    _need(digest_of_grant(claims, _sha256(secrets).digest()) == digest)
    return claims, secrets


def _open_body(md: bytes, bulletin: bytes, slot: int, secret: bytes, body: bytes, commitment: bytes) -> bytes:
    """Return the padded portion if it is what was committed to."""
    inner, outer = pads(secret)
    place = SLOTS[slot]
    key = _sha256(outer + _sha256(inner + BODY_KEY + md + place + b"\x01").digest()).digest()
    padded = open_once(key, body, BODY + md + place, "a portion")
    salt = _sha256(outer + _sha256(inner + SALT + bulletin + place + b"\x01").digest()).digest()
    parts = (COMMITMENT, bulletin, place, U64_32, salt, length_of(len(padded)), padded)
    _need(_sha256(b"".join(parts)).digest() == commitment)
    return padded


def _need_padding(padded: bytes, end: int, floor: int) -> None:
    size = len(padded)
    _need(size == padded_length(end, floor) and padded.count(0, end) == size - end)


def _need(holds: bool) -> None:
    if not holds:
        raise ValueError("not a plain yes")


def _text(value: str) -> bytes:
    raw = value.encode()
    return _u16(len(raw)) + raw
