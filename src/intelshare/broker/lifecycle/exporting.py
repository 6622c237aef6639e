"""Exports: the portions that a gateway may hand to a consumer, and the log entry that says so.

A consumer reads no more than its gateway, and no more than a reader with the consumer's clearance, categories
and nationality. Portions for display only are handed to nobody. The entry is logged before anything leaves,
once for each bulletin and consumer, and again if the consumer may have more portions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intelshare.audit.records import EntryType, Exported
from intelshare.audit.records import Read as ReadEntry
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import check_rights
from intelshare.broker.kernel.tables import EXPORTED, INBOX, READER, ExportedRow, InboxRow, ReaderRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.read import Shown, say_read, show
from intelshare.errors import DeliveryError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.policy import DISPLAY_ONLY_DUTY
from intelshare.ports import Plan, Random, View, changed

MAX_CONSUMERS: Final = 64
"""The most consumers of one gateway."""

MAX_ITEMS: Final = 128
"""The most bulletins in one step."""

_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")


@dataclass(frozen=True, slots=True)
class Consumer:
    """A program behind a gateway, with the rights of a reader."""

    name: str
    """1 to 64 lower-case letters, digits, dots and hyphens."""
    clearance: str
    """A level of this member's ladder, or R0 to R4; empty: none."""
    nationality: str
    """Empty: the gateway's."""
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedBulletin:
    """A received bulletin by originator and full id."""

    originator: MemberCode
    bulletin: bytes


@dataclass(frozen=True, slots=True)
class NoteReadCommand:
    """A gateway is about to be shown these bulletins: the slots by manifest."""

    actor: Actor
    shown: tuple[tuple[ManifestDigest, tuple[int, ...]], ...]
    """At most 128."""


@dataclass(frozen=True, slots=True)
class ExportCommand:
    """A gateway is about to hand bulletins to a consumer."""

    actor: Actor
    consumer: Consumer
    items: tuple[NamedBulletin, ...]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The slots that the consumer may have now, for each of the items; none: it may have nothing of it."""

    slots: tuple[tuple[int, ...], ...]
    effects: Effects


def keepable(node: Node, shown: Shown | None, now: Instant) -> Shown | None:
    """Return what a gateway may keep of a bulletin; None if nothing."""
    if shown is None:
        return None
    kept = tuple([one for one in shown.portions if DISPLAY_ONLY_DUTY not in one.obligations])
    if not kept or len(kept) == len(shown.portions):
        return shown if kept else None
    return Shown(shown.row, banner_of(node, [one.label for one in kept], shown.row.originator, now), kept)


def slots_for(
    node: Node, view: View, shown: Shown, user: UserRow, consumer: Consumer, now: Instant
) -> tuple[int, ...]:
    """Return which of these portions, which the gateway may keep, the consumer may have."""
    reader = changed(
        user,
        clearance=consumer.clearance,
        nationality=consumer.nationality or user.nationality,
        categories=" ".join(consumer.categories),
    )
    own = keepable(node, show(node, view, shown.row, reader, now), now)
    allowed = {one.slot for one in own.portions} if own is not None else set()
    return tuple([one.slot for one in shown.portions if one.slot in allowed])


def check_consumer(node: Node, consumer: Consumer, now: Instant) -> None:
    """Check a consumer.

    Raises DeliveryError INPUT_INVALID (name, clearance, nationality), WORD_UNKNOWN (category).
    """
    if not 1 <= len(consumer.name) <= 64 or not _NAME_LETTERS.issuperset(consumer.name):
        raise DeliveryError(
            "INPUT_INVALID",
            f"{consumer.name[:64]!r} is not a valid name for a consumer",
            hint="use 1 to 64 lower-case letters, digits, dots and hyphens",
        )
    check_rights(node, consumer.clearance, consumer.nationality, consumer.categories, now)


def note_read(
    node: Node, view: View, command: NoteReadCommand, now: Instant, random: Random
) -> Plan[Effects]:
    """Log that a gateway is shown these bulletins: once for each, however often it asks."""
    user = user_row_of(view, command.actor)
    tx = Transaction(node, view, now, random)
    for md, slots in command.shown:
        if view.get(READER, user.user, md) is None:
            tx.log(EntryType.READ, ReadEntry(md, user.user, slots))
            tx.put(READER, ReaderRow(user.user, md, now))
    return tx.plan(tx.effects())


def export_to(
    node: Node, view: View, command: ExportCommand, now: Instant, random: Random
) -> Plan[ExportResult]:
    """Log what a consumer is about to get, and return it.

    Raises DeliveryError as ``check_consumer``, and TOO_LARGE for more than 128 bulletins.
    """
    user = user_row_of(view, command.actor)
    check_consumer(node, command.consumer, now)
    if len(command.items) > MAX_ITEMS:
        raise DeliveryError("TOO_LARGE", f"at most {MAX_ITEMS} bulletins are exported together")
    tx = Transaction(node, view, now, random)
    slots: dict[NamedBulletin, tuple[int, ...]] = {}
    for item in command.items:
        if item not in slots:
            slots[item] = _export(tx, user, command.consumer, item)
    return tx.plan(ExportResult(tuple([slots[item] for item in command.items]), tx.effects()))


def _export(tx: Transaction, user: UserRow, consumer: Consumer, item: NamedBulletin) -> tuple[int, ...]:
    node, view, now = tx.node, tx.view, tx.now
    row = _received(view, item)
    shown = None if row is None else keepable(node, show(node, view, row, user, now), now)
    if shown is None:
        return ()
    slots = slots_for(node, view, shown, user, consumer, now)
    known = view.get(EXPORTED, shown.row.md, user.user, consumer.name)
    before = frozenset(known.slots if known is not None else b"")
    if not before.issuperset(slots):
        after = tuple(sorted(before.union(slots)))
        tx.log(EntryType.EXPORT, Exported(shown.row.md, user.user, consumer.name, after))
        tx.put(EXPORTED, ExportedRow(shown.row.md, user.user, consumer.name, now, bytes(after)))
        say_read(tx, shown.row, [one for one in shown.portions if one.slot in slots])
    return slots


def _received(view: View, item: NamedBulletin) -> InboxRow | None:
    rows: Sequence[InboxRow] = view.find(INBOX, "bulletin", item.originator, item.bulletin, limit=1)
    return rows[0] if rows else None
