"""Rows that follow from others: when one of them is damaged it is made again, and nothing is lost but time.

    table      follows from
    ---------  ------------------------------------------------------------------------------------------
    node       the newest log, and its last entry
    log_head   the rows of that log
    counter    what it counts
    outgoing   the releases of that stream; cancelled is what was stopped, or goes under another number
    incoming   the releases that came; what else the peer has numbered or cancelled it says at its next hello.
               Where none came: its key and the directory (``mend``)
    pending    the statement, if it still waits for its peer: it is queued again
    receipt    its key, which is all of it
    recalled   the recall that came first
    purge      its key: the bulletin is looked at now
    reader     its key; when it was read is not known any more

Reads and answers with writes; None: what a row follows from is damaged too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from intelshare.audit import LogHead, append
from intelshare.broker.kernel import counters
from intelshare.broker.kernel.frame import FRAMING
from intelshare.broker.kernel.log import entries, logs
from intelshare.broker.kernel.tables import (
    BULLETIN,
    COUNTER,
    EVIDENCE,
    INBOX,
    INCOMING,
    LOG,
    LOG_HEAD,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    PORTION,
    PURGE,
    READER,
    RECALLED,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    TABLES,
    CounterRow,
    IncomingRow,
    LogHeadRow,
    NodeRow,
    OutgoingRow,
    PendingRow,
    PurgeRow,
    ReaderRow,
    RecalledRow,
    ReceiptRow,
)
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Recall
from intelshare.delivery import BestReceipt, Cause, Ranges
from intelshare.errors import RecordError, StoreError
from intelshare.ids import Incarnation, ManifestDigest, MemberCode
from intelshare.instant import EPOCH, Instant
from intelshare.ports import EVERY_ROW, Put, Scalar, Table, View

Writes = Sequence[Put]

_PAGE: Final = 1000

_STAYS: Final = frozenset((Kind.TRUST, Kind.TREATY_ACT, Kind.CONSENT, Kind.STREAM_HEAD))
"""Statements that stay for ever, and whose number their member alone decides."""


def rebuild(view: View, table: str, key: tuple[Any, ...]) -> Writes | None:
    """Return the writes for a damaged row; None if it does not follow from others, or these are damaged."""
    make = _MAKERS.get(table)
    if make is None:
        return None
    try:
        return make(view, *key)
    except RecordError:
        return None


def damaged_in(view: View, tables: Sequence[Table[Any]]) -> list[RecordError]:
    """The damaged rows of these tables, each once. Reads them whole."""
    found: list[Any] = []
    for table in tables:
        for index in ("key", *table.indexes):
            view.find(table, index, limit=EVERY_ROW, damaged=found)
    return list({(one.table, one.key): one for one in found if isinstance(one, RecordError)}.values())


def still_damaged(view: View, error: RecordError) -> bool:
    """Return whether a record that the scrub of the file found damaged is: memory may hold a newer one."""
    table = next((one for one in TABLES if one.name == error.table), None)
    if table is None or len(error.key) != len(table.key):
        return True
    try:
        row = view.get(table, *error.key)
    except RecordError:
        return True
    if row is None:
        return False
    for index, fields in table.indexes.items():
        flag = table.only.get(index)
        belongs = flag is None or getattr(row, flag) == 1
        place = [1 if field == flag else getattr(row, field) for field in fields]
        met: list[StoreError] = []
        listed = view.find(table, index, *place, limit=EVERY_ROW, damaged=met)
        if belongs != (row in listed) or any(_names(one, error) for one in met):
            return True
    return False


def _names(one: StoreError, error: RecordError) -> bool:
    return isinstance(one, RecordError) and (one.table, one.key) == (error.table, error.key)


def _node(view: View, _: str) -> Writes | None:
    heads = logs(view)
    if not heads:
        return None
    last = heads[-1]
    at = max([one.at for one in entries(view, last.incarnation, max(0, last.size - 1))], default=last.began)
    return [Put(NODE, NodeRow(SELF, last.incarnation, Incarnation(0), last.began, at, at, EPOCH))]


def _log_head(view: View, incarnation: Incarnation) -> Writes | None:
    head, began = LogHead(incarnation, 0, b""), EPOCH
    for entry in entries(view, incarnation):
        if entry.place != head.size:
            return None
        began = began or entry.at
        head = append(head, [entry.leaf])
    return [Put(LOG_HEAD, LogHeadRow(incarnation, began, head.size, head.frontier))] if head.size else None


def _counter(view: View, name: str) -> Writes:
    return [Put(COUNTER, recount(view, name))]


def recount(view: View, name: str) -> CounterRow:
    """Return the counter as computed from all rows."""
    sizes: list[int] = []
    kind, _, recipient = name.partition(":")
    if kind == counters.QUEUE:
        pairs = view.find(PAIR, "due", 1, limit=EVERY_ROW)  # all that are open
        sizes = [row.size for row in pairs if recipient in ("", row.recipient)]
    elif kind == counters.OUTBOX_COUNTER:
        for written in view.find(BULLETIN, "key", limit=EVERY_ROW):
            bodies = [portion.body for portion in view.find(PORTION, "key", written.md)]
            sizes += [sum([len(body) for body in bodies])] if any(bodies) else []
    elif kind == counters.INBOX_COUNTER:
        sizes = [row.size for row in view.find(INBOX, "key", limit=EVERY_ROW) if row.gone == Gone.NO]
    elif kind == counters.LOG_BYTES:
        rows = view.find(LOG, "key", limit=EVERY_ROW)
        size = sum([len(row.entries) + len(row.sealed_entries) for row in rows])
        return CounterRow(name, sum([row.size for row in logs(view)]), size)
    elif kind == counters.KEPT:
        return CounterRow(name, _kept_for(view, MemberCode(recipient)), 0)
    return CounterRow(name, len(sizes), sum(sizes))


def _kept_for(view: View, member: MemberCode) -> int:
    """Count the rows that a member has made this node keep (``kernel.kept_rows``).

    Of rejected statements those are counted whose evidence is still here: the oldest have given way.
    """
    count = view.count(INCOMING, "member", member) + view.count(EVIDENCE, "member", member)
    recalled: set[ManifestDigest] = set()
    after: tuple[Scalar, ...] = ()
    while page := view.find(RECEIVED, "key", member, after=after, limit=_PAGE):
        after = (page[-1].leaf,)
        for row in page:
            if row.kind == Kind.RECALL and not row.code:
                md = decode(Recall, row.data).md
                held = view.get(INBOX, md)
                # The first recall of a bulletin that is held is free.
                count += md in recalled or held is None or held.originator != member
                recalled.add(md)
            else:
                count += row.kind in _STAYS and not row.code
    return count


def _outgoing(view: View, incarnation: Incarnation, recipient: MemberCode) -> Writes | None:
    head = view.get(LOG_HEAD, incarnation)
    said = view.find(STATEMENT, "number", recipient, Kind.RELEASE, incarnation, limit=EVERY_ROW)
    if head is None or not said:
        return None
    cancelled = Ranges()
    for row in said:
        pair = view.get(PAIR, row.md, recipient)
        stopped = pair is not None and pair.receipt == BestReceipt.NONE and pair.cause != Cause.NONE
        if pair is None or pair.leaf != row.leaf or stopped:
            cancelled = cancelled.add(row.sequence, row.sequence)
    last = said[-1]
    row_ = OutgoingRow(incarnation, recipient, -head.began, last.sequence, last.leaf, cancelled.pack())
    return [Put(OUTGOING, row_)]


def _incoming(view: View, origin: str, incarnation: Incarnation) -> Writes | None:
    rows = view.find(RECEIVED, "number", origin, incarnation, Kind.RELEASE, limit=EVERY_ROW)
    if not rows:
        return None
    last, holes, cancelled = 0, Ranges(), Ranges()
    for row in rows:
        holes = holes.add(last + 1, row.sequence - 1)
        if row.code == "VOIDED":
            cancelled = cancelled.add(row.sequence, row.sequence)
        last = row.sequence
    end = rows[-1]
    made = IncomingRow(
        end.origin, incarnation, end.member, last, end.leaf, holes.pack(), cancelled.pack(), 0, 0
    )
    return [Put(INCOMING, made)]


def _pending(view: View, leaf: bytes, peer: MemberCode) -> Writes | None:
    said = view.get(STATEMENT, leaf)
    if said is None:
        return None
    pair = view.get(PAIR, said.md, peer) if said.kind == Kind.RELEASE else None
    size = FRAMING + len(said.data) + len(said.grant) + (pair.size if pair is not None else 0)
    return [Put(PENDING, PendingRow(said.leaf, peer, pair.rank if pair is not None else 0, 0, size))]


def _recalled(view: View, member: MemberCode, md: ManifestDigest) -> Writes | None:
    origins = {row.origin for row in view.find(INCOMING, "member", member, limit=EVERY_ROW)}
    recalls = [
        row
        for origin in origins
        for row in view.find(RECEIVED, "number", origin, Incarnation(0), Kind.RECALL, limit=EVERY_ROW)
        if row.member == member and not row.code and decode(Recall, row.data).md == md
    ]
    if not recalls:
        return None
    first = min(recalls, key=attrgetter("at", "leaf"))
    return [Put(RECALLED, RecalledRow(member, md, first.at, first.leaf))]


_MAKERS: Final[Mapping[str, Callable[..., Writes | None]]] = {
    NODE.name: _node,
    LOG_HEAD.name: _log_head,
    COUNTER.name: _counter,
    OUTGOING.name: _outgoing,
    INCOMING.name: _incoming,
    PENDING.name: _pending,
    RECEIPT.name: lambda _, *key: [Put(RECEIPT, ReceiptRow(*key))],
    RECALLED.name: _recalled,
    PURGE.name: lambda _, at, md: [Put(PURGE, PurgeRow(at, md))],
    READER.name: lambda _, user, md: [Put(READER, ReaderRow(user, md, Instant(0)))],
}

DRIVING: Final = (LOG_HEAD, NODE, COUNTER, OUTGOING, INCOMING, PENDING)
"""The tables that every step and link reads: checked in this order before a start continues."""
