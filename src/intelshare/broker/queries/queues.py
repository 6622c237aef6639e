"""The queue for each member, by precedence: bulletins to be handed over, statements to be acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PAIR, PENDING, STATEMENT
from intelshare.broker.transparency.checkpoint import own
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Evidence, Kind, Precedence
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Scalar, View
from intelshare.statement import leaf_id

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue for one member and precedence. Times are 0 where nothing waits."""

    member: MemberCode
    precedence: int
    queued: int
    oldest_queued: Instant
    unacknowledged: int
    oldest_unacknowledged: Instant
    bytes_unacknowledged: int


def queues(view: View, members: Iterable[MemberCode]) -> tuple[Queue, ...]:
    """Return the queues that are not empty, FLASH first. Reads every unacknowledged statement."""
    return tuple(one for member in members for one in _of(view, member))


def drains(node: Node, view: View, member: MemberCode) -> tuple[int, int]:
    """Return (pairs ready for hand-over, statements unacknowledged) for one peer, as far as a drain waits for
    them: what users sent and are told, acts and stream heads.

    Not this node's last checkpoint and its documents: each later one replaces them, and the next hello or
    bundle brings them anyway. A bundle makes the log grow, and so makes another checkpoint: to a member
    without a link one is always owed.
    """
    states = 0
    last = own(node, view)
    if last is not None:
        said = decode(Evidence, last.signed)
        states += view.get(PENDING, leaf_id(said.kind, said.nonce, said.data), member) is not None
    for one in view.find(STATEMENT, "number", member, Kind.TRUST, limit=EVERY_ROW):
        states += view.get(PENDING, one.leaf, member) is not None
    queued, unacknowledged = view.count(PAIR, "ready", member, 1), view.count(PENDING, "peer", member)
    return queued, unacknowledged - states


def _of(view: View, member: MemberCode) -> Iterator[Queue]:
    for precedence in sorted(Precedence, reverse=True):
        place = rank(precedence)
        queued = view.count(PAIR, "ready", member, 1, place)
        sizes, oldest = _unacknowledged(view, member, place)
        if queued or sizes:
            first = view.find(PAIR, "ready", member, 1, place, limit=1)
            since = first[0].created if first else Instant(0)
            yield Queue(member, precedence, queued, since, len(sizes), oldest, sum(sizes))


def _unacknowledged(view: View, member: MemberCode, place: int) -> tuple[list[int], Instant]:
    """Return the size of each statement, and since when the oldest has been waiting."""
    sizes: list[int] = []
    oldest, after = Instant(0), tuple[Scalar, ...]()
    while rows := view.find(PENDING, "peer", member, place, after=after, limit=_PAGE):
        oldest = oldest or Instant(rows[0].place)
        sizes += [row.size for row in rows]
        after = rows[-1].place, rows[-1].leaf
    return sizes, oldest
