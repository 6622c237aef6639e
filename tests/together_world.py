"""A member whose replicas run together over PostgreSQL and a peer with a file: faults under load.

PYTHONPATH=tests:. python tests/together_world.py --kills 50
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path

from e2e.nodes import intelshare, log_of
from intelshare.client import Client, Profile, read_profile
from replicas_world import LABEL, Load, Outcome, Replica, Replicas, checked, words_of_run, world

PEERS = ("NOR", "DEU", "KEN")
"""Members besides the USA."""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class Together(Replicas):
    """Replicas that all serve users."""

    def __init__(self, folder: Path, names: str = "abc") -> None:
        super().__init__(folder, names)
        self.ports = {one.name: free_port() for one in self.all}
        for one in self.all:
            one.words = [
                *words_of_run(folder, one.name),
                "--together",
                "--user-port",
                str(self.ports[one.name]),
            ]

    def profile(self, user: Path, *names: str, away: bool = False) -> Profile:
        """The profile of a user at these replicas; ``away``: and at one that nobody starts."""
        ports = [*([free_port()] if away else []), *[self.ports[name] for name in names]]
        listed = ",".join(f"127.0.0.1:{port}" for port in ports)
        return replace(read_profile(user), address=listed, node_folder="")

    def serves(self, one: Replica) -> bool:
        """Whether this replica says that it serves."""
        if one.process is None or one.process.poll() is not None:
            return False
        shown = self.shown()
        if shown.get("pid") == one.process.pid:
            return shown.get("health") == "SERVING"
        try:
            told = json.loads((self.folder / f"replica-{one.name}.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(told["pid"] == one.process.pid and told["health"] == "SERVING")

    def wait_for_all(self, seconds: float = 60.0) -> None:
        """Wait until each of them serves."""
        end = time.monotonic() + seconds
        while not all(map(self.serves, self.all)):
            assert time.monotonic() < end, log_of(self.folder).read_text()[-4000:]
            time.sleep(0.05)


class LoadOnAll(Load):
    """A user who asks whichever replica comes next, and another one if that fails."""

    def __init__(
        self, together: Together, usa: Path, pause: float = 0.0, seed: int = 1, to: str = "USA"
    ) -> None:
        label = LABEL if to == "USA" else f"//FRA NON PROTEGE//REL TO FRA, {to}"
        super().__init__(together.folder, usa, pause, to, label)
        self._together, self._random = together, random.Random(seed)

    def profile_now(self) -> Profile:
        """See ``Load``."""
        return self._together.profile(self.profile, self._random.choice(self._together.all).name)


def faults(
    replicas: Together, count: int, say: Callable[[str], None], *, freeze: int = 0, leader: int = 2
) -> list[float]:
    """Kill a replica again and again, every so many times the one that leads, every so many times freeze it
    instead; the seconds until there was one that leads, where it was that one.
    """
    took = []
    for number in range(1, count + 1):
        replicas.wait_for_active()
        time.sleep(random.uniform(0.2, 1.5))
        active = replicas.active()
        victims = [one for one in replicas.all if (one is active) == (number % leader == 0)]
        victim = random.choice(victims)
        if victim.process is None:
            continue
        frozen = freeze and number % freeze == 0
        pid = victim.process.pid
        victim.signal(signal.SIGSTOP if frozen else signal.SIGKILL)
        what = f"{victim.name} {'frozen' if frozen else 'killed'}"
        if victim is active:
            took.append(replicas.wait_for_active(but=pid))
            say(f"{number}: {what}, it led; another one leads after {took[-1]:.1f} s")
        else:
            say(f"{number}: {what}")
        if frozen:
            time.sleep(random.uniform(0, 12))
            victim.signal(signal.SIGCONT)
    return took


def main(words: Sequence[str] | None = None) -> int:
    """Kill replicas of a member under load; 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--freeze", type=int, default=0, help="Every so many times freeze it instead.")
    parser.add_argument("--restart", type=int, default=0, help="Crash the database so many times besides.")
    parser.add_argument("--peers", type=int, default=1, help="So many members get bulletins.")
    options = parser.parse_args(words)
    with (
        tempfile.TemporaryDirectory() as home,
        world(Path(home), more=PEERS[: options.peers - 1]) as w,
        Together(w.fra) as replicas,
    ):
        replicas.wait_for_active()
        replicas.wait_for_all()
        loads = [LoadOnAll(replicas, w.usa, 0.05, seed) for seed in range(2)]
        others = [
            LoadOnAll(replicas, folder, 0.05, 2 + seed, to)
            for seed, (to, folder) in enumerate(w.more.items())
        ]
        loads += others
        for load in loads:
            load.start()
        took = faults(replicas, options.kills, lambda line: print(line, flush=True), freeze=options.freeze)
        for _ in range(options.restart):
            time.sleep(random.uniform(0.5, 2.0))
            w.cluster.restart()
            print("the database crashed and is back", flush=True)
        for load in loads:
            load.end()
        outcome = checked_together(loads)
        print(outcome, [load.errors for load in loads], [one.codes for one in replicas.all])
        replicas.wait_for_all(120)
        told = words_at_each(replicas, loads)
        print("the words of all pairs, at each replica:", *map(dict, told))
        if took:
            took.sort()
            print(
                f"led again after {took[0]:.1f} to {took[-1]:.1f} s, half within {took[len(took) // 2]:.1f} s"
            )
        said = [line for line in log_of(w.fra).read_text().splitlines() if line and not line.startswith("{")]
        print("what ended replicas by themselves:", *sorted(set(said)), sep="\n    ")
        print(intelshare("node", "replicas", "--folder", w.fra).out)
        logs = {
            folder.name: intelshare("audit", "verify", "--folder", folder)
            for folder in (w.fra, w.usa, *w.more.values())
        }
        print("logs:", *[f"{name} {done.out.splitlines()[-1:]}" for name, done in logs.items()])
        one_word = all(words == {"accepted": outcome.sent} for words in told)
        return 0 if outcome.good and one_word and not any(done.code for done in logs.values()) else 1


def words_at_each(replicas: Together, loads: Sequence[Load]) -> list[Counter[str]]:
    """How many pairs of all loads have which word, as each replica shows them."""
    found = []
    for one in replicas.all:
        words: Counter[str] = Counter()
        with Client(replicas.profile(loads[0].profile, one.name)) as client:
            for bulletin in set().union(*[load.stored.values() for load in loads]):
                (entry,) = client.outbox(bulletin.hex()).entries
                words.update(pair.word for pair in entry.pairs)
        found.append(words)
    return found


def checked_together(loads: Sequence[Load], seconds: float = 60.0) -> Outcome:
    """What became of all loads: receipts of all are told at one node, so all to one member count as one."""
    outcomes = []
    for to in sorted({load.to for load in loads}):
        first, *others = [load for load in loads if load.to == to]
        for load in others:
            first.stored |= load.stored
            first.doubled += load.doubled
        outcomes.append(checked(first, seconds))
    return Outcome(*[sum(values) for values in zip(*map(astuple, outcomes), strict=True)])


if __name__ == "__main__":
    sys.exit(main())
