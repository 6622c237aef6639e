"""Exclusion: an operator stops dealing with a member, or resumes.

    suspended    no link; nothing is handed over to it or accepted from it; queued pairs wait, and show why
    removed      in addition, open pairs end (``review``), policy does not know it, its nodes are strangers

Both take effect with the commit: the trust view reports them, and every step that deals with a peer asks it.
What the member has sent stays readable, and provable by its documents, which stay. After a resumption both
sides go on with the bytes that they have: nothing was renumbered, so nothing is lost or doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intelshare.audit.node_records import ExclusionSet
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import EXCLUSION, PAIR, PENDING, ExclusionRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.errors import DeliveryError, RecordError, StoreError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import EVERY_ROW, Plan, Random, View
from intelshare.trust import Exclusion, left_out


@dataclass(frozen=True, slots=True)
class ExcludeCommand:
    """Suspend or remove a member; ``how`` None: resume with one that was suspended."""

    actor: Actor
    member: MemberCode
    how: Exclusion | None
    again: bool = False
    """True if its file was imported again: this takes back a removal."""


@dataclass(frozen=True, slots=True)
class ExcludeResult:
    """The outcome of an exclusion."""

    changed: bool
    effects: Effects


@dataclass(frozen=True, slots=True)
class ExclusionEffect:
    """The pairs and statements that wait for a member; they end if it is removed."""

    queued: int
    """The pairs that are ready for hand-over."""
    unacknowledged: int
    """The statements that were handed over and not acknowledged."""


def exclude(
    node: Node, view: View, command: ExcludeCommand, now: Instant, random: Random
) -> Plan[ExcludeResult]:
    """Suspend, remove or resume a member; if nothing would change, do nothing.

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
        set_exclusions(tx, {member: how}, command.actor.user)
    return tx.plan(ExcludeResult(present is not how, tx.effects()))


def set_exclusions(tx: Transaction, members: Mapping[MemberCode, Exclusion | None], by: UserUri) -> None:
    """Store how these members are left out (None: no longer) and log it; it takes effect with this commit."""
    trust = tx.node.trust
    for member, how in members.items():
        if how is None:
            tx.delete(EXCLUSION, member)
            tx.ready.add(member)
        else:
            tx.put(EXCLUSION, ExclusionRow(member, how, tx.now, by))
        tx.log(EntryType.EXCLUSION, ExclusionSet(member, how or 0, by))
        trust = trust.with_exclusion(member, how)
    tx.node = with_trust(tx.node, trust)


def exclusion_effect(node: Node, view: View, member: MemberCode) -> ExclusionEffect:
    """Count what waits for a member. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    _check_other(node, member)
    return ExclusionEffect(view.count(PAIR, "ready", member, 1), view.count(PENDING, "peer", member))


def exclusions(view: View) -> dict[MemberCode, Exclusion]:
    """Return the stored exclusions, for ``TrustView.load``. A member whose row is damaged is suspended."""
    damaged: list[StoreError] = []
    rows = view.find(EXCLUSION, "key", limit=EVERY_ROW, damaged=damaged)
    lost = [MemberCode(str(one.key[0])) for one in damaged if isinstance(one, RecordError) and one.key]
    return dict.fromkeys(lost, Exclusion.SUSPENDED) | {row.member: Exclusion(row.how) for row in rows}


def _check_other(node: Node, member: MemberCode) -> None:
    """Return if this is another member that is known. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    if member == node.member:
        raise DeliveryError("INPUT_INVALID", "a member cannot be left out at its own node")
    if member not in node.trust.members:
        raise DeliveryError(
            "NOT_FOUND",
            f"{member} is not known at this node",
            hint="`intelshare member list` shows those that are",
        )
