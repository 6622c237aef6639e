"""Evidence: rejected statements, and contradictions, kept whole so that others can check them.

Each member has its shelves, so that nobody can push out another's evidence or its own contradictions:

    rejected         statements that were not accepted; the oldest give way   MAX_REJECTED
    contradictions   statements that contradict each other; the first stay    MAX_CONTRADICTIONS
    settled          contradictions that an operator has looked at

Rejecting a frame counts and scans nothing: places on the first shelf are numbers without a gap.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from intelshare.audit.exhibit import Exhibit, contradiction, exhibit_of
from intelshare.audit.records import EntryType, Settled
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    CHECKPOINT,
    EVIDENCE,
    RECEIVED,
    EvidenceRow,
    ReceivedRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode, decode_prefix, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Checkpoint, Evidence, Kind, ReleasePeek, StreamHead
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import Digest, Incarnation, MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import parse_statement

REJECTED: Final = 0
CONTRADICTIONS: Final = 1
SETTLED: Final = 2

MAX_REJECTED: Final = 1000
MAX_CONTRADICTIONS: Final = 64

MAX_DATA: Final = 4096
MAX_BATCH: Final = 8192
"""The most bytes kept of a rejected statement and of its batch record; none of this software's is longer."""


class Shelf:
    """One shelf of one member, within one transaction."""

    def __init__(self, tx: Transaction, member: MemberCode, shelf: int) -> None:
        self._tx = tx
        self._member = member
        self._shelf = shelf
        self._last = -1

    def put(self, key: Digest, code: str, exhibit: Exhibit) -> bool:
        """Keep an exhibit, or count it again; return True if it is new."""
        tx = self._tx
        known = tx.get(EVIDENCE, key)
        if known is not None:
            tx.put(EVIDENCE, changed(known, times=known.times + 1))
            return False
        number = 1 + self._newest()
        if self._shelf == CONTRADICTIONS and number > MAX_CONTRADICTIONS:
            return False
        self._last = number
        row = EvidenceRow(key, self._member, self._shelf, -number, code, tx.now, 1, encode(Exhibit, exhibit))
        tx.put(EVIDENCE, row)
        if self._shelf == REJECTED:
            oldest = (-(number - MAX_REJECTED) - 1,)
            for row in tx.view.find(EVIDENCE, "member", self._member, self._shelf, after=oldest, limit=256):
                tx.delete(EVIDENCE, row.evidence)
        return True

    def _newest(self) -> int:
        if self._last < 0:
            rows = self._tx.view.find(EVIDENCE, "member", self._member, self._shelf, limit=1)
            self._last = -rows[0].place if rows else 0
        return self._last


def keep_rejected(shelf: Shelf, carried: Carried, batch: bytes, leaf: bytes, code: str) -> None:
    """Keep a statement that was rejected."""
    shelf.put(_rejected(leaf, code), code, _exhibit(carried, batch))


def counted_again(tx: Transaction, leaf: bytes, code: str) -> bool:
    """Count a statement again, and return True, if it is kept with this code."""
    known = tx.get(EVIDENCE, _rejected(leaf, code))
    if known is not None:
        tx.put(EVIDENCE, changed(known, times=known.times + 1))
    return known is not None


def _rejected(leaf: bytes, code: str) -> Digest:
    return Digest(sha256(leaf + code.encode()))


def _exhibit(carried: Carried, batch: bytes) -> Exhibit:
    if len(carried.data) <= MAX_DATA and len(batch) <= MAX_BATCH:
        try:
            read = parse_statement(carried.kind, carried.nonce, carried.data, carried.proof)
        except IntelshareError:
            pass
        else:
            return exhibit_of([Evidence(read.kind, read.nonce, read.data, read.proof, batch)])
    return exhibit_of((), raw=carried.data[:MAX_DATA])


def contradict(tx: Transaction, member: MemberCode, code: str, exhibit: Exhibit, key: bytes = b"") -> bool:
    """Keep statements that contradict each other; return True if they are new.

    ``key`` tells contradictions apart.
    """
    return Shelf(tx, member, CONTRADICTIONS).put(identity_of(code, exhibit, key), code, exhibit)


def identity_of(code: str, exhibit: Exhibit, key: bytes = b"") -> Digest:
    """Return the id of a contradiction."""
    return _identity(code, key or encode(Exhibit, exhibit))


def _identity(code: str, key: bytes) -> Digest:
    return Digest(sha256(code.encode() + key))


def lost_here(uri: NodeUri, incarnation: Incarnation) -> bytes:
    """Return the key of a contradiction: a peer holds more of this node's log than this node has."""
    return sha256(f"{uri} {incarnation}".encode())


