"""The bounds of an engine: how much of everything at once, how often, how long. Times in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from intelshare.engine.budgets import Budget, Rate
from intelshare.instant import SECOND

RETRY: Final = SECOND
"""How long work waits for a full disk, a wrong clock or a missing policy before it is tried again."""


@dataclass(frozen=True, slots=True)
class SpaceLimits:
    """Bytes of the disk of the data folder."""

    low: int = 256 << 20
    """With less than this free only what is urgent is taken."""
    reserve: int = 32 << 20
    """Of the file that is given up."""
    give: int = 8 << 20
    """With less than this free it is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that a node keeps. The simulator draws some of them smaller."""

    hello: int = 5 * SECOND
    """For a whole hello (promise P18), and as long a new link counts as dialled at once with another."""
    streams: int = 4
    """Streams of one peer node at once, those in their hello included."""
    at_work: int = 4
    """Messages of one peer whose steps may wait for a commit: while one commits, the next are read."""
    control: int = 256
    """Answers that wait to be written to a peer; while there are so many, nothing is read from it."""
    files: int = 4
    """Files that are fetched at once, one of a member."""
    slices: int = 8
    """Slices of a file that are asked for at once: so much may lie before an urgent bulletin."""
    slices_asked: int = 32
    """Slices that one peer may ask for at once; more is RATE."""
    releases: int = 0
    """Small releases that hand-over takes at once for one peer; 0: as many as its window has room for."""
    answers: int = 1
    """Questions about logs that are answered at once: a thread that reads a whole log owns its tree."""
    dialled: int = 16
    """Nodes of one member that are dialled; beyond, those that come first by name."""
    first_dial: int = SECOND // 20
    """Dials after a start are spread over this time."""
    last_word: int = SECOND // 2
    """For peers to take the last checkpoint of a node that stops, and to ask for its path."""
    space: SpaceLimits = field(default_factory=SpaceLimits)
    """Of the disk."""
    budgets: Mapping[Budget, Rate] = field(default_factory=dict)
    """Where they are not those of ``BUDGETS``."""
