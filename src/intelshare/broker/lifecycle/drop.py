"""Drop: the step by which an operator gives up damaged records that nobody has.

    record                 what becomes of it
    ---------------------  ------------------------------------------------------------------------------
    content of a bulletin  it is shown without that portion, as if it had been purged; its open pairs end
    a statement, a batch   nothing that needs it is sent again; releases without an answer end
    a pair                 it ends, and is shown by what is left of it: bulletin, release, receipts and log
    others                 deleted

The log records the decision with its reason. Never dropped: the log, this member's acts and trust documents,
and exclusions, because the node would then claim what is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

from intelshare.audit.records import DecisionKept, EntryType, HandOver, Stop
from intelshare.broker.kernel.counters import INBOX as INBOXES
from intelshare.broker.kernel.counters import OUTBOX, QUEUE, queue_of
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.kept_claims import decided_at
from intelshare.broker.kernel.log import OpenedEntry, opened, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import (
    count_pair,
    facts_of,
    log_decision,
    logged_decision,
    with_facts,
)
from intelshare.broker.kernel.portion_secrets import SEALED
from intelshare.broker.kernel.stored_bulletins import Written, portion_keys, written_of
from intelshare.broker.kernel.tables import (
    ACT,
    BATCH,
    BATCH_KEY,
    BULLETIN,
    COUNTER,
    EXCLUSION,
    INBOX,
    LOG,
    LOG_HEAD,
    NODE,
    PAIR,
    PENDING,
    PORTION,
    RECEIPT,
    RECEIVED,
    SECRET,
    STATEMENT,
    TRUST,
    BulletinRow,
    PairRow,
    PortionRow,
    SecretRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import Transaction, unless_damaged
from intelshare.broker.lifecycle.add_recipient import new_pair
from intelshare.broker.lifecycle.attachments import codes_after
from intelshare.broker.lifecycle.destroy import RECALLED
from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    Mended,
    MendResult,
    Record,
    RecordOutcome,
    is_there,
    note,
    table_of,
    whole,
)
from intelshare.broker.lifecycle.rebuild import recount
from intelshare.broker.lifecycle.redecide import ONLY_OWN, decide_portions
from intelshare.broker.lifecycle.stop import stop
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.delivery import BestReceipt, Cause, Facts, Stage, pair
from intelshare.errors import DeliveryError, RecordError
from intelshare.ids import Digest, Incarnation, LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, Table, View, changed

_ALL: Final = 1 << 30
_UNKNOWN: Final = Digest(bytes(32))
_NEVER: Final = (LOG, ACT, TRUST, EXCLUSION, NODE, LOG_HEAD, COUNTER)


@dataclass(frozen=True, slots=True)
class DropCommand:
    """An operator drops these records."""

    records: tuple[Record, ...]
    user: UserUri
    reason: str


def drop(node: Node, view: View, command: DropCommand, now: Instant, random: Random) -> Plan[MendResult]:
    """Remove damaged records, at most ``MAX_MENDED``. Raises DeliveryError INPUT_INVALID for more, and for
    what is never dropped, or is whole.
    """
    if len(command.records) > MAX_MENDED:
        raise DeliveryError("INPUT_INVALID", f"at most {MAX_MENDED} records can be dropped at once")
    tx = Transaction(node, view, now, random)
    went = _handed_over(tx, {record.key for record in command.records if record.table == PAIR.name})
    for record in command.records:
        table = table_of(record)
        if table is None or table in _NEVER:
            raise DeliveryError(
                "INPUT_INVALID",
                f"{record} cannot be dropped: without it this node would say what is not so",
                hint="restore the folder from a backup (`intelshare node restore`)",
            )
        if not _is_damaged(view, table, record.key):
            raise DeliveryError("INPUT_INVALID", f"{record} is not damaged")
        note(tx, record, command.reason, command.user)
        if table is PAIR:
            _drop_pair(tx, record.key, went.get(record.key))
        else:
            _DROPS.get(table.name, _delete)(tx, table, record.key)
    _recount(tx, sorted({name for record in command.records for name in _counters_of(record)}))
    done = tuple([Mended(record, RecordOutcome.DROPPED) for record in command.records])
    return tx.plan(MendResult(done, tx.effects()))


def _delete(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    tx.delete(table, *key)


def _drop_content(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """Drop a part of a bulletin of this member, and end its open pairs as undeliverable.

    The bulletin is then shown without that part, as if it had been purged, and can still be recalled.
    """
    md = ManifestDigest(key[0])
    if table is BULLETIN:
        tx.delete(table, *key)
    else:
        tx.put(SECRET, SecretRow(md, key[1], bytes(SEALED)))
        _drop_portion(tx, md, key[1], damaged=table is PORTION)
    _stop_open(tx, [(md, row.recipient) for row in tx.view.find(PAIR, "key", md)])


def _drop_portion(tx: Transaction, md: ManifestDigest, slot: int, *, damaged: bool) -> None:
    """Purge one portion of this member; of a received bulletin only a damaged one goes."""
    held = whole(tx, PORTION, md, slot) if is_there(tx, BULLETIN, md) else None
    if held is not None and held.body:
        tx.put(PORTION, changed(held, body=b"", purged=tx.now))
        others = [whole(tx, PORTION, md, one.slot) for one in tx.view.find(PORTION, "key", md)]
        left = any(one.body for one in others if one is not None)
        tx.count(OUTBOX, 0 if left else -1, -len(held.body))
    elif damaged:
        lost = _lost_portion(tx, md, slot)
        if lost is not None:
            tx.put(PORTION, lost)
        else:
            tx.delete(PORTION, md, slot)


def _lost_portion(tx: Transaction, md: ManifestDigest, slot: int) -> PortionRow | None:
    """The row of a portion that is gone, in the place that the log names; None if the log names none."""
    for row in tx.view.find(PAIR, "key", md):
        kept = unless_damaged(tx, partial(logged_decision, tx.node, tx.view, row))
        for one in kept.portions if kept is not None else ():
            if one.slot == slot:
                return PortionRow(md, slot, one.position, b"", _UNKNOWN, tx.now)
    return None


def _stop_open(tx: Transaction, pairs: Iterable[tuple[ManifestDigest, MemberCode]]) -> None:
    """End these pairs, but those that have ended or were stopped: by this very step, too."""
    rows = [whole(tx, PAIR, *pair) for pair in pairs]
    stop(tx, [row for row in rows if row is not None and row.open], Cause.UNDELIVERABLE, ("RECORD_CORRUPT",))


def _drop_statement(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """It is not sent again: nobody has its bytes. A release without an answer ends as undeliverable."""
    _never_sent(tx, {LeafId(key[0])})
    tx.delete(table, *key)


def _drop_signature(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """Drop what statements of one batch are sent with: none of them is sent again."""
    waiting = [row.leaf for row in tx.view.find(PENDING, "key", limit=_ALL)]
    said = [row for leaf in waiting if (row := whole(tx, STATEMENT, leaf)) is not None]
    _never_sent(tx, {row.leaf for row in said if (row.batch, row.kem)[: len(key)] == key})
    tx.delete(table, *key)


def _never_sent(tx: Transaction, leaves: Collection[LeafId]) -> None:
    pairs = tx.view.find(PAIR, "stage", Stage.HANDED_OVER, 1, limit=_ALL)
    _stop_open(tx, [(row.md, row.recipient) for row in pairs if row.leaf in leaves])
    for leaf in sorted(leaves):
        for waiting in tx.view.find(PENDING, "key", leaf):
            tx.end(waiting.peer, waiting.leaf)


class _Number(NamedTuple):
    """The number of a release; the last one to a recipient sorts last."""

    began: int
    """When the incarnation began that has given it."""
    sequence: int
    incarnation: Incarnation
    leaf: LeafId


def _handed_over(tx: Transaction, pairs: Collection[tuple[Any, ...]]) -> Mapping[tuple[Any, ...], _Number]:
    """Return under which number each of these pairs went last, as the log says; it reads all logs once."""
    found: dict[tuple[Any, ...], _Number] = {}
    began, lost = _began(tx), list[range]()
    for incarnation in began if pairs else ():
        for entry in opened(tx.node, tx.view, incarnation, types={EntryType.HAND_OVER}, lost=lost):
            said = decode(HandOver, entry.record)
            key = said.md, said.recipient
            if key in pairs:
                number = _Number(
                    began.get(Incarnation(said.incarnation), 0), said.sequence,
                    Incarnation(said.incarnation), LeafId(said.leaf),
                )  # fmt: skip
                found[key] = max(found.get(key, number), number)
    return found


def _began(tx: Transaction) -> dict[Incarnation, int]:
    return {row.incarnation: row.began for row in tx.view.find(LOG_HEAD, "began", limit=_ALL)}


def _drop_pair(tx: Transaction, key: tuple[Any, ...], went: _Number | None) -> None:
    """End the pair as undeliverable, unless its recipient has answered: the author sees it, and is told.

    If its bulletin is damaged as well there is nothing to show it beside: it is deleted, and whoever watches
    is told, unless its recipient has answered. ``went``: by the log.
    """
    md, recipient = ManifestDigest(key[0]), MemberCode(key[1])
    made = unless_damaged(tx, partial(_pair_again, tx, md, recipient, went))
    if made is None:
        tx.delete(PAIR, *key)
        if not tx.view.count(RECEIPT, "key", md, recipient):
            tx.log(EntryType.STOP, Stop(md, recipient, Cause.UNDELIVERABLE, ("RECORD_CORRUPT",)))
        return
    row, recalled = made
    tx.put(PAIR, row)
    count_pair(tx, row, row.open)
    if row.open or recalled:
        cause = Cause.RECALLED if recalled else Cause.UNDELIVERABLE
        stop(tx, [row], cause, (RECALLED,) if recalled else ("RECORD_CORRUPT",))


def _pair_again(
    tx: Transaction, md: ManifestDigest, recipient: MemberCode, went: _Number | None
) -> tuple[PairRow, bool] | None:
    """Return the pair as its bulletin, last release, receipts and the log tell it, and whether it was
    recalled.

    Nobody knows any more whether it waited for an officer, or was stopped before it went. One whose decision
    is not there is decided again, so that there is one to show. None: its bulletin is gone. Raises StoreError
    RECORD_CORRUPT: its bulletin is damaged.
    """
    bulletin = tx.get(BULLETIN, md)
    if bulletin is None:
        return None
    written = _written(tx, bulletin)
    number, release = _last_release(tx, md, recipient, went)
    new = new_pair(tx.node, decide_portions(tx.node, written, recipient, tx.now, only_own=False))
    row = changed(
        new.row, md=md, rank=rank(bulletin.precedence), due=min(bulletin.expires, bulletin.deliver_by),
        created=bulletin.created, size=written.size, codes="",
    )  # fmt: skip
    entry = unless_damaged(tx, partial(_decision, tx, release)) if release is not None else None
    if entry is None:
        decision, at = log_decision(tx, new.decision, md, new.logged)
        row = changed(row, decided_in=tx.node.incarnation, decided_at=at, decision=decision)
    else:
        # Decided again since, it would cite an entry that says otherwise: the next hand-over logs its own.
        row = changed(
            row, decided_in=entry.incarnation, decided_at=entry.place, decision=entry.leaf, gist=_UNKNOWN
        )
    if number is None:
        return with_facts(row, Facts(Stage.QUEUED), tx.now), bool(bulletin.recalled)
    # For whom not all portions were decided gets only its own, should it go again (``redecide.ONLY_OWN``).
    granted = release.slots if release is not None else b""
    named = decode(DecisionKept, entry.record).portions if entry is not None else granted
    row = changed(
        row, incarnation=number.incarnation, sequence=number.sequence, leaf=number.leaf,
        granted=len(granted) or row.granted, approved=ONLY_OWN if len(named) < len(written.portions) else "",
    )  # fmt: skip
    return _answered(tx, row), bool(bulletin.recalled)


def _written(tx: Transaction, bulletin: BulletinRow) -> Written:
    """Return a bulletin whose portions may be damaged: they are not needed to decide it again."""
    found = [
        whole(tx, PORTION, *key) or PortionRow(*key, place, b"", _UNKNOWN)
        for place, key in enumerate(portion_keys(bulletin))
    ]
    return written_of(tx.node, bulletin, found)


def _last_release(
    tx: Transaction, md: ManifestDigest, recipient: MemberCode, went: _Number | None
) -> tuple[_Number | None, StatementRow | None]:
    """Return the number under which a pair went last, and its release; None for one that is not there."""
    began = _began(tx)
    last = (went, whole(tx, STATEMENT, went.leaf)) if went is not None else (None, None)
    after: tuple[Scalar, ...] = ()
    while page := tx.view.find(STATEMENT, "number", recipient, Kind.RELEASE, after=after):
        after = (page[-1].incarnation, page[-1].sequence, page[-1].leaf)
        for row in page:
            number = _Number(began.get(row.incarnation, 0), row.sequence, row.incarnation, row.leaf)
            if row.md == md and (last[0] is None or number > last[0]):
                last = number, row
    return last


def _decision(tx: Transaction, release: StatementRow) -> OpenedEntry | None:
    """Return the logged decision on which a release rests; None if it is not in this node's log."""
    place = decided_at(tx.node, release)
    return opened_at(tx.node, tx.view, *place) if place is not None else None


