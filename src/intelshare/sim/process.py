"""One start of a node: carries out the broker's plans as the asyncio shell does, over virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from intelshare.broker.checkpoint import due
from intelshare.broker.destroy import marked
from intelshare.broker.effects import Led
from intelshare.broker.end import anything_over
from intelshare.broker.frame import Frame, Outbound
from intelshare.broker.handover import first_ready
from intelshare.broker.lists import queued
from intelshare.broker.node import Node
from intelshare.broker.receive import Arrival, Taken
from intelshare.broker.resend import first_pending
from intelshare.delivery import Backoff
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import SECOND, Instant
from intelshare.ports import Random, View
from intelshare.sim.link import Link
from intelshare.sim.network import Network

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle

_HOUSEKEEPING = 10 * SECOND

_SMALLEST = 1536
"""As hand-over counts: so much room is one release."""


class Process:
    """Dies whole: nothing that it began goes on after a crash."""

    def __init__(
        self, machine: Machine, node: Node, network: Network, oracle: Oracle, random: Random
    ) -> None:
        self.name = machine.name
        self.heap = machine.heap
        self.node = node
        self.oracle = oracle
        self.random = random
        self.alive = True
        self.forgets = machine.forgets
        self.serving = False
        self.links: dict[MemberCode, Link] = {}
        self._machine = machine
        self._network = network
        self._ready: dict[MemberCode, int] = {}
        self._pumping = 0
        self._pump_due = False
        self._timer = 0
        self._backoffs: dict[str, Backoff] = {}

    @property
    def view(self) -> View:
        """The rows as the writer sees them."""
        return self._machine.disk.view

    def now(self) -> Instant:
        """Wall time of this machine."""
        return self._machine.now()

    def uri_of(self, peer: MemberCode) -> NodeUri:
        """The node of a peer."""
        directory = self.node.trust.members[peer].directory
        assert directory is not None  # noqa: S101 - every member of the simulation has one
        return directory.nodes[0].uri

    def perform(
        self,
        name: str,
        *event: Any,
        then: Callable[[Any], None],
        refused: Callable[[IntelshareError], None] | None = None,
    ) -> None:
        """Run a step now; ``then`` with its answer once it is durable. Without ``refused`` none may raise."""
        if not self.alive:
            return
        machine = self._machine
        try:
            plan = machine.bug.steps[name](self.node, self.view, *event, self.now(), self.random)
        except IntelshareError as error:
            if refused is None:
                raise
            refused(error)
            return
        self.heap.note(self.name, name, len(plan.writes))
        answer = plan.answer
        # Memory may run ahead of the disk here only because a crash takes both back together.
        effects = getattr(answer, "effects", None)
        if effects is not None and effects.node is not None:
            self.node = effects.node
        if name in machine.bug.early:
            self.heap.after(0, lambda: then(answer) if self.alive else None)
            machine.commit(plan, lambda: None)
        else:
            machine.commit(plan, lambda: then(answer))

    def receive(self, peer: MemberCode, frame: Frame, then: Callable[[Taken], None]) -> None:
        """Take a frame of a peer."""
        self.perform("receive", Arrival(peer, self.uri_of(peer), frame), then=then)

    def serve(self, peers: tuple[str, ...]) -> None:
        """The incarnation is durable: dial, and answer."""
        self.serving = True
        self._sign_destroyed()
        for peer in peers:
            if self.name < peer:
                self._backoffs[peer] = Backoff(contact=self.now())
                self._dial(peer)
        self.heap.after(_HOUSEKEEPING, self._keep_house)

    def _keep_house(self) -> None:
        """What is over ends by itself."""
        if not self.alive:
            return
        self.heap.after(_HOUSEKEEPING, self._keep_house)
        if anything_over(self.view, self.now()):
            self.perform("expire", then=self.carry_out)
        if due(self.node, self.view, self.now()):
            self.perform("checkpoint", then=self.carry_out)

    def carry_out(self, led: Led) -> None:
        """What durable writes lead to."""
        effects = led.effects
        for peer, leaf in effects.ended:
            if peer in self.links:
                self.links[peer].queue.acknowledged(leaf, self.now())
        self.say(effects.outbound)
        for peer, ask in effects.asks:
            if peer in self.links:
                self.links[peer].ask_about(ask)
        for peer in sorted(effects.ready):
            self.wake(peer)
        if effects.marked:
            self._sign_destroyed()

    def _sign_destroyed(self) -> None:
        """The disk of the simulation has no bytes to shred: what is durable is deleted."""
        bulletins = marked(self.view)
        if bulletins:
            self.perform("finish", bulletins, then=self.carry_out)

    def _dial(self, peer: str) -> None:
        if not self.alive:
            return
        self.heap.after(self._network.way(self.name, peer), lambda: self._connect(peer))

    def _connect(self, peer: str) -> None:
        other = self._machine.others[peer].process
        reachable = not (self._network.is_cut(self.name, peer) or self._network.is_cut(peer, self.name))
        if not self.alive or MemberCode(peer) in self.links:
            return
        if not reachable or other is None or not other.serving or not other.alive:
            self._again(peer)
            return
        mine, theirs = Link(self, peer, dialled=True), Link(other, self.name, dialled=False)
        mine.wire = theirs.wire = self._network.open(mine, theirs)
        other.accept(theirs)
        self.links[mine.peer] = mine
        mine.dial()

    def accept(self, link: Link) -> None:
        """A peer has dialled: it knows that an older link is dead, even if this side cannot know yet."""
        old = self.links.pop(link.peer, None)
        if old is not None:
            old.broken()
        self.links[link.peer] = link

    def lost(self, link: Link) -> None:
        """A link is known to be gone."""
        if self.links.get(link.peer) is link:
            del self.links[link.peer]
            if self.name < link.peer:
                self._again(link.peer)

    def _again(self, peer: str) -> None:
        backoff = self._backoffs[peer] = self._backoffs[peer].failed()
        self.heap.after(backoff.delay(self.now(), self.random), lambda: self._dial(peer))

    def say(self, said: tuple[Outbound, ...]) -> None:
        """Hand durable statements to whatever links are open."""
        for link in self.links.values():
            link.hand(said)

    # The pump: keeps links full.

    def wake(self, member: MemberCode | None = None) -> None:
        """Something changed: a window, or (``member``) a pair of this peer became ready."""
        if member is not None:
            self._ready[member] = -1
        if not self._pump_due:
            self._pump_due = True
            self.heap.after(0, self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if not self.alive or self._pumping:
            return
        now = self.now()
        rooms: dict[MemberCode, int] = {}
        again: list[tuple[Link, int]] = []
        for member in sorted(self.links):
            link = self.links[member]
            if not link.open:
                continue
            link.queue.due(now)
            room = link.queue.room()
            if room <= 0:
                continue
            if link.queue.more and not (member in self._ready and self._fresh_first(member)):
                again.append((link, room))
            elif member in self._ready:
                rooms[member] = min(room, self._machine.batch * _SMALLEST - 1)
        self._pumping = len(again) + bool(rooms)
        for link, room in again:
            self._send_again(link, room)
        if rooms:
            self.perform("handover", rooms, then=lambda said: self._handed(rooms, said))
        if not self._pumping:
            self._wait()

    def _send_again(self, link: Link, room: int) -> None:
        def loaded(found: tuple[tuple[Outbound, ...], bool]) -> None:
            link.queue.more = found[1]
            link.hand(found[0])
            self._pumped()

        self.perform("resend", link.peer, link.queue.busy(self.now()), room, then=loaded)

    def _handed(self, rooms: dict[MemberCode, int], said: tuple[Outbound, ...]) -> None:
        self.say(said)
        served = [outbound.peer for outbound in said]
        for member in rooms:
            if member in served:
                continue
            left = queued(self.view, member)[0]
            if not left or left == self._ready.get(member):
                self._ready.pop(member, None)
            else:
                self._ready[member] = left
        self._pumped()

    def _pumped(self) -> None:
        self._pumping -= 1
        if not self._pumping:
            self.wake()

    def _fresh_first(self, member: MemberCode) -> bool:
        ready, pending = first_ready(self.view, member), first_pending(self.view, member)
        return ready is not None and (pending is None or ready < pending.rank)

    def _wait(self) -> None:
        now = self.now()
        due = [at for link in self.links.values() if (at := link.queue.due(now)) is not None]
        if due:
            self._timer += 1
            timer = self._timer
            self.heap.after(min(due) - now, lambda: self.wake() if timer == self._timer else None)
