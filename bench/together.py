"""What a release costs a member whose replicas run together, beside one process: processor time, in turn.

python -m bench.together [--calls] [--rounds 3] [--count 1024] [--in-flight 256] [--peers 1] [--json]

A member over PostgreSQL with one, two and three replicas, and peers with a file. Users ask all replicas
alike, or one that does not lead, with ``--in-flight`` bulletins under way at each. For each: processor time a
release, from submit to receipt, of all replicas together and of the database's server, by the best round; its
ratio to one replica, by the median of the rounds; how much of it the writers' threads have; and how much of
that they have in turn, which only one replica can do at a time. Rates are what this machine gives: replicas,
peers and the server share its processors. The last column is what the turn alone would allow, without the
server's part of it.

With ``--calls``, calls of functions a release by all replicas together instead, and their ratio to one
replica: nearly the same however busy the machine is, so fewer will do (``--rounds 1 --count 768``). What
replicas do while nobody asks for anything, some thousand calls a second each, is measured before and taken
off: otherwise a slow run would count more.

Each begins with all rows in their tables, which takes some 20 seconds. The one that leads moves them once in
4,000 to 7,000 releases; that was counted wherever it fell, which was hardly ever with one replica. So
``--count`` is 3,800 at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.load import PATIENCE, Kind, Load
from bench.metered import CALLS
from bench.nodes import ANALYST, OPERATOR, ROOT, Failed, Node, command, federation
from bench.once import run
from bench.postgres import spent
from bench.processor import unit, used
from bench.recipients import TREATY
from intelshare.wire.v1 import user_pb2_grpc as services
from postgres_server import Cluster, new_cluster
from postgres_server import asked as answer

PEERS = (
    "USA", "NOR", "DEU", "KEN", "ESP", "ITA", "POL", "SWE", "JPN", "CAN", "AUS", "GBR", "NLD", "BEL", "DNK",
    "FIN", "EST", "LVA", "LTU", "PRT", "GRC", "ROU", "BGR", "HRV", "SVN", "SVK", "CZE", "HUN", "ALB", "ISL",
)  # fmt: skip
"""Members that get bulletins, at most; ``--peers`` says how many."""

ALL, ANOTHER = "all", "another"
"""Which replicas users ask: each, or one that does not lead."""

PHASES = ((1, ALL), (2, ANOTHER), (2, ALL), (3, ANOTHER), (3, ALL))
"""How many replicas run, and who is asked. The first is what the others are compared with."""


class Replica(Node):
    """One process of several over one folder."""

    def __init__(self, code: str, folder: Path, name: str, *, counted: bool = False) -> None:
        super().__init__(code, folder, counted=counted)
        self.name = name
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.port = int(one.getsockname()[1])

    def start(self) -> float:
        """Returns once it says that it serves."""
        began = time.monotonic()
        words = ["node", "run", "--dev", "--folder", str(self.folder), "--replica", self.name, "--together"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.metered",
                    str(self._meter),
                    *[CALLS] * self.counted,
                    *words,
                    "--user-port",
                    str(self.port),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        while not self._serves(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > began + PATIENCE:
                raise Failed(f"replica {self.name} does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def channel(self, user: str) -> grpc.aio.Channel:
        """See ``Node``."""
        profile = replace(self.profile(user), address=f"127.0.0.1:{self.port}", node_folder="")
        return self.channel_of(profile)

    def _serves(self, pid: int) -> bool:
        for file in ("run.json", f"replica-{self.name}.json"):
            with contextlib.suppress(OSError, ValueError):
                shown = json.loads((self.folder / file).read_bytes())
                if shown["pid"] == pid and shown["health"] == "SERVING":
                    return True
        return False

    @property
    def _meter(self) -> Path:
        return self.folder.with_name(f"{self.name}.meter")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one round with so many replicas."""

    replicas: float
    """Microseconds of processor a release, all replicas together."""
    writers: float
    """Of these, the writers' threads."""
    in_turn: float
    """Of these, while they have the turn to write, or wait for it."""
    server: float
    rate: float
    calls: float
    """Of functions a release, all replicas together; 0 where they are not counted."""


async def exchanged(
    replicas: list[Replica], asked: list[Replica], cluster: Cluster, count: int, in_flight: int, to: list[str]
) -> Cost:
    """``count`` releases from submit to receipt, submitted at all that are asked alike, each to one peer."""
    kinds = [Kind((peer,), f"//FRA NON PROTEGE//REL TO FRA, {peer}", "climate-disaster") for peer in to]
    async with contextlib.AsyncExitStack() as stack:
        loads = []
        for replica in asked:
            analyst = services.BulletinsStub(await stack.enter_async_context(replica.channel(ANALYST)))
            operator = services.OperationsStub(await stack.enter_async_context(replica.channel(OPERATOR)))
            loads.append(Load(analyst, operator, *kinds))
        mark = await loads[0].mark()
        idle = await _idle(replicas)
        meters = [one.meter() for one in replicas]
        before, server, began = [used(one.pid) for one in replicas], spent(cluster), time.time()
        each = count // len(loads)
        await asyncio.gather(*[one.submit_all(each, in_flight) for one in loads])
        end = time.monotonic() + PATIENCE
        while await loads[0].open():  # seldom: each question costs a millisecond, or some thousand calls
            if time.monotonic() > end:
                raise Failed("some are still open")
            await asyncio.sleep(2 if idle else 0.25)
        took = time.time() - began
        costs = [used(one.pid) - was for one, was in zip(replicas, before, strict=True)]
        done = each * len(loads)
        server = spent(cluster) - server
        last = max(at for at, _ in await loads[0].receipts(mark, done))
    whole, writers = sum(one.whole for one in costs), sum(one.writer for one in costs)
    metered = [one.meter() - was for one, was in zip(replicas, meters, strict=True)]
    in_turn, calls = sum(one.in_turn for one in metered), sum(one.calls for one in metered) - idle * took
    return Cost(
        whole / done * 1e6, writers / done * 1e6, in_turn / done / 1e3, server / done * 1e6,
        done / (last - began), calls / done,
    )  # fmt: skip


