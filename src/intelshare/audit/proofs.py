"""Proofs over a log: that an entry is in it, and that a later log only added to an earlier one.

RFC 9162 (2.1.3 and 2.1.4), which says the same as RFC 6962. A proof is a list of hashes of 32 bytes, at most
64 for any log that can exist. Entries are given as their hashes (``entry_hash``), in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intelshare.audit.log import LogHead, append, leaf_hash, node_hash, root
from intelshare.errors import TrustError
from intelshare.ids import Incarnation

MAX_PROOF: Final = 64


def inclusion_proof(entries: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from entry ``index`` up to the root of exactly these entries.

    Raises IndexError if there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(f"there is no entry {index} among {len(entries)}")
    proof = []
    while len(entries) > 1:
        split = _split(len(entries))
        if index < split:
            proof.append(_root(entries[split:]))
            entries = entries[:split]
        else:
            proof.append(_root(entries[:split]))
            entries, index = entries[split:], index - split
    return proof[::-1]


def check_inclusion(entry: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Return if ``entry`` is number ``index`` of the log whose first ``size`` entries have this root.

    Raises TrustError LOG_INCONSISTENT.
    """
    if not 0 <= index < size:
        raise _inconsistent(f"entry {index} is not below size {size}")
    place, last, node = index, size - 1, leaf_hash(entry)
    for sibling in _checked(proof):
        if last == 0:
            raise _inconsistent("the proof is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last or node != expected:
        raise _inconsistent(f"entry {index} is not in the log of size {size}")


def consistency_proof(entries: Sequence[bytes], earlier: int) -> list[bytes]:
    """What shows that the log of the first ``earlier`` entries is a prefix of the log of all of them.

    Raises IndexError if it is not an earlier size.
    """
    if not 0 <= earlier <= len(entries):
        raise IndexError(f"{earlier} is no earlier size of {len(entries)}")
    if earlier in (0, len(entries)):
        return []
    proof = []
    whole = True  # the subtree looked at was complete already in the earlier log, from its first entry on
    while earlier != len(entries):
        split = _split(len(entries))
        if earlier <= split:
            proof.append(_root(entries[split:]))
            entries = entries[:split]
        else:
            proof.append(_root(entries[:split]))
            entries, earlier, whole = entries[split:], earlier - split, False
    if not whole:
        proof.append(_root(entries))
    return proof[::-1]


def check_consistency(
    earlier: int, earlier_root: bytes, later: int, later_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the log of ``later`` entries begins with that of ``earlier`` entries.

    Raises TrustError LOG_INCONSISTENT: shortened, changed, or another log.
    """
    if not 0 <= earlier <= later:
        raise _inconsistent(f"it had {earlier} entries and now has {later}")
    if earlier in (0, later):
        empty = root(LogHead(Incarnation(0), 0, b""))
        if (
            proof
            or (earlier == later and earlier_root != later_root)
            or (not earlier and earlier_root != empty)
        ):
            raise _inconsistent(f"two roots for size {earlier}")
        return
    hashes = _checked(proof)
    if earlier & (earlier - 1) == 0:
        hashes = [earlier_root, *hashes]
    if not hashes:
        raise _inconsistent("the proof is too short")
    place, last = earlier - 1, later - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _inconsistent("the proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last or old != earlier_root or new != later_root:
        raise _inconsistent(f"the log of {later} entries does not begin with that of {earlier}")


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _root(entries: Sequence[bytes]) -> bytes:
    return root(append(LogHead(Incarnation(0), 0, b""), entries))


def _checked(proof: Sequence[bytes]) -> list[bytes]:
    if len(proof) > MAX_PROOF or any(len(part) != 32 for part in proof):
        raise _inconsistent("this is no list of at most 64 hashes")
    return list(proof)


def _inconsistent(why: str) -> TrustError:
    return TrustError(
        "LOG_INCONSISTENT",
        f"the log does not hold together: {why}",
        hint="keep what both sides sent as evidence, and ask the log's operator",
    )
