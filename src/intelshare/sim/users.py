"""Users: what they do, and how a client asks again with the same key until it knows (promise P2)."""

from __future__ import annotations

from intelshare.broker.read import Reading
from intelshare.broker.submit import Approval, Submission, Submitted
from intelshare.broker.tables import BULLETIN, INBOX, PAIR
from intelshare.delivery import Stage
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import SECOND
from intelshare.sim.chance import stream
from intelshare.sim.heap import Heap
from intelshare.sim.machine import Machine
from intelshare.sim.oracle import Oracle
from intelshare.sim.plan import Act, FaultPlan
from intelshare.sim.world import draft_of, user

_PATIENCE = 2 * SECOND
"""After so long without an answer the client asks again."""


class Client:
    """One ``intelshare send``: one draft, one key."""

    def __init__(self, machine: Machine, heap: Heap, oracle: Oracle, act: Act, key: bytes) -> None:
        self._machine = machine
        self._heap = heap
        self._oracle = oracle
        self._act = act
        self._again = act.again
        self._asked = 0
        self._key = key
        self._draft = draft_of(act, machine.now())

    def ask(self) -> None:
        """Send it; ask again unless an answer comes in time."""
        self._asked += 1
        asked, process = self._asked, self._machine.process
        self._heap.after(_PATIENCE, lambda: self.ask() if self._asked == asked else None)
        if process is None or not process.serving:
            return
        submission = Submission(user(self._machine.name, "a"), self._key, self._draft)

        def ok(answer: Submitted) -> None:
            self._oracle.answered(self._machine, self._key, answer)
            for pair in answer.pairs:
                process.wake(pair.recipient)
            self._asked += 1
            if self._again:
                self._again -= 1
                self._heap.after(SECOND // 10, self.ask)

        process.perform("submit", submission, then=ok)


def approve(machine: Machine, heap: Heap) -> None:
    """A releasing officer releases the oldest pairs that are held."""
    process = machine.process
    if process is None or not process.serving:
        return
    view = machine.disk.view
    for row in view.find(PAIR, "stage", Stage.HELD, 1, limit=3):
        bulletin = view.get(BULLETIN, row.md)
        assert bulletin is not None  # noqa: S101 - stored with its pairs
        approval = Approval(user(machine.name, "r"), bulletin.bulletin.hex(), row.recipient)

        def done(_: str, peer: MemberCode = row.recipient) -> None:
            process.wake(peer)

        process.perform("approve", approval, then=done)
    del heap


def read_newest(machine: Machine, act: Act) -> None:
    """An analyst opens one of the newest bulletins."""
    process = machine.process
    if process is None or not process.serving:
        return
    rows = machine.disk.view.find(INBOX, "newest", limit=act.what + 1)
    if not rows:
        return
    reading = Reading(user(machine.name, "b"), rows[-1].bulletin.hex())
    process.perform("read", reading, then=process.carry_out, refused=_may_be)


def _may_be(error: IntelshareError) -> None:
    """Expired meanwhile, or not to be seen: no concern of the simulator."""
    del error


def schedule(plan: FaultPlan, machines: dict[str, Machine], heap: Heap, oracle: Oracle) -> None:
    """Put all acts of a plan into the heap."""
    keys = stream(plan.seed, "keys")
    for act in plan.acts:
        machine, key = machines[act.node], keys.randbytes(16)
        if act.kind == "submit":
            heap.after(act.at, lambda a=act, m=machine, k=key: Client(m, heap, oracle, a, k).ask())  # type: ignore[misc]
        elif act.kind == "approve":
            heap.after(act.at, lambda m=machine: approve(m, heap))  # type: ignore[misc]
        else:
            heap.after(act.at, lambda a=act, m=machine: read_newest(m, a))  # type: ignore[misc]
