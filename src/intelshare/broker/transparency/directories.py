"""Directories of a member that differ between peers: kept as evidence, whichever peer shows them."""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.audit.exhibit import exhibit_of
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.evidence import contradict
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Trust
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View
from intelshare.trust import ForkedDirectories, contradicts


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """The result of comparing a directory that a peer holds."""

    forked: MemberCode | None
    """The member that signed two for one version, if that is new."""
    effects: Effects


def judge_directory(
    node: Node, view: View, peer: MemberCode, shown: Trust, now: Instant, random: Random
) -> Plan[JudgeResult]:
    """Compare a directory that a peer shows with the one held here. Nothing that a peer may send raises."""
    del peer
    tx = Transaction(node, view, now, random)
    forked = keep_directory_fork(tx, shown)
    return tx.plan(JudgeResult(forked, tx.effects()))


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
