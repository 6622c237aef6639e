"""Processor time per release of each step of the line, beside what the store adds to it.

python -m bench.line [--store memory|sqlite] [--batch 64] [--recipients 1] [--rounds 20] [--profile STEP]

Members in one process, no sockets: submit, hand over, receive and join receipts a batch at a time. "step" is
the processor time of the pure step alone; "commit" is what writing its plan costs besides. The best of all
rounds.

With --recipients 30 each bulletin goes to 30 members: submit and hand-over are given for each release, the
first recipient and the others alike; what arrives is measured at one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders import NOW, Member, actor, draft, federation, text
from intelshare.broker.kernel.tables import TABLES
from intelshare.broker.line.handover import handover
from intelshare.broker.line.hello import accept_hello, acknowledge, make_hello
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.line.submit import SubmitCommand, submit_many
from intelshare.builtin import builtin_registry
from intelshare.ids import MemberCode
from intelshare.ports import Plan, View
from intelshare.statement import MAX_LEAVES
from intelshare.store.memory import MemoryStore
from intelshare.store.sqlite import SqliteStore, open_store
from intelshare.trust import PeerHello

FRA, USA = MemberCode("FRA"), MemberCode("USA")
BODY = os.urandom(1024).hex()
STATES = sorted(builtin_registry().states)


class Waiting:
    """A SQLite store that is driven without an event loop of the caller."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.loop = asyncio.new_event_loop()
        self.ask_now = store.ask_now
        self.perform = store.perform

    @property
    def commits(self) -> int:
        return self.store.commits

    def perform_now(self, step: Callable[[View], Plan[Any]]) -> Any:
        return self.loop.run_until_complete(self.store.perform(step))


class Costs:
    """Seconds spent in each step and in all of its transactions."""

    def __init__(self, profiled: str) -> None:
        self.steps: dict[str, float] = {}
        self.wholes: dict[str, float] = {}
        self.profiled = profiled
        self.profile = cProfile.Profile()

    def clear(self) -> None:
        self.steps.clear()
        self.wholes.clear()

    def step(self, name: str, node: Any, step: Callable[..., Plan[Any]], *args: Any) -> Callable[[View], Any]:
        def run(view: View) -> Plan[Any]:
            if self.profiled == name:
                self.profile.enable()
            start = time.thread_time()
            plan = step(node, view, *args, NOW, os.urandom)
            self.steps[name] = self.steps.get(name, 0) + time.thread_time() - start
            if self.profiled == name:
                self.profile.disable()
            return plan

        return run

    def do(
        self, name: str, member: Member, step: Callable[..., Plan[Any]], *events: tuple[Any, ...]
    ) -> list[Any]:
        """All events of one step, in as few commits as the store makes of them."""
        steps = [self.step(name, member.node, step, *event) for event in events]
        start = time.process_time()
        if isinstance(member.store, Waiting):
            found = member.store.loop.run_until_complete(_all(member.store, steps))
        else:
            found = [member.store.perform_now(one) for one in steps]
        self.wholes[name] = self.wholes.get(name, 0) + time.process_time() - start
        return [one.value for one in found]


async def _all(store: Waiting, steps: list[Callable[[View], Any]]) -> list[Any]:
    return await asyncio.gather(*[store.perform(step) for step in steps])


def line(costs: Costs, members: Mapping[str, Member], batch: int) -> None:
    """``batch`` bulletins from submit to the receipt of one recipient at the sender."""
    fra, usa = members[FRA], members[USA]
    to = [code for code in members if code != FRA]
    # Only FRA and USA have a treaty for SECRET; the other needs none.
    label = "//FRA SECRET//REL TO FRA, USA" if len(to) == 1 else "//FRA NON PROTÉGÉ"
    bulletin = draft(text(label, BODY), to=to)
    author = actor("FRA", "a")
    drafts = [SubmitCommand(author, os.urandom(16), bulletin) for _ in range(batch)]
    costs.do("submit", fra, submit_many, (drafts,))
    while True:
        # As the engine asks: so many bytes of room for each link.
        rooms = {MemberCode(code): 1 << 24 for code in to}
        (frames,) = costs.do("handover", fra, handover, (rooms, MAX_LEAVES))
        if not frames:
            return
        for out in [out for out in frames if out.peer == USA]:
            (taken,) = costs.do("receive", usa, receive, (Arrival(FRA, fra.node.uri, out.frame),))
            assert taken.accepted == len(out.leaves), taken
            costs.do("acknowledge", fra, acknowledge, (USA, taken.acks))
            for back in taken.effects.outbound:
                (joined,) = costs.do("receipt", fra, receive, (Arrival(USA, usa.node.uri, back.frame),))
                costs.do("acknowledge", usa, acknowledge, (FRA, joined.acks))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--recipients", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made: list[Waiting] = []

        def sqlite() -> Waiting:
            made.append(Waiting(open_store(Path(folder) / f"{len(made)}.db", TABLES, bytes(32))))
            return made[-1]

        codes = [FRA, USA, *[code for code in STATES if code not in (FRA, USA)][: options.recipients - 1]]
        members = federation(codes, MemoryStore if options.store == "memory" else sqlite)
        fra, usa = members[FRA], members[USA]
        hello = fra.ask(make_hello, USA, NOW)
        usa.do(accept_hello, PeerHello(FRA, fra.node.uri, fra.node.signer.key_id, hello, 0), None)
        costs = Costs(options.profile)
        line(costs, members, options.batch)
        best: dict[str, tuple[float, float]] = {}
        for _ in range(options.rounds):
            costs.clear()
            gc.collect()
            gc.freeze()  # what earlier rounds have stored is not gone through again
            line(costs, members, options.batch)
            for name, step in costs.steps.items():
                known = best.get(name, (1e9, 1e9))
                best[name] = min(known[0], step), min(known[1], costs.wholes[name] - step)
        for store in made:
            store.store.close()
    show(best, options)
    if options.profile:
        pstats.Stats(costs.profile).sort_stats("tottime").print_stats(40)


def show(best: Mapping[str, tuple[float, float]], options: argparse.Namespace) -> None:
    """One line a step, and what both ends need for a release."""
    print(
        f"{'step':>17} µs{'commit':>10} µs   per release, {options.store}, batches of {options.batch}"
        f" for {options.recipients}"
    )
    at_sender = 0.0
    for name, (step, commit) in best.items():
        of = options.batch * (options.recipients if name in ("submit", "handover") else 1) / 1e6
        print(f"{name:<12}{step / of:>8.1f}{commit / of:>13.1f}")
        at_sender += (step + commit) / of if name in ("submit", "handover", "receipt") else 0
    print(f"sender {at_sender:.0f} µs, recipient {sum(best['receive']) / options.batch * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
