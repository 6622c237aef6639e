"""A decision in the log commits to each portion separately, so that one can be shown without the others.

``DecisionMade`` is what an entry is hashed over; ``DecisionKept`` is what the node stores of it. Portions
that are not opened reveal neither their content nor their number nor their position, because every slot has a
hash (docs/format.md, "Log").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import shake_256
from typing import Final

from intelshare.audit.records import DecisionKept, DecisionMade, EntryType, LoggedPortion
from intelshare.crypto.codec import decode, encode, malformed
from intelshare.crypto.pae import Domain, digest, u32, u64
from intelshare.crypto.records import SLOT_COUNTS
from intelshare.errors import EnvelopeError

_SALTS: Final = Domain.DECISION_SALTS.heads[1] + u64(32)
"""The PAE prefix up to the seed."""


def portion_hashes(seed: bytes, portions: Sequence[LoggedPortion]) -> bytes:
    """Return the hashes of all slots, concatenated in order of slots."""
    stream = _drawn(seed, _slots(portions))
    half = len(stream) // 2
    hashes = bytearray(stream[half:])
    for one in portions:
        place = 32 * one.slot
        hashes[place : place + 32] = portion_hash(stream[place : place + 32], one)
    return bytes(hashes)


def portion_hash(salt: bytes, one: LoggedPortion) -> bytes:
    """The hash of a portion that was decided."""
    return digest(Domain.DECIDED_PORTION, salt, u32(one.slot), one.decision.data)


def portion_salts(seed: bytes, portions: Sequence[LoggedPortion]) -> dict[int, bytes]:
    """Return the salts that open the portions that were decided, by slot."""
    stream = _drawn(seed, _slots(portions))
    return {one.slot: stream[32 * one.slot : 32 * one.slot + 32] for one in portions}


def made_of(kept: DecisionKept) -> DecisionMade:
    """Return the record that the entry commits to."""
    hashes = portion_hashes(kept.seed, kept.portions)
    cut = tuple([hashes[place : place + 32] for place in range(0, len(hashes), 32)])
    return DecisionMade(kept.md, kept.sender, kept.recipient, kept.at, cut)


def committed(kind: int, stored: bytes) -> bytes:
    """Return the record over which an entry is hashed, given the one that is stored.

    A stored record that cannot be read is returned as it is, and so matches no entry.
    """
    if kind != EntryType.DECISION:
        return stored
    try:
        return encode(DecisionMade, made_of(decode(DecisionKept, stored)))
    except EnvelopeError:
        return stored


def _slots(portions: Iterable[LoggedPortion]) -> int:
    """Return the smallest slot count that holds all these portions."""
    last = max([one.slot for one in portions], default=0)
    for count in SLOT_COUNTS:
        if last < count:
            return count
    raise malformed("DecisionKept", f"there is no slot {last}")


def _drawn(seed: bytes, count: int) -> bytes:
    """Return a salt for each slot, then a stand-in hash for each slot that was not decided: 32 bytes each."""
    return shake_256(_SALTS + seed).digest(64 * count)
