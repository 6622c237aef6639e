"""Resend: unacknowledged statements are loaded from the store again, as the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.frame import Carried, Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BATCH,
    BATCH_KEY,
    PAIR,
    PENDING,
    PORTION,
    STATEMENT,
    PendingRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.review import denial
from intelshare.broker.lifecycle.stop import is_cancelled
from intelshare.broker.line.handover import frames_of
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Consent, Kind
from intelshare.delivery import BestReceipt, Cause
from intelshare.ids import Digest, KeyId, LeafId, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, Scalar, View
from intelshare.statement import MAX_LEAVES

_Groups = Mapping[tuple[Digest, KeyId], Sequence[tuple[LeafId, Carried, int]]]

_Found = dict[tuple[Digest, KeyId], list[tuple[LeafId, Carried, int]]]

SendPlace = tuple[Scalar, ...]
"""A place in the order in which statements go to a peer; empty: before the first."""

Loaded = tuple[tuple[Outbound, ...], bool]
"""Frames, and True if more are left, or may go later."""


class SendPage(NamedTuple):
    """The statements that one step has loaded for a bundle."""

    frames: tuple[Outbound, ...]
    after: SendPlace
    """Where the next page begins."""
    more: bool
    """True if there may be another page."""


def resend(
    node: Node,
    view: View,
    peer: MemberCode,
    busy: Collection[LeafId],
    room: int,
    now: Instant,
    random: Random,
) -> Plan[Loaded]:
    """Load unacknowledged statements not on their way (``busy``), most urgent first, up to ``room`` bytes.

    This runs in order with the commits, so that what it finds is durable when it leaves. Releases that were
    stopped or may not go any more are left out (promise P9). What is not stopped may go again before a review
    comes to it, and nothing would tell: it counts as left. A release with a receipt is here only because a
    peer that lost it has asked; if it may not go, it is dropped until the peer asks again.
    """
    return _resend(Transaction(node, view, now, random), peer, busy, room, releases=True)


def resend_but_releases(
    node: Node,
    view: View,
    peer: MemberCode,
    busy: Collection[LeafId],
    room: int,
    now: Instant,
    random: Random,
) -> Plan[Loaded]:
    """Load what may go while nothing is released (promises P10, P17): receipts, recalls, acts, refusals."""
    return _resend(Transaction(node, view, now, random), peer, busy, room, releases=False)


def _resend(
    tx: Transaction, peer: MemberCode, busy: Collection[LeafId], room: int, *, releases: bool
) -> Plan[Loaded]:
    view = tx.view
    if peer in tx.node.trust.excluded:
        return tx.plan(((), False))
    found: _Found = {}
    waiting = view.find(PENDING, "peer", peer, limit=len(busy) + MAX_LEAVES)
    more = False
    for taken, pending in enumerate([row for row in waiting if row.leaf not in busy]):
        if room <= 0:
            return tx.plan((_outbound(tx, peer, found), True))
        size, later = _take(tx, pending, found, releases=releases)
        room, more = room - size, more or later
        if taken + 1 >= MAX_LEAVES:
            return tx.plan((_outbound(tx, peer, found), True))
    return tx.plan((_outbound(tx, peer, found), more))


def resend_after(
    node: Node,
    view: View,
    peer: MemberCode,
    taken: Collection[LeafId],
    room: int,
    releases: bool,
    after: SendPlace,
    ready: int | None,
    now: Instant,
    random: Random,
) -> Plan[SendPage]:
    """Load one page of the statements behind a place, but those that are ``taken``: for a bundle, which takes
    all that there is. So each is looked at once, however many there are.

    ``ready``: the rank of the most urgent pair that may be handed over; the page ends where that goes first.
    """
    tx = Transaction(node, view, now, random)
    rows = (
        () if peer in node.trust.excluded else view.find(PENDING, "peer", peer, after=after, limit=MAX_LEAVES)
    )
    found: _Found = {}
    for pending in rows:
        if room <= 0 or (pending.leaf not in taken and goes_behind(view, pending, ready)):
            return tx.plan(SendPage(_outbound(tx, peer, found), after, True))
        after = send_place_of(pending)
        if pending.leaf not in taken:
            room -= _take(tx, pending, found, releases=releases)[0]
    return tx.plan(SendPage(_outbound(tx, peer, found), after, len(rows) == MAX_LEAVES))


def goes_behind(view: View, pending: PendingRow, ready: int | None) -> bool:
    """Return True if a pair of the rank ``ready`` goes before a signed statement: a more urgent one; and one
    of the same rank before what is said about a consent, since it may be the bulletin that this is about.

    A recipient that has not got that yet rejects it, and it comes again: with a bundle, a courier later.
    """
    if ready is None or ready > pending.rank:
        return False
    if ready < pending.rank:
        return True
    said = view.get(STATEMENT, pending.leaf)
    return said is not None and said.kind == Kind.CONSENT


def send_place_of(pending: PendingRow) -> SendPlace:
    """Return the place of a statement among those that wait for its peer."""
    return pending.rank, pending.place, pending.leaf


def _take(tx: Transaction, pending: PendingRow, found: _Found, *, releases: bool) -> tuple[int, bool]:
    """Load a statement, if it may go; strike it off if it never goes again.

    Returns its bytes, and True if it may not go now, though nothing has stopped it.
    """
    loaded = unless_damaged(tx, partial(_load, tx, pending, releases=releases))
    if loaded is not None and loaded.carried is not None:
        item = pending.leaf, loaded.carried, pending.rank
        found.setdefault((loaded.statement.batch, loaded.statement.kem), []).append(item)
        return pending.size, False
    if loaded is not None and loaded.over:
        tx.delete(PENDING, pending.leaf, pending.peer)
    return 0, loaded is not None and loaded.later


@dataclass(frozen=True, slots=True)
class _Loaded:
    statement: StatementRow
    carried: Carried | None
    """None: it does not go now."""
    over: bool = False
    """True if it need not be looked at again."""
    later: bool = False
    """True if it may not go now, though nothing has stopped it."""


def _load(tx: Transaction, pending: PendingRow, *, releases: bool) -> _Loaded | None:
    """Load a statement with its bodies, if it may go. Raises StoreError RECORD_CORRUPT."""
    view = tx.view
    statement = view.get(STATEMENT, pending.leaf)
    if statement is None or (statement.kind == Kind.RELEASE and not releases):
        return None
    if statement.kind == Kind.CONSENT and _asks_in_vain(tx, statement):
        return _Loaded(statement, None, over=True)
    if statement.kind == Kind.RELEASE:
        row = view.get(PAIR, statement.md, statement.peer)
        if row is None or row.cause != Cause.NONE or denial(tx, row):
            over = row is not None and row.receipt != BestReceipt.NONE
            return _Loaded(
                statement, None, over, later=not over and row is not None and row.cause == Cause.NONE
            )
    portions = [view.get(PORTION, statement.md, slot) for slot in statement.slots]
    if any(portion is not None and portion.purged for portion in portions):
        return _Loaded(statement, None, over=True)
    bodies = tuple([portion.body for portion in portions if portion is not None])
    carried = Carried(
        statement.kind, statement.nonce, statement.data, statement.proof, statement.grant, bodies
    )
    return _Loaded(statement, carried)


def first_pending(view: View, peer: MemberCode) -> PendingRow | None:
    """Return the most urgent unacknowledged statement for this peer."""
    rows = view.find(PENDING, "peer", peer, limit=1)
    return rows[0] if rows else None


def _asks_in_vain(tx: Transaction, statement: StatementRow) -> bool:
    """Return True if the member that it asks has lost the bulletin, and will not get it again."""
    row = tx.view.get(PAIR, decode(Consent, statement.data).md, statement.peer)
    return row is not None and is_cancelled(tx, row)


def _outbound(tx: Transaction, peer: MemberCode, groups: _Groups) -> tuple[Outbound, ...]:
    frames: list[Outbound] = []
    for (batch, kem), items in groups.items():
        signed = unless_damaged(tx, partial(_signed, tx.view, batch, kem))
        if signed is not None:
            frames += frames_of(peer, *signed, items)
    return tuple(frames)


def _signed(view: View, batch: Digest, kem: KeyId) -> tuple[bytes, bytes] | None:
    """A batch record, and its sealed key if it has one. Raises StoreError RECORD_CORRUPT."""
    record = view.get(BATCH, batch)
    key = view.get(BATCH_KEY, batch, kem) if kem else None
    return (record.record, key.sealed if key is not None else b"") if record is not None else None
