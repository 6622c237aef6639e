"""What one phase of one round measured, and how rounds become a line of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.metered import Meter
from bench.nodes import Node
from bench.processor import Used


@dataclass(frozen=True, slots=True)
class Side:
    """What one process spent on a phase."""

    used: Used = field(default_factory=Used)
    meter: Meter | None = None
    """None: it could not be counted."""
    written: int | None = None
    """Bytes to disk; None: not known."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of one round."""

    count: int
    seconds: float
    sides: dict[str, Side]
    """By name: sender, recipient, client, server."""

    @property
    def rate(self) -> float:
        """Releases, or messages, a second."""
        return self.count / self.seconds

    def cpu(self, side: str) -> float | None:
        """Processor µs a release; None where there is no such side."""
        return self.sides[side].used.whole / self.count * 1e6 if side in self.sides else None

    def loop(self, side: str) -> float | None:
        """Of it, the event loop's; None where threads were not told apart."""
        return self.sides[side].used.loop / self.count * 1e6 if self._told_apart(side) else None

    def writer(self, side: str) -> float | None:
        """Of it, the store writer's; None where threads were not told apart."""
        return self.sides[side].used.writer / self.count * 1e6 if self._told_apart(side) else None

    def syncs(self, side: str) -> float | None:
        """fsyncs a release; None where nobody counts them."""
        meter = self.sides[side].meter if side in self.sides else None
        return None if meter is None else meter.syncs / self.count

    def per_commit(self, side: str) -> float:
        """Releases that share a commit."""
        meter = self.sides[side].meter
        assert meter is not None, f"nobody counts the commits of {side}"
        return self.count / max(1, meter.commits)

    def calls(self, side: str) -> float:
        """Calls of functions a release, by a node that counts them."""
        meter = self.sides[side].meter
        assert meter is not None, f"nobody counts the calls of {side}"
        return meter.calls / self.count

    def written(self, side: str) -> float | None:
        """KiB a release; None where nobody knows."""
        written = self.sides[side].written if side in self.sides else None
        return None if written is None else written / self.count / 1024

    def _told_apart(self, side: str) -> bool:
        return side in self.sides and bool(self.sides[side].used.threads)


class Watched:
    """Two snapshots of nodes: what each spent in between."""

    def __init__(self, **nodes: Node) -> None:
        self._nodes = nodes
        self._before = {name: (node.used(), node.meter()) for name, node in nodes.items()}

    def spent(self) -> dict[str, Side]:
        """Since this was made."""
        return {name: _spent(node, *self._before[name]) for name, node in self._nodes.items()}


def _spent(node: Node, used: Used, meter: Meter) -> Side:
    counted = node.meter() - meter
    return Side(node.used() - used, counted, counted.written)


def middle(found: Sequence[float | None]) -> float | None:
    """The median; None where any is unknown."""
    known = [one for one in found if one is not None]
    return median(known) if len(known) == len(found) else None
