"""One statement: its bytes before it is signed (Leaf), and with its proof afterwards (Statement)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from intelshare.crypto.codec import malformed
from intelshare.crypto.pae import Domain, pae
from intelshare.crypto.records import PROOF_LENGTH, Kind
from intelshare.ids import LeafId

NONCE_LENGTH: Final = 16

_KIND_BYTES: Final = {kind: bytes([kind]) for kind in Kind}
_KINDS: Final = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A statement that is not signed yet.

    The nonce is random, so that siblings cannot be used to test guesses.
    """

    kind: Kind
    nonce: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it travels and as it is kept: provable with its batch record alone."""

    kind: Kind
    nonce: bytes
    data: bytes
    proof: bytes


def leaf_message(kind: Kind, nonce: bytes, data: bytes) -> bytes:
    """Return the bytes whose hash is a statement's digest.

    They include the kind, so that none can pass as another.
    """
    return pae(Domain.LEAF, _KIND_BYTES[kind], nonce, data)


def leaf_id(kind: Kind, nonce: bytes, data: bytes) -> LeafId:
    """Return the digest of a statement."""
    return LeafId(hashlib.sha256(b"\x00" + leaf_message(kind, nonce, data)).digest())


def parse_statement(kind: int, nonce: bytes, data: bytes, proof: bytes) -> Statement:
    """Return the statement of these wire fields, with its data still opaque (check 2 of attacks.md).

    Raises EnvelopeError ENVELOPE_MALFORMED for an unknown kind or a nonce or proof of another length.
    """
    known = _KINDS.get(kind)
    if known is None:
        raise malformed("Statement", f"kind {kind} does not exist")
    if len(nonce) != NONCE_LENGTH:
        raise malformed("Statement", f"its nonce has {len(nonce)} bytes instead of {NONCE_LENGTH}")
    if len(proof) != PROOF_LENGTH:
        raise malformed("Statement", f"its proof has {len(proof)} bytes instead of {PROOF_LENGTH}")
    return Statement(known, nonce, data, proof)
