"""Signs again what no peer will accept as it was signed, and has no answer yet.

    signed                              a release                      any other statement
    ---------------------------------   ----------------------------   ------------------------------------
    by a key that is compromised now    its number is cancelled, and   the same digest, signed at this time
    by a key of a clock that was        the pair waits for hand-over   with the present key
    ahead, which no peer knows yet
    more than five minutes ahead of
    the clock that is believed now

A receipt for a release that was on its way still counts, and then the pair does not go again. A release that
waits although its pair was answered (under another number, or its recipient has lost it and asked) waits no
more: its recipient asks for the number, which is cancelled then (``line.hello.answer_gap``). A statement
whose digest the peer already knows is a DUPLICATE to it: nothing happens twice (promise P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from intelshare.broker.kernel.damage import unless_damaged
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
from intelshare.broker.kernel.transaction import SELF, Transaction
from intelshare.broker.lifecycle.review import MAX_REVIEWED, ReviewResult
from intelshare.broker.lifecycle.stop import cancel
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Kind
from intelshare.delivery import BestReceipt, Cause, Stage, pair
from intelshare.ids import Digest, KeyId, LeafId, MemberCode
from intelshare.instant import MAX_AHEAD, Instant
from intelshare.ports import Plan, Random, Scalar, View, changed


def signed_ahead(view: View, now: Instant) -> bool:
    """Return True if something may have been signed so far ahead of this time that no peer accepts it."""
    me = view.get(NODE, SELF)
    return me is not None and me.written > now + MAX_AHEAD


def sign_anew(
    node: Node, view: View, after: tuple[Scalar, ...], now: Instant, random: Random
) -> Plan[ReviewResult]:
    """Take back releases that no peer will accept as they were signed, and sign other statements again, page
    by page.

    Call it only while the clock is believed, with a ``node`` that signs with a key that counts. ``after`` is
    where the last step ended.
    """
    tx = Transaction(node, view, now, random)
    rows = view.find(PENDING, "key", after=after, limit=MAX_REVIEWED)
    known: dict[Digest, bool] = {}
    void = [
        (row, said)
        for row in rows
        if (said := unless_damaged(tx, partial(tx.get, STATEMENT, row.leaf))) is not None
        and unless_damaged(tx, partial(is_void, tx, said, known))
    ]
    pairs = [found for row, said in void if (found := _handed_over(tx, row, said)) is not None]
    for row in pairs:
        tx.end(row.recipient, row.leaf)
    back = [row for row in pairs if (row.receipt, row.cause) == (BestReceipt.NONE, Cause.NONE)]
    tx.ready.update([row.recipient for row in back])
    cancel(tx, back)
    for row in back:
        put_pair(tx, row, pair.take_back(facts_of(row)), codes="")
    again: dict[LeafId | None, list[tuple[PendingRow, StatementRow]]] = {}
    for one in void:
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


def queue_again(tx: Transaction, peer: MemberCode, rows: Sequence[StatementRow]) -> int:
    """Queue stored statements, but no releases, for a peer again, except those that wait for it anyway;
    return how many. What no peer accepts as it was signed is signed again first: a peer that has forgotten a
    recall reads on once it was linked for a minute.
    """
    known: dict[Digest, bool] = {}
    void = [row for row in rows if unless_damaged(tx, partial(is_void, tx, row, known))]
    if counts(tx.node, tx.node.signer.key_id, tx.now):
        for start in range(0, len(void), MAX_REVIEWED):
            tx.sign_again(void[start : start + MAX_REVIEWED], ())
    again = [row for row in rows if tx.get(PENDING, row.leaf, peer) is None]
    for row in again:
        tx.queue_as_signed(row, peer, 0)
    return len(again)


def is_void(tx: Transaction, said: StatementRow, known: dict[Digest, bool]) -> bool:
    """Return True if no peer accepts a statement that was signed then, or with that key.

    ``known`` remembers the answers by batch. Raises StoreError RECORD_CORRUPT.
    """
    if said.batch not in known:
        row = tx.get(BATCH, said.batch)
        if row is None:
            return False
        batch = decode(Batch, row.record)
        stolen = batch.key != tx.node.signer.key_id and _is_compromised(tx.node, batch.key)
        known[said.batch] = (
            stolen or batch.signed_at > tx.now + MAX_AHEAD or not counts(tx.node, batch.key, batch.signed_at)
        )
    return known[said.batch]


def counts(node: Node, key: KeyId, at: Instant) -> bool:
    """Return True if the documents held name a key, and it counts from this time on or before: one that a
    clock that was ahead has made begins later, or is left out by now.
    """
    record = node.trust.key_record(key)
    return record is not None and record.not_before <= at


def _is_compromised(node: Node, key: KeyId) -> bool:
    revocation = node.trust.revocation(key)
    return revocation is not None and revocation.compromised


def _handed_over(tx: Transaction, row: PendingRow, said: StatementRow) -> PairRow | None:
    """Return the pair of a release that was handed over by it, or None."""
    if said.kind != Kind.RELEASE:
        return None
    found = unless_damaged(tx, partial(tx.get, PAIR, said.md, row.peer))
    is_its = found is not None and (found.leaf, found.stage) == (row.leaf, Stage.HANDED_OVER)
    return found if is_its else None
