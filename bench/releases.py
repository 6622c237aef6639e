"""Releases per second between two real nodes, beside JetStream, a hand-written secure peer and a floor.

python -m bench.releases [--count 2000] [--in-flight 256] [--size 2048] [--rounds 5] [--minutes 4]
                         [--only-ours] [--json]

All in one run and in turn, round by round, because the machine is not the same from one minute to the next. A
release of ours counts when the recipient's signed receipt is durable at the sender, and the sender's log says
so: all checks on, mutual TLS, SQLite FULL at both ends. It stops after --minutes, however many rounds that
made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from bench import jetstream, ours
from bench.floor import floor, make_pki
from bench.jetstream import Server
from bench.measured import Phase, middle
from bench.nodes import Failed, federation
from bench.processor import pace

LINES = {
    ours.WHOLE: "ours, submit to receipt",
    ours.SUBMIT: "ours, submit alone, until OK is durable",
    ours.BACKLOG: "ours, a backlog from hand-over to receipt",
    "default": "JetStream {version}, default (syncs every 2 min)",
    "always": "JetStream {version}, sync_interval: always",
    "secure": "secure peer by hand, over JetStream's default",
    "floor": "floor: gRPC and SQLite FULL, nothing else",
}
OURS = (ours.WHOLE, ours.SUBMIT, ours.BACKLOG)


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured, by name of the line; and seconds of processor that a unit took meanwhile."""

    phases: dict[str, list[Phase]]
    unit: float


def run(options: argparse.Namespace) -> Run:
    """All rounds, or as many as the time allows, at least one. Raises ImportError, Failed."""
    found: dict[str, list[Phase]] = {}
    units: list[float] = []
    until = time.monotonic() + options.minutes * 60
    with contextlib.ExitStack() as stack:
        peers = {} if options.only_ours else _peers(stack, options)
        fra, usa = stack.enter_context(federation(("FRA", "USA")))
        longest = 0.0
        for number in range(-1, options.rounds):
            began = time.monotonic()
            if found and began + longest > until:
                break
            # The first one warms up all that is made once; it is small and not counted.
            count = options.count if number >= 0 else min(256, options.count)
            with pace() as ended:
                phases = asyncio.run(ours.whole(fra, usa, count, options.in_flight))
                phases |= asyncio.run(ours.queued(fra, usa, count, options.in_flight))
                units.append(ended())
            phases |= {name: measure(count=count) for name, measure in peers.items()}
            if number >= 0:
                longest = max(longest, time.monotonic() - began)
                for name in phases:
                    found.setdefault(name, []).append(phases[name])
    return Run(found, median(units))


def _peers(stack: contextlib.ExitStack, options: argparse.Namespace) -> dict[str, Callable[..., Phase]]:
    """What is measured beside ours, by name; their servers end with the stack."""
    with_default: Server = stack.enter_context(jetstream.server(sync=False))
    with_sync: Server = stack.enter_context(jetstream.server(sync=True))
    exchanged = {"size": options.size, "in_flight": options.in_flight}
    return {
        "default": partial(jetstream.plain, with_default, **exchanged),
        "always": partial(jetstream.plain, with_sync, **exchanged),
        "secure": partial(jetstream.secure, with_default, **exchanged),
        "floor": partial(floor, in_flight=options.in_flight, pki=make_pki()),
    }


def ratio(found: dict[str, list[Phase]], one: str, other: str) -> float:
    """Median over the rounds of one rate divided by the other's of the same round."""
    return median(a.rate / b.rate for a, b in zip(found[one], found[other], strict=True))


def report(ran: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The document that --json prints."""
    found = ran.phases
    return {
        "settings": {name: value for name, value in vars(options).items() if name != "json"},
        "rounds": len(found[ours.WHOLE]),
        "load": os.getloadavg()[0],
        "unit_us": ran.unit * 1e6,
        "lines": {name: _line(rounds) for name, rounds in found.items()},
        "ratios": {
            one: {other: ratio(found, one, other) for other in found if other not in OURS} for one in OURS
        },
    }


FIGURES: dict[str, Callable[[Phase, str], float | None]] = {
    "cpu_us": Phase.cpu,
    "loop_us": Phase.loop,
    "writer_us": Phase.writer,
    "syncs": Phase.syncs,
    "written_kib": Phase.written,
}
"""Of each side of a phase, and given as the median of the rounds."""


def _line(rounds: list[Phase]) -> dict[str, Any]:
    rates = [one.rate for one in rounds]
    return {"best": max(rates), "median": median(rates)} | {
        name: {side: middle([figure(one, side) for one in rounds]) for side in rounds[0].sides}
        for name, figure in FIGURES.items()
    }


def show(found: dict[str, Any], version: str) -> None:
    """Three tables: rates, what they cost, how they compare."""
    given, lines = found["settings"], found["lines"]
    names = {name: LINES[name].format(version=version) for name in lines}
    size = f"{given['count']} releases of {given['size']} B, {given['in_flight']} at once"
    print(f"{found['rounds']} rounds of {size}")
    print(f"load {found['load']:.1f}; a unit of processor time takes {found['unit_us']:.0f} µs\n")
    print(_head("", "", "", "fsyncs", "fsyncs", "KiB disk", "KiB disk"))
    print(_head("each, median", "best/s", "median/s", "sender", "recipient", "sender", "others"))
    for name, line in lines.items():
        syncs, written = line["syncs"], line["written_kib"]
        others = [value for side, value in written.items() if side != "sender" and value is not None]
        print(
            f"{names[name]:<48}{line['best']:>10,.0f}{line['median']:>10,.0f}"
            f"{_number(syncs.get('sender'), 3)}{_number(syncs.get('recipient'), 3)}"
            f"{_number(written.get('sender'), 1)}{_number(sum(others) if others else None, 1)}"
        )
    print(
        "\n" + _head("processor µs each, median", "sender", "loop", "writer", "recipient", "client", "server")
    )
    for name, line in lines.items():
        cpu = line["cpu_us"]
        print(
            f"{names[name]:<48}{_number(cpu.get('sender'))}{_number(line['loop_us'].get('sender'))}"
            f"{_number(line['writer_us'].get('sender'))}{_number(cpu.get('recipient'))}"
            f"{_number(cpu.get('client'))}{_number(cpu.get('server'))}"
        )
    others = [name for name in lines if name not in OURS]
    if others:
        print("\n" + _head("ours per each of them, median of the rounds", *others))
        for name in OURS:
            print(f"{names[name]:<48}" + "".join(f"{found['ratios'][name][one]:>10.3f}" for one in others))


def _head(first: str, *columns: str) -> str:
    return f"{first:<48}" + "".join(f"{column:>10}" for column in columns)


def _number(value: float | None, digits: int = 0) -> str:
    return f"{'-' if value is None else f'{value:,.{digits}f}':>10}"


def main() -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        version = "" if options.only_ours else jetstream.version()
        found = report(run(options), options)
    except ImportError as error:
        print(f"NOTHING TO COMPARE WITH: {error}. `pip install '.[bench]'`, or --only-ours.", file=sys.stderr)
        return 2
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
    else:
        show(found, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
