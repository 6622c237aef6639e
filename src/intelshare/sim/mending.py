"""Records that rot: which may, what the node's driver does about them, and what is then excused (P13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from intelshare.broker.kernel.tables import BULLETIN, INBOX, PAIR
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.mend import MendCommand, MendResult, Outcome, Record, brought_by
from intelshare.delivery import Stage
from intelshare.ids import ManifestDigest
from intelshare.instant import SECOND
from intelshare.ports import View

if TYPE_CHECKING:
    from intelshare.sim.process import Process

AGAIN: Final = 60 * SECOND
"""The time after which what stays damaged is looked at again, as in ``node.mending``."""


def queued(view: View) -> ManifestDigest | None:
    """Return a bulletin of which nothing has left yet."""
    for row in view.find(PAIR, "stage", Stage.QUEUED, 1):
        if all(pair.stage == Stage.QUEUED for pair in view.find(PAIR, "key", row.md)):
            return row.md
    return None


def received(view: View) -> ManifestDigest | None:
    """Return the newest bulletin that was received and can be read."""
    rows = view.find(INBOX, "newest")
    return next((row.md for row in rows if row.gone == Gone.NO and view.get(BULLETIN, row.md) is None), None)


ROTS: Final[dict[str, Callable[[View], ManifestDigest | None]]] = {
    "": queued,
    "received": received,
}


class Mending:
    """Of one process: what its driver does when the engine says that it is time to mend."""

    def __init__(self) -> None:
        self._later: dict[Record, int] = {}

    def look(self, process: Process, then: Callable[[], None]) -> None:
        """Mend the records that were met damaged and are due, and then call ``then``."""
        now, disk = process.heap.now, process.disk
        known = [Record(error.table, error.key) for error in disk.damage.values()]
        due = tuple([record for record in known if self._later.get(record, now) <= now])
        if not due:
            then()
            return
        brought = brought_by(process.node, disk.checked, due)

        def done(result: MendResult) -> None:
            for one in result.mended:
                process.oracle.counts[f"record {one.outcome}"] += 1
                if one.outcome in (Outcome.STAYS, Outcome.ASKED):
                    self._later[one.record] = process.heap.now + AGAIN
                if one.outcome is Outcome.ASKED and one.record in brought:
                    # It comes as if it had never come.
                    process.machine.mended[brought[one.record].leaf] += 1
            process.carry_out(result)
            then()

        process.perform("mend", MendCommand(due, brought), then=done, refused=lambda _: then())
