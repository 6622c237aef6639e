"""The rows that each member has made this node keep permanently, and the limit over all time.

Budgets (``engine.budgets``) limit how fast they grow; this limits how many there are. At the limit, a
statement that would stay is answered with RATE, like one that came too fast, until an operator raises the
limit or removes the member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from intelshare.broker.kernel.allowance import Allowance, Lasting
from intelshare.broker.kernel.counters import count_of, kept_of
from intelshare.broker.kernel.transaction import Transaction
from intelshare.ids import MemberCode
from intelshare.ports import View


def allowance_in(tx: Transaction, member: MemberCode, left: Mapping[Lasting, int] | None) -> Allowance:
    """Return what a member may make this node keep in this step. ``left`` is what its budgets allow."""
    most = tx.node.queues.kept
    return Allowance(left, lambda: most - count_of(tx, kept_of(member)).rows)


def charge(tx: Transaction, member: MemberCode, allowance: Allowance) -> None:
    """Count the rows that the step has kept for it."""
    if allowance.kept:
        tx.count(kept_of(member), allowance.kept, 0)


def kept_by(view: View, members: Iterable[MemberCode]) -> dict[MemberCode, int]:
    """Return the number of kept rows of each of these members that has any."""
    return {member: rows for member in members if (rows := count_of(view, kept_of(member)).rows)}
