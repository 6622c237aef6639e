"""Acts as a forger who has everything that a member has: the disk and the passphrase, but not what peers
hold.

One entry of the log gets another time; the tree over all entries is recomputed, the node's checkpoint is
removed, and the memory beside the database is rewritten.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from intelshare.audit import EntryType, LogHead, append
from intelshare.broker.kernel.log import Entry, hash_of, log_row_of, opened, rewritten
from intelshare.broker.kernel.tables import CHECKPOINT, LOG, LOG_HEAD, NODE
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.errors import StoreError
from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.node.events import make_logger
from intelshare.node.folder import Folder
from intelshare.node.open_folder import open_folder
from intelshare.node.runtime import Runtime
from intelshare.node.sidecar import log_position
from intelshare.ports import Delete, Plan, Put, View, changed
from intelshare.store.sidecar import write_sidecar


@dataclass(frozen=True, slots=True)
class Forged:
    """The entry that was rewritten."""

    place: int
    before: Instant
    after: Instant


def forge(root: Path, passphrase: bytes, kind: EntryType, by: int) -> Forged:
    """Date the last entry of a kind ``by`` microseconds back, in the newest log of a node that does not run.

    Raises StoreError NOT_FOUND if there is no such entry, and what ``open_folder`` raises.
    """
    return asyncio.run(_forge(root, passphrase, kind, by))


async def _forge(root: Path, passphrase: bytes, kind: EntryType, by: int) -> Forged:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        runtime, locked = open_folder(root, lambda: passphrase, make_logger(nowhere), development=True)
    try:
        incarnation = runtime.store.ask_now(_newest)
        done = await runtime.store.perform(lambda view: _rewrite(runtime, view, incarnation, kind, by))
        memory = runtime.store.ask_now(lambda view: log_position(view, incarnation, clean=True))
        write_sidecar(Folder(root).sidecar, memory)
        return done.value
    finally:
        runtime.store.close()
        locked.release()


def _newest(view: View) -> Incarnation:
    me = view.get(NODE, SELF)
    assert me is not None  # noqa: S101 - the node has run
    return me.incarnation


def _rewrite(
    runtime: Runtime, view: View, incarnation: Incarnation, kind: EntryType, by: int
) -> Plan[Forged]:
    rows = list(opened(runtime.node, view, incarnation))
    place = max((row.place for row in rows if row.type == kind), default=None)
    if place is None:
        raise StoreError("NOT_FOUND", f"the newest log has no entry of type {kind.name}")
    old = rows[place]
    at = Instant(old.at - by)
    edited = old._replace(at=at)
    rows[place] = edited._replace(leaf=hash_of(edited))
    stored = log_row_of(view, incarnation, place)
    assert stored is not None  # noqa: S101 - it was read just now
    grown = append(LogHead(incarnation, 0, b""), [row.leaf for row in rows])
    head = view.get(LOG_HEAD, incarnation)
    assert head is not None  # noqa: S101 - it has entries
    signed = view.find(CHECKPOINT, "state", runtime.node.uri, CheckpointState.OWN)
    writes: tuple[Put | Delete, ...] = (
        Put(LOG, rewritten(stored, Entry(*rows[place][:5]))),
        Put(LOG_HEAD, changed(head, frontier=grown.frontier)),
        *(Delete(CHECKPOINT, (row.origin, row.incarnation, row.size)) for row in signed),
    )
    return Plan(writes, Forged(place, old.at, at))
