"""The state that every step has besides its event: a node, its keys, the members it trusts, and its world.

The node is a value. When a step changes trust, world or keys, the runtime swaps in the new one right after
the commit and before any later step (``Plan.last``, ``Store.perform(..., then=...)``): memory never runs
ahead of the disk.
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
"""The most bytes of bulletins that are remembered."""


class Recent:
    """A memory of bulletins just made, for hand-over; it never changes an outcome.

    It forgets a bulletin once it is handed over to every recipient, and all bulletins when it is full.
    """

    def __init__(self) -> None:
        self._made: dict[ManifestDigest, tuple[Any, int, set[MemberCode]]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._made)

    def remembered(self) -> tuple[ManifestDigest, ...]:
        """Return the bulletins that are remembered."""
        return tuple(self._made)

    def __contains__(self, md: object) -> bool:
        return md in self._made

    def get(self, md: ManifestDigest) -> Any:
        """Return what was put for this bulletin, or None if it is forgotten."""
        found = self._made.get(md)
        return found[0] if found is not None else None

    def put(self, md: ManifestDigest, made: object, size: int, waiting: Iterable[MemberCode]) -> None:
        """Remember it until each of these recipients has been served."""
        if self._bytes + size > MAX_RECENT:
            self._made.clear()
            self._bytes = 0
        self._made[md] = made, size, set(waiting)
        self._bytes += size

    def done(self, md: ManifestDigest, recipient: MemberCode) -> None:
        """Note that this recipient no longer needs it."""
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
    """The member's sealing keys that can still open grants."""
    retired: frozenset[KeyId]
    """This member's sealing keys that were destroyed."""
    storage_key: bytes = field(repr=False)
    """32 bytes: the key under which everything at rest is sealed."""
    trust: TrustView
    world: World
    suites: Suites
    labels: LabelReader
    roots: VerifiedRoots
    """Batches whose signatures were verified: a memory that changes no outcome."""
    version: str = "0"
    trees: Trees = field(default_factory=dict, repr=False, compare=False)
    """The page roots of this node's logs: a memory that changes no outcome."""
    retention: int = 72 * HOUR
    """Microseconds for which content is kept after delivery; 0: for ever."""
    queues: QueueBounds = field(default_factory=QueueBounds)
    """The bounds on what may wait for one recipient, and for all."""
    lacks: Shortage | None = None
    """A shortage of disk space, as the driver has observed it."""
    confirmed: bool = True
    """True if somebody has confirmed the driver's clock: nothing ends by a time that may be wrong."""
    recent: Recent = field(default_factory=Recent, repr=False, compare=False)


def with_trust(node: Node, trust: TrustView) -> Node:
    """Return the node after a trust document was accepted, with the members and treaty texts it implies.

    A treaty binds two members only if their directories name the same text (TEXT_MISMATCH).
    """
    return replace(node, trust=trust, world=_compiled(node.world, trust, node.world.acts))


def with_acts(node: Node, acts: Iterable[PartyAct]) -> Node:
    """Return the node in whose world these acts count, and no others (c18)."""
    return replace(node, world=_compiled(node.world, node.trust, acts))


def with_files(node: Node, files: World) -> Node:
    """Return the node that decides by the treaties and overlays of this world; the acts in force stay."""
    world = _compiled(files, node.trust, node.world.acts)
    # Other policy files may have changed what labels mean.
    labels = node.labels if node.labels.registry is world.registry else LabelReader(world.registry)
    return replace(node, world=world, labels=labels)


def _compiled(world: World, trust: TrustView, acts: Iterable[PartyAct]) -> World:
    texts: dict[str, dict[str, str]] = {
        member: {treaty: f"sha256:{text.hex()}" for treaty, text in trust.ratified(member).items()}
        for member in trust.members
    }
    present = (trust.own, *trust.partners)
    return compile_world(world.registry, present, world.files, world.overlays.values(), texts, acts)
