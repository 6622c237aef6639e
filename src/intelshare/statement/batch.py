"""Many statements at once: the bytes, roots and answers of ``leaf``, ``sign`` and ``verify``, in flat loops.

    leaf id     H( 00 ‖ PAE head ‖ u64 1 ‖ kind ‖ u64 16 ‖ nonce ‖ u64 length ‖ data )
                `-------- the same for each statement of a kind -------'

``sign_many`` takes bytes and returns bytes. ``verify_many`` can accept but not refuse: it returns a leaf id
where ``verify`` would have returned the statement, and None where it would have raised. A None goes to
``verify``, so that every refusal is decided in one place. ``tests/property/test_batch_agreement.py`` holds
both to it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from intelshare.crypto.codec import encode
from intelshare.crypto.pae import Domain, u64
from intelshare.crypto.records import PROOF_LENGTH, Batch, KeyRecord, Kind
from intelshare.crypto.suites import Context, Random, Signer, Suites
from intelshare.errors import IntelshareError
from intelshare.ids import LeafId, MemberCode
from intelshare.instant import Instant
from intelshare.statement.kinds import KINDS
from intelshare.statement.leaf import NONCE_LENGTH
from intelshare.statement.sign import batch_message
from intelshare.statement.tree import grow, prove_all
from intelshare.statement.verify import ReceivedBatch, TrustLookup, VerifiedRoots, check_batch, read_batch

_sha256 = hashlib.sha256
_length = struct.Struct(">Q").pack

LEAF_HEADS: Final = {
    kind: b"\x00" + Domain.LEAF.heads[3] + u64(1) + bytes([kind]) + u64(NONCE_LENGTH) for kind in Kind
}
"""The bytes hashed before the nonce: ``leaf_id(k, n, d) == H(LEAF_HEADS[k] ‖ n ‖ u64(len d) ‖ d)``."""


class Told(Protocol):
    """A statement as it came: lengths and kind are unchecked."""

    @property
    def kind(self) -> int:
        """One of ``Kind``, or anything."""

    @property
    def nonce(self) -> bytes:
        """16 bytes, or any number."""

    @property
    def data(self) -> bytes:
        """The record, opaque."""

    @property
    def proof(self) -> bytes:
        """257 bytes, or any number."""


class SignedMany(NamedTuple):
    """A batch record's bytes, with leaf ids and proofs in the order of what was signed."""

    batch: bytes
    leaves: list[LeafId]
    proofs: tuple[bytes, ...]


_MADE_HERE: Final = object()


@dataclass(frozen=True, slots=True)
class VerifiedMany:
    """Statements of one kind and one batch, and which of them its signer really made. Made only here."""

    batch: ReceivedBatch
    signer: KeyRecord
    kind: Kind
    told: tuple[Told, ...]
    leaves: tuple[LeafId | None, ...]
    """In the order of ``told``; None: not proved here, call ``verify``."""
    made: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.made is not _MADE_HERE:
            raise TypeError("only statement.batch makes a VerifiedMany")


def leaf_ids(kind: Kind, nonces: Sequence[bytes], data: Sequence[bytes]) -> list[LeafId]:
    """Return the ``leaf_id`` of each; nonces are 16 bytes long. Raises ValueError for different counts."""
    head = LEAF_HEADS[kind]
    return [
        LeafId(_sha256(head + nonce + _length(len(one)) + one).digest())
        for nonce, one in zip(nonces, data, strict=True)
    ]


def sign_many(leaves: list[LeafId], signer: Signer, at: Instant, random: Random) -> SignedMany:
    """Sign 1 to 256 leaves at once, with the draws of ``sign_batch``. Raises EnvelopeError TOO_LARGE."""
    root, proofs = grow(leaves, random)
    suite, key = signer.suite.number, signer.key_id
    signature = signer.sign(batch_message(suite, key, root, at), Context.BATCH)
    return SignedMany(encode(Batch, Batch(suite, key, root, at, signature)), leaves, proofs)


def verify_many(
    raw: bytes,
    kind: Kind,
    told: Sequence[Told],
    peer: MemberCode,
    at: Instant,
    *,
    trust: TrustLookup,
    suites: Suites,
    roots: VerifiedRoots,
) -> VerifiedMany | None:
    """Run checks 2, 4 and 5 for all statements of this kind in a frame.

    None: call ``verify`` for each of them. The trust documents must be the same for all of them: do not use
    this for a frame that carries a document (``TRUST``) before one of these. Raises nothing; changes nothing
    except ``roots``.
    """
    if kind is Kind.TRUST:
        return None
    try:
        batch = read_batch(raw)
        signer = check_batch(batch, KINDS[kind].key_use, peer, at, trust=trust, suites=suites, roots=roots)
    except IntelshareError:
        return None
    head = LEAF_HEADS[kind]
    told = tuple(told)
    leaves: list[LeafId | None] = [None] * len(told)
    sound, ids, proofs = [], [], []
    for place, one in enumerate(told):
        nonce, data, proof = one.nonce, one.data, one.proof
        if one.kind == kind and len(nonce) == NONCE_LENGTH and len(proof) == PROOF_LENGTH:
            sound.append(place)
            ids.append(LeafId(_sha256(head + nonce + _length(len(data)) + data).digest()))
            proofs.append(proof)
    for place, leaf, proved in zip(sound, ids, prove_all(ids, proofs, batch.record.root), strict=True):
        leaves[place] = leaf if proved else None
    return VerifiedMany(batch, signer, kind, told, tuple(leaves), _MADE_HERE)
