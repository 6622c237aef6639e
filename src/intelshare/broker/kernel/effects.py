"""The effects of a step outside the store, once it is durable: the one list that a runtime carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap, Outbound
from intelshare.broker.kernel.node import Node
from intelshare.ids import LeafId, MemberCode


@dataclass(frozen=True, slots=True)
class Effects:
    """Collected by a ``Transaction`` and carried out by the engine."""

    outbound: tuple[Outbound, ...] = ()
    """The statements to hand to whatever links are open; later links load them from the store."""
    ended: tuple[tuple[MemberCode, LeafId], ...] = ()
    """Releases on their way to a peer that must not be sent again."""
    ready: frozenset[MemberCode] = frozenset()
    """Peers for which a pair has become ready."""
    marked: bool = False
    """Bulletins are being destroyed: shred the store, then ``destroy.finish``."""
    wanted: frozenset[MemberCode] = frozenset()
    """The members whose files are to be requested."""
    asks: tuple[tuple[MemberCode, LogAsk], ...] = ()
    """The questions about logs to send to peers."""
    gaps: tuple[tuple[MemberCode, Gap], ...] = ()
    """The requests to peers for what this node has lost."""
    node: Node | None = None
    """The new node if trust or world changed: it replaces the old one before any later step."""
    mended: bool = False
    """Damaged records have come back: what could not be read may go."""

    @property
    def effects(self) -> Effects:
        """Return itself, so that a step may answer with effects alone or with an answer that has them."""
        return self


class HasEffects(Protocol):
    """An answer that leads to effects."""

    @property
    def effects(self) -> Effects:
        """The effects to carry out."""