def losses_settled(node: Node, view: View, member: MemberCode, uri: NodeUri) -> tuple[bool, bool]:
    """Return whether an operator has looked at what this node forgot, as that peer says; and at all that the
    peer's member forgot.
    """
    own = view.get(EVIDENCE, _identity("LOG_FORGOT", lost_here(uri, node.incarnation)))
    settled, waits = [
        any(row.code == "LOG_FORGOT" for row in view.find(EVIDENCE, "member", member, shelf))
        for shelf in (SETTLED, CONTRADICTIONS)
    ]
    return own is not None and own.shelf == SETTLED, settled and not waits


def withdraw(tx: Transaction, identity: Digest) -> bool:
    """Delete a contradiction that proved nothing; return True if its alarm was still there."""
    row = tx.get(EVIDENCE, identity)
    if row is None or row.shelf != CONTRADICTIONS:
        return False
    tx.delete(EVIDENCE, identity)
    return True


def keep_fork(tx: Transaction, member: MemberCode, origin: NodeUri, carried: Carried, batch: bytes) -> None:
    """Keep an authentic release or stream head of a node, with the accepted releases that it contradicts."""
    for said in _exhibit(carried, batch).statements:
        others = [signed_of(tx, row) for row in _neighbours(tx, origin, said)]
        exhibit = exhibit_of([*others, said])
        with suppress(IntelshareError):
            if contradiction(exhibit) is not None:
                contradict(tx, member, "SEQUENCE_FORK", exhibit, sha256(said.data))


def _neighbours(tx: Transaction, origin: NodeUri, said: Evidence) -> list[ReceivedRow]:
    """Return the accepted releases whose numbers a statement concerns."""
    if said.kind is Kind.RELEASE:
        start, _ = decode_prefix(ReleasePeek, said.data)
        incarnation = start.incarnation
        numbers = [int(start.sequence) + n for n in (-1, 0, 1)]
    elif said.kind is Kind.STREAM_HEAD:
        head = decode(StreamHead, said.data)
        incarnation, numbers = head.incarnation, [int(head.last)]
    else:
        return []
    found = (
        tx.view.find(RECEIVED, "number", origin, incarnation, Kind.RELEASE, number, limit=1)
        for number in numbers
    )
    return [row for rows in found for row in rows]


def signed_of(tx: Transaction, row: ReceivedRow) -> Evidence:
    """Return a received statement as it was signed."""
    batch = tx.get(BATCH, row.batch)
    return Evidence(
        Kind(row.kind), row.nonce, row.data, row.proof, batch.record if batch is not None else b""
    )


def alarms(view: View) -> list[EvidenceRow]:
    """Return all contradictions, oldest first: `status` shows them until an operator has looked."""
    return view.find(EVIDENCE, "shelf", CONTRADICTIONS)


def find_evidence(view: View, given: str) -> EvidenceRow:
    """Return the evidence whose id starts with these digits (8 or more). Raises DeliveryError NOT_FOUND."""
    text = given.lower()
    if 8 <= len(text) <= 64 and set(text) <= set("0123456789abcdef"):
        number = int(text.ljust(64, "0"), 16)
        after = (number - 1).to_bytes(32, "big") if number else b""
        rows = view.find(EVIDENCE, "key", after=(after,), limit=2)
        found = [row for row in rows if row.evidence.hex().startswith(text)]
        if len(found) == 1:
            return found[0]
    raise DeliveryError(
        "NOT_FOUND",
        f"there is no evidence {given}",
        hint="`intelshare audit evidence` lists all evidence; give 8 digits or more",
    )


def settle_alarm(
    node: Node, view: View, user: UserUri, given: str, now: Instant, random: Random
) -> Plan[EvidenceRow]:
    """End an alarm that an operator has looked at; the evidence stays, and the log counts as it is now.

    The checkpoints held of that log are deleted; otherwise the next one would contradict them again. Raises
    DeliveryError NOT_FOUND.
    """
    row = find_evidence(view, given)
    tx = Transaction(node, view, now, random)
    if row.shelf != CONTRADICTIONS:
        return tx.plan(row)
    after = changed(row, shelf=SETTLED)
    tx.put(EVIDENCE, after)
    tx.log(EntryType.SETTLED, Settled(row.evidence, row.member, row.code, user))
    exhibit = decode(Exhibit, row.exhibit)
    # An unproved claim of a witness has stopped nobody's log.
    if row.code == "LOG_INCONSISTENT" or (row.code == "LOG_FORK" and contradiction(exhibit) is not None):
        for said in exhibit.statements:
            origin = decode(Checkpoint, said.data).origin if said.kind is Kind.CHECKPOINT else None
            if origin is not None and origin != node.uri:
                for held in view.find(CHECKPOINT, "key", origin):
                    tx.delete(CHECKPOINT, held.origin, held.incarnation, held.size)
    return tx.plan(after)
