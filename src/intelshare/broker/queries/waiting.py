"""Queries of what waits for its sender after a loss (``lifecycle.hearing``): no list lacks it silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import every_row, noting_damage
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import INBOX, READER, InboxRow
from intelshare.broker.lifecycle.hearing import reading_waits, unheard
from intelshare.broker.lifecycle.read import show
from intelshare.broker.queries.lists import InboxQuery
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import View


def waiting_for(
    node: Node, view: View, actor: Actor, wanted: InboxQuery, now: Instant
) -> Mapping[MemberCode, int]:
    """Count, by sender, what this reader's inbox would list besides, up to its limit.

    Damaged records are left out: the list itself names them.
    """
    reader, found = user_row_of(view, actor), Counter[MemberCode]()
    damaged: list[StoreError] = []
    for row in _waiting(view, damaged):
        if found.total() >= wanted.limit:
            break
        if row.received < wanted.since or (wanted.sender and row.originator != wanted.sender):
            continue
        if wanted.unread and view.get(READER, reader.user, row.md) is not None:
            continue
        with noting_damage(damaged):
            shown = show(node, view, row, reader, now, waiting=True)
            categories = {one.portion.category for one in shown.portions} if shown is not None else set()
            if categories and (not wanted.category or wanted.category in categories):
                found[row.sender] += 1
    return found


def waiting_of(view: View, member: MemberCode, now: Instant) -> int:
    """Count the bulletins of a member that nobody reads yet."""
    return sum(row.sender == member and now < row.due for row in _waiting(view, []))


def _waiting(view: View, damaged: list[StoreError]) -> Iterator[InboxRow]:
    """Yield the bulletins that wait, newest first."""
    if all(one.allowed for one in unheard(view)):
        return
    for row in every_row(view, INBOX, "newest", damaged):
        if not row.gone and reading_waits(view, row):
            yield row
