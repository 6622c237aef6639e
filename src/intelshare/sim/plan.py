"""The plan of a seed as data: knobs, users' acts, faults. It is drawn, printed, run and shrunk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from intelshare.instant import SECOND

MEMBERS = ("FRA", "USA", "DEU", "GBR")


@dataclass(frozen=True, slots=True)
class Knobs:
    """The numbers of one run; times in microseconds."""

    members: int = 3
    lasts: int = 60 * SECOND
    """The time during which users act and faults happen."""
    real_crypto: bool = False
    delay: int = 20_000
    """The mean time that a message takes."""
    jitter: int = 20_000
    sync: int = 5_000
    """The mean time of an fsync."""
    batch: int = 256
    """The most releases that hand-over takes at once per peer."""
    silence: int = 20 * SECOND
    """The time after which an end notices that the other is gone."""
    fresh_directories: bool = False
    """True if some peers first hold an older directory of others."""
    introduced_early: bool = False
    """True if one of each pair holds the other's directory from before its first run, without an address."""
    page: int = 1_000
    """The time to read a page of a log."""
    both_dial: bool = False
    """True if either side of a pair dials, not only the one whose code sorts first."""
    offset: int = 0
    """The most that wall clocks differ."""
    retention: int = 0
    """The time for which content is kept after its delivery; 0 for the usual time."""
    queue: int = 0
    """The most bulletins that may wait for one recipient, with twice as many for all; 0 for the usual
    bounds.
    """
    hostile: str = ""
    """The member that is hostile; empty if none is. Nothing is promised to it, and it settles nothing."""
    endless: bool = False
    """True if faults never end: only what holds at any instant is checked, and nothing has to settle."""
    calm: bool = False
    """True if the hostile member's tricks are the only faults: the run is compared with one without it."""
    parted: str = ""
    """Two members, separated by a space, whose links are cut for good: only bundles go on between them."""
    watched: bool = False
    """True if each node has a client that watches its events."""
    together: str = ""
    """The members whose node is several replicas over one store, separated by spaces."""
    replicas: int = 2
    """The number of replicas of each of them."""
    older: str = ""
    """The part that the version lacks in which they begin: "links" (it divides none), "schema" (the newer one
    migrates); empty: all are of one version.
    """
    absent: bool = False
    """True if the hostile member is never there: the run with which one of a hostile member is compared."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that users of ``node`` do at ``at``; ``sim.users.ACTS`` lists the kinds."""

    kind: str
    at: int
    node: str
    to: str = ""
    """For a bulletin, the recipients, separated by spaces; for ``resume``, ``backfill`` and members, the
    other member.
    """
    what: int = 0
    """The choice among the world's drafts, the newest bulletins or the treaty acts."""
    precedence: int = 1
    size: int = 200
    """The size of the text in bytes."""
    lasts: int = 0
    """For a bulletin, the time for which it is valid or may be delivered, 0 for no end; for a treaty act,
    until it holds.
    """
    again: int = 0
    """For a bulletin, the number of times that it is submitted again after the OK."""


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
    rot      the content of a bulletin that node has queued, or what ``window`` says (``sim.mending.ROTS``),
         is damaged, at ``at`` or once there is one
    decay    node's disk loses a piece of a file that is whole, at ``at`` or once there is one
    full     another program fills node's disk except ``keep`` bytes, for ``lasts``
    read-only  node's disk accepts no writes for ``lasts``
    hostile  what the hostile node does to peer (``window``: see ``sim.hostile.TRICKS``) for ``lasts``
    replica  what happens to the ``number``-th replica of node, or (0) to the one that leads (``window``: see
         ``sim.replicated.TROUBLES``) for ``lasts``
    store    the database of node's replicas restarts, and is away for ``lasts``; ``keep``: the commit that
         runs happens all the same
    move     an operator stops node, moves its rows to the other store, or back, and starts it; the move is
         killed at its ``number``-th page of rows, if that is not 0
    restore  node is stopped at ``at`` and comes back with its disk of ``by`` microseconds earlier
    lie      node loses power at ``at``, and what its disk had synced in the last ``by`` microseconds
    put-back  the same with its whole folder, keys and all
    backup   the same with a backup made ``by`` microseconds earlier
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
    """A plan: everything that determines a run, with its seed."""

    seed: int
    knobs: Knobs
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]

    def members(self) -> tuple[str, ...]:
        """Return the members that take part."""
        return MEMBERS[: self.knobs.members]


def to_json(plan: FaultPlan) -> str:
    """Return the plan as JSON, one entry a line, without default values."""
    rows = [f'{{"seed": {plan.seed}, "knobs": {json.dumps(asdict(plan.knobs))},']
    for name, entries in (("acts", plan.acts), ("faults", plan.faults)):
        lines = ",\n  ".join(json.dumps(_sparse(entry)) for entry in entries)
        rows.append(f' "{name}": [\n  {lines}]' + ("," if name == "acts" else "}"))
    return "\n".join(rows) + "\n"


def from_json(text: str) -> FaultPlan:
    """Read a plan that was printed. Raises ValueError, TypeError, KeyError."""
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
