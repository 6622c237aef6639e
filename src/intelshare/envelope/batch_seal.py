"""Seals many releases: the same bytes as ``seal`` from the same draws, in one flat loop.

    claims      u16 length ‖ manifest ‖ s recipient ‖ granted ‖ s banner ‖ 00 00 ‖ 00 00 ‖ decision ‖ 00 00
                `---- per bulletin ----' `- per line -' `- *1 -' `---- per banner ----'
    granted     u16 count ‖ { u32 slot ‖ citations ‖ obligations }
                                        `------- per ruling -----'
    release     s origin ‖ u64 incarnation ‖ s recipient ‖ u64 number ‖ prev ‖ u8 precedence ‖ u64 deliver-by
                `-------------- per line --------------'                  ‖ kem key id ‖ grant digest ‖ sealed
    grant       u32 length ‖ claims ‖ u32 length ‖ secrets ‖ zeros

*1: the granted list, the secrets, their digest and the digests of the bodies are made once for each tuple of
portions: give recipients of one bulletin that are granted the same the *same tuple*, and a further recipient
costs no more than its claims, grant and release. A line is one recipient with one KEM key.

Whatever ``seal`` would refuse goes to ``seal``, whose error says why.
``tests/property/test_batch_agreement.py`` holds both to it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, NamedTuple

from intelshare.crypto.aead import seal_once
from intelshare.crypto.codec import Count, Text, encode, record
from intelshare.crypto.draw import cut
from intelshare.crypto.records import (
    Evidence,
    Granted,
    IncarnationId,
    Kind,
    Md32,
    Member,
    Node,
    Precedence,
    Reply,
)
from intelshare.crypto.suites import Random, Signer, Suites
from intelshare.envelope.construct import batch_key_info
from intelshare.envelope.heads import (
    COUNTERS,
    MAX_SLOTS,
    U64_32,
    digest_of_grant,
    grant_key_maker,
    length_of,
    sealed_maker,
)
from intelshare.envelope.padding import GRANT_FLOOR, padded_length
from intelshare.envelope.seal import MAX_RELEASE, Cleared, ClearedPortion, SealedBatch, Tip, seal
from intelshare.errors import IntelshareError
from intelshare.ids import KeyId, LeafId, MemberCode, ReleaseNumber
from intelshare.instant import Instant, is_end
from intelshare.statement import LEAF_HEADS, NONCE_LENGTH, sign_many

_sha256 = hashlib.sha256
_u16 = struct.Struct(">H").pack
_u32 = struct.Struct(">I").pack
_numbered = struct.Struct(">Q32sBQ32s32s32s").pack
_PRECEDENCES: Final = {one: one for one in Precedence}
_LEAF: Final = LEAF_HEADS[Kind.RELEASE]


class SealedRow(NamedTuple):
    """A signed release: what is kept of it and what travels, except the bodies, which the caller has."""

    leaf: LeafId
    number: ReleaseNumber
    nonce: bytes
    data: bytes
    proof: bytes
    grant: bytes


class SealedMany(NamedTuple):
    """Everything that must be durable before any of it leaves: ``SealedBatch`` as rows."""

    batch: bytes
    rows: list[SealedRow]
    """The rows in the order of what was cleared."""
    batch_keys: dict[KeyId, bytes]
    tips: dict[MemberCode, Tip]


class _Portions(NamedTuple):
    """The parts that are the same for all recipients who are granted the same portions of a bulletin."""

    granted: bytes
    secrets: bytes
    secrets_digest: bytes
    bodies: bytes
    """The digests of the bodies, each after its length."""


class _Line(NamedTuple):
    """One recipient with one KEM key in this batch."""

    head: bytes
    recipient: bytes
    grant_key: Callable[[int, bytes], bytes]
    sealed: Callable[[bytes, bytes], bytes]


class _Made(NamedTuple):
    leaf: LeafId
    number: int
    nonce: bytes
    data: bytes
    grant: bytes


@record
class _Head:
    """The start of a release."""

    origin: Node
    incarnation: IncarnationId
    recipient: Member


@record
class _Recipient:
    recipient: Member


@record
class _Consents:
    """The end of claims."""

    consents: Annotated[tuple[Evidence, ...], Count()]


@record
class _Tail:
    """The part of claims between granted list and decision."""

    banner: Text
    supersedes: Annotated[tuple[Md32, ...], Count(0, 1)]
    reply: Annotated[tuple[Reply, ...], Count(0, 1)]


def seal_many(
    cleared: Sequence[Cleared],
    signer: Signer,
    at: Instant,
    random: Random,
    *,
    tips: Mapping[MemberCode, Tip],
    suites: Suites,
) -> SealedMany:
    """Number, grant and sign 1 to 256 releases: ``seal``, as rows.

    Raises what ``seal`` raises.
    """
    cleared = tuple(cleared)
    take = cut(random, 4096 + 64 * len(cleared))
    try:
        made, batch_keys, moved = _releases(cleared, signer, take, tips, suites)
    except (IntelshareError, LookupError, TypeError, ValueError, struct.error):
        # Nothing of this attempt has left: what was drawn for it is dropped.
        return _as_rows(seal(cleared, signer, at, random, tips=tips, suites=suites))
    signed = sign_many([one.leaf for one in made], signer, at, take)
    return SealedMany(
        signed.batch,
        [
            SealedRow(leaf, ReleaseNumber(number), nonce, data, proof, grant)
            for (leaf, number, nonce, data, grant), proof in zip(made, signed.proofs, strict=True)
        ],
        batch_keys,
        moved,
    )


def _releases(
    cleared: tuple[Cleared, ...],
    signer: Signer,
    take: Random,
    tips: Mapping[MemberCode, Tip],
    suites: Suites,
) -> tuple[list[_Made], dict[KeyId, bytes], dict[MemberCode, Tip]]:
    """Make the releases. Raises some error wherever ``seal`` raises."""
    lines: dict[tuple[MemberCode, KeyId], _Line] = {}
    keys: dict[KeyId, bytes] = {}
    heads: dict[MemberCode, tuple[int, LeafId]] = {}
    shared: dict[int, _Portions] = {}
    rulings: dict[tuple[int, int], bytes] = {}
    tails: dict[str, bytes] = {}
    made: list[_Made] = []
    for item in cleared:
        nonce = take(NONCE_LENGTH)
        recipient, kem = item.recipient, item.kem_id
        line = lines.get((recipient, kem))
        if line is None:
            line = lines[recipient, kem] = _line(item, signer, tips[recipient], keys, take, suites)
        number, prev = heads.get(recipient) or (tips[recipient].last, tips[recipient].head)
        number += 1
        # The keys use the ids of objects, all of which live as long as ``cleared``.
        portions = shared.get(id(item.portions))
        if portions is None:
            portions = shared[id(item.portions)] = _portions(item.portions, rulings)
        claims = _claims(item, line.recipient, portions.granted, tails)
        framed = b"".join((_u32(len(claims)), claims, _u32(len(portions.secrets)), portions.secrets))
        grant = seal_once(
            line.grant_key(number, nonce), framed.ljust(padded_length(len(framed), GRANT_FLOOR), b"\0")
        )
        data = line.head + _numbered(
            number, prev, _PRECEDENCES[item.precedence], item.deliver_by, kem,
            digest_of_grant(claims, portions.secrets_digest), line.sealed(grant, portions.bodies),
        )  # fmt: skip
        if len(data) > MAX_RELEASE or number >= COUNTERS or not is_end(item.deliver_by):
            raise ValueError("no release")
        leaf = LeafId(_sha256(_LEAF + nonce + length_of(len(data)) + data).digest())
        heads[recipient] = number, leaf
        made.append(_Made(leaf, number, nonce, data, grant))
    moved = {
        recipient: Tip(tips[recipient].incarnation, ReleaseNumber(number), leaf)
        for recipient, (number, leaf) in heads.items()
    }
    return made, keys, moved


def _line(
    item: Cleared, signer: Signer, tip: Tip, keys: dict[KeyId, bytes], take: Random, suites: Suites
) -> _Line:
    """Make a new batch key for the recipient, sealed to it, and the start of its releases."""
    suite, origin, recipient = signer.suite.number, signer.record.node, item.recipient
    if item.kem_id in keys or item.kem.member != recipient:
        raise ValueError("not a sealing key of this recipient")
    _need32(item.kem_id, tip.head)
    secret = take(32)
    info = batch_key_info(suite, signer.key_id, origin, recipient, item.kem_id)
    sealed_key = keys[item.kem_id] = suites[item.kem.suite].seal(item.kem.public, info, secret)
    return _Line(
        encode(_Head, _Head(origin, tip.incarnation, recipient)),
        encode(_Recipient, _Recipient(recipient)),
        grant_key_maker(secret, suite, (origin, tip.incarnation, recipient)),
        sealed_maker(sealed_key),
    )


def _portions(portions: tuple[ClearedPortion, ...], rulings: dict[tuple[int, int], bytes]) -> _Portions:
    if not 1 <= len(portions) <= MAX_SLOTS:
        raise ValueError("too few or too many portions")
    granted = [_u16(len(portions))]
    for portion in portions:
        told = portion.granted
        ruling = rulings.get((id(told.citations), id(told.obligations)))
        if ruling is None:
            ruling = rulings[id(told.citations), id(told.obligations)] = encode(Granted, told)[4:]
        granted += (_u32(told.slot), ruling)
    digests = [portion.digest for portion in portions]
    _need32(*digests)
    secrets = b"".join([portion.secret for portion in portions])
    return _Portions(
        b"".join(granted),
        secrets,
        _sha256(secrets).digest(),
        b"".join([part for digest in digests for part in (U64_32, digest)]),
    )


def _claims(item: Cleared, recipient: bytes, granted: bytes, tails: dict[str, bytes]) -> bytes:
    banner, manifest, decision = item.banner, item.manifest, item.decision
    tail = None if item.supersedes or item.reply else tails.get(banner)
    if tail is None:
        tail = encode(_Tail, _Tail(banner, item.supersedes, item.reply))
        if not item.supersedes and not item.reply:
            tails[banner] = tail
    _need32(decision)
    consents = encode(_Consents, _Consents(item.consents)) if item.consents else b"\0\0"
    return b"".join((_u16(len(manifest)), manifest, recipient, granted, tail, decision, consents))


def _need32(*digests: bytes) -> None:
    for digest in digests:
        if len(digest) != 32:
            raise ValueError("a digest is not 32 bytes long")


def _as_rows(sealed: SealedBatch) -> SealedMany:
    rows = [
        SealedRow(
            one.leaf, one.release.sequence, one.statement.nonce, one.statement.data, one.statement.proof,
            one.grant,
        )
        for one in sealed.releases
    ]  # fmt: skip
    return SealedMany(sealed.batch, rows, dict(sealed.batch_keys), dict(sealed.tips))
