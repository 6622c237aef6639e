"""Queries of the inbox, the outbox, decisions, gaps, and the state of the queues. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intelshare.audit.records import DecisionKept
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, every_row, noting_damage
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.log import entry_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, is_open, logged_decision
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import Written, find_bulletin, may_see, read_written
from intelshare.broker.kernel.tables import (
    BULLETIN,
    INBOX,
    INCOMING,
    PAIR,
    PENDING,
    READER,
    BulletinRow,
    InboxRow,
    PairRow,
    UserRow,
)
from intelshare.broker.kernel.words import check_words
from intelshare.broker.lifecycle.destroy import reason_of
from intelshare.broker.lifecycle.holds import HoldRefusal, refusal_of
from intelshare.broker.lifecycle.read import Shown, show
from intelshare.broker.lifecycle.relations import Context, context_of
from intelshare.broker.lifecycle.streams import missing
from intelshare.crypto.records import PortionKind
from intelshare.delivery import PairStatus, pair, status_of
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import EPOCH, NEVER, Instant
from intelshare.labels import WordKind, format_portion
from intelshare.policy import Request
from intelshare.ports import EVERY_ROW, View


@dataclass(frozen=True, slots=True)
class InboxQuery:
    """Selects the bulletins to list; empty fields do not filter."""

    unread: bool = False
    sender: str = ""
    category: str = ""
    since: Instant = EPOCH
    limit: int = 50


@dataclass(frozen=True, slots=True)
class InboxLine:
    """One bulletin as its reader sees it; ``shown`` is None if it was destroyed: ``row`` says why."""

    row: InboxRow
    shown: Shown | None
    read: bool
    context: Context
    reason: str = ""
    """The originator's reason, if it was recalled."""


@dataclass(frozen=True, slots=True)
class PairLine:
    """One recipient of a bulletin of this member."""

    row: PairRow
    status: PairStatus
    codes: tuple[str, ...]
    """The codes of the refusal, why it was stopped, or why it waits."""
    refusal: HoldRefusal | None = None
    """The refusal of a releasing officer, if one ended it."""

    @property
    def recall_requested(self) -> bool:
        """True if the recipient has it and was asked to destroy it."""
        return pair.recall_requested(facts_of(self.row))


@dataclass(frozen=True, slots=True)
class OutboxLine:
    """One bulletin of this member with all its recipients."""

    row: BulletinRow
    banner: str
    title: str
    pairs: tuple[PairLine, ...]
    context: Context
    purged: Instant
    """When its content was purged after delivery; 0 if it is still here."""
    damaged: tuple[str, ...] = ()
    """The records of pairs that cannot be read: what became of these recipients is not known."""


@dataclass(frozen=True, slots=True)
class Why:
    """The decision on one pair, with the log entry that holds it."""

    pair: PairLine
    decision: DecisionKept
    requests: tuple[Request, ...]
    """The request of each portion as it would be decided now."""
    marks: tuple[str, ...]
    place: int
    entry: Digest


def inbox(
    node: Node, view: View, actor: Actor, wanted: InboxQuery, now: Instant
) -> tuple[list[InboxLine], tuple[str, ...]]:
    """List, newest first, what this reader may see; of destroyed bulletins only those the reader had opened.

    Also returns the damaged records that were met: a bulletin with one is left out (promise P13). Raises
    DeliveryError WORD_UNKNOWN for a category that nobody knows: nothing would ever be found.
    """
    reader = user_row_of(view, actor)
    check_words(node, WordKind.CATEGORY, (wanted.category,) if wanted.category else ())
    found: list[InboxLine] = []
    damaged: list[StoreError] = []
    for row in every_row(view, INBOX, "newest", damaged, first=wanted.limit):
        if row.received < wanted.since or len(found) >= wanted.limit:
            break
        if wanted.sender and row.originator != wanted.sender:
            continue
        with noting_damage(damaged):
            line = _inbox_line(node, view, row, reader, wanted, now)
            if line is not None:
                found.append(line)
    return found, damaged_records(damaged)


def _inbox_line(
    node: Node, view: View, row: InboxRow, reader: UserRow, wanted: InboxQuery, now: Instant
) -> InboxLine | None:
    was_read = view.get(READER, reader.user, row.md) is not None
    if wanted.unread and was_read:
        return None
    if row.gone:
        listed = was_read and not wanted.category
        return InboxLine(row, None, was_read, Context(), reason_of(view, row)) if listed else None
    shown = show(node, view, row, reader, now)
    if shown is None:
        return None
    if wanted.category and all(p.portion.category != wanted.category for p in shown.portions):
        return None
    return InboxLine(row, shown, was_read, context_of(node, view, row.md, row.originator, reader, now))


