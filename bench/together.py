"""What a release costs a member whose replicas run together, beside one process: processor time, in turn.

python -m bench.together [--rounds 3] [--count 1024] [--in-flight 256] [--peers 1] [--json]

A member over PostgreSQL with one, two and three replicas, and peers with a file. Users ask all replicas
alike, or one that does not lead. For each: processor time a release, from submit to receipt, of all replicas
together and of the database's server, by the best round; its ratio to one replica, by the median of the
rounds; how much of it the writers' threads have; and how much of that they have in turn, which only one
replica can do at a time. Rates are what this machine gives: replicas, peers and the server share its
processors. The last column is what the turn alone would allow, without the server's part of it.
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
from bench.nodes import ANALYST, OPERATOR, ROOT, Failed, Node, command, federation
from bench.once import run
from bench.postgres import spent
from bench.processor import unit, used
from bench.recipients import TREATY
from intelshare.wire.v1 import user_pb2_grpc as services
from postgres_server import Cluster, new_cluster

PEERS = ("USA", "NOR", "DEU")

ALL, ANOTHER = "all", "another"
"""Which replicas users ask: each, or one that does not lead."""

PHASES = ((1, ALL), (2, ANOTHER), (2, ALL), (3, ANOTHER), (3, ALL))
"""How many replicas run, and who is asked. The first is what the others are compared with."""


class Replica(Node):
    """One process of several over one folder."""

    def __init__(self, code: str, folder: Path, name: str) -> None:
        super().__init__(code, folder)
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
            loads += [Load(analyst, operator, kind) for kind in kinds]
        mark = await loads[0].mark()
        meters = [one.meter() for one in replicas]
        before, server, began = [used(one.pid) for one in replicas], spent(cluster), time.time()
        each = count // len(loads)
        await asyncio.gather(*[one.submit_all(each, in_flight // len(loads)) for one in loads])
        end = time.monotonic() + PATIENCE
        while await loads[0].open():  # seldom: each question costs a millisecond
            if time.monotonic() > end:
                raise Failed("some are still open")
            await asyncio.sleep(0.25)
        costs = [used(one.pid) - was for one, was in zip(replicas, before, strict=True)]
        done = each * len(loads)
        server = spent(cluster) - server
        last = max(at for at, _ in await loads[0].receipts(mark, done))
    whole, writers = sum(one.whole for one in costs), sum(one.writer for one in costs)
    in_turn = sum((one.meter() - was).in_turn for one, was in zip(replicas, meters, strict=True))
    return Cost(
        whole / done * 1e6, writers / done * 1e6, in_turn / done / 1e3, server / done * 1e6,
        done / (last - began),
    )  # fmt: skip


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
                        running.append(Replica("FRA", fra.folder, "abc"[len(running)]))
                        running[-1].start()
                        time.sleep(3)  # links are dialled
                    units.append(unit())
                    asked = running if at == ALL else running[1:2]
                    for count in (128 * len(to), options.count):  # what is made once is made
                        cost = asyncio.run(exchanged(running, asked, cluster, count, options.in_flight, to))
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
        "ratio": median(one.replicas / other.replicas for one, other in zip(costs, alone, strict=True)),
    }


def show(found: dict[str, Any]) -> None:
    """A table."""
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
    sys.exit(run(__doc__, measure, show, options))
