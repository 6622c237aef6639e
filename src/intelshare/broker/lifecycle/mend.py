"""Mend: the step for a stored record that has changed since it was written (promise P13).

    outcome    records                                              consequence
    ---------  ---------------------------------------------------  ----------------------------------------
    whole      those that read correctly, or are gone               written again
    rebuilt    rows that follow from others (``rebuild``)           made from these
    asked      received bulletins; treaty acts of peers; content    forgotten here, and requested from the
               of this member's bulletins that somebody accepted    member that has it
    stays      all others                                           an operator decides
    dropped    those that an operator gives up                      deleted; pairs that need them end

The first three need nobody. The log records an operator's decision with its reason, and also what the node
forgets in order to request it again. Never dropped: the log, this member's acts and trust documents, and
exclusions, because the node would then claim what is not true. Until it is settled a damaged record stays in
its place, and is not served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import EntryType
from intelshare.audit.records import Received as ReceivedEntry
from intelshare.broker.kernel.counters import INBOX as INBOXES
from intelshare.broker.kernel.counters import OUTBOX, QUEUE, queue_of
from intelshare.broker.kernel.documents import directory_row
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.log import opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import SEALED, destroy_secret
from intelshare.broker.kernel.tables import (
    ACT,
    BULLETIN,
    COUNTER,
    EXCLUSION,
    INBOX,
    INCOMING,
    LOG,
    LOG_HEAD,
    NODE,
    PAIR,
    PENDING,
    PORTION,
    RECEIVED,
    SECRET,
    STATEMENT,
    TABLES,
    TRUST,
    IncomingRow,
    SecretRow,
    TrustRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import end_received
from intelshare.broker.lifecycle.rebuild import rebuild, recount
from intelshare.broker.lifecycle.stop import stop
from intelshare.broker.lifecycle.streams import is_frozen
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind, Trust, TrustType
from intelshare.delivery import BestReceipt, Cause, Ranges, Stage
from intelshare.errors import DeliveryError, RecordError, StoreError
from intelshare.ids import LeafId, ManifestDigest, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Put, Random, Table, View, changed

MAX_MENDED: Final = 256
"""Records that one step looks at."""

_RECEIVED: Final = frozenset((INBOX.name, PORTION.name, SECRET.name, RECEIVED.name))
_NEVER: Final = (LOG, ACT, TRUST, EXCLUSION, NODE, LOG_HEAD, COUNTER)
_BY_NAME: Final[Mapping[str, Table[Any]]] = {table.name: table for table in TABLES}


class Outcome(StrEnum):
    """The result for one damaged record."""

    WHOLE = "whole"
    REBUILT = "rebuilt"
    ASKED = "asked"
    STAYS = "stays"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Record:
    """A damaged record."""

    table: str
    key: tuple[Any, ...]

    def __str__(self) -> str:
        shown = ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in self.key)
        return f"{self.table} {shown}"


@dataclass(frozen=True, slots=True)
class Mended:
    """One record and its result."""

    record: Record
    outcome: Outcome
    member: str = ""
    """Whom it was asked for."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A received bulletin, and the release that brought it."""

    md: ManifestDigest
    member: MemberCode
    leaf: LeafId


@dataclass(frozen=True, slots=True)
class MendCommand:
    """Mend these. ``brought``: what the log says of those whose rows do not (``brought_by``)."""

    records: tuple[Record, ...]
    brought: Mapping[Record, Brought]


@dataclass(frozen=True, slots=True)
class DropCommand:
    """An operator drops these records."""

    records: tuple[Record, ...]
    user: UserUri
    reason: str


@dataclass(frozen=True, slots=True)
class MendResult:
    """The results, in the order of the records."""

    mended: tuple[Mended, ...]
    effects: Effects


def mend(node: Node, view: View, command: MendCommand, now: Instant, random: Random) -> Plan[MendResult]:
    """Rebuild or request the records for which that is possible; the others stay. May be repeated."""
    tx = Transaction(node, view, now, random)
    done = [_mend(tx, record, command) for record in command.records[:MAX_MENDED]]
    return tx.plan(MendResult(tuple(done), tx.effects()))


def drop(node: Node, view: View, command: DropCommand, now: Instant, random: Random) -> Plan[MendResult]:
    """Remove damaged records. Raises DeliveryError INPUT_INVALID for what is never dropped, or is whole."""
    tx = Transaction(node, view, now, random)
    for record in command.records[:MAX_MENDED]:
        table = _table_of(record)
        if table is None or table in _NEVER:
            raise DeliveryError(
                "INPUT_INVALID",
                f"{record} cannot be dropped: without it this node would say what is not so",
                hint="restore the folder from a backup (`intelshare node restore`)",
            )
        if not _is_damaged(view, table, record.key):
            raise DeliveryError("INPUT_INVALID", f"{record} is not damaged")
        _note(tx, record, command.reason, command.user)
        _DROPS.get(table.name, _delete)(tx, table, record.key)
    done = tuple([Mended(record, Outcome.DROPPED) for record in command.records[:MAX_MENDED]])
    return tx.plan(MendResult(done, tx.effects()))


