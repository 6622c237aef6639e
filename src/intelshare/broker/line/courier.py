"""Courier: what a bundle needs besides the steps of a link, which judge and load all that it carries.

    learn        the trust documents of a bundle's head, before its statements are judged by them
    owe          what follows from a bundle and only the next one to its member can carry
    answer_gap_late    a gap request that was written some time ago
    written, taken_in   the log entry; what was owed and is in the bundle is no longer owed

    owed      key                what the next bundle carries
    -------   ----------------   -----------------------------------------------------------
    ACK       leaf id            that this statement is committed, or the code of its rejection
    PATH      H of the ask       how this node's log follows from what the member holds
    ASK       H of the ask       the question how the member's log follows from what is held
    FILE      id of the pieces   the file, from this slice on

None of it is precious: what a lost bundle carried is asked for, or sent, again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.audit.node_records import Courier, CourierWay
from intelshare.audit.path import LogAsk
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.documents import keep_document
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Gap, SliceAsk
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import FILE, INCOMING, OWED, PAIR, PENDING, Owed, OwedRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import WHOLE, FileState, wanted_of
from intelshare.broker.line.handover import first_ready
from intelshare.broker.line.hello import answer_gap, still_missing
from intelshare.broker.line.resend import SendPlace, goes_behind, send_place_of
from intelshare.broker.treaty.act import next_act
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust
from intelshare.delivery import Cause, Stage
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, LeafId, MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View

MOST: Final[Mapping[Owed, int]] = {Owed.ACK: 1 << 17, Owed.PATH: 64, Owed.ASK: 64, Owed.FILE: 256}
"""The most rows of each kind for one member; anything beyond is owed when it comes up again."""


@dataclass(frozen=True, slots=True)
class OwedNow:
    """Everything that is owed to one member."""

    acks: tuple[Ack, ...]
    paths: tuple[LogAsk, ...]
    asks: tuple[LogAsk, ...]
    files: Mapping[Digest, int]
    """The files that the member has asked for, each with the slice from which it lacks something."""

    @property
    def keys(self) -> tuple[tuple[Owed, bytes], ...]:
        """The keys by which ``written`` strikes the rows off."""
        rows = [(Owed.ACK, one.digest) for one in self.acks]
        rows += [(Owed.PATH, key_of(one)) for one in self.paths]
        rows += [(Owed.FILE, pieces) for pieces in self.files]
        return (*rows, *[(Owed.ASK, key_of(one)) for one in self.asks])


@dataclass(frozen=True, slots=True)
class Left:
    """The rest that waits for a member and is not in the bundle."""

    queued: int
    """The pairs that are not handed over yet."""
    pending: int
    """The statements that were signed, including those in the bundle."""
    files: int
    """The attachments of the member that are not whole here."""


@dataclass(frozen=True, slots=True)
class CourierCommand:
    """A bundle that was written or taken in."""

    by: UserUri
    member: MemberCode
    digest: Digest
    size: int
    statements: int
    code: str = ""


_PAGE: Final = 256

MAX_FILES: Final = 1 << 16
"""The files that are looked through for a bundle."""


def owed(view: View, member: MemberCode, now: Instant) -> OwedNow:
    """Return everything that is owed to a member, within the bounds of ``MOST``."""
    rows = {kind: view.find(OWED, "key", member, kind, limit=most) for kind, most in MOST.items()}
    return OwedNow(
        tuple([Ack(row.key, row.data.decode(), now) for row in rows[Owed.ACK]]),
        tuple([decode(LogAsk, row.data) for row in rows[Owed.PATH]]),
        tuple([decode(LogAsk, row.data) for row in rows[Owed.ASK]]),
        {Digest(row.key): int.from_bytes(row.data) for row in rows[Owed.FILE]},
    )


def gaps_of(view: View, member: MemberCode) -> tuple[Gap, ...]:
    """Return what to request from a member: missing numbers of its streams, and its next treaty act."""
    streams = view.find(INCOMING, "member", member)
    found = [still_missing(view, member, row.origin, row.incarnation) for row in streams]
    return (*[gap for gap in found if gap is not None], Gap.of_acts(next_act(view, member)))


def fresh_before(
    view: View, member: MemberCode, taken: Collection[LeafId], after: SendPlace
) -> tuple[bool, SendPlace, int | None]:
    """Decide if the most urgent ready pair goes before signed statements that are not in the bundle yet.

    Statements before ``after`` are in it, or do not go; the answer has the place up to which that is so now.
    Also return the rank of that pair.
    """
    ready = first_ready(view, member)
    while rows := view.find(PENDING, "peer", member, after=after, limit=_PAGE):
        for row in rows:
            if row.leaf not in taken:
                return goes_behind(view, row, ready), after, ready
            after = send_place_of(row)
    return ready is not None, after, ready


def left(view: View, member: MemberCode) -> Left:
    """Count what still waits for a member."""
    return Left(
        view.count(PAIR, "ready", member, 1), view.count(PENDING, "peer", member), wanted_of(view, member)
    )


def files_for(view: View, member: MemberCode, asked: Collection[Digest]) -> tuple[Digest, ...]:
    """Return the files of bulletins that were handed over to a member and that it does not have whole, or
    asks for; the most urgent first.

    Whether it may have each of them now is decided where it is read (``lifecycle.serving``).
    """
    found = []
    for row in view.find(FILE, "wanted", FileState.KEPT, limit=MAX_FILES):
        pair = view.get(PAIR, row.md, member)
        if pair is None or pair.stage != Stage.HANDED_OVER or pair.cause != Cause.NONE:
            continue
        if row.pieces in asked or WHOLE not in pair.codes.split():
            found.append((pair.rank, row.since, row.pieces))
    return tuple([pieces for *_, pieces in sorted(found)])


def learn(node: Node, view: View, documents: Sequence[Trust], now: Instant, random: Random) -> Plan[Effects]:
    """Accept a member's trust documents that succeed those held; skip the rest."""
    tx = Transaction(node, view, now, random)
    for trust in documents:
        try:
            change = tx.node.trust.with_document(trust, now)
        except IntelshareError:
            continue
        if change.changed:
            keep_document(tx, change.member, trust, change)
            tx.node = with_trust(tx.node, change.view)
    return tx.plan(tx.effects())


