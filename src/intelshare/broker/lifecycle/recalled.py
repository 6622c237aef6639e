"""The members that are told of a recall, and those that were."""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.broker.kernel.tables import STATEMENT
from intelshare.broker.kernel.transaction import ToSay, Transaction
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind, Recall
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.ports import EVERY_ROW


def tell_recalled(tx: Transaction, md: ManifestDigest, peers: Sequence[MemberCode], reason: str) -> None:
    """Ask recipients that were handed a bulletin to destroy it."""
    said = [(peer, encode(Recall, Recall(peer, md, reason))) for peer in peers]
    tx.say([ToSay(peer, Kind.RECALL, data, 0) for peer, data in said])


def was_recalled(tx: Transaction, md: ManifestDigest, recipient: MemberCode) -> bool:
    """Return whether this recipient was told of the recall of a bulletin."""
    recalls = tx.view.find(STATEMENT, "number", recipient, Kind.RECALL, limit=EVERY_ROW)
    return any(decode(Recall, row.data).md == md for row in recalls)
