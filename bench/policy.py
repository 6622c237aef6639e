"""Decisions per second, what 1,000 treaties change, loading them, and Cedar beside it in the same run.

python -m bench.policy [--count 100000] [--json]       one core; docs/performance.md says what is compared
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, cycle, islice
from pathlib import Path
from random import Random

from bench.policy_cedar import Cedar, load
from bench.policy_world import ASKED, CATEGORIES, others, ten
from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.instant import SECOND, Instant
from intelshare.labels import CONTROLS, NOFORN, Label, Registry
from intelshare.policy import (
    Outcome,
    Overlay,
    Request,
    Rule,
    Treaty,
    When,
    World,
    compile_world,
    decide,
    parse_treaty,
)

START = instant.parse("2024-06-01")
ROUNDS = 5
FLAGS = (frozenset[str](), frozenset(("personal-data",)), frozenset(("source-identity",)))
OVERLAYS = (
    Overlay("DEU", forbid=(Rule("personal", When(flags=FLAGS[1], not_to_group=("EU",))),)),
    Overlay("FRA", hold=(Rule("two-person", When(level_at_least="R4")),)),
    Overlay("USA", oblige=(Rule("retain", When(level_at_least="R3"), obligation="retention-365d"),)),
    Overlay("SWE", refuse=(Rule("source", When(flags=FLAGS[2])),)),
)


def main(count: int) -> dict[str, float]:
    registry = builtin_registry()
    texts = ten()
    many = {**texts, **others(sorted(registry.states), 1000 - len(texts))}
    small = world(registry, parse(registry, texts))
    pool = labels(registry)
    mixed = list(requests(pool, count))
    found: dict[str, float] = {
        "load_1000_s": min(from_disk(registry, many) for _ in range(3)),
        "load_1000_kib": sum(map(len, many.values())) / 1024,
    }
    found["treaties"] = len(texts)
    large = world(registry, parse(registry, many))
    found["first_decision_10_ms"] = first(registry, small, mixed[0]) * 1e3
    found["first_decision_1000_ms"] = first(registry, large, mixed[0]) * 1e3
    found |= throughput(small, mixed)
    found["ratio_1000_to_10"] = ratio(small, large, mixed)
    same = [replace(request, at=START) for request in mixed[: min(count, 10_000)]]
    try:
        cedar = load(small, START)
    except ModuleNotFoundError:
        print("cedarpy is not installed (extra bench): NOTHING IS COMPARED", file=sys.stderr)
        return found
    return found | beside_cedar(cedar, small, same)


def world(registry: Registry, treaties: Iterable[Treaty]) -> World:
    members = (*registry.states, *(code for code in registry.groups if registry.is_organisation(code)))
    return compile_world(registry, members, treaties, OVERLAYS)


def parse(registry: Registry, texts: Mapping[str, str]) -> list[Treaty]:
    return [parse_treaty(text, name, registry) for name, text in texts.items()]


def from_disk(registry: Registry, texts: Mapping[str, str]) -> float:
    """Seconds from files on disk to a world that can decide, as a node starts."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, "utf-8")
        start = time.process_time()
        read = {path.name: path.read_text("utf-8") for path in Path(folder).iterdir()}
        made = world(registry, parse(registry, read))
        made.at(START)
        return time.process_time() - start


def labels(registry: Registry) -> list[Label]:
    """600 labels of all who are asked: every level, with and without REL TO, controls and TLP."""
    dice = Random(1)
    made: dict[Label, None] = {}
    while len(made) < 600:
        authority = dice.choice(ASKED)
        level = dice.choice(registry.ladder(authority).at(START).levels).name
        controls = {dice.choice(CONTROLS)} if dice.random() < 0.2 else set()
        codes = {authority, *dice.sample((*ASKED, "FVEY", "EU"), dice.randint(1, 4))}
        named = NOFORN not in controls and dice.random() < 0.8
        tlp = dice.choice(("GREEN", "AMBER", "RED")) if dice.random() < 0.1 else None
        made[Label(authority, level, tuple(sorted(codes)) if named else None, tuple(controls), tlp)] = None
    return list(made)


def requests(pool: Sequence[Label], count: int) -> Iterator[Request]:
    """Mixed questions of one summer, no two alike: another second each."""
    dice = Random(2)
    for number in range(count):
        label = dice.choice(pool)
        sender = label.authority if dice.random() < 0.8 and label.authority else dice.choice(ASKED)
        yield Request(
            label=label,
            category=dice.choice(CATEGORIES),
            at=Instant(START + number * SECOND),
            sender=sender,
            recipient=dice.choice(ASKED),
            flags=dice.choice(FLAGS) if dice.random() < 0.2 else FLAGS[0],
            consents=frozenset(dice.sample(ASKED, 3)) if sender != label.authority else frozenset(),
        )


