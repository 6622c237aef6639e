"""Impact: what a compromise of a key calls into question, by number and time. Reads all statements: slow.

A signing key: every statement that it signed, received or sent. Not all of them rest on it alone: what was
sent is confirmed by the recipient's receipt, and what was received before another member last saw this node's
log was there before. A sealing key: what was sealed to it, which its thief can read. A directory or root key:
all of these, for all keys of its member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.broker.kernel.damage import damaged_records, every_row, noting_damage
from intelshare.broker.kernel.log import entry_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import BATCH, CHECKPOINT, RECEIPT, RECEIVED, STATEMENT
from intelshare.broker.transparency.checkpoint import peer_nodes
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Checkpoint, Evidence, KeyRecord, KeyUse, Kind, Release
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import Digest, KeyId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View

MIN_PREFIX: Final = 8
"""The least number of hexadecimal digits by which a key is named."""


@dataclass(frozen=True, slots=True)
class ImpactLine:
    """Statements of one kind between this member and another that rest on the key."""

    member: MemberCode
    """The other side; empty: the same bytes for all."""
    sent: bool
    kind: Kind
    count: int
    alone: int
    """The number of those that no other member's statement confirms."""
    first_number: int
    """The first number of releases; 0: none has a number."""
    last_number: int
    first: Instant
    """The earliest time of signing."""
    last: Instant


@dataclass(frozen=True, slots=True)
class Impact:
    """The statements that rest on a key."""

    key: KeyId
    record: KeyRecord
    keys: tuple[KeyId, ...]
    """The keys that rest on it: itself or, for a directory or root key, all keys of its member."""
    signed: tuple[ImpactLine, ...]
    readable: tuple[ImpactLine, ...]
    """The releases that were sealed to it."""
    witnessed: Instant
    """Until when another member has seen this node's log; 0: no member has."""
    damaged: tuple[str, ...]
    """The damaged records that were left out (promise P13)."""


def find_key(node: Node, given: str) -> tuple[KeyId, KeyRecord]:
    """Return the key of any member whose id starts so. Raises DeliveryError INPUT_INVALID, NOT_FOUND."""
    if len(given) < MIN_PREFIX or not set(given) <= set("0123456789abcdef"):
        raise DeliveryError(
            "INPUT_INVALID",
            f"a key must be named by {MIN_PREFIX} or more hexadecimal digits of its id",
            hint="`intelshare vault status` lists this node's keys",
        )
    found = [(key, record) for key, record in node.trust.records() if key.hex().startswith(given)]
    if len(found) != 1:
        raise DeliveryError(
            "NOT_FOUND",
            f"{len(found) or 'no'} keys in the documents held here start with {given}",
            hint="give more digits" if found else "`intelshare vault status` lists this node's keys",
        )
    return found[0]


def impact_of(node: Node, view: View, given: str, since: Instant) -> Impact:
    """Return the statements signed ``since`` then that rest on a key.

    Raises DeliveryError INPUT_INVALID, NOT_FOUND.
    """
    key, record = find_key(node, given)
    keys = {key}
    if record.use in (KeyUse.DIRECTORY, KeyUse.ROOT):
        keys |= {other for other, held in node.trust.records() if held.member == record.member}
    damaged: list[StoreError] = []
    at: dict[Digest, Instant] = {}
    by_key: set[Digest] = set()
    for batch in every_row(view, BATCH, "key", damaged):
        record_of = decode(Batch, batch.record)
        if record_of.signed_at >= since:
            at[batch.batch] = record_of.signed_at
            if record_of.key in keys:
                by_key.add(batch.batch)
    seen, signed, readable = _witnessed(node, view, damaged), _Lines(), _Lines()
    for row in every_row(view, STATEMENT, "key", damaged):
        line = row.peer, True, Kind(row.kind)
        if row.batch in by_key:
            answered = bool(row.md) and bool(view.count(RECEIPT, "key", row.md, row.peer))
            signed.add(line, row.sequence, at[row.batch], alone=not answered)
        if row.kem in keys and row.batch in at:
            readable.add(line, row.sequence, at[row.batch], alone=True)
    for got in every_row(view, RECEIVED, "key", damaged):
        line = got.member, False, Kind(got.kind)
        if got.batch in by_key:
            signed.add(line, got.sequence, at[got.batch], alone=got.at > seen)
        if got.batch in at and got.kind == Kind.RELEASE and decode(Release, got.data).kem in keys:
            readable.add(line, got.sequence, at[got.batch], alone=True)
    lacks = damaged_records(damaged)
    return Impact(key, record, tuple(sorted(keys)), signed.lines(), readable.lines(), seen, lacks)


class _Lines:
    def __init__(self) -> None:
        self._found: dict[tuple[MemberCode, bool, Kind], tuple[int, int, int, int, Instant, Instant]] = {}

    def add(self, line: tuple[MemberCode, bool, Kind], number: int, at: Instant, *, alone: bool) -> None:
        """Count one more statement."""
        count, single, first, last, since, until = self._found.get(line, (0, 0, 0, 0, at, at))
        self._found[line] = (
            count + 1,
            single + alone,
            min(first or number, number),
            max(last, number),
            min(since, at),
            max(until, at),
        )

    def lines(self) -> tuple[ImpactLine, ...]:
        """Return the lines ordered by member, direction and kind."""
        return tuple(
            ImpactLine(member, sent, kind, *found)
            for (member, sent, kind), found in sorted(self._found.items())
        )


def _witnessed(node: Node, view: View, damaged: list[StoreError]) -> Instant:
    """Return the time of the last entry of this node's logs that another member says it has seen."""
    found = Instant(0)
    for uri in peer_nodes(node):
        for row in view.find(CHECKPOINT, "state", uri, CheckpointState.PROVED, limit=1):
            for seen in decode(Checkpoint, decode(Evidence, row.signed).data).cosigned:
                if seen.origin != node.uri:
                    continue
                with noting_damage(damaged):
                    entry = entry_at(view, seen.incarnation, seen.size - 1)
                    found = max(found, entry.at) if entry is not None else found
    return found
