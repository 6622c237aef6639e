"""After a restore: received bulletins whose keys are in no backup are forgotten, and asked for again.

A backup holds no secret of a received bulletin (decision 47): whatever was destroyed since it was made stays
destroyed. What the restore brought of such a bulletin is forgotten here as if it had never arrived, and each
number by which it came becomes a gap, which the next hello asks the sender to fill. The sender sends its last
release again if it still may, or cancels the number if it has recalled the bulletin or received its DESTROYED
receipt.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from intelshare.broker.kernel.counters import INBOX_COUNTER
from intelshare.broker.kernel.damage import is_there
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BULLETIN,
    INBOX,
    INCOMING,
    PORTION,
    RECEIVED,
    SECRET,
    InboxRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.arrivals import Arrivals, forget_arrival
from intelshare.broker.lifecycle.attachments import end_received
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.lifecycle.streams import is_frozen
from intelshare.delivery import Ranges
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed

PAGE = 256
"""The bulletins that one step looks at."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The result of one step."""

    count: int
    after: ManifestDigest | None
    """Where the next step goes on; None: there is no more."""


def forget_received(
    node: Node, view: View, after: ManifestDigest, again: Arrivals, now: Instant, random: Random
) -> Plan[Forgotten]:
    """Forget received bulletins after this one that have lost their keys. Repeating it does no harm.

    ``again``: by which releases those came that came more than once (``came_again``).
    """
    tx = Transaction(node, view, now, random)
    page = view.find(INBOX, "key", after=(after,) if after else (), limit=PAGE)
    lost = [row for row in page if _has_lost_its_keys(tx, row)]
    for row in lost:
        _forget(tx, row, again.get(row.md, ()))
    return tx.plan(Forgotten(len(lost), page[-1].md if len(page) == PAGE else None))


def _has_lost_its_keys(tx: Transaction, row: InboxRow) -> bool:
    if row.gone != Gone.NO or is_there(tx, BULLETIN, row.md):
        return False
    secrets = tx.view.find(SECRET, "key", row.md)
    return not all(any(secret.sealed) for secret in secrets)


def _forget(tx: Transaction, row: InboxRow, came: Collection[tuple[MemberCode, LeafId]]) -> None:
    for portion in tx.view.find(PORTION, "key", row.md):
        tx.delete(PORTION, row.md, portion.slot)
    end_received(tx, row.md)
    tx.delete(INBOX, row.md)
    tx.count(INBOX_COUNTER, -1, -row.size)
    for member, leaf in {(row.sender, row.leaf): None, **dict.fromkeys(came)}:
        _forget_release(tx, member, leaf)


def _forget_release(tx: Transaction, member: MemberCode, leaf: LeafId) -> None:
    """Make its number a gap, unless it was refused since."""
    stored = tx.get(RECEIVED, member, leaf)
    if stored is None or stored.code:
        return
    forget_arrival(tx, member, leaf)
    stream = tx.get(INCOMING, stored.origin, stored.incarnation)
    if stream is not None and not is_frozen(stream):
        holes = Ranges.unpack(stream.holes).add(stored.sequence, stored.sequence)
        tx.put(INCOMING, changed(stream, holes=holes.pack()))
