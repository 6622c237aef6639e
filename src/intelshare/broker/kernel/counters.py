"""Counters of what is kept, rows and bytes by kind, so that checking a bound never needs a scan.

Counters are rows like all others: they commit together with what they count, and a crash rolls back both. The
simulator (I10, I13) compares them with the rows themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from intelshare.broker.kernel.tables import COUNTER, CounterRow
from intelshare.ids import MemberCode
from intelshare.ports import Rows

QUEUE: Final = "queue"
"""The open pairs, held ones included, and the bytes of their bodies; there is a counter per recipient too."""

OUTBOX_COUNTER: Final = "outbox"
"""The bodies of this member's bulletins."""

INBOX_COUNTER: Final = "inbox"
"""The bodies of received bulletins."""

LOG_BYTES: Final = "log"
"""The log entries of all incarnations, and their bytes."""


KEPT: Final = "kept"
"""The rows and log entries that each member has made this node keep permanently (``kept_rows``)."""


class Count(NamedTuple):
    """A number of rows and of bytes."""

    rows: int = 0
    size: int = 0


def queue_of(member: MemberCode) -> str:
    """Return the name of the counter of the pairs that are open for one recipient."""
    return f"{QUEUE}:{member}"


def kept_of(member: MemberCode) -> str:
    """The name of the counter of what one member has made this node keep."""
    return f"{KEPT}:{member}"


def count_of(rows: Rows, name: str) -> Count:
    """Return the value of a counter."""
    row = rows.get(COUNTER, name)
    return Count(row.rows, row.size) if row is not None else Count()


def counted(row: CounterRow | None, name: str, by: Count) -> CounterRow:
    """Return the counter's row after a change."""
    return CounterRow(name, (row.rows if row else 0) + by.rows, (row.size if row else 0) + by.size)
