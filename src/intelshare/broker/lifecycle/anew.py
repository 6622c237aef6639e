"""Signs again what no peer will accept as it was signed, and has no answer yet.

    signed                              a release                      any other statement
    ---------------------------------   ----------------------------   ------------------------------------
    by a key that is compromised now    its number is cancelled, and   stays (SIGNER_REVOKED)
                                        the pair waits for hand-over
    more than five minutes ahead of     the same                       the same digest, signed at this time
    the clock that is believed now

A receipt for a release that was on its way still counts, and then the pair does not go again. A statement
whose digest the peer already knows is a DUPLICATE to it: nothing happens twice (promise P4).
"""

from __future__ import annotations

from functools import partial

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, put_pair
from intelshare.broker.kernel.tables import (
    BATCH,
    NODE,
    PAIR,
    PENDING,
    STATEMENT,
    PairRow,
    PendingRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF, Transaction, unless_damaged
from intelshare.broker.lifecycle.review import MAX_REVIEWED, ReviewResult
from intelshare.broker.lifecycle.stop import cancel
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Kind
from intelshare.delivery import BestReceipt, Cause, Stage, pair
from intelshare.ids import Digest, KeyId, LeafId
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, View, changed
from intelshare.statement import MAX_AHEAD


def hand_over_anew(
    node: Node, view: View, key: KeyId, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Take back what is on its way under this key, page by page; ``after`` is where the last step ended.

    ``node`` must already sign with another key.
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


def signed_ahead(view: View, now: Instant) -> bool:
    """Return True if something may have been signed so far ahead of this time that no peer accepts it."""
    me = view.get(NODE, SELF)
    return me is not None and me.written > now + MAX_AHEAD


def sign_anew(
    node: Node, view: View, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Take back releases that were signed ahead of ``now``, and sign other statements again, page by page.

    Call it only while the clock is believed. ``after`` is where the last step ended.
    """
    tx = Transaction(node, view, now, random)
    rows = view.find(PENDING, "key", after=after, limit=MAX_REVIEWED)
    times: dict[Digest, Instant] = {}
    ahead = [
        (row, said)
        for row in rows
        if (said := unless_damaged(tx, partial(tx.get, STATEMENT, row.leaf))) is not None
        and (unless_damaged(tx, partial(_signed_at, tx, said, times)) or 0) > now + MAX_AHEAD
    ]
    back = [found for row, said in ahead if (found := _on_its_way(tx, row, said)) is not None]
    for row in back:
        tx.end(row.recipient, row.leaf)
        tx.ready.add(row.recipient)
    cancel(tx, back)
    for row in back:
        put_pair(tx, row, pair.take_back(facts_of(row)), codes="")
    again: dict[LeafId | None, list[tuple[PendingRow, StatementRow]]] = {}
    for one in ahead:
        said = one[1]
        if said.kind != Kind.RELEASE:
            # A checkpoint has its own batch, which is deleted with it when the next one replaces it.
            again.setdefault(said.leaf if said.kind == Kind.CHECKPOINT else None, []).append(one)
    for together in again.values():
        statements = {row.leaf: said for row, said in together}
        tx.sign_again(list(statements.values()), [row for row, _ in together])
    more = len(rows) == MAX_REVIEWED
    me = tx.get(NODE, SELF)
    if not more and me is not None:
        tx.put(NODE, changed(me, written=now))
    return tx.plan(ReviewResult((rows[-1].leaf, rows[-1].peer) if more else (), tx.effects()))


def _signed_at(tx: Transaction, said: StatementRow, known: dict[Digest, Instant]) -> Instant | None:
    if said.batch not in known:
        batch = tx.get(BATCH, said.batch)
        if batch is None:
            return None
        known[said.batch] = decode(Batch, batch.record).signed_at
    return known[said.batch]


def _on_its_way(tx: Transaction, row: PendingRow, said: StatementRow) -> PairRow | None:
    """Return the pair of a release that has no answer and was not stopped, or None."""
    if said.kind != Kind.RELEASE:
        return None
    found = unless_damaged(tx, partial(tx.get, PAIR, said.md, row.peer))
    waits = (
        found is not None
        and found.leaf == row.leaf
        and (found.stage, found.receipt, found.cause) == (Stage.HANDED_OVER, BestReceipt.NONE, Cause.NONE)
    )
    return found if waits else None


def _signed_by(tx: Transaction, row: PairRow) -> KeyId | None:
    said = tx.get(STATEMENT, row.leaf)
    batch = tx.get(BATCH, said.batch) if said is not None else None
    return decode(Batch, batch.record).key if batch is not None else None
