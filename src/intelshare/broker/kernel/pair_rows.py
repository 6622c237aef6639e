"""The facts of a pair as its row stores them, and the logged decision that the row refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from intelshare.audit.decided import portion_hashes
from intelshare.audit.records import DecisionKept, EntryType
from intelshare.broker.kernel.counters import QUEUE, queue_of
from intelshare.broker.kernel.decide_pair import Loggable, PairDecision
from intelshare.broker.kernel.log import OpenedRows
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PAIR, PairRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import u16
from intelshare.delivery import BestReceipt, Cause, Facts, Stage
from intelshare.errors import StoreError
from intelshare.ids import Digest, ManifestDigest
from intelshare.instant import Instant
from intelshare.ports import View, changed


def logged_decision(node: Node, view: View, row: PairRow, rows: OpenedRows | None = None) -> DecisionKept:
    """Return the decision now in force for a pair, from the log. Raises StoreError RECORD_CORRUPT.

    ``rows``: for whoever asks about many pairs, the rows of the log that are open already.
    """
    entry = (rows or OpenedRows(node, view)).at(row.decided_in, row.decided_at)
    if entry is None:
        raise StoreError("RECORD_CORRUPT", "the log entry of a decision is missing")
    return decode(DecisionKept, entry.record)


def log_decision(
    tx: Transaction, pair: PairDecision, md: ManifestDigest, logged: Loggable
) -> tuple[Digest, int]:
    """Log this decision for a bulletin; return the entry's hash and index."""
    seed, kept = tx.draw(32), logged.entry(md, tx.now)
    hashes = portion_hashes(seed, pair.logged)
    # Up to the portions, the record that is kept and the one that is hashed are the same.
    made = b"".join((kept[: -len(logged.portions)], u16(len(hashes) // 32), hashes))
    return tx.log_encoded(EntryType.DECISION, seed + kept, made)


def facts_of(row: PairRow) -> Facts:
    """Return the facts that a row stores."""
    return _facts(row.stage, row.cause, row.receipt, row.conflict)


def with_facts(row: PairRow, facts: Facts, now: Instant, **changes: Any) -> PairRow:
    """Return the row with these facts; ``ready`` and ``open`` are derived from them."""
    return changed(row, **_fields(facts), changed=now, **changes)


def put_pair(tx: Transaction, row: PairRow, facts: Facts, **changes: Any) -> PairRow:
    """Write the row with these facts, update the queue counters, and return the row."""
    after = with_facts(row, facts, tx.now, **changes)
    count_pair(tx, after, after.open - row.open)
    tx.put(PAIR, after)
    return after


def codes_beside(facts: Facts, row: PairRow, codes: Iterable[str] = ()) -> str:
    """Return the codes to store with these facts: those of the receipt that stays, or else ``codes``."""
    return row.codes if facts.receipt is not BestReceipt.NONE else " ".join(codes)


def count_pair(tx: Transaction, row: PairRow, by: int) -> None:
    """Count a pair that has become open (1) or has ended (-1); 0 changes nothing."""
    if by:
        for name in (queue_of(row.recipient), QUEUE):
            tx.count(name, by, by * row.size)


@cache
def is_open(facts: Facts) -> int:
    """Return 1 if the pair is open: not stopped, and without a receipt, or going again beside one."""
    return int(facts.cause is Cause.NONE and (facts.receipt is BestReceipt.NONE or is_ready(facts)))


@cache
def is_ready(facts: Facts) -> int:
    """Return 1 if hand-over may take the pair, which may have been accepted under another number."""
    refused = facts.receipt in (BestReceipt.REFUSED, BestReceipt.DESTROYED)
    return int(facts.stage is Stage.QUEUED and facts.cause is Cause.NONE and not refused)


# There are only 200 combinations of facts, and each release changes a pair's facts three times.


@cache
def _facts(stage: int, cause: int, receipt: int, conflict: int) -> Facts:
    return Facts(Stage(stage), Cause(cause), BestReceipt(receipt), bool(conflict))


@cache
def _fields(facts: Facts) -> Mapping[str, int]:
    return {
        "stage": facts.stage,
        "cause": facts.cause,
        "receipt": facts.receipt,
        "conflict": int(facts.conflict),
        "ready": is_ready(facts),
        "open": is_open(facts),
    }
