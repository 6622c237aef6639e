"""I10, I13: counters match the rows that are there; no step loads or keeps more than its bound."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from intelshare.broker.kernel.counters import INBOX_COUNTER, KEPT, LOG_BYTES, OUTBOX_COUNTER, QUEUE, queue_of
from intelshare.broker.kernel.log import entries_of as entries_in
from intelshare.broker.kernel.queue_bounds import QueueBounds
from intelshare.broker.kernel.tables import BULLETIN, COUNTER, INBOX, LOG, PAIR, PORTION
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.ports import EVERY_ROW, Plan, Put, View
from intelshare.sim.heap import Violation

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine


def check_bounds(name: str, bounds: QueueBounds, plan: Plan[Any], me: str) -> None:
    """Check that a submission stays within the bounds. Raises Violation I13."""
    for write in plan.writes if name == "submit" else ():
        if isinstance(write, Put) and write.table is COUNTER:
            most = bounds.all_rows if write.row.name == QUEUE else bounds.rows
            if write.row.name.startswith(QUEUE) and write.row.rows > most:
                raise Violation("I13", f"{me} takes {write.row.rows} for {write.row.name}, of {most}")


_LOADED = 8
"""The pairs that a hand-over may load besides those that it changes: some for each peer that has room."""


class Counted:
    """A view that counts the pairs that a step loads."""

    unbound: View | None = None
    """See ports.View."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.count = view.count
        self.pairs = 0

    def get(self, table: Any, *key: Any) -> Any:
        """See ports.View."""
        self.pairs += table is PAIR
        return self._view.get(table, *key)

    def get_many(self, table: Any, keys: Any) -> Any:
        """See ports.View."""
        return self._view.get_many(table, keys)

    def find(self, table: Any, *args: Any, **kwargs: Any) -> Any:
        """See ports.View."""
        rows = self._view.find(table, *args, **kwargs)
        if table is PAIR:
            self.pairs += len(rows)
        return rows

    def check(self, me: str, plan: Plan[Any]) -> None:
        """Check the work against what came of it. Raises Violation I13."""
        changed = sum(write.table is PAIR for write in plan.writes)
        if self.pairs > _LOADED + 4 * changed:
            raise Violation("I13", f"{me} loads {self.pairs} pairs to hand over {changed}")


def check_counters(machine: Machine) -> None:
    """Check that every counter matches a count of all rows. Damaged content may be counted or not. Raises
    Violation I10.
    """
    view = machine.disk.view
    said = {
        row.name: (row.rows, row.size)
        for row in view.find(COUNTER, "key", limit=EVERY_ROW)
        # Of what a member had kept here no row says by whose will it is there.
        if not row.name.startswith(KEPT)
    }
    there = _counted(view)
    if machine.disk.rotten:
        there[OUTBOX_COUNTER] = said.get(OUTBOX_COUNTER, (0, 0))
    for name in sorted({*said, *there}):
        if said.get(name, (0, 0)) != there.get(name, (0, 0)):
            raise Violation("I10", f"{machine.name} counts {said.get(name)} of {name}: {there.get(name)}")


def check_kept(machine: Machine) -> None:
    """Check that every commit since a migration was made by the version that brought it: one of before does
    not keep up what that relies on. Raises Violation I10.
    """
    disk = machine.disk
    there = disk.view.count(LOG, "key") if disk.schema else disk.kept
    if there != disk.kept:
        raise Violation("I10", f"{machine.name} keeps {disk.kept} rows of its log: {there}")


def _counted(view: View) -> dict[str, tuple[int, int]]:
    rows: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for pair in view.find(PAIR, "key", limit=EVERY_ROW):
        for name in (queue_of(pair.recipient), QUEUE) if pair.open else ():
            rows[name] += 1
            sizes[name] += pair.size
    for written in view.find(BULLETIN, "key", limit=EVERY_ROW):
        bodies = view.find(PORTION, "key", written.md)
        rows[OUTBOX_COUNTER] += any(portion.body for portion in bodies)
        sizes[OUTBOX_COUNTER] += sum(len(portion.body) for portion in bodies)
    for held in view.find(INBOX, "key", limit=EVERY_ROW):
        rows[INBOX_COUNTER] += held.gone == Gone.NO
        sizes[INBOX_COUNTER] += held.size if held.gone == Gone.NO else 0
    for row in view.find(LOG, "key", limit=EVERY_ROW):
        rows[LOG_BYTES] += len(entries_in(row))
        sizes[LOG_BYTES] += len(row.entries) + len(row.sealed_entries)
    return {name: (rows[name], sizes[name]) for name in rows}
