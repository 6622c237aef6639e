"""Mend: the step for a stored record that has changed since it was written (promise P13).

    outcome    records                                              consequence
    ---------  ---------------------------------------------------  ----------------------------------------
    whole      those that read correctly, also because the store    written again
               has brought them back; those that are gone
    rebuilt    rows that follow from others (``rebuild``)           made from these
    forgotten  received bulletins                                   deleted, as if they had never come: their
                                                                    numbers are missing, and are requested
    asked      treaty acts of peers; bulletins, content and         requested from all members that have it
               releases of this member that somebody accepted
    stays      all others                                           an operator decides
    dropped    those that an operator gives up (``drop``)           deleted; pairs that need them end

The first four need nobody. The log records what the node forgets in order to request it again: whether that
comes, the missing number shows. A damaged record stays in its place, and is not served, until a commit writes
or deletes it: the store that commits forgets the damage then, and nobody else has to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from intelshare.audit.node_records import Operated, OperatorAct
from intelshare.audit.records import Destroyed, EntryType
from intelshare.audit.records import Received as ReceivedEntry
from intelshare.audit.work import Work, finish
from intelshare.broker.kernel.counters import INBOX_COUNTER
from intelshare.broker.kernel.damage import is_damaged, is_there
from intelshare.broker.kernel.documents import directory_rows
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Gap
from intelshare.broker.kernel.log import logs, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import destroy_secret
from intelshare.broker.kernel.tables import (
    ACT,
    BATCH,
    BULLETIN,
    INBOX,
    INCOMING,
    PAIR,
    PORTION,
    RECEIVED,
    SECRET,
    STATEMENT,
    TABLES,
    TRUST,
    InboxRow,
    IncomingRow,
    TrustRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.arrivals import arrivals_of, brings, forget_arrival
from intelshare.broker.lifecycle.attachments import end_received
from intelshare.broker.lifecycle.rebuild import rebuild
from intelshare.broker.lifecycle.streams import is_frozen
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind, Trust, TrustType
from intelshare.delivery import MAX_ASKED, BestReceipt, Ranges
from intelshare.envelope import stream_start
from intelshare.errors import RecordError, StoreError
from intelshare.ids import Incarnation, LeafId, ManifestDigest, MemberCode, NodeUri, UserUri
from intelshare.instant import Instant
from intelshare.ports import CHUNK, Plan, Put, Random, Scalar, Table, View, changed

A = TypeVar("A")


MAX_MENDED: Final = 256
"""Records that one step looks at."""

_SAID: Final[Mapping[EntryType, type[ReceivedEntry] | type[Destroyed]]] = {
    EntryType.RECEIVED: ReceivedEntry,
    EntryType.DESTROYED: Destroyed,
}
_RECEIVED: Final = frozenset((INBOX.name, PORTION.name, SECRET.name, RECEIVED.name))
_OF_RELEASES: Final = frozenset((BATCH.name, STATEMENT.name))
_HAVE_IT: Final = frozenset((BestReceipt.ACCEPTED, BestReceipt.READ))
_HAD_IT: Final = _HAVE_IT | {BestReceipt.DESTROYED}
"""Recipients that have destroyed the content still have the release and its claims."""
_BY_NAME: Final[Mapping[str, Table[Any]]] = {table.name: table for table in TABLES}


class RecordOutcome(StrEnum):
    """The result for one damaged record."""

    WHOLE = "whole"
    REBUILT = "rebuilt"
    FORGOTTEN = "forgotten"
    ASKED = "asked"
    STAYS = "stays"
    DROPPED = "dropped"


WAITING: Final = frozenset((RecordOutcome.ASKED, RecordOutcome.STAYS))
"""The outcomes after which a record is still damaged."""


@dataclass(frozen=True, slots=True)
class Record:
    """A damaged record."""

    table: str
    key: tuple[Any, ...]
    repaired: bool = field(default=False, compare=False)
    """The store has brought it back: it only has to be written again."""
    page: str = field(default="", compare=False)
    """The remedy, if a page cannot be read in place of a record: ``key`` is what was looked for there."""

    def __str__(self) -> str:
        shown = ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in self.key)
        return f"{self.table} {shown}"


@dataclass(frozen=True, slots=True)
class Mended:
    """One record and its result."""

    record: Record
    outcome: RecordOutcome
    member: str = ""
    """The members that were asked for it, separated by spaces."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A bulletin, the release that carried it, and the other member."""

    md: ManifestDigest
    member: MemberCode
    leaf: LeafId
    others: tuple[tuple[MemberCode, LeafId], ...] = ()
    """The other releases, with their senders, by which a received bulletin came as well."""