def _answered(tx: Transaction, row: PairRow) -> PairRow:
    """Return a pair that was handed over, with what its receipts say."""
    known = [
        whole(tx, RECEIVED, one.member, one.leaf)
        for one in tx.view.find(RECEIPT, "key", row.md, row.recipient)
    ]
    said = sorted(
        [decode(Receipt, one.data) for one in known if one is not None], key=attrgetter("decided_at")
    )
    row = with_facts(row, Facts(Stage.HANDED_OVER), tx.now)
    for place, one in enumerate(said):
        if one.leaf == row.leaf or one.status is not ReceiptStatus.REFUSED:
            others = place > 0 and all(before.leaf != one.leaf for before in said[:place])
            facts = pair.receive(facts_of(row), BestReceipt[one.status.name], one.codes, elsewhere=others)
            row = with_facts(row, facts, tx.now, codes=codes_after(row, facts, one))
    return row


_DROPS: Final[Mapping[str, Callable[[Transaction, Table[Any], tuple[Any, ...]], None]]] = {
    BATCH.name: _drop_signature,
    BATCH_KEY.name: _drop_signature,
    BULLETIN.name: _drop_content,
    PORTION.name: _drop_content,
    SECRET.name: _drop_content,
    STATEMENT.name: _drop_statement,
}


def _counters_of(record: Record) -> tuple[str, ...]:
    """The counters that counted a record."""
    if record.table == PAIR.name:
        return QUEUE, queue_of(MemberCode(record.key[1]))
    return _COUNTED.get(record.table, ())


_COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    BULLETIN.name: (OUTBOX,),
    PORTION.name: (OUTBOX, INBOXES),
    SECRET.name: (OUTBOX, INBOXES),
    INBOX.name: (INBOXES,),
}


def _recount(tx: Transaction, names: Iterable[str]) -> None:
    """Counters that counted what is gone. What this very step has changed is added to what the view says."""
    for name in names:
        before, there = tx.view.get(COUNTER, name), tx.get(COUNTER, name)
        seen = recount(tx.view, name)
        rows = there.rows - before.rows if there is not None and before is not None else 0
        size = there.size - before.size if there is not None and before is not None else 0
        tx.put(COUNTER, changed(seen, rows=seen.rows + rows, size=seen.size + size))


def _is_damaged(view: View, table: Table[Any], key: tuple[Any, ...]) -> bool:
    try:
        view.get(table, *key)
    except RecordError:
        return True
    return False
