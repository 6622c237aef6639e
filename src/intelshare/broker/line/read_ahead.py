"""Reads what a hand-over needs before the hand-over runs, so that its turn to write is short (decision 67).

A bulletin that this process has stored itself is remembered (``Node.recent``). One that another process has
stored is read, opened and decided here, as a question beside the writer, and remembered in the same form.
What is remembered changes no outcome: hand-over decides again if the world has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

from intelshare.broker.kernel.decide_pair import PairDecision, loggable
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import open_portion_secret
from intelshare.broker.kernel.stored_bulletins import Made, Written, read_written, remember_made
from intelshare.broker.kernel.tables import BULLETIN, PAIR, SECRET, PairRow, SecretRow
from intelshare.broker.lifecycle.redecide import decide_portions
from intelshare.broker.line.handover import BESIDES, SMALLEST, handover
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View

Ahead = Mapping[ManifestDigest, Made]
"""By bulletin what was read of it."""


def read_ahead(node: Node, view: View, rooms: Mapping[MemberCode, int], most: int, now: Instant) -> Ahead:
    """Read what a hand-over to these peers, with this room, will need and does not remember.

    What is damaged, stopped or to be decided with more than the bulletin is left to the hand-over.
    """
    pairs: dict[ManifestDigest, list[PairRow]] = {}
    for recipient, room in rooms.items():
        ready = view.find(PAIR, "ready", recipient, 1, limit=min(most, room // SMALLEST + 1))
        before = accumulate([BESIDES + row.size for row in ready], initial=0)
        for row, size in zip(ready, before, strict=False):
            if size < room and not row.approved and node.recent.get(row.md) is None:
                pairs.setdefault(row.md, []).append(row)
    try:
        written = {
            row.md: read_written(node, view, row)
            for row in view.get_many(BULLETIN, [(md,) for md in pairs])
            if row is not None and not row.recalled
        }
        slots = [(md, portion.slot) for md, one in written.items() for portion in one.portions]
        secrets = {(row.md, row.slot): row for row in view.get_many(SECRET, slots) if row is not None}
        made = {md: _made(node, one, secrets, pairs[md], now) for md, one in written.items()}
    except (DeliveryError, StoreError):
        return {}
    return {md: one for md, one in made.items() if one.decided}


def handover_ahead(
    node: Node,
    view: View,
    rooms: Mapping[MemberCode, int],
    most: int,
    ahead: Ahead,
    now: Instant,
    random: Random,
) -> Plan[tuple[Outbound, ...]]:
    """Hand over, as ``handover`` does, with what was read ahead."""
    for md, made in ahead.items():
        if node.recent.get(md) is None and (waits := _waiting(view, md, made)):
            remember_made(node, md, replace(made, decided=waits))
    return handover(node, view, rooms, most, now, random)


def _waiting(view: View, md: ManifestDigest, made: Made) -> dict[MemberCode, PairDecision]:
    """Return what was decided of pairs that still wait: another process may have handed over or stopped some
    since, and nobody would say so again.
    """
    return {
        recipient: decision
        for recipient, decision in made.decided.items()
        if (row := view.get(PAIR, md, recipient)) is not None and row.ready
    }


def _made(
    node: Node,
    written: Written,
    secrets: Mapping[tuple[ManifestDigest, int], SecretRow],
    pairs: list[PairRow],
    now: Instant,
) -> Made:
    """Raises DeliveryError NOT_FOUND, StoreError RECORD_CORRUPT."""
    md = written.row.md
    opened = {
        portion.slot: open_portion_secret(node, secrets.get((md, portion.slot)))
        for portion in written.portions
    }
    decided: dict[MemberCode, PairDecision] = {}
    for row in pairs:
        again = decide_portions(node, written, row.recipient, now, only_own=False)
        if loggable(node.storage_key, again, node.member).fingerprint == row.gist:
            decided[row.recipient] = again
    return Made(
        written.heads, written.labels, opened, names=True, snapshot=node.world.at(now), decided=decided
    )
