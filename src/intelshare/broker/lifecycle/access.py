"""Access: after the disk forgot, nobody comes in until an operator has confirmed it (promises P12, P16).

    hold_access      the start of a node that forgot: its users and the other members wait
    access_waiting   who waits
    confirm_access   an operator lets them in again

What the disk forgot may have withdrawn something: a user who was revoked or lost rights, a certificate or
key, a member that was suspended, a treaty. Nobody outside knows all of it, so people must say so. Until then
users are refused (ACCESS_WAITS) and members are left out (``trust.Exclusion.UNCONFIRMED``): nothing is
released to them, and no directory of this node reaches them. The owner of the data folder, who has its
passphrase, comes in: that is how an operator revokes again what has to be, and confirms the rest. A new
certificate confirms its user too; ``member suspend`` and ``member resume`` settle a member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intelshare.audit.node_records import Operated, OperatorAct, Register
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import users
from intelshare.broker.kernel.tables import USER, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.exclude import set_exclusions
from intelshare.broker.lifecycle.operator_acts import need_reason
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.trust import Exclusion

NOBODY: Final = UserUri("")
"""The user of what the start of a node has set."""


@dataclass(frozen=True, slots=True)
class AccessResult:
    """The users whose rows have changed, and the members."""

    users: tuple[UserRow, ...]
    members: tuple[MemberCode, ...]
    effects: Effects


def hold_access(node: Node, view: View, now: Instant, random: Random) -> Plan[AccessResult]:
    """Let every user and every other member wait. Those who are revoked or left out already stay so."""
    tx = Transaction(node, view, now, random)
    held = tuple([changed(row, waits=1) for row in users(view) if not row.revoked])
    for row in held:
        tx.put(USER, row)
    others = set(node.trust.members) - {node.member} - set(node.trust.excluded)
    set_exclusions(tx, dict.fromkeys(sorted(others), Exclusion.UNCONFIRMED), NOBODY)
    return tx.plan(AccessResult(held, tuple(sorted(others)), tx.effects()))


def access_waiting(node: Node, view: View) -> tuple[list[UserRow], list[MemberCode]]:
    """Return the users and the members that wait."""
    members = [member for member, how in node.trust.excluded.items() if how is Exclusion.UNCONFIRMED]
    return [row for row in users(view) if row.waits and not row.revoked], sorted(members)


@dataclass(frozen=True, slots=True)
class ConfirmAccessCommand:
    """An operator confirms those whom the list has shown."""

    user: UserUri
    names: frozenset[str]
    """The names of users."""
    members: frozenset[str]
    reason: str


def confirm_access(
    node: Node, view: View, command: ConfirmAccessCommand, now: Instant, random: Random
) -> Plan[AccessResult]:
    """Let these users and members in again; the log keeps who decided it, and why.

    Raises DeliveryError NOT_FOUND (one of them does not wait), INPUT_INVALID (nobody is named, no reason).
    """
    need_reason(command.reason)
    waiting, left_out = access_waiting(node, view)
    unknown = (command.names - {row.name for row in waiting}) | (command.members - set(left_out))
    if unknown:
        raise DeliveryError(
            "NOT_FOUND",
            f"{', '.join(sorted(unknown))}: nobody of this name waits to be confirmed",
            hint="`intelshare node confirm-access --dry-run` shows who waits",
        )
    if not command.names and not command.members:
        raise DeliveryError("INPUT_INVALID", "nobody is named", hint="name users and members to confirm")
    tx = Transaction(node, view, now, random)
    let_in = tuple([changed(row, waits=0) for row in waiting if row.name in command.names])
    for row in let_in:
        tx.log(EntryType.REGISTER, Register(command.user, row.user, "confirmed"))
        tx.put(USER, row)
    about = f"{len(let_in)} users, {len(command.members)} members"
    tx.log(EntryType.OPERATED, Operated(OperatorAct.ACCESS_CONFIRMED, about, command.reason, command.user))
    again = [member for member in left_out if member in command.members]
    set_exclusions(tx, dict.fromkeys(again), command.user)
    return tx.plan(AccessResult(let_in, tuple(again), tx.effects()))