async def _idle(replicas: list[Replica]) -> float:
    """Calls a second of replicas that nobody asks for anything; 0 where they are not counted."""
    if not replicas[0].counted:
        return 0.0
    before, began = sum(one.meter().calls for one in replicas), time.time()
    await asyncio.sleep(4)
    return (sum(one.meter().calls for one in replicas) - before) / (time.time() - began)


def moved(cluster: Cluster) -> None:
    """Wait until all rows of the member are in their tables. Raises Failed."""
    waiting = "SELECT max(value) > min(value) FROM fra.store_state WHERE name IN ('last', 'flushed')"
    end = time.monotonic() + PATIENCE
    while answer(cluster.url, waiting) == [(True,)]:
        if time.monotonic() > end:
            raise Failed("rows wait in the journal: none are moved while nobody asks for anything")
        time.sleep(0.5)


@contextlib.contextmanager
def members(cluster: Cluster, peers: int) -> Iterator[tuple[Node, list[Node]]]:
    """A member that does not run, with its rows in the server, and running peers that know it."""
    with federation(("FRA", *PEERS[:peers]), [TREATY]) as (fra, *others):
        fra.stop()
        command("node", "move", "--folder", str(fra.folder), "--to", cluster.url, "--schema", "fra")
        yield fra, others


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises Failed."""
    cluster = new_cluster("-c shared_buffers=256MB")
    found: dict[tuple[int, str], list[Cost]] = {(number, at): [] for number, at in PHASES}
    units = []
    with members(cluster, options.peers) as (fra, peers):
        to = [one.code for one in peers]
        for _ in range(options.rounds):
            running: list[Replica] = []
            try:
                for number, at in PHASES:
                    while len(running) < number:
                        name = "abc"[len(running)]
                        running.append(Replica("FRA", fra.folder, name, counted=options.calls))
                        running[-1].start()
                        time.sleep(3)  # links are dialled
                    units.append(unit())
                    asked = running if at == ALL else running[1:2]
                    for count in (max(384, 16 * len(to)), options.count):  # what is made once is made
                        cost = asyncio.run(exchanged(running, asked, cluster, count, options.in_flight, to))
                        moved(cluster)
                    found[number, at].append(cost)
            finally:
                for one in reversed(running):
                    one.stop()
    return {"unit_us": median(units) * 1e6, "phases": [_figures(found, *phase) for phase in PHASES]}


def _figures(found: dict[tuple[int, str], list[Cost]], number: int, at: str) -> dict[str, Any]:
    costs, alone = found[number, at], found[PHASES[0]]
    return {
        "replicas": number,
        "asked": at,
        "replicas_us": min(one.replicas for one in costs),
        "writers_us": min(one.writers for one in costs),
        "in_turn_us": min(one.in_turn for one in costs),
        "server_us": min(one.server for one in costs),
        "rate": median(one.rate for one in costs),
        "ratio": median(_ratio(one, other) for one, other in zip(costs, alone, strict=True)),
        "calls": min(one.calls for one in costs),
    }


def _ratio(one: Cost, other: Cost) -> float:
    return one.calls / other.calls if other.calls else one.replicas / other.replicas


def show(found: dict[str, Any]) -> None:
    """A table."""
    if found["phases"][0]["calls"]:
        print(f"{'replicas':<10}{'asked':<10}{'calls each':>12}{'ratio':>8}")
        for one in found["phases"]:
            print(f"{one['replicas']:<10}{one['asked']:<10}{one['calls']:>12.0f}{one['ratio']:>8.2f}")
        return
    print(f"a unit of processor time takes {found['unit_us']:.0f} µs here")
    print(
        f"{'replicas':<10}{'asked':<10}{'µs each':>10}{'ratio':>8}{'writers':>9}{'in turn':>9}{'server':>8}"
        f"{'a second':>10}{'at most':>10}"
    )
    for one in found["phases"]:
        print(
            f"{one['replicas']:<10}{one['asked']:<10}{one['replicas_us']:>10.0f}{one['ratio']:>8.2f}"
            f"{one['writers_us']:>9.0f}{one['in_turn_us']:>9.0f}{one['server_us']:>8.0f}{one['rate']:>10.0f}"
            f"{1e6 / one['in_turn_us']:>10.0f}"
        )


if __name__ == "__main__":
    options = {"--rounds": 3, "--count": 1024, "--in-flight": 256, "--peers": 1}
    sys.exit(run(__doc__, measure, show, options, ["--calls"]))
