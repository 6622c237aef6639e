"""A frame is received twice, with the loops over plain statements and without them; the plans say the same.

Two plans draw their randomness in another order. So what is sealed is opened before it is compared, and what
was signed just now is compared by what it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from builders import Member, seeded
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    FILE,
    INBOX,
    LOG,
    LOG_HEAD,
    PENDING,
    RECEIVED,
    SECRET,
    STATEMENT,
)
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.line.receive import Arrival, ReceiveResult, receive
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, changed

SIGNED_NOW = b"signed now"


def check_receive(member: Member, arrival: Arrival, at: Instant) -> None:
    """Receive without committing, both ways. Raises AssertionError where they differ."""

    def both(view: Any) -> tuple[Plan[ReceiveResult], Plan[ReceiveResult]]:
        with_loops = receive(member.node, view, arrival, at, seeded("loops"))
        return with_loops, receive(member.node, view, arrival, at, seeded("none"), open_plain=lambda *_: None)

    fast, readable = member.store.ask_now(both)
    assert answer_of(fast) == answer_of(readable)
    assert rows_of(member.node, fast) == rows_of(member.node, readable)


def answer_of(plan: Plan[ReceiveResult]) -> Any:
    """The answer, with statements that were signed just now by what they say."""
    answer = plan.answer
    effects = answer.effects
    outbound = [
        (one.peer, one.rank, [(carried.kind, carried.data) for carried in one.frame.statements])
        for one in effects.outbound
    ]
    return (
        answer.acks, answer.again, answer.gaps, answer.accepted, outbound, effects.ended, effects.ready,
        effects.marked, effects.wanted, effects.asks, effects.node is None, plan.last,
    )  # fmt: skip


def rows_of(node: Node, plan: Plan[ReceiveResult]) -> Counter[Any]:
    """What the plan writes, comparable; the log in its order."""
    signed = {
        write.row.leaf: write.row.data
        for write in plan.writes
        if isinstance(write, Put) and write.table is STATEMENT and write.row.incarnation == node.incarnation
    }
    batches = {
        write.row.batch for write in plan.writes if isinstance(write, Put) and write.table is STATEMENT
    }
    plain = _Plain(node, signed, batches)
    written: Counter[Any] = Counter()
    for write in plan.writes:
        if not isinstance(write, Put):
            written["delete", write.table.name, write.key] += 1
        elif write.table is LOG:
            for entry in open_row(node, write.row):
                written["log", entry.place, entry.type, entry.at, entry.record] += 1
        else:
            look = plain.looks.get(write.table.name, tuple)
            written[write.table.name, look(write.row)] += 1
    return written


class _Plain:
    """Rows without what was drawn just now."""

    def __init__(self, node: Node, signed: dict[bytes, bytes], batches: set[bytes]) -> None:
        self.node = node
        self.signed = signed
        self.batches = batches
        self.looks: dict[str, Callable[[Any], Any]] = {
            SECRET.name: lambda row: (
                row.md,
                row.slot,
                self._open(SECRET.name, row.md, row.slot, row.sealed),
            ),
            INBOX.name: lambda row: row._replace(
                sealed_claims=self._open(INBOX.name, row.md, 0, row.sealed_claims)
            ),
            FILE.name: lambda row: changed(row, place=b""),
            LOG_HEAD.name: lambda row: (row.incarnation, row.began, row.size),
            BATCH.name: lambda row: SIGNED_NOW if row.batch in self.batches else row,
            STATEMENT.name: lambda row: (row.peer, row.kind, row.data, row.incarnation),
            PENDING.name: lambda row: (self._said(row.leaf), row.peer, row.rank, row.place, row.size),
            RECEIVED.name: lambda row: row._replace(receipt=self._said(row.receipt)),
        }

    def _open(self, table: str, row: bytes, slot: int, sealed: bytes) -> bytes:
        return open_secret(self.node, table, row, slot, sealed) if any(sealed) else b"gone"

    def _said(self, leaf: bytes) -> Any:
        return self.signed.get(leaf, leaf)