def throughput(made: World, mixed: Sequence[Request]) -> dict[str, float]:
    """Decisions per second: no two requests alike; nor any two labels; nor any two instants of 30 years; and
    1,000 requests that repeat."""
    repeated = list(islice(cycle(mixed[:1000]), len(mixed)))
    few = mixed[: len(mixed) // 4]
    return {
        "decisions_per_s": rate(made, mixed),
        "unlike_labels_per_s": rate(made, list(unlike_labels(made.registry, mixed))),
        "any_instant_per_s": rate(made, list(any_instant(few))),
        "repeated_1000_per_s": rate(made, repeated),
        "allowed_percent": 100 * sum(allows(made, request) for request in few) / len(few),
    }


def unlike_labels(registry: Registry, asked: Sequence[Request]) -> Iterator[Request]:
    """The same with another REL TO each: a few more codes of states that nobody asks about."""
    rest = [state for state in sorted(registry.states) if state not in ASKED]
    for request, codes in zip(asked, combinations(rest, 3), strict=False):
        named = request.label.releasable_to or (request.label.authority or "",)
        yield replace(request, label=replace(request.label, releasable_to=(*named, *codes)))


def any_instant(asked: Sequence[Request]) -> Iterator[Request]:
    """The same at instants from 1995 to 2025: each stretch between two changes has a world of its own."""
    dice = Random(3)
    start, end = instant.parse("1995-01-01"), instant.parse("2025-01-01")
    for request in asked:
        yield replace(request, at=Instant(dice.randrange(start, end)))


def rate(made: World, asked: Sequence[Request]) -> float:
    """Decisions per second of a world that has decided nothing yet, the best of the rounds."""

    def fresh() -> None:
        decide_all(World(made.registry, made.members, made.treaties, made.overlays), asked)

    return len(asked) / best(fresh, 1)


def ratio(small: World, large: World, mixed: Sequence[Request]) -> float:
    """Time of the same decisions in the large world per that in the small."""
    ten_took, many_took = in_turn(lambda: decide_all(small, mixed), lambda: decide_all(large, mixed))
    return many_took / ten_took


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the two, the best of rounds taken in turn: what else the machine does hits both."""
    took = [(best(one, 1, rounds=1), best(other, 1, rounds=1)) for _ in range(2 * ROUNDS)]
    return min(first for first, _ in took), min(second for _, second in took)


def first(registry: Registry, made: World, request: Request) -> float:
    """The first decision after a change of the world, which works out the snapshot."""

    def once() -> None:
        decide(World(registry, made.members, made.treaties, made.overlays), request)

    return best(once, 1)


def beside_cedar(cedar: Cedar, made: World, same: Sequence[Request]) -> dict[str, float]:
    """The same requests at one instant by both; they must agree, or the comparison says nothing."""
    asked = [cedar.request(made, request) for request in same]
    answers = cedar.decide(asked)
    expected = [allows(made, request) for request in same]
    differ = sum(answer is not want for answer, want in zip(answers, expected, strict=True))
    if differ:
        raise SystemExit(f"Cedar and decide differ on {differ} of {len(same)}: nothing to compare")
    theirs, ours = in_turn(lambda: cedar.decide(asked), lambda: decide_all(made, same))
    return {
        "cedar_policies": cedar.policies,
        "cedar_per_s": len(same) / theirs,
        "ours_same_requests_per_s": len(same) / ours,
        "times_cedar": theirs / ours,
    }


def decide_all(made: World, asked: Sequence[Request]) -> None:
    for request in asked:
        decide(made, request)


def allows(made: World, request: Request) -> bool:
    return decide(made, request).outcome is not Outcome.DENY


def best(run: Callable[[], object], size: int, rounds: int = ROUNDS) -> float:
    """Seconds of the processor per item, the best of the rounds: others on the machine count little."""
    took = []
    gc.collect()
    gc.disable()  # as timeit does: the questions that wait in lists are no part of a decision
    for _ in range(rounds):
        start = time.process_time()
        run()
        took.append((time.process_time() - start) / size)
    gc.enable()
    return min(took)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    figures = main(given.count)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):40} {value:>12,.2f}")
