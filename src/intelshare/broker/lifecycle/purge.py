"""Purge: what was delivered is not kept for ever (promise P16, crash point c15).

    a bulletin of this member is purged once                    because
    ---------------------------------------------------------   ------------------------------------------
    at least one recipient has accepted it                      undelivered bulletins are never purged
    every other pair has its receipt, or was stopped for good   open, held or in-doubt pairs may still go
    nothing of it waits to be sent again, and no consent is     the answer may make a pair ready
    awaited
    every recipient of an attachment has all of it              the pieces are nowhere else
    the grace has passed since the last of these                a recipient may come back from a backup

Then its bodies, the keys of its portions and its attachments are deleted, in one commit with the mark that
says when. The proofs stay: manifest, digests, signed release, decision, receipts, log. ``PURGE`` lists each
bulletin under the time of its next check, so a check costs what is due and not what is kept. If a recipient
asks for a release that was purged since, its number is cancelled (``line.hello.answer_gap``): the recipient
lost what it had signed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.broker.kernel.counters import OUTBOX_COUNTER
from intelshare.broker.kernel.damage import is_damaged, unless_damaged
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import destroy_secret
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CONSENT,
    FILE,
    INBOX,
    PAIR,
    PENDING,
    PORTION,
    PURGE,
    STATEMENT,
    PairRow,
    PurgeRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import WHOLE, FileState, end_own
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.delivery import BestReceipt, Cause, Stage
from intelshare.errors import StoreError
from intelshare.ids import ManifestDigest
from intelshare.instant import MINUTE, Instant
from intelshare.ports import Plan, Random, View, changed

MAX_LOOKED: Final = 128
"""The most bulletins that one step looks at."""

_DELIVERED: Final = frozenset((BestReceipt.ACCEPTED, BestReceipt.READ, BestReceipt.DESTROYED))


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """The result of one step."""

    effects: Effects
    purged: int
    more: bool
    """True if more may be due."""


def anything_to_purge(node: Node, view: View, now: Instant) -> bool:
    """Return True if ``purge`` has something to look at."""
    found = view.find(PURGE, "key", limit=1) if node.retention else []
    return bool(found) and found[0].at <= now


def purge(node: Node, view: View, now: Instant, random: Random) -> Plan[PurgeResult]:
    """Purge what was delivered and whose grace has passed; schedule another check for the rest."""
    tx = Transaction(node, view, now, random)
    due = [row for row in view.find(PURGE, "key", limit=MAX_LOOKED) if row.at <= now]
    purged = 0
    for row in due:
        tx.delete(PURGE, row.at, row.md)
        settled = unless_damaged(tx, partial(_settled, view, row.md))
        end = Instant(settled + node.retention) if settled is not None else None
        if end is not None and end <= now and _purge(tx, row.md):
            purged += 1
        else:
            later = Instant(now + max(node.retention // 4, MINUTE))
            tx.put(PURGE, PurgeRow(end if end is not None and end > now else later, row.md))
    return tx.plan(PurgeResult(tx.effects(), purged, len(due) == MAX_LOOKED))


def _settled(view: View, md: ManifestDigest) -> Instant | None:
    """Return since when nothing can need the content any more; None: something still can."""
    if view.get(INBOX, md) is not None:
        return None  # It came back from somebody: the written and the received bulletin share their rows.
    pairs = view.find(PAIR, "key", md)
    if not any(row.receipt in _DELIVERED for row in pairs) or not all(_over(view, row) for row in pairs):
        return None
    if any(row.own and row.state == ConsentState.ASKED for row in view.find(CONSENT, "key", md)):
        return None
    slots = {row.slot for row in view.find(FILE, "portion", md) if row.state == FileState.KEPT}
    if slots and not all(_has_files(view, row, slots) for row in pairs):
        return None
    return max([row.changed for row in pairs])


def _over(view: View, row: PairRow) -> bool:
    """Return True if the pair has ended, and nothing of it is to be sent again."""
    if row.ready or (row.leaf and view.get(PENDING, row.leaf, row.recipient) is not None):
        return False
    stopped = row.cause != Cause.NONE and row.stage != Stage.HANDED_OVER
    return row.receipt != BestReceipt.NONE or stopped


def _has_files(view: View, row: PairRow, slots: set[int]) -> bool:
    """Return True if the recipient has all granted parts of these attachments, or will not ask for them."""
    said = view.get(STATEMENT, row.leaf) if row.leaf else None
    wants = row.receipt in (BestReceipt.ACCEPTED, BestReceipt.READ) and said is not None
    return not wants or said is None or not slots.intersection(said.slots) or WHOLE in row.codes.split()


def _purge(tx: Transaction, md: ManifestDigest) -> bool:
    """Return False if a part is damaged: what cannot be read cannot be counted off, and may come back."""
    damaged: list[StoreError] = []
    portions = tx.view.find(PORTION, "key", md, damaged=damaged)
    if damaged or is_damaged(tx, BULLETIN, md):
        return False
    if any(row.body for row in portions):
        tx.count(OUTBOX_COUNTER, -1, -sum([len(row.body) for row in portions]))
    for row in portions:
        destroy_secret(tx, md, row.slot)
        tx.put(PORTION, changed(row, body=b"", purged=tx.now))
    end_own(tx, md)
    return True
