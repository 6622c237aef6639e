"""The checkpoints held of logs: which of them to compare, and which to delete."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from intelshare.audit.exhibit import Exhibit, exhibit_of
from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.tables import CHECKPOINT, CheckpointRow
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Batch, Cosigned, Evidence
from intelshare.ids import NodeUri
from intelshare.instant import Instant
from intelshare.ports import View

MAX_HELD: Final = 48
"""The most checkpoints held of one node; they thin out behind the newest."""

RECENT: Final = 8
"""The newest of those, none of which is thinned out."""

MAX_CLAIMED: Final = 8
"""The most checkpoints of one node that wait for a path; until it comes, more of that log are rejected."""

MAX_COSIGNED: Final = 1024

MAX_SIZE: Final = (1 << 63) - 1
"""The most entries of a log that the store can record."""


class CheckpointState(IntEnum):
    """The state of a checkpoint, as explained in ``broker.transparency.witness``."""

    CLAIMED = 0
    PROVED = 1
    BROKEN = 2
    HEARD = 3
    OWN = 4
    DOUBTED = 5


UNPROVED: Final = (CheckpointState.CLAIMED, CheckpointState.DOUBTED)
"""Signed, and waiting for a path."""

SIGNED: Final = (CheckpointState.PROVED, *UNPROVED)
"""Signed by the log's node, and not known to contradict anything."""


def latest(view: View, uri: NodeUri) -> tuple[Cosigned, ...]:
    """Return the latest checkpoint that a node has signed, if any: it counts even before a path has come."""
    rows = [row for state in SIGNED for row in view.find(CHECKPOINT, "state", uri, state, limit=1)]
    newest = min(rows, key=lambda row: (row.newest, -row.size), default=None)
    return (position_of(newest),) if newest is not None else ()


def place_of(rows: Sequence[CheckpointRow], incarnation: int, now: Instant) -> int:
    """Return the place (``CheckpointRow.newest``) of a checkpoint of this log that comes now.

    It is before those held of its node, whatever the time was when they came: this node's clock may have been
    ahead. Only a copy of a log after which another one has come stays with its log.
    """
    first = min((row.newest for row in rows), default=-now + 1)
    of_log = min((row.newest for row in rows if row.incarnation == incarnation), default=first)
    return of_log if of_log > first else min(-now, first - 1)


def is_broken(view: View, uri: NodeUri, but: CheckpointRow | None = None) -> bool:
    """Return True if a node's log has contradicted itself (in another checkpoint than ``but``)."""
    rows = view.find(CHECKPOINT, "state", uri, CheckpointState.BROKEN, limit=1)
    return bool(rows) and rows[0] != but


def ends(view: View, ask: LogAsk) -> tuple[CheckpointRow | None, CheckpointRow | None]:
    return (
        view.get(CHECKPOINT, ask.origin, ask.incarnation, ask.size),
        view.get(CHECKPOINT, ask.origin, ask.until, ask.until_size),
    )


def nearest(rows: Sequence[CheckpointRow], row: CheckpointRow) -> CheckpointRow | None:
    """Return the best checkpoint to compare with: the nearest proved one of the same log, or else the longest
    of the newest log: a copy of a shorter one may have come last, and would hide what was forgotten after it.
    """
    proved = [other for other in rows if other.state == CheckpointState.PROVED]
    same = [other for other in proved if other.incarnation == row.incarnation]
    below = [other for other in same if other.size < row.size]
    if below:
        return max(below, key=lambda other: other.size)
    if same or not proved:
        return min(same, key=lambda other: other.size, default=None)
    return _longest(proved, max(proved, key=signed_at).incarnation)


def bases(rows: Sequence[CheckpointRow], row: CheckpointRow) -> Sequence[CheckpointRow]:
    """Return the checkpoints to compare one with, the best last: once that has proved it, nothing is asked
    about the others. None: it is the first that counts.
    """
    best, last = of_later_log(rows, row) or nearest(rows, row), _came_last(rows, row)
    return [one for one in ((last, best) if last != best else (best,)) if one is not None]