@dataclass(frozen=True, slots=True)
class BroughtBy:
    """The result of ``brought_by``."""

    of: Mapping[Record, Brought] = field(default_factory=dict)
    """By record, if it belongs to a bulletin that may come again."""
    read: Mapping[Incarnation, int] = field(default_factory=dict)
    """The entries up to which each log was read."""


@dataclass(frozen=True, slots=True)
class MendCommand:
    """Mend these. ``brought``: the releases that they belong to (``brought_by``)."""

    records: tuple[Record, ...]
    brought: BroughtBy


@dataclass(frozen=True, slots=True)
class MendResult:
    """The results, in the order of the records."""

    mended: tuple[Mended, ...]
    effects: Effects


def mend(node: Node, view: View, command: MendCommand, now: Instant, random: Random) -> Plan[MendResult]:
    """Rebuild or request the records for which that is possible; the others stay. May be repeated."""
    tx = Transaction(node, view, now, random)
    # Another release may have come since the logs were read.
    of = finish(_with_others(node, view, command.brought.of, command.brought.read))
    done = [_mend(tx, record, of.get(record)) for record in command.records[:MAX_MENDED]]
    return tx.plan(MendResult(tuple(done), tx.effects()))


def brought_by(node: Node, view: View, records: Sequence[Record]) -> Work[BroughtBy]:
    """Return the bulletins that damaged records belong to, with the releases that carried them.

    Of a received one the inbox says it, or the log where the inbox is damaged: one damaged chunk may hold
    what came together with the log entries about it. Of one of this member its pairs say it, if somebody
    accepted it. Others are left out, and a destroyed bulletin, which must not come again. It reads all logs
    for the other releases of what was received (``_with_others``), and pauses before each.
    """
    wanted: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.table in _RECEIVED and not record.page:
            wanted.setdefault(_subject(record), []).append(record)
    found: dict[Record, Brought] = {}
    read = {head.incarnation: head.size for head in logs(view)}

    def note(brought: Brought, *, gone: bool = False) -> None:
        for subject in ((brought.md,), (brought.member, brought.leaf)):
            for record in wanted.pop(subject, ()):
                if not gone:
                    found[record] = brought

    yield
    for row in _held(view, tuple(wanted)):
        note(Brought(row.md, row.sender, row.leaf), gone=bool(row.gone))
    for head in reversed(logs(view)):
        if not wanted:
            break
        yield
        here: dict[ManifestDigest, Brought] = {}
        for entry in opened(node, view, head.incarnation, types=_SAID.keys()):
            said = decode(_SAID[EntryType(entry.type)], entry.record)
            if isinstance(said, Destroyed):
                note(Brought(ManifestDigest(said.md), said.member, LeafId(said.leaf)), gone=True)
            elif brings(said):
                md = ManifestDigest(said.subject)
                here[md] = Brought(md, said.member, LeafId(said.leaf))
        for brought in here.values():
            note(brought)
    found = yield from _with_others(node, view, found)
    releases = [record for record in records if record.table in _OF_RELEASES]
    if releases:
        yield
        found |= _accepted(view, releases)
    return BroughtBy(found, read)