def brought_by(node: Node, view: View, records: Iterable[Record]) -> dict[Record, Brought]:
    """Return the bulletins that damaged records belong to, with the releases that brought them, by the log.

    Records of no received bulletin are left out. Reads the logs once, the newest first, until all are found:
    call it in a thread.
    """
    wanted: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.table in _RECEIVED:
            wanted.setdefault(_subject(record), []).append(record)
    found: dict[Record, Brought] = {}
    for head in reversed(view.find(LOG_HEAD, "began", limit=100_000)):
        if len(found) == sum(map(len, wanted.values())):
            break
        here: dict[Record, Brought] = {}
        for entry in opened(node, view, head.incarnation, types={EntryType.RECEIVED}):
            said = decode(ReceivedEntry, entry.record)
            if said.codes or not any(said.subject):
                continue
            for subject in ((said.subject,), (said.member, said.leaf)):
                brought = Brought(ManifestDigest(said.subject), said.member, LeafId(said.leaf))
                here.update(dict.fromkeys(wanted.get(subject, ()), brought))
        found = here | found
    return found


def _subject(record: Record) -> tuple[Any, ...]:
    """By what an entry of the log names the bulletin of a record."""
    return record.key if record.table == RECEIVED.name else record.key[:1]


def _mend(tx: Transaction, record: Record, command: MendCommand) -> Mended:
    table = _table_of(record)
    if table is None:
        return Mended(record, Outcome.STAYS)
    try:
        row = tx.get(table, *record.key)
    except RecordError:
        pass
    else:
        if row is not None and not table.erasable:
            tx.put(table, row)  # its columns may be what is damaged
        return Mended(record, Outcome.WHOLE)
    made = _known_document(tx.node, record) or rebuild(tx.view, record.table, record.key)
    if made is not None:
        for write in made:
            tx.put(write.table, write.row)
        return Mended(record, Outcome.REBUILT)
    ask = _ASKS.get(record.table)
    member = ask(tx, record, command) if ask is not None else ""
    return Mended(record, Outcome.ASKED if member else Outcome.STAYS, member)


def _known_document(node: Node, record: Record) -> Sequence[Put]:
    """A trust document that this node still has in memory."""
    if record.table != TRUST.name:
        return ()
    member, kind, version = record.key
    held = node.trust.members.get(member)
    if held is None:
        return ()
    if kind == TrustType.ROOT:
        known = version <= len(held.roots)
        row = TrustRow(member, kind, version, encode(Trust, held.roots[version - 1])) if known else None
    else:
        row = directory_row(held)
    return (Put(TRUST, row),) if row is not None and row.version == version else ()


def _ask_received(tx: Transaction, record: Record, command: MendCommand) -> str:
    """Forget a received bulletin as if it had never come: its number becomes a gap, which is requested."""
    brought = command.brought.get(record)
    if record.table != RECEIVED.name and _there(tx, BULLETIN, record.key[0]):
        return _ask_recipient(tx, ManifestDigest(record.key[0])) if record.table == PORTION.name else ""
    if brought is None:
        return ""
    md, member, leaf = brought.md, brought.member, brought.leaf
    if _there(tx, BULLETIN, md):
        return ""  # It came back from somebody: what was written and what was received share rows.
    held = _whole(tx, INBOX, md)
    found = _number_of(tx, member, leaf, held.sequence if held is not None else 0)
    if found is None:
        return ""
    stream, number = found
    portions = tx.view.find(PORTION, "key", md)
    for slot in {portion.slot for portion in portions} | set(
        record.key[1:] if record.table == PORTION.name else ()
    ):
        tx.delete(PORTION, md, slot)
    # If it does not come back, because it was recalled meanwhile, nothing must be left that opens it.
    damaged: list[StoreError] = []
    secrets = {one.slot for one in tx.view.find(SECRET, "key", md, damaged=damaged)}
    for slot in secrets | {int(one.key[1]) for one in damaged if isinstance(one, RecordError)}:
        destroy_secret(tx, md, slot)
    tx.marked = True
    end_received(tx, md)
    tx.delete(INBOX, md)
    tx.count(INBOXES, -1, -(held.size if held is not None else sum([len(one.body) for one in portions])))
    tx.delete(RECEIVED, member, leaf)
    tx.put(INCOMING, changed(stream, holes=Ranges.unpack(stream.holes).add(number, number).pack()))
    tx.gaps.append((member, Gap(stream.origin, stream.incarnation, ((number, number),))))
    _note(tx, record, f"asked for from {member}", UserUri(""))
    return str(member)


