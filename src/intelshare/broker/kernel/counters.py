"""What is kept, counted as it is written: rows and bytes by kind, so that no bound ever asks for a scan.

The counters are rows like all others: they are durable with what they count, and a crash takes both back.
The simulator (I10, I13) holds them against the rows themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from intelshare.broker.kernel.tables import COUNTER, CounterRow
from intelshare.ids import MemberCode
from intelshare.ports import Rows

QUEUE: Final = "queue"
"""Pairs that are open, held ones included, and the bytes of their bodies, each recipient's by itself."""

OUTBOX: Final = "outbox"
"""Bodies of bulletins of this member."""

INBOX: Final = "inbox"
"""Bodies of received bulletins."""

LOG_BYTES: Final = "log"
"""Entries of the logs of all incarnations, and their bytes."""


class Count(NamedTuple):
    """Rows and bytes."""

    rows: int = 0
    size: int = 0


def queue_of(member: MemberCode) -> str:
    """The name of the counter of what is open for one recipient."""
    return f"{QUEUE}:{member}"


def count_of(rows: Rows, name: str) -> Count:
    """What a counter says."""
    row = rows.get(COUNTER, name)
    return Count(row.rows, row.size) if row is not None else Count()


def counted(row: CounterRow | None, name: str, by: Count) -> CounterRow:
    """The counter's row after a change."""
    return CounterRow(name, (row.rows if row else 0) + by.rows, (row.size if row else 0) + by.size)
