"""The plan of a seed as data: knobs, what users do, what goes wrong. Drawn, printed, run, shrunk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from intelshare.instant import SECOND

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
    page: int = 1_000
    """Time to read a page of a log."""
    both_dial: bool = False
    """Either side of a pair dials, not only the one whose code sorts first."""
    offset: int = 0
    """How far wall clocks are apart, at most."""
    retention: int = 0
    """For how long content is kept after its delivery; 0: as long as usual."""
    queue: int = 0
    """Bulletins that may wait for one recipient, and twice as many for all; 0: as many as usual."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that users of ``node`` do at ``at``: ``sim.users.ACTS`` says what each kind is."""

    kind: str
    at: int
    node: str
    to: str = ""
    """Of a bulletin: recipients, space between. Of ``resume``, ``backfill`` and members: the other one."""
    what: int = 0
    """Which: of the world's drafts, of the newest bulletins, of the treaty acts."""
    precedence: int = 1
    size: int = 200
    """Bytes of the text."""
    lasts: int = 0
    """Of a bulletin: valid, or to be delivered, so long; 0: no end. Of a treaty act: until it holds."""
    again: int = 0
    """Of a bulletin: how often the same is asked again after the OK."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    crash    node at ``at``; or, if ``number``, in its ``number``-th sync: ``window`` "before" its end,
             keeping ``keep`` of the commits, or "after" it, when ``keep`` of the effects have happened.
             Down for ``lasts``
    cut      node and peer for ``lasts``; ``window`` "one-way": only what node sends is lost
    reset    the link of node and peer; ``keep`` messages on the way still arrive
    lose     the ``number``-th message of node to peer: the link is silent from then on; a frame comes after
             ``lasts`` all the same, on another way, if that is not 0
    repeat   the ``number``-th message of node to peer, if it is a frame, comes again after ``lasts``
    clock    node's wall clock is ``by`` ahead for ``lasts``
    stop     node is stopped in order at ``at``, and started again ``lasts`` after its end
    rot      a record of a bulletin that node has queued is damaged, at ``at`` or once there is one
    decay    node's disk loses a piece of a file that is whole, at ``at`` or once there is one
    full     somebody else fills node's disk but for ``keep`` bytes, for ``lasts``
    read-only  node's disk takes no more writes for ``lasts``
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
