"""Planted bugs in the timing of events, which the engine's limits and order prevent (``bugs.BUGS``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from intelshare.audit.log import node_hash
from intelshare.audit.proofs import root_over
from intelshare.audit.tree import Fetch, Tree
from intelshare.audit.work import Work
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PAIR, PORTION
from intelshare.delivery import Backoff
from intelshare.engine import Phase
from intelshare.engine.dialling import Dialling
from intelshare.engine.turn import Turn
from intelshare.errors import StoreError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan, Random, View
from intelshare.sim.steps import Step

MARK_FIRST: Final = (Phase.LAST_WORD, Phase.SETTLE, Phase.CLOSE, Phase.MARK, Phase.DRAIN)
"""The order of a stop in which the clean mark is written before the writer is drained."""

_PAGE: Final = 4


class RacyTree(Tree):
    """A tree that two questions must not grow at once, with pages so small that even short logs have many."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytes] = {}
        self._count = 0

    def note(self, page: int, root: bytes) -> None:
        """Do nothing: pages are read, not noted."""

    def learn(self, size: int, frontier: bytes) -> None:
        """Do nothing, likewise."""

    def inclusion(self, fetch: Fetch, index: int, size: int) -> Work[list[bytes]]:
        """Do what ``Tree`` does, once the tree has grown."""
        yield from self._grow(fetch, size)
        return (yield from super().inclusion(fetch, index, size))

    def prefix(self, fetch: Fetch, earlier: int, size: int) -> Work[list[bytes]]:
        """Do what ``Tree`` does, once the tree has grown."""
        yield from self._grow(fetch, size)
        return (yield from super().prefix(fetch, earlier, size))

    def _grow(self, fetch: Fetch, size: int) -> Work[None]:
        """Grow the tree, wrongly: while a page is fetched another question counts on, and the page gets a
        later number.
        """
        while (self._count + 1) * _PAGE <= size:
            if self._count not in self._pages:
                low = self._count * _PAGE
                self._pages[self._count] = root_over((yield from fetch(low, low + _PAGE)))
            self._count += 1

    def _root(self, fetch: Fetch, low: int, high: int) -> Work[bytes]:
        count = high - low
        if count == _PAGE and not low % _PAGE:
            return self._pages[low // _PAGE]
        if count <= _PAGE:
            return root_over((yield from fetch(low, high)))
        split = low + (1 << ((count - 1).bit_length() - 1))
        left = yield from self._root(fetch, low, split)
        return node_hash(left, (yield from self._root(fetch, split, high)))


class RacyTrees(dict[int, Tree]):
    """A dictionary that makes such trees."""

    def setdefault(self, incarnation: int, tree: Tree | None = None) -> Tree:
        """Do what ``dict.setdefault`` does, with the other kind of tree."""
        del tree
        return super().setdefault(incarnation, RacyTree())


def one_bad_record_fails_all(handover: Step) -> Step:
    """Plant: a damaged record fails the whole step, instead of only its pair."""

    def planted(
        node: Node, view: View, rooms: Mapping[MemberCode, int], *event: Any
    ) -> Plan[tuple[Outbound, ...]]:
        for member in rooms:
            for row in view.find(PAIR, "ready", member, 1):
                damaged: list[StoreError] = []
                view.find(PORTION, "key", row.md, damaged=damaged)
                for error in damaged:
                    raise error
        plan: Plan[Any] = handover(node, view, rooms, *event)
        return plan

    return planted


def one_shared_queue(handover: Step) -> Step:
    """Plant: the oldest pair goes first, whoever it is for; while it cannot go, none does."""

    def planted(
        node: Node, view: View, rooms: Mapping[MemberCode, int], *event: Any
    ) -> Plan[tuple[Outbound, ...]]:
        first = [
            row for member in node.trust.partners for row in view.find(PAIR, "ready", member, 1, limit=1)
        ]
        oldest = min(first, key=lambda row: (row.created, row.md, row.recipient), default=None)
        if oldest is not None and oldest.recipient not in rooms:
            return Plan((), ())
        plan: Plan[Any] = handover(node, view, rooms, *event)
        return plan

    return planted


def scans_the_outbox(handover: Step) -> Step:
    """Plant: each hand-over looks through all pairs that there ever were."""

    def planted(node: Node, view: View, *event: Any) -> Plan[Any]:
        view.find(PAIR, "key", limit=1 << 30)
        return handover(node, view, *event)

    return planted


class Stubborn(Backoff):
    """A backoff that nothing resets."""

    def failed(self) -> Stubborn:
        """Count one more failure."""
        return Stubborn(self.attempts + 1, self.contact)

    def heard(self, now: Instant) -> Stubborn:
        """Note the contact, and go on as slowly as before."""
        return Stubborn(self.attempts, now)


class StubbornDialling(Dialling):
    """Dialling that becomes slower with every link that ends, however long it lasted."""

    def look_for_peers(self, turn: Turn) -> None:
        """Do what honest dialling does, with the other kind of backoff."""
        super().look_for_peers(turn)
        for peer in self._peers.values():
            if not isinstance(peer.backoff, Stubborn):
                peer.backoff = Stubborn(peer.backoff.attempts, peer.backoff.contact)


class HastyBackoff(Backoff):
    """A backoff that tries again at once."""

    def delay(self, now: Instant, random: Random) -> int:
        """Return a tenth of a second."""
        del now, random
        return SECOND // 10

    def failed(self) -> HastyBackoff:
        """Count nothing."""
        return self

    def heard(self, now: Instant) -> HastyBackoff:
        """Note nothing."""
        del now
        return self


class HastyDialling(Dialling):
    """Dialling without a pause between two tries."""

    def look_for_peers(self, turn: Turn) -> None:
        """Do what honest dialling does, with the other kind of backoff."""
        super().look_for_peers(turn)
        for peer in self._peers.values():
            peer.backoff = HastyBackoff()
