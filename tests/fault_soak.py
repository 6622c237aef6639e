"""F28: for minutes, kills, stops, bad lines, rotations and suspensions at random; then the check.

    make soak-faults MINUTES=30 SEED=7

The seed decides what happens and in which order; it is printed first, so that a run can be played again.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from e2e.nodes import ok
from fault_network import Lan, apart, lan
from fault_world import Federation, Highest, Member, Traffic, frozen_still, machine

RATE = 10.0
SEED = "FAULT_SEED"
"""The variable with the seed; without it one is drawn."""


class Soak:
    """What is done to the members of one federation."""

    def __init__(self, net: Lan, world: Federation, dice: random.Random) -> None:
        self._net, self._world, self._dice = net, world, dice
        self.done: Counter[str] = Counter()
        self.kinds: tuple[Callable[[], None], ...] = (
            self._kill, self._kill, self._stop, self._partition, self._flap,
            self._lose, self._rotate, self._suspend,
        )  # fmt: skip

    def once(self) -> None:
        """Do one thing at random, and wait a moment."""
        kind = self._dice.choice(self.kinds)
        self.done[kind.__name__.removeprefix("_")] += 1
        kind()
        time.sleep(self._dice.uniform(1, 4))

    def _any(self) -> Member:
        return self._dice.choice((self._world.hub, *self._world.others))

    def _other(self) -> Member:
        return self._dice.choice(self._world.others)

    def _for_a_while(self) -> None:
        time.sleep(self._dice.uniform(2, 15))

    def _kill(self) -> None:
        one = self._any()
        one.kill()
        one.start()

    def _stop(self) -> None:
        with frozen_still(self._any()):
            self._for_a_while()

    def _partition(self) -> None:
        hub, one = self._world.hub.code, self._other().code
        rules = self._dice.choice((((hub, one), (one, hub)), ((hub, one),), ((one, hub),)))
        with contextlib.ExitStack() as stack:
            for rule in rules:
                stack.enter_context(self._net.dropped(*rule))
            self._for_a_while()

    def _flap(self) -> None:
        hub, one = self._world.hub.code, self._other().code
        for _ in range(3):
            with self._net.dropped(hub, one), self._net.dropped(one, hub):
                time.sleep(2)
            time.sleep(2)

    def _lose(self) -> None:
        hub, one = self._world.hub.code, self._other().code
        some = ("--match", "statistic", "--mode", "random", "--probability", "0.3")
        with self._net.dropped(hub, one, *some), self._net.dropped(one, hub, *some):
            self._for_a_while()

    def _rotate(self) -> None:
        ok("vault", "rotate", "--folder", self._any().folder)

    def _suspend(self) -> None:
        hub, one = self._world.hub.folder, self._other().code
        ok("member", "suspend", one, "--folder", hub)
        time.sleep(self._dice.uniform(1, 5))
        ok("member", "resume", one, "--folder", hub)


def soaked(minutes: int) -> str:
    """So many minutes of it."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}", file=sys.stderr, flush=True)
    with lan(4) as (net, world), Highest(world.hub, *world.others) as highest:
        traffic, soak = Traffic(world.hub, seed), Soak(net, world, random.Random(seed))
        with traffic.flowing(world.others, RATE):
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                soak.once()
            over = time.time()
        healed = max((at for at in traffic.answered.values()), default=over) - over
        checked = world.check(traffic.ids())
    done = ", ".join(f"{count} {kind}" for kind, count in sorted(soak.done.items()))
    return (
        f"seed {seed}: {minutes} min, {done}; {len(traffic.withheld)} pairs withheld, {traffic.unknown} "
        f"answers not heard; all settled {healed:.1f} s after the last; memory {highest.mib:.0f} MiB; "
        f"{checked}; {machine()}"
    )


def soak_apart(minutes: int) -> str:
    """The same in a namespace of its own."""
    return apart("soaked", minutes, module=__file__, seconds=60 * minutes + 600)


if __name__ == "__main__":
    print(soaked(int(sys.argv[2])) if sys.argv[1] == "soaked" else soak_apart(int(sys.argv[1])))
