"""One run of a plan: faults for a time, then no faults and every node up until all is quiet; then the
checks.
"""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from intelshare.broker.kernel.frame import Frame
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.tables import PAIR
from intelshare.delivery import status_of
from intelshare.engine.events import Received
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, SECOND
from intelshare.sim.bugs import NONE, Bug
from intelshare.sim.ending import check_safety, finish
from intelshare.sim.heap import Heap, Violation
from intelshare.sim.losses import excuse_unnoticed
from intelshare.sim.machine import Machine
from intelshare.sim.mending import settle_damaged
from intelshare.sim.network import Network
from intelshare.sim.oracle import Oracle
from intelshare.sim.plan import Fault, FaultPlan
from intelshare.sim.quiet import honest, quiet
from intelshare.sim.replicated import ReplicatedMachine
from intelshare.sim.rotation import import_directories
from intelshare.sim.snapshots import Snapshot, of_backup, of_disk, of_folder
from intelshare.sim.stream import Stream
from intelshare.sim.users import believe_clock, schedule
from intelshare.wire import read_message

SETTLE = 30 * MINUTE
"""The virtual time within which everything must be delivered once faults are over."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run. ``violation`` is None if everything held."""

    plan: FaultPlan
    violation: Violation | None
    trace: str
    events: int
    virtual: int
    words: Counter[str]
    counts: Counter[str]
    ends: Mapping[tuple[str, str, str], str]
    """By idempotency key, sender and recipient, how an honest pair has ended."""
    steps: int
    """The steps of all honest nodes."""
    heard: int
    """The messages that honest nodes have got from a hostile one, over links and in bundles."""
    taken: Counter[str]
    """The rows taken of the tables of promises.md."""
    lines: tuple[str, ...]


def run(plan: FaultPlan, bug: Bug = NONE, *, keep_trace: bool = False) -> Result:
    """Run a plan to its end, or to the first violation.

    Garbage is collected once, after it. Most of what a run makes lives until its end, so that collections in
    between find little, and they cost more the more the process holds besides.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        return _run(plan, bug, keep_trace)
    finally:
        gc.collect(1)
        if was_on:
            gc.enable()


def _run(plan: FaultPlan, bug: Bug, keep_trace: bool) -> Result:
    heap = Heap(keep_trace)
    oracle = Oracle(heap, plan.members(), plan.knobs.hostile)
    machines: dict[str, Machine] = {}
    network = Network(plan, heap, _Repeats(machines))
    together = plan.knobs.together.split()
    machines |= {
        name: (ReplicatedMachine if name in together else Machine)(name, plan, heap, network, oracle, bug)
        for name in plan.members()
    }
    violation = None
    try:
        _play(plan, heap, oracle, machines, network)
    except Violation as found:
        violation = found
    except Exception as error:
        violation = defect_of(error)
    return Result(
        plan, violation, heap.trace(), heap.events, heap.now, oracle.words, oracle.counts,
        _ends(oracle, machines), sum(one.disk.commits for one in honest(machines).values()),
        network.sent_by(plan.knobs.hostile) + oracle.brought[plan.knobs.hostile],
        oracle.taken, tuple(heap.lines or ()),
    )  # fmt: skip


def _play(
    plan: FaultPlan, heap: Heap, oracle: Oracle, machines: dict[str, Machine], network: Network
) -> None:
    """Start all nodes, let happen what the plan says, and check what came of it. Raises Violation."""
    for machine in machines.values():
        machine.others = machines
        machine.start()
        if machine.hostile is not None:
            machine.hostile.begin(machine.running, heap.after)
    schedule(plan, machines, heap, oracle)
    for fault in plan.faults:
        _schedule(fault, machines, network, heap, oracle)
    parted = plan.knobs.parted.split()
    if parted:
        network.part(*parted)
    heap.run(plan.knobs.lasts)
    if plan.knobs.endless:
        check_safety(oracle, machines)
    else:
        _settle(heap, oracle, machines, network)


def defect_of(error: Exception) -> Violation:
    """Return the violation of a run that an error has ended: any error, so that later seeds are run too."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    kind = error.code if isinstance(error, IntelshareError) else type(error).__name__
    return Violation("defect", f"{kind}: {error} ({Path(place.filename).name}:{place.lineno})")


