"""Drop: the step by which an operator gives up damaged records that nobody has.

    record                 what becomes of it
    ---------------------  ------------------------------------------------------------------------------
    content of a bulletin  it is shown without that portion, as if it had been purged; its open pairs end
    a bulletin             its content is destroyed, since nothing opens it any more; its open pairs end
    a statement, a batch   nothing that needs it is sent again; releases without an answer end
    a batch key            the same; what its recipient has lost goes to it as a new release (``line.hello``)
    a pair                 it ends, and is shown by what is left of it (``pair_again``)
    others                 deleted

The log records the decision with its reason. Never dropped: the log, this member's acts and trust documents,
and exclusions, because the node would then claim what is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from intelshare.audit.records import EntryType, Stop
from intelshare.audit.work import finish
from intelshare.broker.kernel.counters import INBOX_COUNTER, OUTBOX_COUNTER, QUEUE, queue_of
from intelshare.broker.kernel.damage import is_damaged, is_there, unless_damaged
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import count_pair, logged_decision
from intelshare.broker.kernel.portion_secrets import SEALED, destroy_secret
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
    SECRET,
    STATEMENT,
    TRUST,
    PortionRow,
    SecretRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import end_given_up
from intelshare.broker.lifecycle.destroy import CAUSE_RECALLED
from intelshare.broker.lifecycle.mend import (
    MAX_MENDED,
    Mended,
    MendResult,
    Record,
    RecordOutcome,
    note,
    table_of,
    whole,
)
from intelshare.broker.lifecycle.pair_again import HandedOver, Number, PairKey, handed_over, pair_again
from intelshare.broker.lifecycle.rebuild import recount
from intelshare.broker.lifecycle.recalled import tell_recalled, was_recalled
from intelshare.broker.lifecycle.stop import stop
from intelshare.delivery import Cause, Stage
from intelshare.errors import DeliveryError
from intelshare.ids import Digest, LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, Table, View, changed

_UNKNOWN: Final = Digest(bytes(32))
_NEVER: Final = (LOG, ACT, TRUST, EXCLUSION, NODE, LOG_HEAD, COUNTER)


@dataclass(frozen=True, slots=True)
class DropCommand:
    """An operator drops these records."""

    records: tuple[Record, ...]
    user: UserUri
    reason: str
    handed_over: HandedOver | None = None
    """Of the pairs among them, as it was read before this step; None: the step reads all logs for it."""


def drop(node: Node, view: View, command: DropCommand, now: Instant, random: Random) -> Plan[MendResult]:
    """Remove damaged records, at most ``MAX_MENDED``. Raises DeliveryError INPUT_INVALID for more, and for
    what is never dropped, or is whole.
    """
    if len(command.records) > MAX_MENDED:
        raise DeliveryError("INPUT_INVALID", f"at most {MAX_MENDED} records can be dropped at once")
    tx = Transaction(node, view, now, random)
    went = finish(handed_over(node, view, pairs_of(command.records), command.handed_over)).numbers
    for record in command.records:
        table = table_of(record)
        if table is None or table in _NEVER:
            raise DeliveryError(
                "INPUT_INVALID",
                f"{record} cannot be dropped: without it this node would say what is not so",
                hint="restore the folder from a backup (`intelshare node restore`)",
            )
        if not is_damaged(view, table, *record.key):
            raise DeliveryError("INPUT_INVALID", f"{record} is not damaged")
        note(tx, record, command.reason, command.user)
        if table is PAIR:
            _drop_pair(tx, record.key, went.get(record.key))
        else:
            _DROPS.get(table.name, _delete)(tx, table, record.key)
    _recount(tx, sorted({name for record in command.records for name in _counters_of(record)}))
    done = tuple([Mended(record, RecordOutcome.DROPPED) for record in command.records])
    return tx.plan(MendResult(done, tx.effects()))


def pairs_of(records: Iterable[Record]) -> frozenset[PairKey]:
    """Return the keys of the pairs among these records."""
    return frozenset([record.key for record in records if table_of(record) is PAIR])


def _delete(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    tx.delete(table, *key)


def _drop_content(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """Drop a part of a bulletin of this member, and end its open pairs as undeliverable.

    The bulletin is then shown without that part, as if it had been purged, and can still be recalled. Without
    its own record nobody can read the rest: the content is destroyed.
    """
    md = ManifestDigest(key[0])
    if table is BULLETIN:
        tx.delete(table, *key)
        for portion in tx.view.find(PORTION, "key", md):
            destroy_secret(tx, md, portion.slot)
            tx.delete(PORTION, md, portion.slot)
    else:
        tx.put(SECRET, SecretRow(md, key[1], bytes(SEALED)))
        _drop_portion(tx, md, key[1], damaged=table is PORTION)
        end_given_up(tx, md, key[1])
    _stop_open(tx, [(md, row.recipient) for row in tx.view.find(PAIR, "key", md)])


def _drop_portion(tx: Transaction, md: ManifestDigest, slot: int, *, damaged: bool) -> None:
    """Purge one portion of this member; of a received bulletin only a damaged one goes."""
    held = whole(tx, PORTION, md, slot) if is_there(tx, BULLETIN, md) else None
    if held is not None and held.body:
        tx.put(PORTION, changed(held, body=b"", purged=tx.now))
        if whole(tx, BULLETIN, md) is not None:  # or it is not counted
            others = [whole(tx, PORTION, md, one.slot) for one in tx.view.find(PORTION, "key", md)]
            left = any(one.body for one in others if one is not None)
            tx.count(OUTBOX_COUNTER, 0 if left else -1, -len(held.body))
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
    waiting = [row.leaf for row in tx.view.find(PENDING, "key", limit=EVERY_ROW)]
    said = [row for leaf in waiting if (row := whole(tx, STATEMENT, leaf)) is not None]
    _never_sent(tx, {row.leaf for row in said if (row.batch, row.kem)[: len(key)] == key})
    tx.delete(table, *key)


def _never_sent(tx: Transaction, leaves: Collection[LeafId]) -> None:
    pairs = tx.view.find(PAIR, "stage", Stage.HANDED_OVER, 1, limit=EVERY_ROW)
    _stop_open(tx, [(row.md, row.recipient) for row in pairs if row.leaf in leaves])
    for leaf in sorted(leaves):
        for waiting in tx.view.find(PENDING, "key", leaf):
            tx.end(waiting.peer, waiting.leaf)


def _drop_pair(tx: Transaction, key: PairKey, number: Number | None) -> None:
    """End the pair as undeliverable, unless its recipient has answered: the author sees it, and is told.

    If it never went, and its bulletin is not there to decide it again, nothing is left of it: it is deleted,
    and whoever watches is told. ``number``: under which it went last.
    """
    md, recipient = ManifestDigest(key[0]), MemberCode(key[1])
    made = unless_damaged(tx, partial(pair_again, tx, md, recipient, number))
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
        stop(tx, [row], cause, (CAUSE_RECALLED,) if recalled else ("RECORD_CORRUPT",))
    if recalled and row.leaf and not was_recalled(tx, md, recipient):
        tell_recalled(tx, md, [recipient], "")  # nobody knew, as it was recalled, that this member has it


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
    BULLETIN.name: (OUTBOX_COUNTER,),
    PORTION.name: (OUTBOX_COUNTER, INBOX_COUNTER),
    SECRET.name: (OUTBOX_COUNTER, INBOX_COUNTER),
    INBOX.name: (INBOX_COUNTER,),
}


def _recount(tx: Transaction, names: Iterable[str]) -> None:
    """Counters that counted what is gone. What this very step has changed is added to what the view says."""
    for name in names:
        before, there = tx.view.get(COUNTER, name), tx.get(COUNTER, name)
        seen = recount(tx.view, name)
        rows = there.rows - before.rows if there is not None and before is not None else 0
        size = there.size - before.size if there is not None and before is not None else 0
        tx.put(COUNTER, changed(seen, rows=seen.rows + rows, size=seen.size + size))
