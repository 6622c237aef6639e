"""Review: the world has changed, by an act, a document or the clock: what is now denied is stopped (P9).

What waits is decided again at hand-over, and is withheld there. What was handed over and has no receipt is
asked about here, portion by portion as it was granted: if one of them may not go any more, the release is not
sent again, its number is cancelled, and the pair is in doubt until that is acknowledged or the recipient's
word comes.
Until a review has come to a pair, ``resend`` asks the same question: nothing goes after its denial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.broker.kernel.decide_pair import PairDecision
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import read_written
from intelshare.broker.kernel.tables import BULLETIN, PAIR, STATEMENT, PairRow
from intelshare.broker.kernel.transaction import Transaction, unless_damaged
from intelshare.broker.lifecycle.redecide import redecide
from intelshare.broker.lifecycle.stop import stop
from intelshare.delivery import Cause, Stage
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, View

MAX_REVIEWED: Final = 256
"""Pairs that one step looks at."""


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """How far it has come. ``after`` empty: through."""

    after: tuple[Scalar, ...]
    effects: Effects


def review(
    node: Node, view: View, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Stop what is on the way and may not go any more; go on ``after`` where the last step ended."""
    tx = Transaction(node, view, now, random)
    rows = view.find(PAIR, "stage", Stage.HANDED_OVER, 1, after=after, limit=MAX_REVIEWED)
    denied: dict[tuple[str, ...], list[PairRow]] = {}
    for row in rows:
        # What is over as well ends by itself (``stop.expire``).
        codes = unless_damaged(tx, partial(denial, tx, row)) if now < row.due else ()
        if codes:
            denied.setdefault(codes, []).append(row)
    for codes, stopped in denied.items():
        stop(tx, stopped, Cause.WITHHELD, codes)
    more = len(rows) == MAX_REVIEWED
    following = (rows[-1].created, rows[-1].md, rows[-1].recipient) if more else ()
    return tx.plan(ReviewResult(following, tx.effects()))


def denial(tx: Transaction, row: PairRow) -> tuple[str, ...]:
    """Why what was handed over may not go now; empty: it may, but for its time, which is not the law's.

    Also asked of what has a receipt: a recipient that has forgotten it may ask for it again.
    """
    said, bulletin = tx.view.get(STATEMENT, row.leaf), tx.view.get(BULLETIN, row.md)
    if said is None or bulletin is None:
        return ()
    decided, _ = redecide(tx, row, read_written(tx.node, tx.view, bulletin))
    granted = [one for one in decided.portions if one.slot in said.slots]
    codes = PairDecision(MemberCode(row.recipient), tuple(granted), (), ()).codes
    return tuple([code for code in codes if code != "BULLETIN_EXPIRED"])