def _came_last(rows: Sequence[CheckpointRow], row: CheckpointRow) -> CheckpointRow | None:
    """Return the longest checkpoint of the log of which one came last, for a log of which nothing is proved:
    a clock that had gone back signed it earlier than the logs before it.
    """
    proved = [other for other in rows if other.state == CheckpointState.PROVED]
    if not proved or any(other.incarnation == row.incarnation for other in proved):
        return None
    return _longest(proved, min(proved, key=lambda other: other.newest).incarnation)


def _longest(rows: Sequence[CheckpointRow], incarnation: int) -> CheckpointRow:
    """Return the longest checkpoint of one of these logs."""
    return max((row for row in rows if row.incarnation == incarnation), key=lambda row: row.size)


def longer(rows: Sequence[CheckpointRow], heard: CheckpointRow) -> CheckpointRow | None:
    """Return the nearest longer checkpoint of the same log that its node signed, or one of a later log."""
    signed = [row for row in rows if row.state in SIGNED]
    longer = [row for row in signed if row.incarnation == heard.incarnation and row.size > heard.size]
    after = [row for row in signed if row.incarnation != heard.incarnation and row.newest <= heard.newest]
    if longer:
        return min(longer, key=lambda row: row.size)
    return min(after, key=lambda row: row.newest) if after else None


def of_later_log(rows: Sequence[CheckpointRow], row: CheckpointRow) -> CheckpointRow | None:
    """Return the longest proved checkpoint of a log that was signed later, if any: then this one came late.

    The longest, whenever it was signed: a clock may have gone back, and this one then follows a log that the
    node has lost the end of.
    """
    signed = signed_at(row)
    others = [
        other
        for other in rows
        if other.state == CheckpointState.PROVED and other.incarnation != row.incarnation
    ]
    later = min(
        (other for other in others if signed_at(other) > signed), key=lambda one: one.newest, default=None
    )
    return _longest(others, later.incarnation) if later is not None else None


def present(rows: Sequence[CheckpointRow], incarnation: int) -> CheckpointRow | None:
    """Return the longest checkpoint held of the log that grows now."""
    signed = [row for row in rows if row.state in SIGNED and row.incarnation == incarnation]
    return max(signed, key=lambda row: row.size, default=None)


def ask_for(one: CheckpointRow, other: CheckpointRow) -> LogAsk:
    """Return the question for the path from the earlier of two to the later. Two logs are ordered by when
    they were signed: a copy of an old checkpoint may come late.
    """
    first, second = one, other
    if CheckpointState.HEARD not in (one.state, other.state):
        same = one.incarnation == other.incarnation
        later = one.size > other.size if same else signed_at(one) > signed_at(other)
        first, second = (other, one) if later else (one, other)
    return LogAsk(one.origin, first.incarnation, first.size, second.incarnation, second.size)


def signed_at(row: CheckpointRow) -> Instant:
    return signed_at_of(decode(Evidence, row.signed))


def signed_at_of(signed: Evidence) -> Instant:
    return decode(Batch, signed.batch).signed_at


def thinned(rows: Sequence[CheckpointRow]) -> Sequence[CheckpointRow]:
    """Return which to delete to keep ``MAX_HELD``: where they are closest, never a log's first or last."""
    if len(rows) <= MAX_HELD:
        return ()
    ordered = sorted(rows, key=lambda row: (-row.newest, row.size))
    older = ordered[:-RECENT]
    spans = [
        (after.size - before.size, -row.newest, row)
        for before, row, after in zip(older, older[1:], older[2:], strict=False)
        if before.incarnation == row.incarnation == after.incarnation
    ]
    return (min(spans, key=lambda span: span[:2])[2],) if spans else (ordered[0],)


def position_of(row: CheckpointRow) -> Cosigned:
    return Cosigned(row.origin, row.incarnation, row.size, row.root)


def both(earlier: CheckpointRow, later: CheckpointRow, path: LogPath | None) -> Exhibit:
    return exhibit_of([decode(Evidence, earlier.signed), decode(Evidence, later.signed)], [path])
