"""Budgets: how much each peer may ask of this node, in one table, per member, once TLS has identified it.

A budget is a token bucket: ``most`` at once, and an empty one is full again after ``fill``. Costs that cannot
be known beforehand (a statement that turns out false, a row that is kept) are charged afterwards, so a budget
may go into debt: then it allows nothing until it is out of debt. Nobody has to do anything for that.

    spent              answer                                                  recovers
    ----------------   -----------------------------------------------------   -------------------------
    bytes, statements, each statement of the next frame: Ack RATE; nothing     as soon as the debt is
    checks             is read from the peer until it is out of debt           over, the link stays open
    links              the call ends with RATE, before a hello                 the peer dials again
    answers, gaps,     the link ends with RATE                                 the peer dials again
    logs, unreadable,
    directories_shown
    lines              the event is counted but not written into the log       the next line has the count
    kept for ever      that statement: Ack RATE, before it is verified;        the peer tries again, later
                       evidence: it is rejected all the same, and not kept     and later

Sizes: honest traffic of 2,000 releases a second, with their receipts, uses a tenth of the budget it would hit
first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from intelshare.broker.kernel.allowance import Lasting
from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.instant import DAY, EPOCH, HOUR, MINUTE, SECOND, Instant


class Passing(StrEnum):
    """Work that leaves nothing behind."""

    BYTES = "bytes"
    """The bytes of all messages except parts of files that were requested."""
    STATEMENTS = "statements"
    CHECKS = "checks"
    """Signatures and proofs; a rejected statement costs ``REJECTED`` more."""
    LINKS = "links"
    """Calls that a peer opens."""
    ANSWERS = "answers"
    """Acknowledgements of statements that are not on their way to the peer."""
    GAPS = "gaps"
    """Requests for missing numbers and acts."""
    LOGS = "logs"
    """Questions and answers about logs."""
    DIRECTORIES_SHOWN = "directories_shown"
    """Lists of the directories that a peer holds of others, and directories that it shows."""
    UNREADABLE = "unreadable"
    """Messages that cannot be read."""
    LINES = "lines"
    """Lines of this node's log about a peer."""


Budget = Passing | Lasting


class Rate(NamedTuple):
    """The size of a budget and how fast it refills."""

    most: int
    """The most that may be spent at once."""
    fill: int
    """Microseconds in which an empty budget is full again."""


BUDGETS: Final[Mapping[Budget, Rate]] = MappingProxyType(
    {
        Passing.BYTES: Rate(1 << 30, 10 * SECOND),
        Passing.STATEMENTS: Rate(400_000, 10 * SECOND),
        Passing.CHECKS: Rate(400_000, 10 * SECOND),
        Passing.LINKS: Rate(120, MINUTE),
        Passing.ANSWERS: Rate(20_000, MINUTE),
        Passing.GAPS: Rate(64, MINUTE),
        Passing.LOGS: Rate(600, MINUTE),
        Passing.DIRECTORIES_SHOWN: Rate(1024, HOUR),
        Passing.UNREADABLE: Rate(16, MINUTE),
        Passing.LINES: Rate(120, MINUTE),
        Lasting.EVIDENCE: Rate(256, HOUR),
        Lasting.RECALLS: Rate(4096, 12 * HOUR),
        Lasting.STREAMS: Rate(1024, DAY),
        Lasting.HEADS: Rate(4096, HOUR),
        Lasting.DIRECTORIES: Rate(64, HOUR),
        Lasting.ACTS: Rate(1024, HOUR),
        Lasting.CONSENTS: Rate(4096, HOUR),
        Lasting.CHECKPOINTS: Rate(512, 10 * MINUTE),
    }
)
"""The budgets that apply where node.toml does not set others."""

REJECTED: Final = 256
"""The checks that a rejected statement costs in addition."""

_GATE: Final = (Passing.BYTES, Passing.STATEMENTS, Passing.CHECKS)
"""The budgets that every frame needs: first in the table, so that a frame costs a microsecond or two."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget of a peer that has been spent since the start, or is spent now."""

    budget: Budget
    refused: int
    """The number of times that something came while it was spent."""
    again: Instant
    """When it allows something again, on the steady clock; 0: it does now."""


@dataclass(slots=True)
class _Account:
    """The budgets of one peer."""

    full: list[float]
    """When each budget, by its place in the table, is full again: nothing else has to be known."""
    refused: Counter[Budget] = field(default_factory=Counter)
    keeps: bool = False
    """True if rows that last were charged and the budget may not be full again."""
    left_out: int = 0


