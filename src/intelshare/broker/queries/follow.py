"""Following: what a gateway may hand on, in the order of receipt, and which of it was destroyed.

It goes along the log as ``watch`` does, from its beginning or from a cursor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intelshare.audit.records import STORED, Destroyed, EntryType, Received
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import noting_damage
from intelshare.broker.kernel.log import OpenedEntry
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import INBOX, LOG_HEAD, READER, UserRow
from intelshare.broker.lifecycle.exporting import Consumer, check_consumer, keepable, slots_for
from intelshare.broker.lifecycle.read import Shown, show
from intelshare.broker.queries.watch import Cursor, brought, end_of_log, page_of
from intelshare.crypto.codec import decode
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import View


@dataclass(frozen=True, slots=True)
class Followed:
    """A bulletin that is here to be handed on, or one that is no longer here."""

    at: Instant
    after: Cursor
    originator: MemberCode
    bulletin: bytes
    shown: Shown | None
    """None: it was destroyed."""
    cause: str = ""
    visible: tuple[tuple[int, ...], ...] = ()
    """The slots that each consumer may have."""
    first: bool = False
    """True if the log does not record yet that it was shown to the gateway."""


@dataclass(frozen=True, slots=True)
class FollowedPage:
    """The bulletins found, and the cursor to go on from; ``more``: there may be more already."""

    found: tuple[Followed, ...]
    after: Cursor
    more: bool
    left_out: int
    """The bulletins of this page of which a record is damaged. One that is received again is found again."""


def beginning_of_log(node: Node, view: View) -> Cursor:
    """Return the cursor before everything that this node has logged, since its first start."""
    heads = view.find(LOG_HEAD, "began", limit=1)
    return Cursor(heads[0].incarnation, 0) if heads else end_of_log(node, view)


def follow(
    node: Node, view: View, actor: Actor, consumers: Sequence[Consumer], cursor: Cursor, now: Instant
) -> FollowedPage:
    """Return the next entries. Raises DeliveryError as ``watch`` and ``check_consumer``."""
    user = user_row_of(view, actor)
    for consumer in consumers:
        check_consumer(node, consumer, now)
    page = page_of(node, view, cursor, _TYPES)
    found: list[Followed] = []
    damaged: list[StoreError] = []
    for entry in page.entries:
        with noting_damage(damaged):
            one = _followed(node, view, user, consumers, entry, now)
            if one is not None:
                found.append(one)
    return FollowedPage(tuple(found), page.after, page.more, len(damaged))


_TYPES: Mapping[EntryType, None] = dict.fromkeys((EntryType.RECEIVED, EntryType.DESTROYED))


def _followed(
    node: Node, view: View, user: UserRow, consumers: Sequence[Consumer], entry: OpenedEntry, now: Instant
) -> Followed | None:
    said = decode(STORED[EntryType(entry.type)], entry.record)
    after = Cursor(entry.incarnation, entry.place + 1)
    if isinstance(said, Destroyed):
        row = view.get(INBOX, said.md)
        # A bulletin that was never shown to this gateway does not exist for it.
        if row is None or view.get(READER, user.user, said.md) is None:
            return None
        return Followed(entry.at, after, row.originator, row.bulletin, None, said.cause)
    row = brought(view, said) if isinstance(said, Received) else None
    shown = None if row is None else keepable(node, show(node, view, row, user, now), now)
    if row is None or shown is None:
        return None
    return Followed(
        entry.at,
        after,
        row.originator,
        row.bulletin,
        shown,
        visible=tuple([slots_for(node, view, shown, user, one, now) for one in consumers]),
        first=view.get(READER, user.user, row.md) is None,
    )
