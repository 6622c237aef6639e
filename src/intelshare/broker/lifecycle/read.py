"""Reading: a user opens what clearance, need to know and nationality allow; the log records it.

Of a received bulletin the reader sees the permitted portions; a bulletin that this member wrote opens whole,
for its author and for anyone cleared for all of it. What a reader may not open does not exist for that
reader: no title, count or id (attacks.md rows 51, 52).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.records import EntryType
from intelshare.audit.records import Read as ReadEntry
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import (
    MAX_ALIKE,
    Written,
    id_range,
    need_content,
    only_one,
    read_request,
    written_starting,
)
from intelshare.broker.kernel.tables import (
    INBOX,
    PORTION,
    READER,
    BulletinRow,
    InboxRow,
    PortionRow,
    ReaderRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import ToSay, Transaction, open_secret
from intelshare.broker.lifecycle.destroy import reason_of
from intelshare.broker.lifecycle.hearing import reading_waits
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Claims, Granted, Kind, Portion, PortionKind, Receipt, ReceiptStatus
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import NEVER, Instant
from intelshare.labels import Label, format_portion
from intelshare.policy import Request as Asked
from intelshare.policy import decide, read_decision
from intelshare.ports import Plan, Random, View, changed

READ_RECEIPT = "read-receipt"
"""The obligation to tell the originator that the bulletin was read."""


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """A user asks for a bulletin by the start of its id, and by its originator if two members use the id."""

    actor: Actor
    bulletin: str
    originator: str = ""
    """Empty: any, if only one has a bulletin with that id."""


@dataclass(frozen=True, slots=True)
class ShownPortion:
    """A portion that this reader may see."""

    slot: int
    portion: Portion
    label: Label
    mark: str
    basis: str
    """Empty for what this member wrote: nobody released it to this member."""
    obligations: tuple[str, ...]
    """The obligations that the release carries and those of this member's law."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A bulletin as one reader sees it; ``banner`` covers what is shown."""

    row: InboxRow
    banner: str
    portions: tuple[ShownPortion, ...]

    @property
    def title(self) -> str:
        """The title, if the reader may see it; otherwise empty."""
        for shown in self.portions:
            if shown.portion.kind == PortionKind.TITLE:
                return shown.portion.content.decode("utf-8", "replace")
        return ""


