"""Decides which members get the pieces of a file. Asked at most once a second for each peer and file.

A member that was handed the portion may have them, as long as policy lets it go now, and until its time is
over: what was stopped, recalled or denied since is not served any more, not even in the middle of a file.
"""

from __future__ import annotations

from typing import Final, NoReturn

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import FILE, PAIR, STATEMENT
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import MAX_TOGETHER, FileState, Kept
from intelshare.broker.lifecycle.review import denial
from intelshare.delivery import BestReceipt, Cause, Stage
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View

_HAS_IT: Final = frozenset((BestReceipt.ACCEPTED, BestReceipt.READ))


def serves(node: Node, view: View, member: MemberCode, asked: Digest, now: Instant) -> Kept | None:
    """Return the file whose pieces this member asks for, if it may have it. Raises StoreError."""
    for row in view.find(FILE, "pieces", asked, limit=MAX_TOGETHER):
        pair = view.get(PAIR, row.md, member) if row.state == FileState.KEPT and now < row.due else None
        if pair is None or pair.cause != Cause.NONE:
            continue
        # One whose key was stolen waits for hand-over again, though it may have arrived under another number.
        if pair.stage != Stage.HANDED_OVER and pair.receipt not in _HAS_IT:
            continue
        said = view.get(STATEMENT, pair.leaf)
        granted = said is not None and row.slot in said.slots
        refused = pair.receipt == BestReceipt.REFUSED
        # This only reads: the new decision is neither logged nor stored.
        if granted and not refused and not denial(Transaction(node, view, now, _nothing_is_drawn), pair):
            return Kept(row.place, row.size, row.member)
    return None


def _nothing_is_drawn(count: int) -> NoReturn:
    raise AssertionError(f"a query asked for {count} random bytes")
