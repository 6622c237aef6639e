"""Proofs over a log: that an entry is in it, and that a later log only added to an earlier one.

They follow RFC 9162 (2.1.3 and 2.1.4), which agrees with RFC 6962. A proof is a list of hashes of 32 bytes,
at most 64 for any log that can exist. Entries are given as their hashes (``entry_hash``), in order.

``fold`` goes one step further than the RFC: from a proof that begins with the earlier tree's own first hash
(``prefix_path``) it *computes* both roots. If the later one is what was signed, the earlier one is what that
log began with, whatever anybody claims: a rewritten log proves its own rewriting (docs/format.md,
"Witnesses").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from intelshare.audit.log import EMPTY_ROOT, LogHead, append, leaf_hash, node_hash, root
from intelshare.errors import TrustError
from intelshare.ids import Incarnation

MAX_PROOF: Final = 64

RootOf = Callable[[int, int], bytes]
"""A function that returns the root over the entries from one index up to another."""


def inclusion_proof(entries: Sequence[bytes], index: int) -> list[bytes]:
    """Return the siblings from entry ``index`` up to the root of exactly these entries.

    Raises IndexError if there is no such entry.
    """
    return inclusion_path(_over(entries), index, len(entries))


def inclusion_path(root_of: RootOf, index: int, size: int) -> list[bytes]:
    """Return the ``inclusion_proof`` of an entry in a log that is not in memory. Raises IndexError."""
    return [root_of(low, high) for low, high in inclusion_ranges(index, size)]


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the index ranges whose roots make up the inclusion proof. Raises IndexError."""
    if not 0 <= index < size:
        raise IndexError(f"there is no entry {index} among {size}")
    ranges, low, high = [], 0, size
    while high - low > 1:
        split = low + _split(high - low)
        if index < split:
            ranges.append((split, high))
            high = split
        else:
            ranges.append((low, split))
            low = split
    return ranges[::-1]


def check_inclusion(entry: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that ``entry`` has this index in the log whose first ``size`` entries have this root.

    Raises TrustError LOG_INCONSISTENT.
    """
    if not 0 <= index < size:
        raise inconsistent(f"entry {index} is not below size {size}")
    place, last, node = index, size - 1, leaf_hash(entry)
    for sibling in _checked(proof):
        if last == 0:
            raise inconsistent("the proof is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last or node != expected:
        raise inconsistent(f"entry {index} is not in the log of size {size}")


def consistency_proof(entries: Sequence[bytes], earlier: int) -> list[bytes]:
    """Return the proof that the log of the first ``earlier`` entries is a prefix of the log of all of them.

    Raises IndexError if ``earlier`` is not an earlier size.
    """
    if earlier in (0, len(entries)):
        return []
    proof = prefix_path(_over(entries), earlier, len(entries))
    # RFC 9162: if the earlier tree is one whole subtree, its root is already known to whoever asks.
    return proof if earlier & (earlier - 1) else proof[1:]


def prefix_path(root_of: RootOf, earlier: int, size: int) -> list[bytes]:
    """Return the consistency proof, including the earlier tree's own first hash, for ``fold``. Raises
    IndexError.
    """
    return [root_of(low, high) for low, high in prefix_ranges(earlier, size)]


def prefix_ranges(earlier: int, size: int) -> list[tuple[int, int]]:
    """Return the index ranges whose roots make up ``prefix_path``. Raises IndexError."""
    if not 0 <= earlier <= size:
        raise IndexError(f"{earlier} is not an earlier size of a log of {size} entries")
    if earlier == 0:
        return []
    ranges, low, high = [], 0, size
    while earlier != high:
        split = low + _split(high - low)
        if earlier <= split:
            ranges.append((split, high))
            high = split
        else:
            ranges.append((low, split))
            low = split
    ranges.append((low, high))
    return ranges[::-1]


def fold(earlier: int, later: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the first ``earlier`` and of all ``later`` entries, as computed from this proof.

    Raises TrustError LOG_INCONSISTENT if the proof does not have the length that these sizes require.
    """
    if not 0 < earlier <= later or not proof:
        raise inconsistent(f"no proof leads from size {earlier} to size {later}")
    hashes = _checked(proof)
    place, last = earlier - 1, later - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if earlier == later:
        last = 0
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise inconsistent("the proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise inconsistent("the proof is too short")
    return old, new


def check_consistency(
    earlier: int, earlier_root: bytes, later: int, later_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the log of ``later`` entries begins with that of ``earlier`` entries.

    Raises TrustError LOG_INCONSISTENT if it was shortened or changed, or is another log.
    """
    if not 0 <= earlier <= later:
        raise inconsistent(f"it had {earlier} entries and now it has {later}")
    if earlier in (0, later):
        if (
            proof
            or (earlier == later and earlier_root != later_root)
            or (not earlier and earlier_root != EMPTY_ROOT)
        ):
            raise inconsistent(f"there are two roots for size {earlier}")
        return
    whole = earlier & (earlier - 1) == 0
    if fold(earlier, later, [earlier_root, *proof] if whole else proof) != (earlier_root, later_root):
        raise inconsistent(f"the log of {later} entries does not begin with that of {earlier}")


def inconsistent(why: str) -> TrustError:
    """Return LOG_INCONSISTENT with the one wording used for it."""
    return TrustError(
        "LOG_INCONSISTENT",
        f"the log is inconsistent: {why}",
        hint="keep what both sides sent as evidence, and ask the log's operator",
    )


def root_over(entries: Sequence[bytes]) -> bytes:
    """Return the root of these entries."""
    return root(append(LogHead(Incarnation(0), 0, b""), entries))


def _over(entries: Sequence[bytes]) -> RootOf:
    return lambda low, high: root_over(entries[low:high])


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _checked(proof: Sequence[bytes]) -> list[bytes]:
    if len(proof) > MAX_PROOF + 1 or any(len(part) != 32 for part in proof):
        raise inconsistent("the proof is not a list of at most 65 hashes")
    return list(proof)
