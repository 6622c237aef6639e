"""Earlier states of a machine's disk and files: an old disk, a whole folder, or a backup."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelshare.broker.kernel.tables import BULLETIN, FILE, INBOX, SECRET
from intelshare.ports import EVERY_ROW, Plan, Put, changed
from intelshare.sim.disk import Disk, Place
from intelshare.sim.keys import Keys
from intelshare.sim.pieces import Pieces
from intelshare.store.memory import MemoryStore
from intelshare.store.sidecar import Sidecar

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of what is durable. What is None stays as it is now when the rest is put back."""

    rows: MemoryStore
    rotten: Collection[Place]
    """Its damaged rows: no disk heals as it comes back."""
    taken: int
    pieces: Pieces | None = None
    keys: Keys | None = None
    sidecar: Sidecar | None = None


def of_disk(machine: Machine) -> Snapshot:
    """Return the disk alone: files beside it, keys and sidecar are newer when it comes back."""
    return Snapshot(machine.disk.copy(), machine.disk.durably_rotten(), machine.heap.now)


def of_folder(machine: Machine) -> Snapshot:
    """Return the whole folder, as ``cp`` copies it."""
    return Snapshot(
        machine.disk.copy(),
        machine.disk.durably_rotten(),
        machine.heap.now,
        machine.pieces.copy(),
        machine.keys.copy(),
        machine.sidecar,
    )


def of_backup(machine: Machine) -> Snapshot:
    """Return a backup as ``node.backup`` makes it: no secret of a received bulletin, no sealing key, none of
    the files that others sent.
    """
    copied = machine.disk.copy()
    erased = [
        Put(SECRET, changed(row, sealed=bytes(len(row.sealed))))
        for row in copied.find(SECRET, "key", limit=EVERY_ROW)
        if copied.get(INBOX, row.md) is not None and copied.get(BULLETIN, row.md) is None
    ]
    copied.apply(Plan(tuple(erased), None))
    own = [row.place for row in copied.find(FILE, "key", limit=EVERY_ROW) if not row.member]
    pieces = machine.pieces.copy()
    pieces.keep(own)
    rotten = machine.disk.durably_rotten()
    return Snapshot(copied, rotten, machine.heap.now, pieces, machine.keys.without_sealing(), None)


def put_back(machine: Machine, snapshot: Snapshot) -> None:
    """Replace disk and files by their earlier state."""
    machine.disk = Disk(snapshot.rows, snapshot.rotten, machine.mended)
    if snapshot.pieces is not None:
        machine.pieces = snapshot.pieces.copy()
    if snapshot.keys is not None:
        machine.keys = snapshot.keys.copy()
        machine.sidecar = snapshot.sidecar
        machine.copied = True