def _with_others(
    node: Node, view: View, found: Mapping[Record, Brought], read: Mapping[Incarnation, int] | None = None
) -> Work[dict[Record, Brought]]:
    """Add the other releases by which these bulletins came, as the logs say, or what was not ``read`` yet."""
    came = yield from arrivals_of(node, view, {one.md for one in found.values()}, read)
    made: dict[Record, Brought] = {}
    for record, one in found.items():
        others = dict.fromkeys((*one.others, *came[one.md]))
        others.pop((one.member, one.leaf), None)
        made[record] = replace(one, others=tuple(others))
    return made


def _accepted(view: View, records: Sequence[Record]) -> dict[Record, Brought]:
    """Find the releases of this node, among those that somebody accepted, that need one of these records."""
    found: dict[Record, Brought] = {}
    after: tuple[Scalar, ...] = ()
    while page := view.find(PAIR, "key", after=after):
        after = (page[-1].md, page[-1].recipient)
        for pair in page:
            if not pair.leaf or pair.receipt not in _HAD_IT:
                continue
            said = _unless_damaged(partial(view.get, STATEMENT, pair.leaf))
            for key in ((pair.leaf,), (said.batch,) if said is not None else ()):
                for record in records:
                    if record.key == key:
                        found[record] = Brought(pair.md, pair.recipient, pair.leaf)
    return found


def _held(view: View, subjects: Sequence[tuple[Any, ...]]) -> Iterator[InboxRow]:
    """Yield the inbox rows of these subjects, or of all bulletins if one of them is named by its release."""
    if all(len(subject) == 1 for subject in subjects):
        rows = [_unless_damaged(partial(view.get, INBOX, *subject)) for subject in subjects]
        yield from [row for row in rows if row is not None]
        return
    after: tuple[Scalar, ...] = ()
    while page := view.find(INBOX, "key", after=after):
        yield from page
        after = (page[-1].md,)


def _subject(record: Record) -> tuple[Any, ...]:
    """By what the inbox and the log name the bulletin of a record: its digest, or its release."""
    return record.key if record.table == RECEIVED.name else record.key[:1]


def _mend(tx: Transaction, record: Record, brought: Brought | None) -> Mended:
    if record.table == CHUNK:
        return Mended(record, RecordOutcome.WHOLE)  # by the commit of this step
    table = table_of(record)
    if table is None:
        return Mended(record, RecordOutcome.STAYS)
    if not is_damaged(tx.view, table, *record.key):
        row = tx.get(table, *record.key)
        if row is not None:
            tx.put(table, row)  # its columns may be what is damaged
        return Mended(record, RecordOutcome.WHOLE)
    if not is_damaged(tx, table, *record.key):  # it was forgotten in this very step for another record
        return Mended(record, RecordOutcome.FORGOTTEN, _senders(brought))
    made = (
        _known_document(tx.node, record)
        or rebuild(tx.view, record.table, record.key)
        or _empty_stream(tx, record)
    )
    if made is not None:
        for write in made:
            tx.put(write.table, write.row)
        return Mended(record, RecordOutcome.REBUILT)
    ask = _ASKS.get(record.table)
    members = ask(tx, record, brought) if ask is not None else ""
    if not members:
        return Mended(record, RecordOutcome.STAYS)
    still = is_damaged(tx, table, *record.key)
    return Mended(record, RecordOutcome.ASKED if still else RecordOutcome.FORGOTTEN, members)


def _senders(brought: Brought | None) -> str:
    """Return who sent a bulletin, separated by spaces."""
    if brought is None:
        return ""
    return " ".join(dict.fromkeys([brought.member, *[member for member, _ in brought.others]]))


def _known_document(node: Node, record: Record) -> Sequence[Put]:
    """A trust document that this node still has in memory."""
    if record.table != TRUST.name:
        return ()
    member, kind, version = record.key
    held = node.trust.members.get(member)
    if held is None:
        return ()
    rows = directory_rows(held)
    if kind == TrustType.ROOT and version <= len(held.roots):
        rows.append(TrustRow(member, kind, version, encode(Trust, held.roots[version - 1])))
    return [Put(TRUST, row) for row in rows if TRUST.key_of(row) == record.key]


