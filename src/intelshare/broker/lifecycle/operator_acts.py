"""Decisions that a node must leave to an operator: each is in the log, with its reason.

believe_clock    the present time counts, whatever was stored or expected (promise P10)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.records import EntryType, Operated, OperatorAct
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import NODE
from intelshare.broker.kernel.transaction import SELF, Transaction
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import MINUTE, SECOND, Instant, show
from intelshare.ports import Plan, Random, View, changed

AGREES = 5 * MINUTE
"""Microseconds by which a peer's clock may differ and still agree: beyond it statements are CLOCK_SKEW."""


@dataclass(frozen=True, slots=True)
class BelieveCommand:
    """An operator declares the clock to be right."""

    user: UserUri
    expected: Instant
    """The time that was stored or expected instead."""
    offsets: Sequence[tuple[MemberCode, int]]
    """The clock of each linked member minus this one, in microseconds."""
    reason: str
    """Why the clock is believed although peers disagree; empty: they must agree."""


def believe_clock(
    node: Node, view: View, command: BelieveCommand, now: Instant, random: Random
) -> Plan[tuple[MemberCode, ...]]:
    """Store the present time as the highest believed; return the linked members that agree with it.

    Raises DeliveryError CLOCK if no peer agrees, or one does not, and no reason is given.
    """
    agreed = tuple(sorted({member for member, offset in command.offsets if abs(offset) <= AGREES}))
    if not command.reason:
        _check(command, agreed)
    tx = Transaction(node, view, now, random)
    about = f"expected {_second(command.expected)}; agreed {' '.join(agreed) or 'nobody'}"
    tx.log(EntryType.OPERATED, Operated(OperatorAct.CLOCK_BELIEVED, about, command.reason, command.user))
    me = tx.get(NODE, SELF)
    if me is not None:
        tx.put(NODE, changed(me, latest=now))
    return tx.plan(agreed)


def _check(command: BelieveCommand, agreed: Sequence[MemberCode]) -> None:
    others = [(member, offset) for member, offset in command.offsets if member not in agreed]
    if others:
        member, offset = max(others, key=lambda one: abs(one[1]))
        side = "ahead of" if offset > 0 else "behind"
        raise DeliveryError(
            "CLOCK",
            f"the clock of {member} is {abs(offset) // SECOND} s {side} this one",
            hint="set this machine's clock; if it is right and theirs is wrong, say so with --reason",
        )
    if not agreed:
        raise DeliveryError(
            "CLOCK",
            "no linked member can confirm the clock",
            hint="compare this machine's clock with another one, then state with --reason how you did",
        )


def _second(at: Instant) -> str:
    return show(Instant(at - at % SECOND))