@dataclass(frozen=True, slots=True)
class ShownOwn:
    """A bulletin that this member wrote, as it was written."""

    row: BulletinRow
    banner: str
    portions: tuple[ShownPortion, ...]


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The bulletin to show, and the receipt to send after the commit."""

    shown: Shown | ShownOwn
    effects: Effects


def read(node: Node, view: View, command: ReadCommand, now: Instant, random: Random) -> Plan[ReadResult]:
    """Open a bulletin for a reader.

    Raises DeliveryError NOT_FOUND, also for what the reader may not see, INPUT_INVALID (several match).
    """
    user = user_row_of(view, command.actor)
    visible: list[tuple[MemberCode, Shown | Written]] = []
    visible += received(node, view, command.bulletin, user, now, command.originator)
    if command.originator in ("", node.member):
        visible += [(node.member, one) for one in written_starting(node, view, command.bulletin, user, now)]
    if not visible:
        _say_if_destroyed(view, command)
        _say_if_waiting(node, view, command, user, now)
    found = only_one(visible, command.bulletin, command.originator)
    shown = show_own(node, view, found, now) if isinstance(found, Written) else found
    row = shown.row
    tx = Transaction(node, view, now, random)
    tx.log(EntryType.READ, ReadEntry(row.md, user.user, tuple([portion.slot for portion in shown.portions])))
    tx.put(READER, ReaderRow(user.user, row.md, now))
    if isinstance(row, InboxRow):
        say_read(tx, row, shown.portions)
    return tx.plan(ReadResult(shown, tx.effects()))


def say_read(tx: Transaction, row: InboxRow, portions: Sequence[ShownPortion]) -> None:
    """Tell the originator, once, that the bulletin was read, if one of these portions asks for that."""
    if not row.told and any(READ_RECEIPT in portion.obligations for portion in portions):
        tx.put(INBOX, changed(row, told=1))
        said = encode(Receipt, Receipt(row.sender, row.leaf, ReceiptStatus.READ, (), tx.now))
        tx.say([ToSay(row.sender, Kind.RECEIPT, said, rank(row.precedence))])


def received(
    node: Node, view: View, given: str, user: UserRow, now: Instant, originator: str = ""
) -> list[tuple[MemberCode, Shown]]:
    """Return the received bulletins whose id starts so and of which the user may see something, with their
    originators, as ``only_one`` takes them. An empty ``originator`` means all.

    Raises DeliveryError NOT_FOUND if ``given`` is not the start of an id.
    """
    return [
        (row.originator, shown)
        for row in _starting(view, given, originator)
        if (shown := show(node, view, row, user, now)) is not None
    ]


def _say_if_destroyed(view: View, command: ReadCommand) -> None:
    """Tell a user who had opened the bulletin that it was destroyed; for all others it does not exist.

    Raises DeliveryError NOT_FOUND.
    """
    for row in destroyed_of(view, command.bulletin, command.actor.user, command.originator):
        reason = reason_of(view, row)
        raise DeliveryError(
            "NOT_FOUND",
            f"the bulletin was destroyed here: {row.cause}{f', {reason}' if reason else ''}",
            hint=f"ask {row.originator}; nobody here can open it any more",
        )


def _say_if_waiting(node: Node, view: View, command: ReadCommand, user: UserRow, now: Instant) -> None:
    """Tell a user who may see the bulletin that it waits for its sender; for all others it does not exist.

    Raises DeliveryError READING_WAITS.
    """
    for row in _starting(view, command.bulletin, command.originator):
        if show(node, view, row, user, now, waiting=True) is not None:
            raise DeliveryError(
                "READING_WAITS",
                f"this node lost some of its memory, and {row.sender} may have recalled the bulletin since",
                hint=f"it can be read once {row.sender} was linked for a minute; an operator can allow it "
                f"now (`intelshare node allow-reading {row.sender} --reason TEXT`)",
            )


def destroyed_of(view: View, given: str, user: UserUri, originator: str = "") -> list[InboxRow]:
    """Return the destroyed bulletins whose id starts so and that this user had opened."""
    return [
        row
        for row in _starting(view, given, originator)
        if row.gone and view.get(READER, user, row.md) is not None
    ]


def show(
    node: Node, view: View, row: InboxRow, user: UserRow, now: Instant, *, waiting: bool = False
) -> Shown | None:
    """Return the bulletin as this user may see it; None if nothing may be seen, or its time is over.

    What waits for its sender (``hearing``) is not seen; with ``waiting``, nothing else is.
    """
    if row.gone or now >= row.due or reading_waits(view, row) is not waiting:
        return None
    claims = decode(Claims, open_secret(node, INBOX.name, row.md, 0, row.sealed_claims))
    granted = {one.slot: one for one in claims.granted}
    shown = []
    for stored in sorted(view.find(PORTION, "key", row.md), key=_position):
        one = granted.get(stored.slot)
        if one is None:
            continue
        portion = reopen(claims.manifest, stored.slot, read_secret(node, view, stored), stored.body).portion
        label = node.labels.read(portion.label)
        if _may_read(node, row, portion, label, one, user, now):
            shown.append(_shown(node, row, stored, portion, label, one, now))
    if not shown:
        return None
    return Shown(
        row, banner_of(node, [portion.label for portion in shown], row.originator, now), tuple(shown)
    )


def show_own(node: Node, view: View, written: Written, now: Instant) -> ShownOwn:
    """Open a bulletin of this member. Raises DeliveryError NOT_FOUND if it was purged."""
    need_content(written)
    row = written.row
    portions = [
        ShownPortion(
            stored.slot,
            reopen(row.manifest, stored.slot, read_secret(node, view, stored), stored.body).portion,
            label,
            format_portion(label, node.world.registry),
            "",
            (),
        )
        for stored, label in zip(written.portions, written.labels, strict=True)
    ]
    return ShownOwn(row, banner_of(node, written.labels, node.member, now), tuple(portions))


def _may_read(
    node: Node, row: InboxRow, portion: Portion, label: Label, granted: Granted, user: UserRow, now: Instant
) -> bool:
    request = read_request(
        node,
        user,
        label,
        portion.category,
        now,
        basis=granted.citations[0].treaty if granted.citations else None,
        valid_until=None if row.expires == NEVER else row.expires,
    )
    return read_decision(node.world, request).allowed


def _shown(
    node: Node,
    row: InboxRow,
    stored: PortionRow,
    portion: Portion,
    label: Label,
    granted: Granted,
    now: Instant,
) -> ShownPortion:
    own = decide(
        node.world,
        Asked(
            label=label,
            category=portion.category,
            at=now,
            sender=row.sender,
            recipient=node.member,
            originator=row.originator,
            flags=frozenset(portion.flags),
            released=True,
        ),
    )
    return ShownPortion(
        stored.slot,
        portion,
        label,
        format_portion(label, node.world.registry),
        granted.citations[0].treaty if granted.citations else (own.basis or ""),
        tuple(sorted({*granted.obligations, *own.obligations})),
    )


def _starting(view: View, given: str, originator: str) -> Sequence[InboxRow]:
    """Return the rows whose bulletin id starts so; with an originator, only that member's."""
    low, high = id_range(given)
    if originator:
        rows = view.find(INBOX, "bulletin", originator, after=(low,), limit=MAX_ALIKE)
    else:
        rows = view.find(INBOX, "id", after=(low,), limit=MAX_ALIKE)
    return [row for row in rows if row.bulletin <= high]


def _position(row: PortionRow) -> int:
    return row.position
