"""Exclude: an operator stops dealing with a member, or goes on.

    suspended    no link; nothing is handed over to it nor taken from it; what is queued waits, and shows why
    removed      besides, what is open ends (``review``), the law does not know it, its nodes are strangers

Both hold from the commit on: the trust view says so, and every step that deals with a peer asks it. What the
member has sent stays readable, and provable by its documents, which stay. After a resumption both sides go on
with the bytes that they have: nothing was numbered anew, so nothing is lost or doubled.
"""

from __future__ import annotations

from dataclasses import dataclass

from intelshare.audit.records import EntryType, ExclusionSet
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import EXCLUSION, PAIR, PENDING, ExclusionRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View
from intelshare.trust import Exclusion, left_out


@dataclass(frozen=True, slots=True)
class ExcludeCommand:
    """Leave a member out so far; ``how`` None: go on with one that was suspended."""

    actor: Actor
    member: MemberCode
    how: Exclusion | None
    again: bool = False
    """Its file was imported once more: a removal is taken back."""


@dataclass(frozen=True, slots=True)
class ExcludeResult:
    """What has changed, if anything has."""

    changed: bool
    effects: Effects


@dataclass(frozen=True, slots=True)
class ExclusionEffect:
    """What waits for a member: it ends if the member is removed."""

    queued: int
    """Pairs that are ready to be handed over."""
    unacknowledged: int
    """Statements that were handed over and not acknowledged."""


def exclude(
    node: Node, view: View, command: ExcludeCommand, now: Instant, random: Random
) -> Plan[ExcludeResult]:
    """Suspend, remove or resume a member; what is so already changes nothing.

    Raises DeliveryError NOT_FOUND (no such member), INPUT_INVALID (this member itself); TrustError
    MEMBER_REMOVED: only an import brings a removed member back.
    """
    member, how = command.member, command.how
    _check_other(node, member)
    present = node.trust.excluded.get(member)
    if present is Exclusion.REMOVED and how is not Exclusion.REMOVED and not command.again:
        raise left_out(member, present)
    tx = Transaction(node, view, now, random)
    if present is not how:
        _set(tx, command)
    return tx.plan(ExcludeResult(present is not how, tx.effects()))


def _set(tx: Transaction, command: ExcludeCommand) -> None:
    """Write it, log it, and let it hold from this commit on."""
    member, how, by = command.member, command.how, command.actor.user
    if how is None:
        tx.delete(EXCLUSION, member)
    else:
        tx.put(EXCLUSION, ExclusionRow(member, how, tx.now, by))
    tx.log(EntryType.EXCLUSION, ExclusionSet(member, how or 0, by))
    tx.node = with_trust(tx.node, tx.node.trust.with_exclusion(member, how))
    if how is None:
        tx.ready.add(member)


def exclusion_effect(node: Node, view: View, member: MemberCode) -> ExclusionEffect:
    """What waits for it. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    _check_other(node, member)
    return ExclusionEffect(view.count(PAIR, "ready", member, 1), view.count(PENDING, "peer", member))


def exclusions(view: View) -> dict[MemberCode, Exclusion]:
    """As stored, for ``TrustView.load``."""
    return {row.member: Exclusion(row.how) for row in view.find(EXCLUSION, "key", limit=100_000)}


def _check_other(node: Node, member: MemberCode) -> None:
    """Return if this is another member that is known. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    if member == node.member:
        raise DeliveryError("INPUT_INVALID", "a member cannot be left out at its own node")
    if member not in node.trust.members:
        raise DeliveryError(
            "NOT_FOUND", f"{member} is not known at this node", hint="`intelshare member list` shows who is"
        )
