"""What every step knows besides its event: whose node this is, its keys, whom it trusts, and its world.

A value. When a step changes trust, world or keys, the runtime swaps in the new one right after the commit and
before any later step (``Plan.last``, ``Store.perform(..., then=...)``): memory never runs ahead of the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from intelshare.audit.tree import Trees
from intelshare.crypto.suites import Signer, Suites
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Incarnation, KeyId, MemberCode, NodeUri
from intelshare.labels import LabelReader
from intelshare.policy import PartyAct, World, compile_world
from intelshare.statement import VerifiedRoots
from intelshare.trust import TrustView


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
    return replace(node, world=_compiled(files, node.trust, node.world.acts))


def _compiled(world: World, trust: TrustView, acts: Iterable[PartyAct]) -> World:
    texts: dict[str, dict[str, str]] = {
        member: {treaty: f"sha256:{text.hex()}" for treaty, text in trust.ratified(member).items()}
        for member in trust.members
    }
    return compile_world(world.registry, trust.members, world.files, world.overlays.values(), texts, acts)
