"""All links of a node: which exist, which of two to one peer stays, and what happens when one ends.

If both members dial at once, the link dialled by the member whose code sorts first stays. Otherwise a new
link ends the old one before its hello is answered: a peer that dials again knows that the old one is dead,
even if this side cannot know it yet (half-open).

If an incarnation comes back after a newer one of its node was met, both are running: two live copies of one
folder. The newer one is served; the older is turned away at its hello (TWO_INSTANCES), and keeps dialling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Gap
from intelshare.engine.actions import Close, Opened, Tell
from intelshare.engine.budgets import Passing
from intelshare.engine.events import Accepted
from intelshare.engine.greeting import LinkState
from intelshare.engine.peer_link import PeerLink
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.ids import Incarnation, MemberCode, NodeUri
from intelshare.instant import MINUTE, Instant

MAX_LATER: Final = 256
"""Requests that wait for a link to one member. A hello asks for what is missing of each stream anyway."""

DOUBLED: Final = 30 * MINUTE
"""The time, on the steady clock, for which a node seen in two instances is reported as running twice."""

REMEMBERED: Final = 64
"""The most incarnations of a node that are told apart."""


class Links:
    """The links of a node: all by number, and the open ones by node, at most one each."""

    def __init__(self) -> None:
        self._all: dict[LinkId, PeerLink] = {}
        self._open: dict[NodeUri, PeerLink] = {}
        self._serving: dict[MemberCode, PeerLink] = {}
        """The newest of several open links to one member."""
        self._greeting: dict[LinkId, PeerLink] = {}
        """The links in their hello."""
        self._paused: dict[LinkId, Instant] = {}
        """The links that are not read until then: their peer has spent its budget."""
        self._seen: dict[NodeUri, Instant] = {}
        """When the last open link to a node ended."""
        self._met: dict[NodeUri, list[Incarnation]] = {}
        """The incarnations of a node that were met, the newest last."""
        self._doubled: dict[NodeUri, Instant] = {}
        """The nodes of which two run at once, and when that was last seen, on the steady clock."""
        self._later: dict[MemberCode, list[Gap | LogAsk]] = {}
        """The requests that wait for a link to a member."""
        self._made = 0

    def new(self) -> LinkId:
        """Return a number for a new link."""
        self._made += 1
        return LinkId(self._made)

    def add(self, link: PeerLink) -> None:
        """Add a link that is dialled or was accepted."""
        self._all[link.number] = self._greeting[link.number] = link

    def get(self, number: LinkId | None) -> PeerLink | None:
        """Return the link with this number, if it has not ended."""
        return self._all.get(number) if number is not None else None

    def to(self, node: NodeUri) -> PeerLink | None:
        """Return the open link to a peer node."""
        return self._open.get(node)

    def seen(self, node: NodeUri) -> Instant:
        """Return when the last open link to a node ended, by wall time; 0: never."""
        return self._seen.get(node, Instant(0))

    def ask_later(self, member: MemberCode, message: Gap | LogAsk) -> None:
        """Ask when a link opens: its hello may have been made before there was anything to ask."""
        waiting = self._later.setdefault(member, [])
        if message not in waiting and len(waiting) < MAX_LATER:
            waiting.append(message)

    def asked_later(self, member: MemberCode) -> list[Gap | LogAsk]:
        """Return what waited for a link to this member, once."""
        return self._later.pop(member, [])

    def of_member(self, member: MemberCode) -> PeerLink | None:
        """Return the link over which a member is served: the newest if several are open."""
        return self._serving.get(member)

    def newest(self) -> list[PeerLink]:
        """Return the link of each member, in the order of members."""
        return [self._serving[member] for member in sorted(self._serving)]

    def all(self) -> list[PeerLink]:
        """Return all links, including those in their hello, in the order in which they began."""
        return list(self._all.values())

    @property
    def settled(self) -> bool:
        """True if linked peers have taken everything, and know how the last checkpoint follows."""
        return all(link.settled for link in self._open.values())

    def attempt(self, turn: Turn, number: LinkId | None, do: Callable[[PeerLink], None]) -> None:
        """Do something with a link that still exists; an error ends the link."""
        link = self.get(number)
        if link is None:
            return
        try:
            do(link)
        except IntelshareError as error:
            self.end(turn, link, error)

    def queued_again(self, turn: Turn, member: MemberCode) -> None:
        """Let the link over which a member is served load what was queued for it again."""
        if (link := self.of_member(member)) is not None:
            link.queue.more = True
        turn.parts.sender.look_at(turn, [member])

    def accept(self, turn: Turn, event: Accepted) -> None:
        """Begin the hello of a stream that a peer node has opened, or turn it away."""
        limits = turn.parts.limits
        link = PeerLink(event.link, event.member, event.node, turn.now.steady, limits, dialled=False)
        link.greeting.channel = event.channel
        link.certificate, link.between = event.certificate, event.between
        streams = [one for one in self._all.values() if one.node == event.node and not one.dialled]
        self.add(link)
        try:
            if turn.parts.stopping.begun:
                raise DeliveryError("RATE", "this node is about to stop")
            turn.parts.budgets.need(event.member, Passing.LINKS, turn.now.steady)
            if turn.parts.dividing.elsewhere(event.member):
                turn.parts.dividing.refused(turn, event.member)
                raise DeliveryError(
                    "RATE", f"another replica of this node has the links with {event.member}, and dials"
                )
            if len(streams) >= limits.streams:
                raise DeliveryError("RATE", f"more than {limits.streams} links at once")
            if not self.doubled(event.node, turn.now.steady):  # otherwise its hello decides
                self.make_way(turn, link)
        except DeliveryError as error:
            self.end(turn, link, error)

    def doubled(self, node: NodeUri, steady: Instant) -> bool:
        """Return True if two instances of this node were seen lately."""
        seen = self._doubled.get(node)
        return seen is not None and steady - seen < DOUBLED

    def check_instance(self, turn: Turn, link: PeerLink, incarnation: Incarnation) -> None:
        """Note the incarnation that a hello has proved. Raises DeliveryError TWO_INSTANCES for one that a
        newer one has followed: a node never goes back to an earlier incarnation by itself.
        """
        met = self._met.setdefault(link.node, [])
        if incarnation in met[:-1]:
            self._doubled[link.node] = turn.now.steady
            raise DeliveryError(
                "TWO_INSTANCES",
                f"{link.node} runs twice: a newer instance of it was met since",
                hint="one of the two is a copy of the other's folder: stop it",
            )
        if incarnation not in met:
            met.append(incarnation)
            del met[:-REMEMBERED]

    def make_way(self, turn: Turn, link: PeerLink) -> None:
        """Decide between an accepted link and existing ones.

        Raises DeliveryError RATE if the existing one stays.
        """
        ours_first = turn.node.member < link.member
        dialled = next(
            (one for one in self._all.values() if one.dialled and not one.open and one.node == link.node),
            None,
        )
        present = self._open.get(link.node)
        fresh = (
            present is not None
            and present.dialled
            and turn.now.steady - present.opened_at < turn.parts.limits.hello
        )
        if ours_first and (dialled is not None or fresh):
            raise DeliveryError("RATE", "both nodes dialled at once, and the other link stays")
        for older in (dialled, present):
            if older is not None and older is not link:
                self.end(turn, older)

    def opened(self, turn: Turn, link: PeerLink) -> None:
        """Note that the hello of this link is over: from now on the peer node is served over it."""
        old = self._open.get(link.node)
        if old is not None:
            self.end(turn, old)
        self._open[link.node] = self._serving[link.member] = link
        del self._greeting[link.number]
        turn.do(Opened(link.number, link.node, link.dialled, link.clock.offset))
        turn.parts.dialling.opened(link.node)
        turn.parts.sender.wake(turn, [link.member])
        turn.parts.fetching.wake(turn, [link.member])
        turn.parts.mending.linked(turn)

    def end(self, turn: Turn, link: PeerLink, error: IntelshareError | None = None) -> None:
        """End a link from this side; the peer is told why."""
        if link.number in self._all:
            turn.do(Close(link.number, error))
            self.closed(turn, link, error.code if error is not None else "")

    def closed(self, turn: Turn, link: PeerLink, code: str) -> None:
        """Remove a link that has ended."""
        self._all.pop(link.number, None)
        self._greeting.pop(link.number, None)
        self._paused.pop(link.number, None)
        if self._open.get(link.node) is link:
            del self._open[link.node]
        if self._serving.get(link.member) is link:
            del self._serving[link.member]
            for other in self._open.values():
                if other.member == link.member:
                    self._serving[link.member] = other
        if link.open:
            self._seen[link.node] = turn.now.wall
            turn.tell(link.member, Tell(Notice.LINK_CLOSED, link.node, code))
        elif link.met is not None:
            # It was met but not opened: the effects for others are due all the same.
            turn.carry_out(link.met.part(lambda answer: answer.effects))
        turn.parts.answers.dropped(link.number)
        turn.parts.sender.dropped(link.member, link.number)
        turn.parts.fetching.dropped(turn, link.number)
        turn.parts.dialling.ended(turn, link, code)

    def look(self, turn: Turn) -> None:
        """Once a second, end what must not go on, and ask for gaps again."""
        for link in self.all():
            try:
                link.check(turn)
            except IntelshareError as error:
                self.end(turn, link, error)
            else:
                if link.open:
                    link.look_for_gaps(turn)

    def late(self, turn: Turn) -> None:
        """End the links whose hello has taken too long."""
        for link in self._in_hello():
            if turn.now.steady >= link.overdue:
                seconds = turn.parts.limits.hello / 1_000_000
                late = DeliveryError("RATE", f"no hello within {seconds:g} s")
                self.end(turn, link, link.refusal or late)

    def pause(self, link: PeerLink, until: Instant) -> None:
        """Read nothing from this link until then."""
        self._paused[link.number] = until

    def resume(self, turn: Turn) -> None:
        """Read on where a pause is over."""
        for number in [number for number, at in self._paused.items() if at <= turn.now.steady]:
            del self._paused[number]
            self._all[number].resume(turn)

    def next_at(self) -> Instant | None:
        """Return when the next hello is overdue, or a pause is over."""
        if not self._greeting and not self._paused:
            return None
        late = [link.overdue for link in self._in_hello()]
        return min([*late, *self._paused.values()], default=None)

    def end_all(self, turn: Turn) -> None:
        """End every link."""
        for link in self.all():
            self.end(turn, link)

    def _in_hello(self) -> list[PeerLink]:
        """Return the links with a stream: a link that is still dialling has the driver's deadline."""
        return [one for one in self._greeting.values() if one.state is not LinkState.DIALLING]
