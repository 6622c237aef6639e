"""Arrivals: by which releases received bulletins came, as the logs say.

Usually it is one. A bulletin whose first receipt was lost comes a second time if its sender has forgotten
that it went, or has to sign it with another key; that sender answers for the last release alone.
A step that forgets a bulletin in order to ask for it again (``mend``, ``restored``) forgets all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from intelshare.audit.records import EntryType, Received
from intelshare.audit.work import Work
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.log import logs, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PENDING, RECEIVED, LogHeadRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind
from intelshare.ids import Incarnation, LeafId, ManifestDigest, MemberCode
from intelshare.ports import View

Arrivals = Mapping[ManifestDigest, Collection[tuple[MemberCode, LeafId]]]
"""By bulletin: sender and digest of each release that has brought it, in the order of the logs."""


def forget_arrival(tx: Transaction, member: MemberCode, leaf: LeafId) -> None:
    """Forget that a release came: when it comes again, it is judged as if for the first time. A receipt for
    it that waits does not leave: it would say ACCEPTED of a bulletin that is not stored here (promise P5).
    """
    stored = unless_damaged(tx, lambda: tx.get(RECEIVED, member, leaf))
    if stored is not None and stored.receipt and tx.get(PENDING, stored.receipt, member) is not None:
        tx.end(member, stored.receipt)
    tx.delete(RECEIVED, member, leaf)


def brings(said: Received) -> bool:
    """Return True if by this statement a bulletin was accepted."""
    return said.kind == Kind.RELEASE and not said.codes and any(said.subject)


def arrivals_of(
    node: Node, view: View, wanted: Collection[ManifestDigest], read: Mapping[Incarnation, int] | None = None
) -> Work[Arrivals]:
    """Return by which releases these bulletins came. It reads all logs, and pauses before each.

    ``read``: how far each log was read before; what it says up to there is left out.
    """
    came: dict[ManifestDigest, dict[tuple[MemberCode, LeafId], None]] = {md: {} for md in wanted}
    for head in logs(view) if came else ():
        first = read.get(head.incarnation, 0) if read is not None else 0
        if first >= head.size:
            continue
        yield
        for said in _accepted(node, view, head, first):
            releases = came.get(ManifestDigest(said.subject))
            if releases is not None:
                releases[said.member, LeafId(said.leaf)] = None
    return came


def came_again(node: Node, view: View) -> Work[Arrivals]:
    """Return the ``arrivals_of`` all bulletins that came more than once. It reads all logs, mostly once; it
    remembers 8 bytes of each bulletin.
    """
    seen: set[int] = set()
    again: set[ManifestDigest] = set()
    for head in logs(view):
        yield
        for said in _accepted(node, view, head):
            start = int.from_bytes(said.subject[:8])
            if start in seen:
                again.add(ManifestDigest(said.subject))
            seen.add(start)
    del seen
    return (yield from arrivals_of(node, view, again))


def _accepted(node: Node, view: View, head: LogHeadRow, first: int = 0) -> Iterator[Received]:
    for entry in opened(node, view, head.incarnation, first, types={EntryType.RECEIVED}):
        said = decode(Received, entry.record)
        if brings(said):
            yield said
