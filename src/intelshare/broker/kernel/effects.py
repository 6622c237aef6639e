"""What a step leads to outside the store, once it is durable: the one list that a runtime carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node
from intelshare.ids import LeafId, MemberCode


@dataclass(frozen=True, slots=True)
class Effects:
    """Gathered by a ``Transaction``; carried out by the engine."""

    outbound: tuple[Outbound, ...] = ()
    """Statements to hand to whatever links are open; the others load them from the store."""
    ended: tuple[tuple[MemberCode, LeafId], ...] = ()
    """Releases on the way to a peer that must not be sent again."""
    ready: frozenset[MemberCode] = frozenset()
    """Peers for which a pair has become ready."""
    marked: bool = False
    """Bulletins are being destroyed: shred the store, then ``destroy.finish``."""
    wanted: frozenset[MemberCode] = frozenset()
    """Members whose files are to be asked for."""
    asks: tuple[tuple[MemberCode, LogAsk], ...] = ()
    """What to ask peers about logs."""
    node: Node | None = None
    """The node from now on, if trust or world changed: swapped in before any later step."""

    @property
    def effects(self) -> Effects:
        """So that a step may answer with these alone, or with an answer that has them."""
        return self


class HasEffects(Protocol):
    """An answer that leads to something."""

    @property
    def effects(self) -> Effects:
        """What to carry out."""
