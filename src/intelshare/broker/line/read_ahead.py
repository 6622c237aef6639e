"""Reads what a hand-over needs before the hand-over runs, so that its turn to write is short (decision 67).

A bulletin that this process has stored itself is remembered (``Node.recent``). One that another process has
stored is read, opened and decided here, as a question beside the writer. That changes no outcome: hand-over
looks at bulletin and pair as they are then, and decides again if the world has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from intelshare.broker.kernel.decide_pair import PairDecision, loggable
from intelshare.broker.kernel.frame import Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import open_portion_secret
from intelshare.broker.kernel.stored_bulletins import Made, Written, portion_keys, written_of
from intelshare.broker.kernel.tables import BULLETIN, PAIR, PORTION, RELATED, SECRET, PairRow, SecretRow
from intelshare.broker.lifecycle.redecide import decide_portions
from intelshare.broker.line.handover import SMALLEST, Ahead, Read, handover
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import Digest, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View


def read_ahead(node: Node, view: View, rooms: Mapping[MemberCode, int], most: int, now: Instant) -> Ahead:
    """Read what a hand-over to these peers, with this room, will need and does not remember.

    What is damaged, stopped or to be decided with more than the bulletin is left to the hand-over.
    """
    pairs: dict[ManifestDigest, list[PairRow]] = {}
    for recipient, room in rooms.items():
        ready = view.find(PAIR, "ready", recipient, 1, limit=min(most, room // SMALLEST + 1))
        before = accumulate([SMALLEST + row.size for row in ready], initial=0)
        for row, size in zip(ready, before, strict=False):
            if size < room and not row.approved and node.recent.get(row.md) is None:
                pairs.setdefault(row.md, []).append(row)
    try:
        found = view.get_many(BULLETIN, [(md,) for md in pairs])
        bulletins = [row for row in found if row is not None and not row.recalled]
        slots = [key for row in bulletins for key in portion_keys(row)]
        portions = iter(view.get_many(PORTION, slots))
        written = {row.md: written_of(node, row, [next(portions) for _ in row.slots]) for row in bulletins}
        secrets = {(row.md, row.slot): row for row in view.get_many(SECRET, slots) if row is not None}
        related = bool(view.find(RELATED, "md", limit=1))  # hardly any bulletin names another one
        named = {md for md in written if related and view.find(RELATED, "md", md, limit=1)}
        made = {md: _made(node, one, secrets, pairs[md], now, md in named) for md, one in written.items()}
    except (DeliveryError, StoreError):
        return {}
    return {md: Read(written[md], one) for md, one in made.items() if one.decided}


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
    return handover(node, view, rooms, most, now, random, ahead)


def _made(
    node: Node,
    written: Written,
    secrets: Mapping[tuple[ManifestDigest, int], SecretRow],
    pairs: list[PairRow],
    now: Instant,
    names: bool,
) -> Made:
    """Raises DeliveryError NOT_FOUND, StoreError RECORD_CORRUPT."""
    md = written.row.md
    opened = {
        portion.slot: open_portion_secret(node, secrets.get((md, portion.slot)))
        for portion in written.portions
    }
    decided: dict[MemberCode, PairDecision] = {}
    for row in pairs:
        again, gist = _decided(node, written, row.recipient, now)
        if gist == row.gist:
            decided[row.recipient] = again
    return Made(written.heads, written.labels, opened, names, node.world.at(now), decided)


def _decided(
    node: Node, written: Written, recipient: MemberCode, now: Instant
) -> tuple[PairDecision, Digest]:
    """Return the decision and its fingerprint: made once for bulletins that are alike, as submit does."""
    slots = tuple([portion.slot for portion in written.portions])
    expired = now >= written.row.expires
    alike = (_decided, node.storage_key, node.member, recipient, written.heads, slots, expired)

    def make() -> tuple[PairDecision, Digest]:
        again = decide_portions(node, written, recipient, now, only_own=False)
        return again, loggable(node.storage_key, again, node.member).fingerprint

    return node.world.at(now).remember(alike, make)