def _settle(heap: Heap, oracle: Oracle, machines: dict[str, Machine], network: Network) -> None:
    """End all faults, wait until everything has settled, and check all of it. Raises Violation."""
    network.heal()
    for machine in machines.values():
        machine.heal()
        machine.start()
    deadline, pause = heap.now + SETTLE, SECOND
    while heap.now < deadline:
        heap.run(heap.now + pause)
        pause += pause // 8
        for machine in machines.values():
            believe_clock(machine)
            settle_damaged(machine)
            import_directories(machine)
        if _linked(machines) and quiet(oracle, machines):
            break
    finish(oracle, machines)


_HAS = frozenset(("accepted", "read", "destroyed"))


def _ends(oracle: Oracle, machines: dict[str, Machine]) -> dict[tuple[str, str, str], str]:
    found = {}
    for key, answer in oracle.known.items():
        if answer.md not in oracle.rulings.contents:
            continue  # A planted bug has stored nothing.
        sender = machines[oracle.rulings.contents[answer.md].originator]
        for pair in answer.pairs:
            row = sender.disk.view.get(PAIR, answer.md, pair.recipient)
            if row is not None and sender.deals(machines[pair.recipient]):
                word = status_of(facts_of(row))
                found[key.hex(), sender.name, str(pair.recipient)] = "has" if word in _HAS else str(word)
    return found


def _linked(machines: dict[str, Machine]) -> bool:
    """Return True if every node is led by somebody, and every two have a link that both hold open: only then
    has each learnt what it lacks.
    """
    for name, machine in honest(machines).items():
        if machine.process is None:
            return False
        for other in honest(machines).values():
            open_both = {id(one.wire) for one in _links(machine, other.name)} & {
                id(one.wire) for one in _links(other, name)
            }
            if other is not machine and machine.deals(other) and not open_both:
                return False
    return True


def _links(machine: Machine, peer: str) -> list[Stream]:
    """Return the open links of a machine to a peer."""
    links = [process.driver.links.get(MemberCode(peer)) for process in machine.serving()]
    return [link for link in links if link is not None]


class _Repeats:
    """A function that delivers a frame to its receiver a second time."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self._machines = machines

    def __call__(self, sender: str, receiver: str, message: bytes) -> None:
        frame = read_message(message)
        for process in self._machines[receiver].serving():
            link = process.driver.links.get(MemberCode(sender))
            if link is not None and isinstance(frame, Frame):
                process.feed(Received(link.link, frame, len(message)))


_TAKES: Mapping[str, Callable[[Machine], Snapshot]] = {
    "restore": of_disk,
    "lie": of_disk,
    "put-back": of_folder,
    "backup": of_backup,
}


def _schedule(
    fault: Fault, machines: dict[str, Machine], network: Network, heap: Heap, oracle: Oracle
) -> None:
    machine = machines[fault.node]
    match fault.kind:
        case "crash" if not fault.number:
            heap.after(
                fault.at,
                lambda: machine.crash(fault.keep, fault.lasts) if machine.process is not None else None,
            )
        case "cut":
            heap.after(fault.at, lambda: network.cut(fault))
        case "reset":
            heap.after(fault.at, lambda: network.reset(fault))
        case "clock":
            heap.after(fault.at, lambda: machine.ahead(fault.by))
            heap.after(fault.at + fault.lasts, lambda: machine.ahead(0))
        case "stop":
            heap.after(fault.at, lambda: machine.stop(fault.lasts))
        case "rot":
            heap.after(fault.at, lambda: machine.rot(fault.window))
        case "full":
            heap.after(fault.at, lambda: machine.fill(fault))
        case "read-only":
            heap.after(fault.at, lambda: machine.read_only(fault.lasts))
        case "replica" if isinstance(machine, ReplicatedMachine):
            heap.after(fault.at, lambda: machine.trouble(fault))
        case "store" if isinstance(machine, ReplicatedMachine):
            heap.after(fault.at, lambda: machine.turns.restart(fault.lasts, committed=bool(fault.keep)))
        case "move":
            heap.after(fault.at, lambda: machine.moving.order(fault))
        case "decay":
            heap.after(fault.at, machine.decay)
        case "restore" | "lie" | "put-back" | "backup":
            take, snapshots = _TAKES[fault.kind], list[Snapshot]()
            heap.after(max(0, fault.at - fault.by), lambda: snapshots.append(take(machine)))
            heap.after(fault.at, lambda: machine.restore(snapshots[0], fault.lasts))
            if fault.kind in ("lie", "restore"):
                heap.after(fault.at, lambda: excuse_unnoticed(oracle, machine))
        case _:
            pass  # crashes in commits, loss and repetition are counted where they happen