def owe(
    node: Node,
    view: View,
    member: MemberCode,
    acks: Sequence[Ack],
    paths: Sequence[LogAsk],
    asks: Sequence[LogAsk],
    files: Sequence[SliceAsk],
    now: Instant,
    random: Random,
) -> Plan[None]:
    """Keep answers and questions that follow from a member's bundle, for the next bundle to it."""
    tx = Transaction(node, view, now, random)
    rows = [OwedRow(member, Owed.ACK, ack.digest, ack.code.encode()) for ack in acks]
    rows += [OwedRow(member, Owed.PATH, key_of(ask), encode(LogAsk, ask)) for ask in paths]
    rows += [OwedRow(member, Owed.ASK, key_of(ask), encode(LogAsk, ask)) for ask in asks]
    rows += [OwedRow(member, Owed.FILE, ask.pieces, ask.number.to_bytes(8)) for ask in files]
    room = {kind: most - view.count(OWED, "key", member, kind) for kind, most in MOST.items()}
    for row in rows:
        new = tx.get(OWED, row.member, row.kind, row.key) is None
        room[Owed(row.kind)] -= new
        if not new or room[Owed(row.kind)] >= 0:
            tx.put(OWED, row)
    return tx.plan(None)


def answer_gap_late(
    node: Node, view: View, peer: MemberCode, gap: Gap, asked: Instant, now: Instant, random: Random
) -> Plan[bool]:
    """Answer a gap request that was written at ``asked``, by the peer's clock."""
    return answer_gap(node, view, peer, gap, now, random, asked=asked)


def written(
    node: Node,
    view: View,
    done: CourierCommand,
    keys: Sequence[tuple[Owed, bytes]],
    now: Instant,
    random: Random,
) -> Plan[None]:
    """Log a bundle that is complete, before its last byte leaves.

    ``keys`` are the rows that are no longer owed.
    """
    tx = Transaction(node, view, now, random)
    for kind, key in keys:
        tx.delete(OWED, done.member, kind, key)
    _log(tx, CourierWay.WRITTEN, done)
    return tx.plan(None)


def taken_in(node: Node, view: View, done: CourierCommand, now: Instant, random: Random) -> Plan[None]:
    """Log a bundle that was taken in, or as much of it as could be."""
    tx = Transaction(node, view, now, random)
    _log(tx, CourierWay.TAKEN_IN, done)
    return tx.plan(None)


def _log(tx: Transaction, way: CourierWay, done: CourierCommand) -> None:
    tx.log(
        EntryType.COURIER,
        Courier(done.member, way, done.by, done.digest, done.size, done.statements, done.code),
    )


def key_of(ask: LogAsk) -> bytes:
    """Return the key by which a question about a log is known."""
    return sha256(encode(LogAsk, ask))
