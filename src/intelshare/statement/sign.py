"""Signing: one signature over all the statements that are ready, whichever members they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.crypto.codec import encode
from intelshare.crypto.pae import Domain, pae, u16, u64
from intelshare.crypto.records import Batch
from intelshare.crypto.suites import Context, Random, Signer
from intelshare.ids import KeyId, LeafId
from intelshare.instant import Instant
from intelshare.statement.leaf import Leaf, Statement, leaf_id
from intelshare.statement.tree import grow


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A batch record's bytes and its statements with proofs, in the order of the leaves given."""

    batch: bytes
    statements: tuple[Statement, ...]
    leaves: tuple[LeafId, ...]


def batch_message(suite: int, key: KeyId, root: bytes, signed_at: Instant) -> bytes:
    """Return M of a batch: the message that its signatures cover."""
    return pae(Domain.BATCH, u16(suite), key, root, u64(signed_at))


def sign_batch(leaves: Sequence[Leaf], signer: Signer, at: Instant, random: Random) -> SignedBatch:
    """Sign 1 to 256 leaves at once. Raises EnvelopeError TOO_LARGE for none or more."""
    ids = tuple(leaf_id(leaf.kind, leaf.nonce, leaf.data) for leaf in leaves)
    root, proofs = grow(ids, random)
    suite, key = signer.suite.number, signer.key_id
    signature = signer.sign(batch_message(suite, key, root, at), Context.BATCH)
    return SignedBatch(
        batch=encode(Batch, Batch(suite, key, root, at, signature)),
        statements=tuple(
            Statement(leaf.kind, leaf.nonce, leaf.data, proof)
            for leaf, proof in zip(leaves, proofs, strict=True)
        ),
        leaves=ids,
    )
