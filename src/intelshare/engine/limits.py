"""The bounds of an engine: how much of everything at once, how often, how long. Times are in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from intelshare.engine.budgets import Budget, Rate
from intelshare.instant import SECOND

RETRY: Final = SECOND
"""The pause before work that met a full disk, a wrong clock or no policy is tried again."""


@dataclass(frozen=True, slots=True)
class SpaceLimits:
    """Bounds on the free bytes of the data folder's disk."""

    low: int = 256 << 20
    """With less than this free, only urgent bulletins are accepted."""
    reserve: int = 32 << 20
    """The size of the file that is given up."""
    give: int = 8 << 20
    """With less than this free, the reserve is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that a node keeps. The simulator draws some of them smaller."""

    hello: int = 5 * SECOND
    """The time for a whole hello (promise P18); within it two new links count as dialled at once."""
    streams: int = 4
    """The most streams of one peer node at once, including those in their hello."""
    at_work: int = 4
    """The most messages of one peer whose steps wait for a commit: while one commits, the next are read."""
    control: int = 256
    """The most answers that wait to be written to a peer; at this number nothing is read from it."""
    files: int = 4
    """The most files that are fetched at once, one per member."""
    slices: int = 8
    """The most slices of a file requested at once: an urgent bulletin may have to wait for so many."""
    slices_asked: int = 32
    """The most slices that one peer may request at once; more is RATE."""
    releases: int = 128
    """The most releases in one hand-over for one peer, for whose seal an urgent one may wait."""
    answers: int = 1
    """The most questions about logs answered at once: a thread that reads a whole log owns its tree."""
    dialled: int = 16
    """The most nodes of one member that are dialled: the first ones by name."""
    first_dial: int = SECOND // 20
    """The time over which the dials after a start are spread."""
    last_word: int = SECOND // 2
    """The time for peers to take the last checkpoint of a node that stops, and to ask for its path."""
    hearing: int = 60 * SECOND
    """The time for which a link must be open until its member counts as heard: its recalls come first."""
    learning: int = 10 * SECOND
    """The longest time for which releases wait for the next directory of a member that was shown its own."""
    space: SpaceLimits = field(default_factory=SpaceLimits)
    """The bounds of the disk."""
    budgets: Mapping[Budget, Rate] = field(default_factory=dict)
    """The budgets that differ from ``BUDGETS``."""
