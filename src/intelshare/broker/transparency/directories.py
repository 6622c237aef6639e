"""Directories that peers show: those that differ are kept as evidence, and this member's own are learned of.

A node that was restored knows nothing of the keys that it made since, and of those that were revoked: its
peers show it what they hold of its member (decision 81). A directory proves itself, whoever shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.audit.exhibit import exhibit_of
from intelshare.audit.node_records import TrustAccepted
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.documents import keep_directories
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.evidence import contradict
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust, TrustType
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View
from intelshare.trust import ForkedDirectories, contradicts, read_directory


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """The result of comparing a directory that a peer holds."""

    forked: MemberCode | None
    """The member that signed two for one version, if that is new."""
    learned: bool
    """True if this node's own member had signed it, and the node had forgotten that."""
    effects: Effects


def judge_directory(
    node: Node, view: View, peer: MemberCode, shown: Trust, now: Instant, random: Random
) -> Plan[JudgeResult]:
    """Compare a directory that a peer shows with the one held here. Nothing that a peer may send raises."""
    del peer
    tx = Transaction(node, view, now, random)
    forked = keep_directory_fork(tx, shown)
    learned = forked is None and _learn(tx, shown)
    return tx.plan(JudgeResult(forked, learned, tx.effects()))


def _learn(tx: Transaction, shown: Trust) -> bool:
    """Take note of a directory of this node's own member that the node has forgotten."""
    try:
        if shown.type is not TrustType.DIRECTORY:
            return False
        version = read_directory(shown, tx.node.suites).version
        change = tx.node.trust.with_forgotten(shown)
    except IntelshareError:
        return False
    if change.changed:
        record = encode(Trust, shown)
        keep_directories(tx, change.view.members[change.member])
        tx.log(
            EntryType.TRUST,
            TrustAccepted(change.member, shown.type, version, Digest(sha256(record))),
        )
        tx.node = with_trust(tx.node, change.view)
    return change.changed


def keep_directory_fork(tx: Transaction, shown: Trust) -> MemberCode | None:
    """Keep both directories if a member signed both under one version; return the member if that is new."""
    try:
        member = contradicts(tx.node.trust, shown)
    except IntelshareError:
        return None
    held = tx.node.trust.members[member].directory_signed if member is not None else None
    if member is None or held is None:
        return None
    raw = encode(ForkedDirectories, ForkedDirectories(held, shown))
    key = sha256(held.document + sha256(shown.document))
    return member if contradict(tx, member, "TRUST_FORK", exhibit_of((), raw=raw), key) else None