def _empty_stream(tx: Transaction, record: Record) -> Sequence[Put] | None:
    """A peer's stream of which no release is here, as at the first hello that names it: while its row is
    damaged, no other hello that names it can be taken.
    """
    if record.table != INCOMING.name:
        return None
    origin, incarnation = record.key
    listed = tx.node.trust.node(origin)
    damaged: list[StoreError] = []
    came = tx.view.find(RECEIVED, "number", origin, incarnation, Kind.RELEASE, limit=1, damaged=damaged)
    if came or damaged or listed is None:
        return None
    begin = stream_start(origin, incarnation, tx.node.member)
    return [Put(INCOMING, IncomingRow(origin, incarnation, listed[0], 0, begin, b"", b"", 0, 0))]


def _ask_received(tx: Transaction, record: Record, brought: Brought | None) -> str:
    """Forget a received bulletin as if it had never come: each number by which it came becomes a gap, which
    is requested.

    Return the members that were asked, separated by spaces.
    """
    if record.table != RECEIVED.name and is_there(tx, BULLETIN, record.key[0]):
        return _ask_recipients(tx, *record.key) if record.table == PORTION.name else ""
    if brought is None:
        return ""
    md = brought.md
    if is_there(tx, BULLETIN, md):
        return ""  # It came back from somebody: what was written and what was received share rows.
    held = whole(tx, INBOX, md)
    if held is not None and held.gone:
        return ""
    asked: dict[MemberCode, None] = {}
    for member, leaf in ((brought.member, brought.leaf), *brought.others):
        found = _number_of(tx, member, leaf, held.sequence if held is not None and held.leaf == leaf else 0)
        if found is not None:
            stream, number = found
            forget_arrival(tx, member, leaf)
            tx.put(INCOMING, changed(stream, holes=Ranges.unpack(stream.holes).add(number, number).pack()))
            _request(tx, member, stream.origin, stream.incarnation, number)
            asked[member] = None
        elif not asked:
            return ""
    portions = tx.view.find(PORTION, "key", md)
    for slot in _slots(tx, PORTION, md) | set(record.key[1:] if record.table == PORTION.name else ()):
        tx.delete(PORTION, md, slot)
    # If it does not come back, because it was recalled meanwhile, nothing must be left that opens it.
    for slot in _slots(tx, SECRET, md):
        destroy_secret(tx, md, slot)
    tx.marked = True
    end_received(tx, md)
    if is_there(tx, INBOX, md):  # a restore may have forgotten it, and left what was damaged
        tx.delete(INBOX, md)
        tx.count(
            INBOX_COUNTER, -1, -(held.size if held is not None else sum([len(one.body) for one in portions]))
        )
    members = " ".join(asked)
    note(tx, record, f"asked for from {members}", UserUri(""))
    return members


def _slots(tx: Transaction, table: Table[Any], md: ManifestDigest) -> set[int]:
    """Return the slots of which a table has rows for this bulletin, damaged or not."""
    damaged: list[StoreError] = []
    rows = tx.view.find(table, "key", md, damaged=damaged)
    return {row.slot for row in rows} | {int(one.key[1]) for one in damaged if isinstance(one, RecordError)}


def _number_of(
    tx: Transaction, member: MemberCode, leaf: LeafId, sequence: int
) -> tuple[IncomingRow, int] | None:
    """Return the stream and number of a received release, also if its row is damaged and ``sequence`` is the
    number.

    None: not known, refused since, or the stream is frozen.
    """
    stored = whole(tx, RECEIVED, member, leaf)
    for row in tx.view.find(INCOMING, "member", member):
        stream = tx.get(INCOMING, row.origin, row.incarnation) or row
        if stored is not None:
            if (stored.origin, stored.incarnation) == (stream.origin, stream.incarnation):
                return None if stored.code or is_frozen(stream) else (stream, stored.sequence)
            continue
        if not sequence:
            continue
        there: list[StoreError] = []
        number = (stream.origin, stream.incarnation, Kind.RELEASE)
        tx.view.find(RECEIVED, "number", *number, after=(sequence - 1,), limit=1, damaged=there)
        if any(isinstance(one, RecordError) and one.key == (member, leaf) for one in there):
            return None if is_frozen(stream) else (stream, sequence)
    return None


