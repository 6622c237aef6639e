"""The batch tree: always eight levels, with leaves at random places, so that size and place reveal nothing.

Every maximal empty subtree is one random hash: a proof looks the same whether its siblings are statements to
others or nothing at all (docs/format.md, "tree").
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

from intelshare.crypto.draw import draw_distinct
from intelshare.crypto.suites import Random
from intelshare.errors import EnvelopeError
from intelshare.ids import LeafId

DEPTH: Final = 8
MAX_LEAVES: Final = 1 << DEPTH

_sha256 = hashlib.sha256
_siblings = struct.Struct("32s" * DEPTH).unpack_from


def grow(leaves: Sequence[LeafId], random: Random) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the root over 1 to 256 leaves, and a proof of 257 bytes for each, in order.

    Raises EnvelopeError TOO_LARGE for more leaves or none.
    """
    if not 1 <= len(leaves) <= MAX_LEAVES:
        raise EnvelopeError("TOO_LARGE", f"a batch holds 1 to {MAX_LEAVES} statements, not {len(leaves)}")
    positions = draw_distinct(len(leaves), MAX_LEAVES, random)
    level: dict[int, bytes] = dict(zip(positions, leaves, strict=True))
    levels = []
    for _ in range(DEPTH):
        empty = [place ^ 1 for place in level if place ^ 1 not in level]
        filler = random(32 * len(empty))
        for i, place in enumerate(empty):
            level[place] = filler[32 * i : 32 * i + 32]
        levels.append(level)
        level = {
            place >> 1: _sha256(b"\x01" + level[place] + level[place | 1]).digest()
            for place in level
            if not place & 1
        }
    proofs = tuple(
        bytes([position]) + b"".join([level[(position >> height) ^ 1] for height, level in enumerate(levels)])
        for position in positions
    )
    return level[0], proofs


def prove_all(leaves: Sequence[LeafId], proofs: Sequence[bytes], root: bytes) -> list[bool]:
    """Check for each leaf and proof that ``climb`` leads to this root, hashing every node only once.

    A climb may stop at a node from which an earlier one went on to the root: with the same hash and the same
    siblings left, it would lead there too. Proofs are 257 bytes long.
    """
    known: dict[int, bytes] = {}
    found = []
    for leaf, proof in zip(leaves, proofs, strict=True):
        # Nodes are numbered from the root, 1, so that the number of a parent is half of its child's.
        first = node = MAX_LEAVES + proof[0]
        running: bytes = leaf
        at = 1
        climbed = []
        while node > 1 and node not in known:
            climbed.append(running)
            sibling = proof[at : at + 32]
            running = _sha256(b"\x01" + (sibling + running if node & 1 else running + sibling)).digest()
            node, at = node >> 1, at + 32
        holds = running + proof[at:] == known.get(node, root)
        if holds:
            for height, reached in enumerate(climbed):
                known[first >> height] = reached + proof[1 + 32 * height :]
        found.append(holds)
    return found


def climb(leaf: LeafId, proof: bytes) -> bytes:
    """Return the root that this proof leads to from a leaf.

    ``proof`` is 257 bytes long: ``parse_statement`` and the codec ensure it.
    """
    place = proof[0]
    running: bytes = leaf
    for sibling in _siblings(proof, 1):
        running = _sha256(b"\x01" + sibling + running if place & 1 else b"\x01" + running + sibling).digest()
        place >>= 1
    return running
