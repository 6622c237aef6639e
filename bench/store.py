"""What a store costs per release: microseconds of CPU, bytes and commits, over its whole life at one member.

python -m bench.store [--engine sqlite] [--batch 64] [--rounds 30] [--stored 0] [--member sender|recipient]

The reads and writes of the line (submit, hand over, acknowledge, receipt; receive at the recipient) are
recorded once over the store in memory, then replayed over the engine with other digests each time: nothing
but the store runs. ``--stored``: releases that are there before the measurement. Bytes are those handed to
the kernel, the close included. CPU is that of the process; other work on the machine still makes it higher.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.line import FRA, USA, Costs, line
from builders import NOW, federation
from intelshare.broker.kernel.tables import TABLES
from intelshare.broker.line.hello import accept_hello, make_hello
from intelshare.ports import Delete, Plan, Put, Table, View
from intelshare.store.engines import ENGINES, Location
from intelshare.store.memory import MemoryStore
from intelshare.store.server import Server
from intelshare.trust import PeerHello
from postgres_server import new_schema, server_url

_TABLES = {table.name: table for table in TABLES}


@dataclass
class Recorded:
    """All that one group of steps read and wrote."""

    reads: list[tuple[str, Table[Any], tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    writes: list[Put | Delete] = field(default_factory=list)


class _Recording:
    """A view that notes what it is asked."""

    unbound: View | None = None

    def __init__(self, view: View, into: Recorded) -> None:
        self._view, self._into = view, into

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(table: Table[Any], *args: Any, **options: Any) -> Any:
            self._into.reads.append((name, table, args, options))
            return getattr(self._view, name)(table, *args, **options)

        return ask


class RecordingStore(MemoryStore):
    """The store in memory; what steps in a row of one kind do is noted as one group."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[tuple[str, Recorded]] = []

    def perform_now(self, step: Callable[[View], Plan[Any]], then: Any = None) -> Any:
        name = getattr(step, "name", "")
        if not self.groups or self.groups[-1][0] != name:
            self.groups.append((name, Recorded()))
        into = self.groups[-1][1]

        def run(view: View) -> Plan[Any]:
            plan = step(_Recording(view, into))
            into.writes += plan.writes
            return plan

        return super().perform_now(run, then)


class _Named(Costs):
    """Steps that know their names."""

    def step(self, name: str, node: Any, step: Any, *args: Any) -> Any:
        made: Any = super().step(name, node, step, *args)
        made.name = name
        return made


def recorded(batch: int, rounds: int, member: str) -> list[list[Recorded]]:
    """The groups of each round at one member."""
    members = federation([FRA, USA], RecordingStore)
    fra, usa = members[FRA], members[USA]
    hello = fra.ask(make_hello, USA, NOW)
    usa.do(accept_hello, PeerHello(FRA, fra.node.uri, fra.node.signer.key_id, hello, 0), None)
    store = (fra if member == "sender" else usa).store
    found = []
    for _ in range(rounds):
        store.groups = []
        line(_Named(""), members, batch)
        found.append([group for _, group in store.groups])
    return found


class _Anew:
    """The same reads and writes with other digests and incarnations."""

    def __init__(self, number: int) -> None:
        self._mask = int.from_bytes(number.to_bytes(8, "big") * 4, "big")
        self._number = number
        self._wide = {
            table.name: {
                name for name, kind in table.row.__annotations__.items() if "Incarnation" in str(kind)
            }
            for table in TABLES
        }

    def value(self, name: str, table: str, value: Any) -> Any:
        if isinstance(value, bytes) and len(value) in (16, 32):
            length = len(value)
            mask = self._mask >> (256 - 8 * length)
            return (int.from_bytes(value, "big") ^ mask).to_bytes(length, "big")
        return value + self._number if name in self._wide[table] and value else value

    def write(self, write: Put | Delete) -> Put | Delete:
        table = write.table
        if isinstance(write, Put):
            row = write.row
            values = [self.value(name, table.name, getattr(row, name)) for name in table.columns()]
            return Put(table, type(row)(*values))
        return Delete(table, self.key(table, "key", write.key))

    def key(self, table: Table[Any], index: str, values: Any) -> tuple[Any, ...]:
        names = table.key if index == "key" else (*table.indexes[index], *table.key)
        return tuple(self.value(name, table.name, value) for name, value in zip(names, values, strict=False))

    def group(self, group: Recorded) -> tuple[list[Any], tuple[Put | Delete, ...]]:
        reads = []
        for name, table, args, options in group.reads:
            if name in ("find", "count"):
                index, *prefix = args
                reads.append((name, table, (index, *self.key(table, index, prefix)), options))
            else:
                reads.append((name, table, self.key(table, "key", args), options))
        return reads, tuple(map(self.write, group.writes))


def written() -> int:
    """Bytes that this process has handed to the kernel."""
    found = dict(one.split(": ") for one in Path("/proc/self/io").read_text().splitlines())
    return int(found["wchar"])


def replay(store: Any, loop: asyncio.AbstractEventLoop, groups: Iterator[Any]) -> float:
    """Seconds of CPU."""
    took = 0.0
    for reads, writes in groups:

        def step(view: View, reads: Any = reads, writes: Any = writes) -> Plan[None]:
            for name, table, args, options in reads:
                getattr(view, name)(table, *args, **options)
            return Plan(writes, None)

        start = time.process_time()
        loop.run_until_complete(store.perform(step))
        took += time.process_time() - start
    return took


def settle() -> None:
    """Wait until the store has read its keys, in a thread of its own (``store.traces``)."""
    used = -1.0
    while time.process_time() - used > 0.05:
        used = time.process_time()
        time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=sorted(ENGINES), default="sqlite")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--stored", type=int, default=0)
    parser.add_argument("--member", choices=("sender", "recipient"), default="sender")
    options = parser.parse_args()
    rounds = recorded(options.batch, options.rounds, options.member)
    releases = options.batch * options.rounds
    gc.collect()
    gc.freeze()  # what was recorded is not the store's to look through
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"

        def opened() -> Any:
            return ENGINES[options.engine](where, TABLES, bytes(32), lambda _: None)

        where = Location(path, Server(server_url(), new_schema()) if options.engine == "postgres" else None)
        store = opened()
        for number in range(1, 1 + options.stored // releases):
            replay(store, loop, (_Anew(number).group(one) for one_round in rounds for one in one_round))
        if options.stored:
            store.close()
            start = time.perf_counter()
            store = opened()
            print(f"opened in {time.perf_counter() - start:.3f} s")
            settle()
        wrote, cpu = written(), 0.0
        commits = groups = 0
        for one_round in rounds:
            made = [_Anew(1 << 20).group(one) for one in one_round]
            groups += len(made)
            cpu += replay(store, loop, iter(made))
        commits = groups
        start = time.process_time()
        store.close()
        closing = time.process_time() - start
        micro, end = (cpu + closing) / releases * 1e6, closing / releases * 1e6
        print(
            f"{options.engine}, {options.member}, {options.stored} stored: {micro:.1f} µs of CPU "
            f"({end:.1f} of it at the end), {(written() - wrote) / releases / 1024:.1f} KiB, "
            f"{commits / releases:.3f} commits per release; "
            + (f"database {path.stat().st_size / 1024 / 1024:.1f} MiB" if path.exists() else "")
        )


if __name__ == "__main__":
    main()
