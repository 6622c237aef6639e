"""Following: each replica learns from what the others have committed, before its next step (decision 76).

    they have written          each replica                            who has the link, or leads
    ------------------------   -------------------------------------   ---------------------------------
    a pair                     forgets what it remembers of it         hands over what is ready
    a statement to send        -                                       loads it again for its link
    a statement is withdrawn   -                                       sends it no more
    a statement, signed again  -                                       loads it again in its place
    a mark of destruction      -                                       who leads shreds, and signs for it
    a file that is wanted      -                                       who leads asks for it
    numbers that are missing   -                                       asks for them over its link
    trust, an act, a member    makes its node again                    -
    left out, the law
    a user                     lets in who is in the register          -
    the head of the log        notes the subtrees that it names        -

The store says what was committed, and calls ``learn_groups`` in order, nothing left out. No I/O here: the
node (``node.following``) and the simulator (``sim.replica``) do what is returned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from intelshare.audit.tree import Tree
from intelshare.broker.kernel.documents import remembered
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_acts, with_files, with_trust
from intelshare.broker.kernel.tables import (
    ACT,
    EXCLUSION,
    FILE,
    INBOX,
    INCOMING,
    LAW,
    LOG_HEAD,
    PAIR,
    PENDING,
    STATEMENT,
    TRUST,
    USER,
    UserRow,
)
from intelshare.broker.lifecycle.attachments import FileState
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.lifecycle.streams import gap_in
from intelshare.broker.treaty.act import counting
from intelshare.crypto.suites import Signer
from intelshare.engine.events import Committed, Event, Lacking, QueuedAgain, Ready
from intelshare.envelope import SealingKeyHeld
from intelshare.errors import CryptoError
from intelshare.ids import KeyId, LeafId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.policy import World
from intelshare.ports import Durable, Scalar, Table, View
from intelshare.trust import TrustView

A = TypeVar("A")

_NOTHING: Final = Effects()


class Groups(Protocol):
    """Groups that other processes have committed, in one step forward of this process."""

    def durable(self, value: A) -> Durable[A]:
        """Return a value that was taken from these groups: they are committed."""

    def touch(self, *tables: Table[Any]) -> bool:
        """Return true if a row of one of these tables was written."""

    def keys(self, table: Table[Any]) -> Sequence[tuple[Scalar, ...]]:
        """Return the keys of the rows that were written or deleted."""

    def gone(self, table: Table[Any]) -> Sequence[tuple[Scalar, ...]]:
        """Return the keys of the rows that were deleted."""

    def fields(self, table: Table[Any], *names: str) -> Sequence[tuple[Scalar, ...]]:
        """Return these fields of the rows that were written: of their key, or by which rows are found. It
        costs less than ``rows``.
        """

    def rows(self, table: Table[Any]) -> Sequence[Any]:
        """Return the rows that were written, as they are now."""


class OpenVault(Protocol):
    """The keys of this member, as a replica has them open."""

    def first_signer(self, key_ids: Sequence[KeyId]) -> Signer:
        """Return the signer of the first of these keys that is here."""

    def sealing_keys(self) -> Mapping[KeyId, SealingKeyHeld]:
        """Return all sealing keys that can still open."""

    def retired(self) -> Collection[KeyId]:
        """Return the ids of sealing keys that were destroyed."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """The news for a replica."""

    users: tuple[UserRow, ...]
    """The rows of the register that have changed."""
    outdated: bool
    """Trust, acts, or who is left out, have changed, or the law: no step may run before ``renewed``."""
    law: bool
    """The policy files are others now."""
    events: tuple[Event, ...]
    """For its engine, which does what its links and its part ask for (``dividing``)."""


def learn_groups(node: Node, groups: Groups) -> Learnt:
    """Take in what others have committed; its memory forgets what they have handed over or stopped."""
    for md, recipient in groups.keys(PAIR):
        # Whoever changes it after it was stored hands it over, or stops it.
        if md in node.recent and isinstance(md, bytes):
            node.recent.done(ManifestDigest(md), MemberCode(str(recipient)))
    for head in groups.rows(LOG_HEAD):
        node.trees.setdefault(head.incarnation, Tree()).learn(head.size, head.frontier)
    law = groups.touch(LAW)
    outdated = law or groups.touch(TRUST, ACT, EXCLUSION)
    return Learnt(tuple(groups.rows(USER)), outdated, law, _for_links(node, groups))


def _signed_again(node: Node, groups: Groups) -> set[tuple[bytes, str]]:
    """Return the statements that were not queued and stand under another signature now, for each peer that
    may wait for them: a link sends them again.
    """
    others = {leaf for leaf, _ in groups.keys(PENDING)} | {leaf for (leaf,) in groups.gone(STATEMENT)}
    leaves = [leaf for (leaf,) in groups.keys(STATEMENT) if isinstance(leaf, bytes) and leaf not in others]
    return {(leaf, str(peer)) for leaf in leaves for peer in node.trust.partners}


def _for_links(node: Node, groups: Groups) -> tuple[Event, ...]:
    signed = _signed_again(node, groups)
    gone = set(groups.gone(PENDING)) | signed
    again = sorted({str(peer) for _, peer in set(groups.keys(PENDING)) - gone | signed})
    ready = sorted({str(peer) for peer, ready in groups.fields(PAIR, "recipient", "ready") if ready})
    files = groups.rows(FILE)
    marked = (Gone.MARKED,) in groups.fields(INBOX, "gone")
    effects = Effects(
        ended=tuple(
            (MemberCode(str(peer)), LeafId(leaf)) for leaf, peer in sorted(gone) if isinstance(leaf, bytes)
        ),
        marked=marked or any(row.state == FileState.GONE for row in files),
        wanted=frozenset(row.member for row in files if row.state == FileState.WANTED),
    )
    lacks = tuple([(row.member, gap) for row in groups.rows(INCOMING) if (gap := gap_in(row)) is not None])
    return (
        *([Lacking(lacks)] if lacks else ()),
        *([Committed(groups.durable(effects))] if effects != _NOTHING else ()),
        *[QueuedAgain(MemberCode(peer)) for peer in again],
        *([Ready(tuple(map(MemberCode, ready)))] if ready else ()),
    )


def undone(node: Node) -> None:
    """Forget what steps noted that were then not committed: another replica may append other entries at those
    places of the log.
    """
    node.trees.clear()


def renewed(node: Node, view: View, documents: Sequence[bytes], files: World | None) -> Node:
    """Return the node as the rows say that it is.

    ``documents``: its trust documents as a start reads them; ``files``: the world of the policy files, if the
    law has changed. Raises TrustError.
    """
    trust = TrustView.load(node.member, documents, node.suites, exclusions(view), remembered(view))
    if files is not None:
        node = with_files(node, files)
    return with_acts(with_trust(node, trust), counting(view))


def with_keys(node: Node, vault: OpenVault, now: Instant) -> Node:
    """Return the node with the keys that the vault has now, as a start would begin with them.

    Raises what ``vault`` raises if it has none of the signing keys that count now.
    """
    signer = node.signer
    with suppress(CryptoError):  # none is valid: the one that leads makes another
        signer = vault.first_signer(node.trust.signing_keys(node.uri, now))
    return replace(node, signer=signer, sealing=vault.sealing_keys(), retired=frozenset(vault.retired()))