def holes(view: View, members: Iterator[MemberCode] | list[MemberCode]) -> list[tuple[MemberCode, int, int]]:
    """Return (originator, first, last) for every range of numbers that has not come."""
    return [
        (row.member, first, last)
        for member in members
        for row in view.find(INCOMING, "member", member, limit=EVERY_ROW)
        for first, last in missing(row).spans
    ]


def outbox(
    node: Node, view: View, actor: Actor, given: str, limit: int, held: bool, now: Instant
) -> tuple[list[OutboxLine], tuple[str, ...]]:
    """List, newest first, this member's bulletins, or the one whose id starts with ``given``.

    Only those that the user wrote or is cleared for are listed. Also returns the damaged records that were
    met: a bulletin with one is left out, or a recipient of it. Raises DeliveryError.
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []
    if given:
        written = find_bulletin(node, view, given, reader, now)
        return [_outbox_line(node, view, written, reader, now, damaged)], damaged_records(damaged)
    lines: list[OutboxLine] = []
    for row in every_row(view, BULLETIN, "newest", damaged, first=limit):
        if len(lines) >= limit:
            break
        with noting_damage(damaged):
            written = read_written(node, view, row)
            if may_see(node, written, reader, now):
                line = _outbox_line(node, view, written, reader, now, damaged)
                if not held or any(pair.status is PairStatus.HELD for pair in line.pairs):
                    lines.append(line)
    return lines, damaged_records(damaged)


def why(node: Node, view: View, actor: Actor, given: str, recipient: MemberCode, now: Instant) -> Why:
    """Return the decision now in force for one pair. Raises DeliveryError NOT_FOUND, STORE_FORGOT."""
    reader = user_row_of(view, actor)
    written = find_bulletin(node, view, given, reader, now)
    row = view.get(PAIR, written.row.md, recipient)
    if row is None:
        raise DeliveryError(
            "NOT_FOUND",
            f"the bulletin was not sent to {recipient}",
            hint="`intelshare outbox ID` lists the recipients",
        )
    if not row.decided_in:
        raise DeliveryError(
            "STORE_FORGOT",
            f"this node has forgotten the decision: it knows from {recipient} that it released the bulletin",
            hint="`intelshare export ID --to MEMBER` shows what was released under which article",
        )
    entry = entry_at(view, row.decided_in, row.decided_at)
    return Why(
        _pair_line(node, view, row),
        logged_decision(node, view, row),
        _requests(node, written, row, now),
        tuple(format_portion(label, node.world.registry) for label in written.labels),
        row.decided_at,
        entry.leaf if entry is not None else Digest(b""),
    )


def _requests(node: Node, written: Written, row: PairRow, now: Instant) -> tuple[Request, ...]:
    """Without consents: where one was given the portion is not denied for want of it."""
    until = None if written.row.expires == NEVER else written.row.expires
    return tuple(
        Request(
            label=label,
            category=head.category,
            at=now,
            sender=node.member,
            recipient=row.recipient,
            flags=frozenset(head.flags),
            approvals=frozenset(row.approved.split()),
            valid_until=until,
        )
        for head, label in zip(written.heads, written.labels, strict=True)
    )


def queued(view: View, member: MemberCode) -> tuple[int, int]:
    """Return (pairs ready for hand-over, statements unacknowledged) for one peer."""
    return view.count(PAIR, "ready", member, 1), view.count(PENDING, "peer", member)


def title_of(node: Node, view: View, written: Written) -> str:
    """Return the title of a bulletin of this member; empty if it has none, or was purged."""
    for portion, head in zip(written.portions, written.heads, strict=True):
        if head.kind == PortionKind.TITLE and not portion.purged:
            opened = reopen(
                written.row.manifest, portion.slot, read_secret(node, view, portion), portion.body
            )
            return opened.portion.content.decode("utf-8", "replace")
    return ""


def _outbox_line(
    node: Node, view: View, written: Written, reader: UserRow, now: Instant, damaged: list[StoreError]
) -> OutboxLine:
    row, title = written.row, title_of(node, view, written)
    lost: list[StoreError] = []
    pairs = tuple(_pair_line(node, view, pair) for pair in view.find(PAIR, "key", row.md, damaged=lost))
    damaged += lost
    context = context_of(node, view, row.md, node.member, reader, now)
    return OutboxLine(
        row,
        banner_of(node, written.labels, node.member, now),
        title,
        pairs,
        context,
        written.purged,
        damaged_records(lost),
    )


def _pair_line(node: Node, view: View, row: PairRow) -> PairLine:
    """Describe a pair.

    If its member is left out, that code comes first: nothing goes there, whatever the row says.
    """
    facts, codes, how = facts_of(row), tuple(row.codes.split()), node.trust.excluded.get(row.recipient)
    if how is not None and is_open(facts):
        codes = (how.code, *codes)
    return PairLine(row, status_of(facts), codes, refusal_of(node, view, row))
