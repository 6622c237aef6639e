"""Merkle proofs of RFC 9162, 2.1, computed from the top of the tree down, as its definition reads.

The node climbs from the leaf instead (``audit.proofs``); a test gives both the same proofs and mutants.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from intelshare.errors import TrustError


def root_with(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root of a log of ``size`` whose entry ``index`` is ``leaf``. Raises TrustError
    LOG_INCONSISTENT.
    """
    if not 0 <= index < size:
        raise inconsistent(f"entry {index} is not below size {size}")
    return _climb(sha256(b"\x00" + leaf).digest(), index, size, proof)


def both_roots(earlier: int, later: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots at both sizes, from a consistency proof that always includes its first hash.

    Raises TrustError LOG_INCONSISTENT.
    """
    if not 0 < earlier <= later:
        raise inconsistent(f"no proof leads from size {earlier} to size {later}")
    return _grow(earlier, later, proof)


def inconsistent(why: str) -> TrustError:
    """Return LOG_INCONSISTENT with the one wording used for it."""
    return TrustError(
        "LOG_INCONSISTENT",
        f"the log is inconsistent: {why}",
        hint="this file proves nothing; ask for another one",
    )


def _climb(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    if size == 1:
        if proof:
            raise inconsistent("the proof is too long")
        return leaf
    if not proof:
        raise inconsistent("the proof is too short")
    split = _split(size)
    if index < split:
        return _node(_climb(leaf, index, split, proof[:-1]), proof[-1])
    return _node(proof[-1], _climb(leaf, index - split, size - split, proof[:-1]))


def _grow(earlier: int, later: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not proof or (earlier == later and len(proof) > 1):
        raise inconsistent("the proof does not have the length that these sizes require")
    if earlier == later:
        return proof[0], proof[0]
    split, beside = _split(later), proof[-1]
    if earlier <= split:
        old, new = _grow(earlier, split, proof[:-1])
        return old, _node(new, beside)
    old, new = _grow(earlier - split, later - split, proof[:-1])
    return _node(beside, old), _node(beside, new)


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1
