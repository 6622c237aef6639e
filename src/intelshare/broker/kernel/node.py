"""What every step knows besides its event: whose node this is, its keys, whom it trusts, and its world.

A value. When a step changes trust, world or keys, the runtime swaps in the new one right after the commit and
before any later step (``Plan.last``, ``Store.perform(..., then=...)``): memory never runs ahead of the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from intelshare.audit.tree import Trees
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.shortage import Shortage
from intelshare.crypto.suites import Signer, Suites
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Incarnation, KeyId, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import HOUR
from intelshare.labels import LabelReader
from intelshare.policy import PartyAct, World, compile_world
from intelshare.statement import VerifiedRoots
from intelshare.trust import TrustView

MAX_RECENT: Final = 16 << 20
"""Bytes of bulletins that are remembered."""


class Recent:
    """What was just made of bulletins, for whoever hands them over: a memory that changes no outcome.

    Forgets a bulletin once it is handed over to everybody, and all of them when full.
    """

    def __init__(self) -> None:
        self._made: dict[ManifestDigest, tuple[Any, int, set[MemberCode]]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._made)

    def get(self, md: ManifestDigest) -> Any:
        """What was put; None if it is forgotten."""
        found = self._made.get(md)
        return found[0] if found is not None else None

    def put(self, md: ManifestDigest, made: object, size: int, waiting: Iterable[MemberCode]) -> None:
        """Remember it for these recipients."""
        if self._bytes + size > MAX_RECENT:
            self._made.clear()
            self._bytes = 0
        self._made[md] = made, size, set(waiting)
        self._bytes += size

    def done(self, md: ManifestDigest, recipient: MemberCode) -> None:
        """This recipient needs it no more."""
        found = self._made.get(md)
        if found is not None:
            _, size, waiting = found
            waiting.discard(recipient)
            if not waiting:
                del self._made[md]
                self._bytes -= size


@dataclass(frozen=True, slots=True)
class Node:
    """One start of one node of one member."""

    member: MemberCode
    uri: NodeUri
    incarnation: Incarnation
    signer: Signer
    """Signs releases, receipts and all other statements."""
    sealing: Mapping[KeyId, SealingKeyHeld]
    """The member's sealing keys that can still open."""
    retired: frozenset[KeyId]
    """Sealing keys that were ours and are destroyed."""
    storage_key: bytes = field(repr=False)
    """32 bytes: everything at rest is sealed under it."""
    trust: TrustView
    world: World
    suites: Suites
    labels: LabelReader
    roots: VerifiedRoots
    """Batches whose signatures held: a memory that changes no outcome."""
    version: str = "0"
    trees: Trees = field(default_factory=dict, repr=False, compare=False)
    """Page roots of the own logs: a memory that changes no outcome."""
    retention: int = 72 * HOUR
    """Microseconds for which content is kept after its delivery; 0: for ever."""
    queues: QueueBounds = field(default_factory=QueueBounds)
    """How much may wait for one recipient, and for all."""
    lacks: Shortage | None = None
    """That the disk has little room left, as the driver has seen it."""
    recent: Recent = field(default_factory=Recent, repr=False, compare=False)


def with_trust(node: Node, trust: TrustView) -> Node:
    """The node after a document was accepted: its members and the treaty texts they ratified follow from it.

    Two members are bound by a treaty only if their directories name the same text (TEXT_MISMATCH).
    """
    return replace(node, trust=trust, world=_compiled(node.world, trust, node.world.acts))


def with_acts(node: Node, acts: Iterable[PartyAct]) -> Node:
    """The node in whose world these acts count, and no others (c18)."""
    return replace(node, world=_compiled(node.world, node.trust, acts))


def with_files(node: Node, files: World) -> Node:
    """The node that decides by the treaties and overlays of this world; acts count on as they did."""
    world = _compiled(files, node.trust, node.world.acts)
    # Files beside the treaties may have changed what labels mean.
    labels = node.labels if node.labels.registry is world.registry else LabelReader(world.registry)
    return replace(node, world=world, labels=labels)


def _compiled(world: World, trust: TrustView, acts: Iterable[PartyAct]) -> World:
    texts: dict[str, dict[str, str]] = {
        member: {treaty: f"sha256:{text.hex()}" for treaty, text in trust.ratified(member).items()}
        for member in trust.members
    }
    present = (trust.own, *trust.partners)
    return compile_world(world.registry, present, world.files, world.overlays.values(), texts, acts)
