"""Records that rot: which may, what the node's driver notes of them, and what its operator gives up (P13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from intelshare.broker.kernel.tables import BULLETIN, INBOX, PAIR, PORTION
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.drop import DropCommand
from intelshare.broker.lifecycle.mend import (
    WAITING,
    Mended,
    MendResult,
    Record,
    RecordOutcome,
)
from intelshare.delivery import Stage
from intelshare.engine.events import DamageFound, RecordsMended
from intelshare.errors import PASSING, IntelshareError
from intelshare.ids import ManifestDigest
from intelshare.instant import MINUTE
from intelshare.ports import Table, View
from intelshare.sim.world import actor

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.process import Process


PATIENCE: Final = 5 * MINUTE
"""The time for which an operator waits for content that was requested: both ends may have lost it."""


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


def sent(view: View) -> ManifestDigest | None:
    """Return the newest bulletin that was handed over, and whose content is still here."""
    for row in view.find(BULLETIN, "newest"):
        left = any(pair.stage >= Stage.HANDED_OVER for pair in view.find(PAIR, "key", row.md))
        if left and not any(portion.purged for portion in view.find(PORTION, "key", row.md)):
            return row.md
    return None


def written(view: View) -> ManifestDigest | None:
    """Return the newest bulletin that was handed over to somebody."""
    for row in view.find(BULLETIN, "newest"):
        if any(pair.leaf for pair in view.find(PAIR, "key", row.md)):
            return row.md
    return None


ROTS: Final[dict[str, tuple[Table[Any], Callable[[View], ManifestDigest | None]]]] = {
    "": (PORTION, queued),
    "received": (PORTION, received),
    "sent": (PORTION, sent),
    "written": (BULLETIN, written),
}
"""The rows that may rot: content of a bulletin that waits, that was received, and that was handed over; and a
bulletin itself that was handed over.
"""


def damage_found(process: Process) -> DamageFound:
    """Return what was met damaged and is not settled."""
    return DamageFound(tuple([Record(one.table, one.key) for one in process.disk.damage.values()]))


def note_mended(process: Process, mended: Sequence[Mended]) -> None:
    """Count what became of damaged records."""
    for one in mended:
        process.oracle.counts[f"record {one.outcome}"] += 1
        if one.outcome in WAITING:
            process.machine.damaged[one.record] = one.outcome
        else:
            process.machine.damaged.pop(one.record, None)


def settle_damaged(machine: Machine) -> None:
    """Let an operator have every record read, and give up what nobody has, or what nobody has
    brought for ``PATIENCE`` since faults are over: its open pairs end.
    """
    process = machine.process
    if process is None or not process.serving:
        return
    machine.disk.scrub()
    hopeless = {RecordOutcome.STAYS}
    if machine.heap.now > machine.lasts + PATIENCE:
        hopeless.add(RecordOutcome.ASKED)
    lost = tuple(
        [
            one
            for one in damage_found(process).records
            if (one.table, one.key) in machine.disk.rotten and machine.damaged.get(one) in hopeless
        ]
    )
    if lost:
        machine.given_up.update([ManifestDigest(one.key[0]) for one in lost])
        command = DropCommand(lost, actor(machine.name, "o").user, "nobody has it")

        def dropped(result: MendResult) -> None:
            process.carry_out(result)
            process.feed(RecordsMended(result.mended))

        def refused(error: IntelshareError) -> None:
            # The operator asks again while a replica waits for its turn: what was asked first may have been
            # carried out since, or the content may have come.
            late = any((one.table, one.key) not in machine.disk.rotten for one in lost)
            if not late and error.code not in PASSING and machine.hostile is None:
                raise error

        process.perform("drop", command, then=dropped, refused=refused)
