"""Dividing: which members' links this replica has, of several that run together (decision 80).

A replica *holds* a member by a lock of its session with the database: nobody else can, and whoever loses
its session loses it. Only the one that holds a member links with its nodes. Twice a second, and when one was
given up, each looks what all hold, and claims (``Claim``):

    a member is                          who leads                        any other replica
    ----------------------------------   ------------------------------   ---------------------------------
    not dialled by this node             holds it: it has the port        gives it up
    held by this replica                 keeps it, within its share       the same; gives it up if called
    held by nobody                       takes it, within its share       the same
    held by nobody for ``ORPHAN``        takes it                         -
    needed here: its files are wanted,   calls it, and takes it once it   -
    or it calls and is not linked        is given up

Shares are equal, give or take one; who holds more already has the greater one, so as few move as can be. What
is claimed need not agree between replicas: the locks decide. If the one that leads takes no part, because it
is of a version that divides nothing, nobody else has links; and nobody else whose clock is not believed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap
from intelshare.engine.actions import Claim, PassOn
from intelshare.engine.events import Divided
from intelshare.engine.turn import Turn
from intelshare.engine.values import Shares
from intelshare.ids import MemberCode
from intelshare.instant import DAY, EPOCH, MINUTE, SECOND, Instant

ORPHAN: Final = 3 * SECOND // 2
"""The time after which the one that leads takes a member that nobody takes."""

KEPT: Final = 10 * SECOND
"""The time for which it keeps such a one at least; one whose files were wanted, a minute."""

CALLS: Final = 5 * SECOND
"""The time after which a call that comes again shows that the holder has no link: it dials at once."""


@dataclass(slots=True)
class _Caller:
    """A member that called while another replica held it."""

    first: Instant
    last: Instant
    until: Instant
    """For how long it is called home."""
    times: int = 0


class Dividing:
    """The part of one replica. A node that runs alone holds everything."""

    def __init__(self, *, leads: bool) -> None:
        self.leads = leads
        """It does the chores, and has the port for peers."""
        self.others = False
        """Other replicas have links too, or will: they hand over what waits if this one ends."""
        self._held: frozenset[MemberCode] | None = None if leads else frozenset()
        """None: all, because no other replica runs."""
        self._members: frozenset[MemberCode] = frozenset()
        self._together = False
        self._callers: dict[MemberCode, _Caller] = {}
        self._free: dict[MemberCode, Instant] = {}
        """Since when nobody holds them."""
        self._home: dict[MemberCode, Instant] = {}
        """Until when members are kept here that had to come: nobody took them, or their files were wanted."""
        self._claimed: Claim | None = None
        self._taken: dict[MemberCode, Instant] = {}
        """When a member came to this replica, by wall time."""

    def has(self, member: MemberCode) -> bool:
        """Return True if this replica may link with the member."""
        return self._held is None or member in self._held

    @property
    def held(self) -> tuple[MemberCode, ...]:
        """The members that this replica holds; empty if it runs alone."""
        return tuple(sorted(self._held or ()))

    def taken(self, member: MemberCode) -> Instant:
        """Return when a member came to this replica, by wall time; 0: it has had it from the beginning."""
        return self._taken.get(member, EPOCH)

    def elsewhere(self, member: MemberCode) -> bool:
        """Return True if another replica has the links with the member, or will."""
        return not self.has(member) and member in self._members

    @property
    def _with_others(self) -> frozenset[MemberCode]:
        return frozenset(filter(self.elsewhere, self._members))

    def join(self, turn: Turn) -> None:
        """Begin to divide: who leads has everything, any other one nothing yet."""
        self._together = True
        self._members = _members(turn)
        self._claim(turn, self._members if self.leads else frozenset(), frozenset())

    def leave(self, turn: Turn) -> None:
        """Give everything up: this replica is about to end."""
        if self._together:
            turn.do(Claim(part=False))

    def divided(self, turn: Turn, event: Divided) -> None:
        """Take note of what is held now, and claim what should be."""
        if turn.parts.stopping.begun:
            return
        before, others = self._held, self._with_others
        self._held, self._members = event.held, _members(turn)
        self.others = bool({*event.shares.replicas} - {event.shares.replica})
        if before != event.held:
            before = before if before is not None else self._members
            self._taken |= dict.fromkeys(event.held - before, turn.now.wall)
            for link in turn.parts.links.all():
                if link.member not in event.held:
                    turn.parts.links.end(turn, link)
            turn.parts.dialling.divided(turn)
        turn.parts.fetching.look(turn, sorted(self._with_others - others))
        part = self.leads or turn.now.believed  # by a clock that is not believed it could release nothing
        shared = not event.shares.leads or event.shares.leads in event.shares.replicas
        if not (part and shared and event.shares.replica in event.shares.replicas):
            self._claim(turn, event.held if self.leads else frozenset(), frozenset(), part=part)
            return
        claims = self._for_leader if self.leads else self._for_other
        self._claim(turn, *claims(turn, event.shares))

    def _claim(
        self, turn: Turn, hold: frozenset[MemberCode], call: frozenset[MemberCode], *, part: bool = True
    ) -> None:
        claim = Claim(self._members, hold, call, part)
        if claim != self._claimed:
            self._claimed = claim
            turn.do(claim)

    def _for_leader(self, turn: Turn, shares: Shares) -> tuple[frozenset[MemberCode], frozenset[MemberCode]]:
        now = turn.now.steady
        fixed = frozenset(one for one in self._members if not turn.parts.dialling.may_dial(turn, one))
        needed = {one for one, caller in self._callers.items() if caller.until > now}
        wanted = turn.parts.fetching.wants() - fixed
        call = self._members & (needed | wanted) - fixed
        free = self._members - shares.holders.keys() - fixed - call
        self._free = {one: self._free.get(one, now) for one in free}
        self._home |= {one: Instant(now + KEPT) for one, at in self._free.items() if now - at >= ORPHAN}
        self._home |= {one: Instant(now + MINUTE) for one in wanted}
        self._home = {one: at for one, at in self._home.items() if at > now}
        always = fixed | call | self._members & self._home.keys()
        quota = _quota(shares, len(self._members))
        # Those that had to come displace nobody.
        return always | _share(
            shares, self._members - always, free, quota - len(fixed), quota - len(always)
        ), call

    def _for_other(self, turn: Turn, shares: Shares) -> tuple[frozenset[MemberCode], frozenset[MemberCode]]:
        dialled = frozenset(one for one in self._members if turn.parts.dialling.may_dial(turn, one))
        may = dialled - shares.called
        quota = _quota(shares, len(self._members))
        return _share(shares, may, may - shares.holders.keys(), quota, quota), frozenset()

    def refused(self, turn: Turn, member: MemberCode) -> None:
        """Note that a member called that another replica holds; call it home if that goes on."""
        now, caller = turn.now.steady, self._callers.get(member)
        if caller is None or now - caller.last > DAY:
            caller = self._callers[member] = _Caller(now, now, now)
        if now - caller.last > MINUTE:
            caller.first = now
        caller.last = now
        if now - caller.first >= CALLS and caller.until <= now:
            caller.first, caller.until = now, Instant(now + min(MINUTE << caller.times, DAY))
            caller.times += 1

    def pass_on(self, turn: Turn, member: MemberCode, message: Gap | LogAsk | Instant | None) -> None:
        """Let the replica that holds a member ask it; or tell the others what it says (``PassOn``)."""
        if self._together:
            turn.do(PassOn(member, message))


def _members(turn: Turn) -> frozenset[MemberCode]:
    trust = turn.node.trust
    return frozenset(one for one in trust.partners if one not in trust.excluded)


def _share(
    shares: Shares, members: frozenset[MemberCode], free: frozenset[MemberCode], most: int, room: int
) -> frozenset[MemberCode]:
    """Return which of these members a replica keeps, ``most``, and which free ones it takes, up to ``room``
    in all.
    """
    held = sorted(one for one in members if shares.holders.get(one) == shares.replica)
    kept = held[: max(most, 0)]
    # Several that take at once begin at different places.
    order = sorted(free)
    start = shares.replicas.index(shares.replica) * len(order) // len(shares.replicas)
    return frozenset((*kept, *(order[start:] + order[:start])[: max(room - len(kept), 0)]))


def _quota(shares: Shares, members: int) -> int:
    """Return how many members are this replica's share."""
    base, extra = divmod(members, len(shares.replicas))
    counts = Counter(shares.holders.values())
    order = sorted(shares.replicas, key=lambda one: (-min(counts[one], base + 1), one))
    return base + (order.index(shares.replica) < extra)
