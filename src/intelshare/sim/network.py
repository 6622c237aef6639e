"""The network between nodes: messages in order within a link, but late, lost, repeated, cut off or reset."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final, Protocol

from intelshare.sim.chance import stream
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.plan import Fault, FaultPlan


class End(Protocol):
    """One side of a link, in one process."""

    name: str

    def arrived(self, message: bytes) -> None:
        """Take a message from the other side."""

    def broken(self) -> None:
        """Handle that this side has noticed that the link is gone. May be called more than once."""


_MOST: Final = 20
"""The most links of a node to a peer after faults: four of them are many."""


class Wire:
    """One connection of two processes. Either direction can be dead without anybody knowing."""

    def __init__(self, network: Network, dialler: End, acceptor: End) -> None:
        self.network = network
        self.ends = {dialler.name: dialler, acceptor.name: acceptor}
        self._others = {dialler.name: acceptor.name, acceptor.name: dialler.name}
        self._dead: dict[str, bool] = dict.fromkeys(self.ends, False)
        self._last: dict[str, int] = dict.fromkeys(self.ends, 0)
        self._flying: dict[str, list[int]] = {name: [] for name in self.ends}
        self._spared: dict[int, None] = {}
        self._made = 0

    def other(self, name: str) -> str:
        """Return the name of the other side."""
        return self._others[name]

    def send(self, sender: str, message: bytes) -> None:
        """Send one message; nobody knows whether it arrives."""
        network, receiver = self.network, self.other(sender)
        self.network.passes(self, sender, receiver, message)
        if self._dead[sender] or network.is_cut(sender, receiver):
            return
        at = max(self._last[sender], network.heap.now + network.way(sender, receiver))
        self._last[sender] = at
        self._made += 1
        number = self._made
        self._flying[sender].append(number)
        network.heap.after(at - network.heap.now, lambda: self._deliver(sender, receiver, number, message))

    def _deliver(self, sender: str, receiver: str, number: int, message: bytes) -> None:
        if number in self._flying[sender]:
            self._flying[sender].remove(number)
        if self._dead[sender] and number not in self._spared:
            return
        self.network.heap.note("arrives", sender, receiver, data=message)
        self.ends[receiver].arrived(message)

    def close(self, sender: str) -> None:
        """Let ``sender`` end the connection; the other side learns of it after the messages that are on the
        way to it.
        """
        receiver = self.other(sender)
        if self._dead[sender] or self.network.is_cut(sender, receiver):
            self.network.heap.after(self.network.notice(), self.ends[receiver].broken)
            return
        at = max(self._last[sender], self.network.heap.now + self.network.way(sender, receiver))
        self.network.heap.after(at - self.network.heap.now, self.ends[receiver].broken)

    def silence(self, sender: str) -> None:
        """Drop everything that ``sender`` has on the way or sends from now on; both sides notice later."""
        self._dead[sender] = True
        for end in self.ends.values():
            self.network.heap.after(self.network.notice(), end.broken)

    def reset(self, spare: int) -> None:
        """Cut the link at once, noticed within a message's time; the first ``spare`` messages each way still
        arrive.
        """
        for name, flying in self._flying.items():
            if not self._dead[name]:
                self._spared.update(dict.fromkeys(flying[:spare]))
            self._dead[name] = True
        for name, end in self.ends.items():
            self.network.heap.after(self.network.way(self.other(name), name), end.broken)


class Network:
    """All links, and the faults that the plan applies to them."""

    def __init__(self, plan: FaultPlan, heap: Heap, repeated: Callable[[str, str, bytes], None]) -> None:
        """Make the network. ``repeated(sender, receiver, message)`` is called when a message arrives a second
        time.
        """
        self.heap = heap
        self._knobs = plan.knobs
        self._chance = {
            (a, b): stream(plan.seed, "network", a, b)
            for a in plan.members()
            for b in plan.members()
            if a != b
        }
        self._notices = stream(plan.seed, "notices")
        self._sent: Counter[tuple[str, str]] = Counter()
        self._cut: Counter[tuple[str, str]] = Counter()
        self._parted: frozenset[tuple[str, str]] = frozenset()
        self._numbered: dict[tuple[str, str, int], list[Fault]] = defaultdict(list)
        for fault in plan.faults:
            if fault.kind in {"lose", "repeat"}:
                self._numbered[fault.node, fault.peer, fault.number].append(fault)
        self.wires: dict[tuple[str, str], Wire] = {}
        """The newest wire of each pair, by (dialler, acceptor)."""
        self._repeated = repeated
        self._healed = False
        self._links: Counter[tuple[str, str]] = Counter()
        """The links of each node to each peer since faults are over."""

    def way(self, sender: str, receiver: str) -> int:
        """Return the microseconds that a message takes now."""
        chance = self._chance[sender, receiver]
        return self._knobs.delay + chance.randrange(self._knobs.jitter + 1)

    def notice(self) -> int:
        """Return the microseconds until a side notices a silent link."""
        return self._knobs.silence // 4 + self._notices.randrange(self._knobs.silence)

    def open(self, dialler: End, acceptor: End) -> Wire:
        """Open a new connection."""
        wire = self.wires[dialler.name, acceptor.name] = Wire(self, dialler, acceptor)
        return wire

    def passes(self, wire: Wire, sender: str, receiver: str, message: bytes) -> None:
        """Count a message, and apply the plan's faults to it."""
        self._sent[sender, receiver] += 1
        if self.heap.now > self._knobs.lasts:
            return
        for fault in self._numbered.get((sender, receiver, self._sent[sender, receiver]), ()):
            self.heap.note(fault.kind, sender, receiver)
            if fault.kind == "lose":
                wire.silence(sender)
            if fault.kind == "repeat" or fault.lasts:
                self.heap.after(
                    self._knobs.delay + fault.lasts, lambda: self._repeated(sender, receiver, message)
                )

    def sent_by(self, name: str) -> int:
        """Return the number of messages that a node has sent to others."""
        return sum(count for (sender, _), count in self._sent.items() if sender == name)

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Return True if nothing gets from one to the other now."""
        return self._cut[sender, receiver] > 0 or (sender, receiver) in self._parted

    def cut(self, fault: Fault) -> None:
        """Cut two nodes off from each other, for the fault's time; links between them fall silent."""
        ways = [(fault.node, fault.peer), (fault.peer, fault.node)][: 1 if fault.window == "one-way" else 2]
        self._cut.update(ways)
        for wire in self._between(fault.node, fault.peer):
            for sender, _ in ways:
                wire.silence(sender)
        self.heap.after(fault.lasts, lambda: self._cut.subtract(ways))

    def part(self, one: str, other: str) -> None:
        """Cut two nodes off from each other for good."""
        self._parted = frozenset(((one, other), (other, one)))

    def heal(self) -> None:
        """End all other cuts: from now on links stay."""
        self._cut.clear()
        self._healed = True

    def linked(self, name: str, peer: str) -> None:
        """Note that a node has a link. Raises Violation I9 if it has one after the other, without an end."""
        if not self._healed or self._knobs.hostile in (name, peer):
            return
        self._links[name, peer] += 1
        if self._links[name, peer] > _MOST:
            raise Violation("I9", f"links of {name} and {peer} come and go, though faults are over")

    def reset(self, fault: Fault) -> None:
        """Reset the link of two nodes."""
        for wire in self._between(fault.node, fault.peer):
            wire.reset(fault.keep)

    def _between(self, a: str, b: str) -> list[Wire]:
        return [wire for pair in ((a, b), (b, a)) if (wire := self.wires.get(pair)) is not None]
