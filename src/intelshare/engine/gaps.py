"""Requests to one peer that are unanswered: repeated each second, less and less often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from intelshare.broker.kernel.frame import Gap
from intelshare.delivery import Backoff
from intelshare.engine.values import Now
from intelshare.instant import SECOND, Instant
from intelshare.ports import Random

Stream = tuple[str, int]
"""Origin and incarnation; empty and 0: the peer's treaty acts."""

FIRST_WAIT = SECOND // 2
"""The least time for an answer before the request is repeated, whatever the backoff says."""


class GapRequests:
    """The requests of one link."""

    def __init__(self) -> None:
        self._asked: dict[Stream, tuple[Instant, Backoff]] = {}

    def streams(self) -> tuple[Stream, ...]:
        """Return the streams that were asked about and are not known to be complete."""
        return tuple(self._asked)

    def due(self, gaps: Iterable[Gap], now: Now, random: Random) -> Iterator[Gap]:
        """Yield the gaps that may be requested now, and note them as requested."""
        for gap in gaps:
            stream = gap.origin, gap.incarnation
            due, backoff = self._asked.get(stream, (now.steady, Backoff(contact=now.steady)))
            if due <= now.steady:
                yield gap
                backoff = backoff.failed()
                due = Instant(now.steady + FIRST_WAIT + backoff.delay(now.steady, random))
            self._asked[stream] = due, backoff

    def keep(self, streams: Iterable[Stream], missing: Iterable[Gap]) -> None:
        """Forget those of ``streams`` in which nothing is missing any more."""
        left = {(gap.origin, gap.incarnation) for gap in missing}
        for stream in streams:
            if stream not in left:
                self._asked.pop(stream, None)