class Budgets:
    """The budgets of all peers. ``now`` is on the steady clock."""

    def __init__(self, rates: Mapping[Budget, Rate] = BUDGETS) -> None:
        table = {**BUDGETS, **rates}
        self._places = {budget: place for place, budget in enumerate(table)}
        self._cost = [rate.fill / rate.most for rate in table.values()]
        self._last = [rate.fill - rate.fill / rate.most for rate in table.values()]
        """The most microseconds that a budget may be short of full and still allow one."""
        self._fill = [float(rate.fill) for rate in table.values()]
        self._lasting = {one: self._places[one] for one in Lasting}
        self._all = MappingProxyType({one: table[one].most for one in Lasting})
        """The allowance of a peer that has not made this node keep anything lately."""
        self._accounts: dict[MemberCode, _Account] = {}

    def charge(self, member: MemberCode, budget: Budget, amount: int, now: Instant) -> None:
        """Charge what was done, into debt if need be."""
        full, place = self._of(member).full, self._places[budget]
        full[place] = max(full[place], now) + amount * self._cost[place]

    def spent(self, member: MemberCode, budget: Budget, now: Instant) -> bool:
        """Return True, and count it, if the budget allows nothing now."""
        account, place = self._of(member), self._places[budget]
        if account.full[place] - now <= self._last[place]:
            return False
        account.refused[budget] += 1
        return True

    def take(self, member: MemberCode, budget: Budget, now: Instant) -> bool:
        """Charge one if the budget allows it; return True if so."""
        if self.spent(member, budget, now):
            return False
        self.charge(member, budget, 1, now)
        return True

    def need(self, member: MemberCode, budget: Budget, now: Instant) -> None:
        """Charge one. Raises DeliveryError RATE if the budget is spent."""
        if not self.take(member, budget, now):
            raise DeliveryError("RATE", f"{member} has spent its budget of {budget}")

    def takes_frame(self, member: MemberCode, size: int, statements: int, now: Instant) -> bool:
        """Charge a frame. False: answer it with RATE, and read nothing more until ``back``."""
        account = self._of(member)
        full, cost, last = account.full, self._cost, self._last
        bytes_, told, checks = full[0], full[1], full[2]
        taken = bytes_ - now <= last[0] and told - now <= last[1] and checks - now <= last[2]
        full[0] = (bytes_ if bytes_ > now else now) + size * cost[0]
        full[1] = (told if told > now else now) + statements * cost[1]
        if taken:
            full[2] = (checks if checks > now else now) + statements * cost[2]
        else:
            spent = zip(_GATE, (bytes_, told, checks), last, strict=False)
            account.refused.update(budget for budget, full_at, most in spent if full_at - now > most)
        return taken

    def back(self, member: MemberCode, now: Instant) -> Instant:
        """Return when frames are accepted again; ``now`` if they are."""
        full = self._of(member).full
        return max(now, *[self._again(full, self._places[budget]) for budget in _GATE])

    def allowed(self, member: MemberCode, now: Instant) -> Mapping[Lasting, int]:
        """Return how much more of each kind a step may keep for this peer."""
        account = self._of(member)
        if not account.keeps:
            return self._all
        account.keeps = any(account.full[place] > now for place in self._lasting.values())
        return {one: self._left(account, one, place, now) for one, place in self._lasting.items()}

    def kept(self, member: MemberCode, spent: Mapping[Lasting, int], now: Instant) -> None:
        """Charge what a step has kept."""
        for what, amount in spent.items():
            self.charge(member, what, amount, now)
            self._of(member).keeps = True

    def line(self, member: MemberCode, now: Instant) -> int | None:
        """Charge a line about the peer; return how many were left out before it.

        None: leave this one out too.
        """
        account = self._of(member)
        if not self.take(member, Passing.LINES, now):
            account.left_out += 1
            return None
        left_out, account.left_out = account.left_out, 0
        return left_out

    def state(self, member: MemberCode, now: Instant) -> tuple[BudgetState, ...]:
        """Return the budgets of a peer that have been spent since the start."""
        account = self._accounts.get(member)
        if account is None:
            return ()
        rows = []
        for budget, place in self._places.items():
            back = self._again(account.full, place)
            again = back if back > now else EPOCH
            if account.refused[budget] or again:
                rows.append(BudgetState(budget, account.refused[budget], again))
        return tuple(rows)

    def _again(self, full: list[float], place: int) -> Instant:
        return Instant(math.ceil(full[place] - self._last[place]))

    def _left(self, account: _Account, budget: Budget, place: int, now: Instant) -> int:
        missing = max(0.0, account.full[place] - now)
        left = max(0, int((self._fill[place] - missing) / self._cost[place]))
        if not left:
            account.refused[budget] += 1
        return left

    def _of(self, member: MemberCode) -> _Account:
        account = self._accounts.get(member)
        if account is None:
            account = self._accounts[member] = _Account([0.0] * len(self._places))
        return account
