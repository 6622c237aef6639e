"""The plan of a seed as data: knobs, what users do, what goes wrong. Drawn, printed, run, shrunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from random import Random as Stream
from typing import Any

from intelshare.instant import MINUTE, SECOND
from intelshare.sim.chance import stream

MEMBERS = ("FRA", "USA", "DEU", "GBR")


@dataclass(frozen=True, slots=True)
class Knobs:
    """Numbers of one run; times in microseconds."""

    members: int = 3
    lasts: int = 60 * SECOND
    """How long users act and faults happen."""
    real_crypto: bool = False
    delay: int = 20_000
    """Mean way of a message."""
    jitter: int = 20_000
    sync: int = 5_000
    """Mean time of an fsync."""
    batch: int = 256
    """Releases that hand-over takes at once per peer, at most."""
    silence: int = 20 * SECOND
    """After how long an end notices that the other is gone."""
    fresh_directories: bool = False
    """Peers hold an older directory of each other at first."""
    offset: int = 0
    """How far wall clocks are apart, at most."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a user does at ``at``: submit, approve or read."""

    kind: str
    at: int
    node: str
    to: str = ""
    """Of submit: recipients, space between."""
    what: int = 0
    """Of submit: which of the world's drafts. Of read: the how-manieth of the newest."""
    precedence: int = 1
    size: int = 200
    """Bytes of the text."""
    lasts: int = 0
    """Of submit: deliver within; 0: no end."""
    again: int = 0
    """Of submit: how often the same is asked again after the OK."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    crash    node at ``at``; or, if ``number``, in its ``number``-th sync: ``window`` "before" its end,
             keeping ``keep`` of the commits, or "after" it, when ``keep`` of the effects have happened.
             Down for ``lasts``
    cut      node and peer for ``lasts``; ``window`` "one-way": only what node sends is lost
    reset    the link of node and peer; ``keep`` messages on the way still arrive
    lose     the ``number``-th message of node to peer: the link is silent from then on
    repeat   the ``number``-th message of node to peer, if it is a frame, comes again after ``lasts``
    clock    node's wall clock is ``by`` ahead for ``lasts``
    restore  node is stopped at ``at`` and comes back with its disk of ``by`` microseconds earlier
    """

    kind: str
    node: str
    peer: str = ""
    at: int = 0
    lasts: int = 0
    number: int = 0
    window: str = ""
    keep: int = 0
    by: int = 0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All of a run but its seed."""

    seed: int
    knobs: Knobs
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]

    def members(self) -> tuple[str, ...]:
        """Who takes part."""
        return MEMBERS[: self.knobs.members]


def to_json(plan: FaultPlan) -> str:
    """One entry a line, without what is as usual."""
    rows = [f'{{"seed": {plan.seed}, "knobs": {json.dumps(asdict(plan.knobs))},']
    for name, entries in (("acts", plan.acts), ("faults", plan.faults)):
        lines = ",\n  ".join(json.dumps(_sparse(entry)) for entry in entries)
        rows.append(f' "{name}": [\n  {lines}]' + ("," if name == "acts" else "}"))
    return "\n".join(rows) + "\n"


def from_json(text: str) -> FaultPlan:
    """A plan that was printed. Raises ValueError, TypeError, KeyError."""
    read = json.loads(text)
    return FaultPlan(
        read["seed"],
        Knobs(**read["knobs"]),
        tuple(Act(**row) for row in read["acts"]),
        tuple(Fault(**row) for row in read["faults"]),
    )


def _sparse(entry: Act | Fault) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(entry)}
    return {name: value for name, value in asdict(entry).items() if value != defaults[name]}


def draw(seed: int) -> FaultPlan:
    """The plan of a seed. Swarm: each class of faults is on in some seeds only, and how often differs."""
    knobs = _knobs(stream(seed, "knobs"), seed)
    members = MEMBERS[: knobs.members]
    faults: list[Fault] = []
    for name, draw_faults in _FAULTS:
        chance = stream(seed, "faults", name)
        if chance.random() < 0.4:
            faults.extend(draw_faults(chance, knobs, members))
    return FaultPlan(seed, knobs, tuple(_acts(stream(seed, "acts"), knobs, members)), tuple(faults))


def _knobs(chance: Stream, seed: int) -> Knobs:
    pick = chance.choice
    real = seed % 50 == 49
    return Knobs(
        members=pick((2, 3, 3, 3, 4)),
        lasts=pick((20, 60, 60, 120)) * SECOND,
        real_crypto=real,
        delay=pick((1_000, 20_000, 100_000, SECOND)),
        jitter=pick((1_000, 20_000, 200_000)),
        sync=pick((1_000, 5_000, 50_000)),
        batch=pick((1, 2, 5, 64, 256)),
        silence=pick((5, 20, 30)) * SECOND,
        fresh_directories=chance.random() < 0.3,
        offset=pick((0, 0, 2 * SECOND, MINUTE)),
    )


def _acts(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Act]:
    acts = []
    burst = chance.random() < 0.3
    for _ in range(chance.randint(15, 40)):
        node = chance.choice(members)
        others = [member for member in members if member != node]
        to = chance.sample(others, chance.randint(1, len(others)))
        at = chance.randrange(SECOND) if burst else chance.randrange(knobs.lasts)
        acts.append(
            Act(
                "submit",
                at,
                node,
                " ".join(sorted(to)),
                what=chance.randrange(1 << 16),
                precedence=chance.choice((1, 1, 1, 2, 3, 4)),
                size=chance.choice((0, 200, 200, 3_000)) if chance.random() < 0.97 else 120_000,
                lasts=chance.choice((2, 10, 60)) * SECOND if chance.random() < 0.1 else 0,
                again=int(chance.random() < 0.1),
            )
        )
    for _ in range(chance.randint(2, 8)):
        acts.append(Act("approve", chance.randrange(knobs.lasts), chance.choice(members)))
    for _ in range(chance.randint(2, 10)):
        what = chance.randrange(5)
        acts.append(Act("read", chance.randrange(knobs.lasts), chance.choice(members), what=what))
    return acts


_SOME = (1, 2, 4, 8)


def _two(chance: Stream, members: tuple[str, ...]) -> tuple[str, str]:
    node, peer = chance.sample(members, 2)
    return node, peer


def _crashes_in_commits(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.01, 0.03, 0.1))
    return [
        Fault(
            "crash",
            member,
            number=number,
            window=chance.choice(("before", "after")),
            keep=chance.choice((0, 0, 1, 2, 5)),
            lasts=chance.choice((200_000, SECOND, 5 * SECOND)),
        )
        for member in members
        for number in range(1, 300)
        if chance.random() < rate
    ]


def _crashes(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "crash",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            keep=chance.choice((0, 1)),
            lasts=chance.choice((SECOND, 5 * SECOND, 20 * SECOND)),
        )
        for _ in range(chance.choice(_SOME))
    ]


def _cuts(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "cut",
            *_two(chance, members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND, 10 * SECOND, 60 * SECOND)),
            window=chance.choice(("", "", "one-way")),
        )
        for _ in range(chance.choice(_SOME))
    ]


def _resets(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "reset",
            *_two(chance, members),
            at=chance.randrange(knobs.lasts),
            keep=chance.choice((0, 0, 1, 3)),
        )
        for _ in range(chance.choice(_SOME) * 2)
    ]


def _losses(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.005, 0.02))
    return [
        Fault("lose", member, peer, number=number)
        for member in members
        for peer in members
        if member != peer
        for number in range(1, 200)
        if chance.random() < rate
    ]


def _repeats(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.02, 0.2))
    return [
        Fault("repeat", member, peer, number=number, lasts=chance.choice((1_000, SECOND, 30 * SECOND)))
        for member in members
        for peer in members
        if member != peer
        for number in range(1, 200)
        if chance.random() < rate
    ]


def _clocks(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "clock",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND, 10 * SECOND, 30 * SECOND)),
            by=chance.choice((-30 * SECOND, 30 * SECOND, 6 * MINUTE, 8 * MINUTE)),
        )
        for _ in range(chance.choice((1, 1, 2)))
    ]


def _restores(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "restore",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            by=chance.choice((SECOND, 10 * SECOND, 30 * SECOND)),
            lasts=SECOND,
        )
        for _ in range(chance.choice((1, 1, 2)))
    ]


_FAULTS: tuple[tuple[str, Callable[[Stream, Knobs, tuple[str, ...]], list[Fault]]], ...] = (
    ("commit-crash", _crashes_in_commits),
    ("crash", _crashes),
    ("cut", _cuts),
    ("reset", _resets),
    ("lose", _losses),
    ("repeat", _repeats),
    ("clock", _clocks),
    ("restore", _restores),
)
