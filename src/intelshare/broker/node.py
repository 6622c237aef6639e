"""What every step knows besides its event: whose node this is, its keys, whom it trusts, and its world.

A value. When a step changes trust, world or keys, the shell swaps in the new one right after the commit and
before any later step (``Store.perform(..., then=...)``), so that memory never runs ahead of the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intelshare.crypto.suites import Signer, Suites
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Incarnation, KeyId, MemberCode, NodeUri
from intelshare.labels import LabelReader
from intelshare.policy import World
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
