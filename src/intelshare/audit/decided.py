"""A decision in the log: it commits to each portion alone, so that one is shown and the others are not.

``DecisionMade`` is what an entry is hashed over, ``DecisionKept`` what the node stores of it. Of what is not
opened, neither content nor number nor place is told: every slot has a hash (docs/format.md, "Log").
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
"""PAE up to the seed."""


def portion_hashes(seed: bytes, portions: Sequence[LoggedPortion]) -> bytes:
    """The hashes of all slots, one after the other."""
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
    """What opens the portions that were decided, by slot."""
    stream = _drawn(seed, _slots(portions))
    return {one.slot: stream[32 * one.slot : 32 * one.slot + 32] for one in portions}


def made_of(kept: DecisionKept) -> DecisionMade:
    """What the entry commits to."""
    hashes = portion_hashes(kept.seed, kept.portions)
    cut = tuple([hashes[place : place + 32] for place in range(0, len(hashes), 32)])
    return DecisionMade(kept.md, kept.sender, kept.recipient, kept.at, cut)


def committed(kind: int, stored: bytes) -> bytes:
    """The record over which an entry is hashed, from the one that is stored.

    One that cannot be read is hashed as it is, and so fits no entry.
    """
    if kind != EntryType.DECISION:
        return stored
    try:
        return encode(DecisionMade, made_of(decode(DecisionKept, stored)))
    except EnvelopeError:
        return stored


def _slots(portions: Iterable[LoggedPortion]) -> int:
    """The smallest number of slots that has them all."""
    last = max([one.slot for one in portions], default=0)
    for count in SLOT_COUNTS:
        if last < count:
            return count
    raise malformed("DecisionKept", f"there is no slot {last}")


def _drawn(seed: bytes, count: int) -> bytes:
    """A salt for each slot, then what stands in the place of each that was not decided; 32 bytes each."""
    return shake_256(_SALTS + seed).digest(64 * count)
