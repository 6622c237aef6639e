"""Stops what is over: pairs that wait or are on their way (P8), and received bulletins.

A pair that was handed over and has no receipt is not sent again: its number is cancelled in a stream head,
and the pair is in doubt until that head is acknowledged or the recipient's receipt arrives (promise P9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from intelshare.audit.records import EntryType, Stop
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import codes_beside, facts_of, put_pair
from intelshare.broker.kernel.tables import (
    CONSENT,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    STATEMENT,
    OutgoingRow,
    PairRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF, ToSay, Transaction
from intelshare.broker.lifecycle.destroy import anything_due, mark_due
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Cancelled, Consent, Kind, StreamHead
from intelshare.delivery import BestReceipt, Cause, Ranges, Stage, pair
from intelshare.ids import Incarnation, MemberCode, ReleaseNumber
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, View, changed

MAX_ENDED = 256
"""The most pairs that one step ends."""

PAGE = 1000
"""The numbers looked at in one query."""


def anything_over(view: View, now: Instant) -> bool:
    """Return True if ``expire`` has something to do."""
    # Start after 0: NEVER sorts first.
    found = view.find(PAIR, "due", 1, after=(0,), limit=1)
    return (bool(found) and found[0].due <= now) or anything_due(view, now)


def expire(node: Node, view: View, now: Instant, random: Random) -> Plan[Effects]:
    """Stop the pairs whose valid-until or deliver-by has passed; destroy what may no longer be kept."""
    tx = Transaction(node, view, now, random)
    found = view.find(PAIR, "due", 1, after=(0,), limit=MAX_ENDED)
    over = [row for row in found if row.due <= now]
    stop(tx, over, Cause.EXPIRED, ("EXPIRED",))
    mark_due(tx)
    return tx.plan(tx.effects())


def stop(tx: Transaction, rows: Iterable[PairRow], cause: Cause, codes: tuple[str, ...]) -> None:
    """Stop pairs, and cancel the numbers that may not have arrived, with one head per stream.

    The number of a release with a receipt is not cancelled.
    """
    on_the_way = []
    for row in rows:
        stop_pair(tx, row, cause, codes)
        if row.stage == Stage.HANDED_OVER and row.receipt == BestReceipt.NONE:
            tx.end(row.recipient, row.leaf)
            # Where the stream is damaged nothing can be said of it: the pair stays in doubt, and is shown so.
            if unless_damaged(tx, partial(tx.get, OUTGOING, row.incarnation, row.recipient)) is not None:
                on_the_way.append(row)
    cancel(tx, on_the_way)


def cancel(tx: Transaction, rows: Iterable[PairRow]) -> None:
    """Cancel the numbers of these pairs for ever, with one head per stream."""
    streams: dict[tuple[Incarnation, MemberCode], int] = {}
    for row in rows:
        key = (row.incarnation, row.recipient)
        streams[key] = min(row.rank, streams.get(key, row.rank))
        _cancel(tx, row)
    tx.say(
        [
            ToSay(recipient, Kind.STREAM_HEAD, encode(StreamHead, _head(tx, incarnation, recipient)), rank)
            for (incarnation, recipient), rank in streams.items()
        ]
    )


def stop_pair(tx: Transaction, row: PairRow, cause: Cause, codes: tuple[str, ...]) -> None:
    """Record why a pair was stopped, in its row and in the log. What waited to go again although it was
    accepted only goes no more.

    For a pair that was handed over call ``stop``.
    """
    after = pair.stop(facts_of(row), cause)
    if after.cause != row.cause:
        tx.log(EntryType.STOP, Stop(row.md, row.recipient, cause, codes))
    cancel_questions(tx, row)
    put_pair(tx, row, after, codes=codes_beside(after, row, codes))


def cancel_questions(tx: Transaction, row: PairRow) -> None:
    """End the questions to a recipient that will not hold the bulletin: it cannot say whether others may."""
    if not tx.view.count(CONSENT, "key", row.md):
        return
    for said in tx.view.find(STATEMENT, "number", row.recipient, Kind.CONSENT, limit=EVERY_ROW):
        if tx.get(PENDING, said.leaf, row.recipient) is not None and decode(Consent, said.data).md == row.md:
            tx.end(row.recipient, said.leaf)


def head_of(row: OutgoingRow, previous: Incarnation) -> StreamHead:
    """Return the head of a stream of this node, as its recipient is told."""
    cancelled = tuple(
        [Cancelled(ReleaseNumber(a), ReleaseNumber(b)) for a, b in Ranges.unpack(row.cancelled).spans]
    )
    return StreamHead(row.recipient, row.incarnation, previous, ReleaseNumber(row.last), row.head, cancelled)


def head_acknowledged(tx: Transaction, peer: MemberCode, data: bytes) -> None:
    """Note that the peer knows which numbers are cancelled: their pairs are no longer in doubt."""
    head = decode(StreamHead, data)
    for span in head.cancelled:
        for row in _numbered(tx.view, peer, head.incarnation, span):
            stored = unless_damaged(tx, partial(tx.get, PAIR, row.md, peer))
            if stored is not None and stored.leaf == row.leaf and stored.cause != Cause.NONE:
                facts = facts_of(stored)
                after = pair.cancelled(facts)
                if after != facts:
                    put_pair(tx, stored, after)


def _numbered(
    view: View, peer: MemberCode, incarnation: Incarnation, span: Cancelled
) -> Iterator[StatementRow]:
    """Yield this node's releases to a peer under these numbers."""
    after = span.first - 1
    while after < span.last and (
        rows := view.find(STATEMENT, "number", peer, Kind.RELEASE, incarnation, after=(after,), limit=PAGE)
    ):
        yield from [row for row in rows if row.sequence <= span.last]
        after = rows[-1].sequence


def is_cancelled(tx: Transaction, row: PairRow) -> bool:
    """Return True if the number under which a pair was handed over is cancelled."""
    stream = tx.get(OUTGOING, row.incarnation, row.recipient)
    return stream is not None and row.sequence in Ranges.unpack(stream.cancelled)


def _cancel(tx: Transaction, row: PairRow) -> None:
    stream = tx.get(OUTGOING, row.incarnation, row.recipient)
    assert stream is not None  # noqa: S101 - the row numbers this very pair
    cancelled = Ranges.unpack(stream.cancelled).add(row.sequence, row.sequence)
    tx.put(OUTGOING, changed(stream, cancelled=cancelled.pack()))


def _head(tx: Transaction, incarnation: Incarnation, recipient: MemberCode) -> StreamHead:
    stream, me = tx.get(OUTGOING, incarnation, recipient), tx.get(NODE, SELF)
    assert stream is not None  # noqa: S101 - it was cancelled in just now
    previous = me.previous if me is not None and me.incarnation == incarnation else Incarnation(0)
    return head_of(stream, previous)
