"""Review: an act, a document or the clock has changed the world: what is now denied is stopped (P9).

Waiting pairs are decided again at hand-over, and are withheld there. A pair that was handed over and has no
receipt is checked here, portion by portion as it was granted: if one of them may not go any more, the release
is not sent again, its number is cancelled, and the pair is in doubt until that is acknowledged or the
recipient's receipt comes. Nothing is ever handed over to a member that was removed: what waits for it ends
here too. Until a review has reached a pair, ``resend`` asks the same question: nothing goes after its denial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.decide_pair import PairDecision
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import read_written
from intelshare.broker.kernel.tables import BULLETIN, PAIR, STATEMENT, PairRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.redecide import redecide
from intelshare.broker.lifecycle.stop import stop
from intelshare.delivery import Cause, Stage
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, View
from intelshare.trust import Exclusion

MAX_REVIEWED: Final = 256
"""The most pairs that one step looks at."""


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """The progress of a review. ``after`` is empty at the end."""

    after: tuple[Scalar, ...]
    """The stage, and the last pair of it that was looked at."""
    effects: Effects


def review(
    node: Node, view: View, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Stop what is on its way and may not go any more; ``after`` is where the last step ended."""
    tx = Transaction(node, view, now, random)
    stage = Stage(int(after[0])) if after else Stage.HANDED_OVER
    rows = view.find(PAIR, "stage", stage, 1, after=after[1:], limit=MAX_REVIEWED)
    removed = {member for member, how in node.trust.excluded.items() if how is Exclusion.REMOVED}
    stop(
        tx,
        [row for row in rows if row.recipient in removed],
        Cause.UNDELIVERABLE,
        (Exclusion.REMOVED.code,),
    )
    denied: dict[tuple[str, ...], list[PairRow]] = {}
    for row in rows if stage is Stage.HANDED_OVER else ():
        # A pair whose time is over ends anyway (``stop.expire``).
        if row.recipient not in removed and now < row.due:
            codes = unless_damaged(tx, partial(denial, tx, row))
            if codes:
                denied.setdefault(codes, []).append(row)
    for codes, stopped in denied.items():
        stop(tx, stopped, Cause.WITHHELD, codes)
    return tx.plan(ReviewResult(_following(stage, rows, bool(removed)), tx.effects()))


def _following(stage: Stage, rows: Sequence[PairRow], removed: bool) -> tuple[Scalar, ...]:
    """Return where the next step goes on. Waiting pairs are looked at only if a member was removed."""
    if len(rows) == MAX_REVIEWED:
        return (stage, rows[-1].created, rows[-1].md, rows[-1].recipient)
    order = (Stage.HANDED_OVER, Stage.HELD, Stage.QUEUED)
    return tuple(order[order.index(stage) + 1 :][:1]) if removed else ()


def denial(tx: Transaction, row: PairRow) -> tuple[str, ...]:
    """Return why a release may not go now; empty: it may. Expiry is not counted: it is not the law's.

    Also called for releases with a receipt: a recipient that lost one may ask for it again.
    """
    said, bulletin = tx.view.get(STATEMENT, row.leaf), tx.view.get(BULLETIN, row.md)
    if said is None:
        return ()
    if bulletin is None:
        return ("RECORD_CORRUPT",)  # it was given up: without it nobody can decide
    decided, _ = redecide(tx, row, read_written(tx.node, tx.view, bulletin))
    granted = [one for one in decided.portions if one.slot in said.slots]
    codes = PairDecision(MemberCode(row.recipient), tuple(granted), (), ()).codes
    return tuple([code for code in codes if code != "BULLETIN_EXPIRED"])
