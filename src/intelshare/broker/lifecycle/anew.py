"""Anew: what was signed by a key that is compromised now, and has no answer yet, is handed over once more.

A peer that has not accepted it never will (SIGNER_REVOKED): its number is cancelled, and the pair waits for
hand-over under the new key. A receipt that is on its way nevertheless counts, and then it does not go again.
"""

from __future__ import annotations

from functools import partial

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, put_pair
from intelshare.broker.kernel.tables import BATCH, PAIR, STATEMENT, PairRow
from intelshare.broker.kernel.transaction import Transaction, unless_damaged
from intelshare.broker.lifecycle.review import MAX_REVIEWED, ReviewResult
from intelshare.broker.lifecycle.stop import cancel
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch
from intelshare.delivery import Stage, pair
from intelshare.ids import KeyId
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, View


def hand_over_anew(
    node: Node, view: View, key: KeyId, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Take back what is on its way under this key, page by page; go on ``after`` where the last step ended.

    ``node`` signs with another key by now.
    """
    tx = Transaction(node, view, now, random)
    rows = view.find(PAIR, "stage", Stage.HANDED_OVER, 1, after=after, limit=MAX_REVIEWED)
    back = [row for row in rows if unless_damaged(tx, partial(_signed_by, tx, row)) == key]
    for row in back:
        tx.end(row.recipient, row.leaf)
        tx.ready.add(row.recipient)
    cancel(tx, back)
    for row in back:
        put_pair(tx, row, pair.take_back(facts_of(row)), codes="")
    more = len(rows) == MAX_REVIEWED
    following = (rows[-1].created, rows[-1].md, rows[-1].recipient) if more else ()
    return tx.plan(ReviewResult(following, tx.effects()))


def _signed_by(tx: Transaction, row: PairRow) -> KeyId | None:
    said = tx.get(STATEMENT, row.leaf)
    batch = tx.get(BATCH, said.batch) if said is not None else None
    return decode(Batch, batch.record).key if batch is not None else None