def _number_of(
    tx: Transaction, member: MemberCode, leaf: LeafId, sequence: int
) -> tuple[IncomingRow, int] | None:
    """Return the stream and number of a received release, also if its row is damaged.

    None: not known, or the stream is frozen.
    """
    stored = _whole(tx, RECEIVED, member, leaf)
    for row in tx.view.find(INCOMING, "member", member):
        stream = tx.get(INCOMING, row.origin, row.incarnation) or row
        if stored is not None:
            if (stored.origin, stored.incarnation) == (stream.origin, stream.incarnation):
                return None if is_frozen(stream) else (stream, stored.sequence)
            continue
        there: list[StoreError] = []
        number = (stream.origin, stream.incarnation, Kind.RELEASE)
        tx.view.find(RECEIVED, "number", *number, after=(sequence - 1,), limit=1, damaged=there)
        if any(isinstance(one, RecordError) and one.key == (member, leaf) for one in there):
            return None if is_frozen(stream) else (stream, sequence)
    return None


def _ask_recipient(tx: Transaction, md: ManifestDigest) -> str:
    """Request the content from a recipient that accepted the bulletin. Return that member, or nothing."""
    accepted = (BestReceipt.ACCEPTED, BestReceipt.READ)
    for pair in tx.view.find(PAIR, "key", md):
        if pair.receipt in accepted and pair.stage == Stage.HANDED_OVER:
            tx.gaps.append((pair.recipient, Gap(tx.node.uri, pair.incarnation, ((pair.sequence,) * 2,))))
            return str(pair.recipient)
    return ""


def _ask_act(tx: Transaction, record: Record, command: MendCommand) -> str:
    """Forget that an act of a peer was received, so that it is judged when it comes again, and request it."""
    del command
    member, n, leaf = record.key
    if member == tx.node.member:
        return ""
    tx.delete(RECEIVED, member, leaf)
    tx.gaps.append((member, Gap.of_acts(n)))
    return str(member)


_ASKS: Final[Mapping[str, Callable[[Transaction, Record, MendCommand], str]]] = {
    INBOX.name: _ask_received,
    PORTION.name: _ask_received,
    SECRET.name: _ask_received,
    RECEIVED.name: _ask_received,
    ACT.name: _ask_act,
}


def _delete(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    tx.delete(table, *key)


def _drop_content(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """Drop a part of a bulletin of this member, and end its open pairs as undeliverable."""
    md = ManifestDigest(key[0])
    if table is SECRET:
        tx.put(SECRET, SecretRow(md, key[1], bytes(SEALED)))
    else:
        tx.delete(table, *key)
    open_pairs = [row for row in tx.view.find(PAIR, "key", md) if row.open]
    stop(tx, open_pairs, Cause.UNDELIVERABLE, ("RECORD_CORRUPT",))
    _recount(tx, OUTBOX, INBOXES)


def _drop_pair(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    tx.delete(table, *key)
    _recount(tx, QUEUE, queue_of(MemberCode(key[1])))


def _drop_received(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    tx.delete(table, *key)
    _recount(tx, INBOXES)


def _drop_statement(tx: Transaction, table: Table[Any], key: tuple[Any, ...]) -> None:
    """It is not sent again: nobody has its bytes."""
    for waiting in tx.view.find(PENDING, "key", key[0]):
        tx.end(waiting.peer, waiting.leaf)
    tx.delete(table, *key)


_DROPS: Final[Mapping[str, Callable[[Transaction, Table[Any], tuple[Any, ...]], None]]] = {
    BULLETIN.name: _drop_content,
    PORTION.name: _drop_content,
    SECRET.name: _drop_content,
    PAIR.name: _drop_pair,
    INBOX.name: _drop_received,
    STATEMENT.name: _drop_statement,
}


def _recount(tx: Transaction, *names: str) -> None:
    """Counters that counted what is gone. What this very step has changed is added to what the view says."""
    for name in names:
        before, there = tx.view.get(COUNTER, name), tx.get(COUNTER, name)
        seen = recount(tx.view, name)
        rows = there.rows - before.rows if there is not None and before is not None else 0
        size = there.size - before.size if there is not None and before is not None else 0
        tx.put(COUNTER, changed(seen, rows=seen.rows + rows, size=seen.size + size))


def _note(tx: Transaction, record: Record, reason: str, user: UserUri) -> None:
    tx.log(EntryType.OPERATED, Operated(OperatorAct.RECORD_DROPPED, str(record), reason, user))


def _table_of(record: Record) -> Table[Any] | None:
    """Its table, if the key is whole."""
    table = _BY_NAME.get(record.table)
    return table if table is not None and len(record.key) == len(table.key) else None


def _is_damaged(view: View, table: Table[Any], key: tuple[Any, ...]) -> bool:
    try:
        view.get(table, *key)
    except RecordError:
        return True
    return False


def _there(tx: Transaction, table: Table[Any], *key: Any) -> bool:
    """Return whether the row exists, damaged or not."""
    try:
        return tx.get(table, *key) is not None
    except RecordError:
        return True


def _whole(tx: Transaction, table: Table[Any], *key: Any) -> Any:
    """The row; None if it is damaged or there is none."""
    try:
        return tx.get(table, *key)
    except RecordError:
        return None
