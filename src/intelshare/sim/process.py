"""One start of a node: carries out the broker's plans as the asyncio runtime does, over virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.effects import HasEffects
from intelshare.broker.kernel.frame import Frame, Outbound
from intelshare.broker.kernel.node import Node, with_acts
from intelshare.broker.lifecycle.destroy import marked
from intelshare.broker.lifecycle.stop import anything_over
from intelshare.broker.line.receive import Arrival, ReceiveResult
from intelshare.broker.transparency.checkpoint import EVERY, due
from intelshare.delivery import Backoff
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.node.clock import Clock
from intelshare.policy import Snapshot
from intelshare.ports import Plan, Random, Scalar, View
from intelshare.sim.disk import Disk
from intelshare.sim.link import Link
from intelshare.sim.network import Network
from intelshare.sim.sender import Sender

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.oracle import Oracle

_HOUSEKEEPING = SECOND

_LATE = 10 * SECOND

_QUIET = 2 * EVERY // SECOND


class _Late:
    """What is to happen when a step that was put off is durable."""

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then

    def __call__(self, answer: Any) -> None:
        self._then(answer)


class Process:
    """Dies whole: nothing that it began goes on after a crash."""

    def __init__(
        self,
        machine: Machine,
        node: Node,
        clock: Clock,
        network: Network,
        oracle: Oracle,
        random: Random,
    ) -> None:
        self.name = machine.name
        self.heap = machine.heap
        self.node = node
        self.clock = clock
        self.oracle = oracle
        self.random = random
        self.alive = True
        self.forgets = machine.forgets
        self.serving = False
        self.links: dict[MemberCode, Link] = {}
        self.stepped = EPOCH
        """When the step ran whose effects happen now."""
        self.machine = machine
        self._network = network
        self._backoffs: dict[str, Backoff] = {}
        self._pump = Sender(self, machine.batch)
        self._reviewed: Snapshot | None = None
        self._shredding = False
        self._commits = self._quiet = 0

    @property
    def disk(self) -> Disk:
        """The machine's."""
        return self.machine.disk

    @property
    def view(self) -> View:
        """The rows as the writer sees them."""
        return self.machine.disk.view

    def now(self) -> Instant:
        """Wall time of this machine."""
        return self.machine.now()

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
        machine, now = self.machine, self.now()
        try:
            plan = machine.bug.steps[name](self.node, self.view, *event, now, self.random)
        except IntelshareError as error:
            if refused is None:
                raise
            refused(error)
            return
        if name in machine.bug.swaps_first and not isinstance(then, _Late):
            self._swap_first(name, event, plan, then, refused)
            return
        self.heap.note(self.name, name, len(plan.writes))
        self.oracle.planned(self, name, event, plan, now)
        answer = plan.answer

        def done() -> None:
            if self.alive:
                self.stepped = now
                then(answer)

        if name in machine.bug.early:
            self._swap(answer)
            self.heap.after(0, done)
            machine.commit(plan, lambda: None)
        else:
            self._swap(answer)
            machine.commit(plan, done)

    def _swap_first(self, name: str, event: Any, plan: Plan[Any], then: Any, refused: Any) -> None:
        """A planted bug: the new world is in memory now, and its act is written ten seconds later."""
        before = set(self.node.world.acts)
        self._swap(plan.answer)
        added = set(self.node.world.acts) - before

        def write() -> None:
            self.node = with_acts(self.node, [act for act in self.node.world.acts if act not in added])
            self.perform(name, *event, then=_Late(then), refused=refused)

        self.heap.after(_LATE, write)

    def _swap(self, answer: Any) -> None:
        """The node from now on. Memory may run ahead of the disk here: a crash takes both back together."""
        effects = getattr(answer, "effects", None)
        node = effects.node if effects is not None else None
        if node is not None:
            changed = node.trust is not self.node.trust
            self.node = node
            if changed:
                for member in self.links:
                    self.wake(member)

    def receive(self, peer: MemberCode, frame: Frame, then: Callable[[ReceiveResult], None]) -> None:
        """Take a frame of a peer."""
        arrival = Arrival(peer, self.uri_of(peer), frame, not self.clock.wrong())
        self.perform("receive", arrival, then=then)

    def begin(self, peers: tuple[str, ...]) -> None:
        """A new incarnation; it serves once that is durable."""
        self.perform("begin", then=lambda _: self._serve(peers))

    def _serve(self, peers: tuple[str, ...]) -> None:
        self.serving = True
        self._destroy()
        for peer in peers:
            if self.name < peer:
                self._backoffs[peer] = Backoff(contact=self.now())
                self._dial(peer)
        self.heap.after(_HOUSEKEEPING, self._keep_house)

    def _keep_house(self) -> None:
        """What is over ends; what the clock has changed is reviewed; where the log stands is said."""
        if not self.alive:
            return
        self.heap.after(_HOUSEKEEPING, self._keep_house)
        if not self.clock.wrong():
            self._pump.clock_is_right()
            if anything_over(self.view, self.now()):
                self.perform("expire", then=self._expired)
            self._review()
        if self._idles():
            return
        if due(self.node, self.view, self.now()):
            # Stored, in the sidecar, and only then sent (c19).
            early = "checkpoint" in self.machine.bug.early
            self.perform(
                "checkpoint",
                then=self.carry_out if early else lambda led: self._remember(lambda: self.carry_out(led)),
            )
        else:
            self._remember(lambda: None)

    def _idles(self) -> bool:
        """Nothing was written for so long that no checkpoint can be due: seconds without end need no look."""
        commits = self.disk.commits
        self._quiet = self._quiet + 1 if commits == self._commits else 0
        self._commits = commits
        return self._quiet > _QUIET

    def _remember(self, then: Callable[[], None]) -> None:
        self.machine.remember(self.node.incarnation, then)

    def _expired(self, led: HasEffects) -> None:
        self.oracle.expired(self)
        self.carry_out(led)

    def _review(self) -> None:
        """If the world has changed, by an act, a document or the clock: stop what may not go any more."""
        present = self.node.world.at(self.now())
        if present is self._reviewed:
            return

        def reviewed(answer: Any) -> None:
            self.carry_out(answer)
            if answer.after:
                self._go_on(answer.after, reviewed)
            else:
                self._reviewed = present

        self._go_on((), reviewed)

    def _go_on(self, after: tuple[Scalar, ...], then: Callable[[Any], None]) -> None:
        self.perform("review", after, then=then)

    def carry_out(self, led: HasEffects) -> None:
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
            self._destroy()

    def _destroy(self) -> None:
        """What is marked is shredded, and only then signed for (c16); marks that come meanwhile wait."""
        bulletins = marked(self.view)
        if self._shredding or not bulletins:
            return
        self._shredding = True

        def finished(led: HasEffects) -> None:
            self._shredding = False
            self.carry_out(led)
            self._destroy()

        self.machine.shred(lambda: self.perform("finish", bulletins, then=finished))

    def _dial(self, peer: str) -> None:
        if not self.alive:
            return
        self.heap.after(self._network.way(self.name, peer), lambda: self._connect(peer))

    def _connect(self, peer: str) -> None:
        other = self.machine.others[peer].process
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

    def wake(self, member: MemberCode | None = None) -> None:
        """Something changed: a window, or (``member``) a pair of this peer became ready."""
        self._pump.wake(member)

    def say(self, said: tuple[Outbound, ...]) -> None:
        """Hand durable statements to whatever links are open."""
        for link in self.links.values():
            link.hand(said)