def _ask_recipients(tx: Transaction, md: ManifestDigest, slot: int) -> str:
    """Request the content from all recipients that accepted this portion: some may be away for long.

    Return these members, separated by spaces.
    """
    asked = []
    for pair in tx.view.find(PAIR, "key", md):
        said = whole(tx, STATEMENT, pair.leaf) if pair.receipt in _HAVE_IT else None
        if said is not None and slot in said.slots:
            _request(tx, pair.recipient, tx.node.uri, pair.incarnation, pair.sequence)
            asked.append(pair.recipient)
    return " ".join(asked)


def _ask_written(tx: Transaction, record: Record, brought: Brought | None) -> str:
    """Request a bulletin of this node from all recipients that have accepted it, whatever became of it."""
    del brought
    pairs = [row for row in tx.view.find(PAIR, "key", *record.key) if row.leaf and row.receipt in _HAD_IT]
    for pair in pairs:
        _request(tx, pair.recipient, tx.node.uri, pair.incarnation, pair.sequence)
    return " ".join([pair.recipient for pair in pairs])


def _ask_release(tx: Transaction, record: Record, brought: Brought | None) -> str:
    """Request a release of this node, as it was signed, from its recipient."""
    del record
    pair = whole(tx, PAIR, brought.md, brought.member) if brought is not None else None
    if pair is None:
        return ""
    _request(tx, pair.recipient, tx.node.uri, pair.incarnation, pair.sequence)
    return str(pair.recipient)


def _request(
    tx: Transaction, member: MemberCode, origin: NodeUri, incarnation: Incarnation, sequence: int
) -> None:
    """Request the number of a release from a member: one request names all numbers of a stream, because a
    second one would have to wait.
    """
    number = (sequence, sequence)
    for place, (asked, gap) in enumerate(tx.gaps):
        if (asked, gap.origin, gap.incarnation) == (member, origin, incarnation):
            if number not in gap.missing and len(gap.missing) < MAX_ASKED:
                tx.gaps[place] = member, replace(gap, missing=(*gap.missing, number))
            return
    tx.gaps.append((member, Gap(origin, incarnation, (number,))))


def _ask_act(tx: Transaction, record: Record, brought: Brought | None) -> str:
    """Forget that an act of a peer was received, so that it is judged when it comes again, and request it."""
    del brought
    member, n, leaf = record.key
    if member == tx.node.member:
        return ""
    tx.delete(RECEIVED, member, leaf)
    tx.gaps.append((member, Gap.of_acts(n)))
    return str(member)


_ASKS: Final[Mapping[str, Callable[[Transaction, Record, Brought | None], str]]] = {
    INBOX.name: _ask_received,
    PORTION.name: _ask_received,
    SECRET.name: _ask_received,
    RECEIVED.name: _ask_received,
    ACT.name: _ask_act,
    BULLETIN.name: _ask_written,
    BATCH.name: _ask_release,
    STATEMENT.name: _ask_release,
}


def note(tx: Transaction, record: Record, reason: str, user: UserUri) -> None:
    """Log what a user, or this node itself, no longer keeps, and why."""
    tx.log(EntryType.OPERATED, Operated(OperatorAct.RECORD_DROPPED, str(record), reason, user))


def table_of(record: Record) -> Table[Any] | None:
    """Return its table, or None if there is none or a page stands for the record."""
    table = _BY_NAME.get(record.table)
    return table if table is not None and not record.page and len(record.key) == len(table.key) else None


def whole(tx: Transaction, table: Table[Any], *key: Any) -> Any:
    """Return the row; None if it is damaged or there is none."""
    return _unless_damaged(partial(tx.get, table, *key))


def _unless_damaged(read: Callable[[], A]) -> A | None:
    try:
        return read()
    except RecordError:
        return None
