"""What was asked of one peer and has not come: asked again each second, each time less often."""

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
"""So long an answer may take before the same is asked again, whatever the backoff says."""


class GapRequests:
    """Of one link."""

    def __init__(self) -> None:
        self._asked: dict[Stream, tuple[Instant, Backoff]] = {}

    def streams(self) -> tuple[Stream, ...]:
        """What was asked about and is not known to have come."""
        return tuple(self._asked)

    def due(self, gaps: Iterable[Gap], now: Now, random: Random) -> Iterator[Gap]:
        """Of these gaps those that may be asked for now; noted as asked."""
        for gap in gaps:
            stream = gap.origin, gap.incarnation
            due, backoff = self._asked.get(stream, (now.steady, Backoff(contact=now.steady)))
            if due <= now.steady:
                yield gap
                backoff = backoff.failed()
                due = Instant(now.steady + FIRST_WAIT + backoff.delay(now.steady, random))
            self._asked[stream] = due, backoff

    def keep(self, streams: Iterable[Stream], missing: Iterable[Gap]) -> None:
        """Forget those of ``streams`` of which nothing is missing any more."""
        left = {(gap.origin, gap.incarnation) for gap in missing}
        for stream in streams:
            if stream not in left:
                self._asked.pop(stream, None)
