"""Joins the plain receipts of a frame in one loop: the rows and log entries of ``receipt.on_receipt``.

Nearly every receipt is plain: it says ACCEPTED without codes, for the release of a pair that was handed over
and has neither ended nor been answered. The loop can accept but not refuse; all else goes to ``on_receipt``
in its turn. ``tests/property/test_receive_agreement.py`` holds both to the same rows and answers, honest and
hostile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from intelshare.audit.records import EntryType, ReceiptJoined
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.pair_rows import facts_of, put_pair
from intelshare.broker.kernel.tables import (
    PAIR,
    PENDING,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    PairRow,
    ReceiptRow,
    ReceivedRow,
)
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Kind, ReceiptStatus
from intelshare.delivery import BestReceipt, Facts, Stage, pair
from intelshare.ids import Incarnation, LeafId
from intelshare.statement import ReceiptRow as Read
from intelshare.statement import read_receipts, verify_many

_SENT: Final = Facts(Stage.HANDED_OVER)
_ACCEPTED: Final = pair.receive(_SENT, BestReceipt.ACCEPTED, ())
_NO_LEAF: Final = LeafId(bytes(32))


@dataclass(frozen=True, slots=True)
class PlainReceipts:
    """The receipts of a frame, the plain ones with their pairs. Made by ``open_receipts``."""

    inbound: Inbound
    rows: tuple[tuple[Read, PairRow] | None, ...]
    batch: bytes
    entry: bytes
    """The log entry up to the receipt that it names."""
    end: bytes
    """The log entry from the status on."""

    def take(self, place: int, carried: Carried) -> LeafId | None:
        """Join the receipt at this place of the frame if it is plain. None: nothing was done."""
        found = self.rows[place]
        if found is None:
            return None
        inbound, tx = self.inbound, self.inbound.tx
        read, row = found
        put_pair(tx, row, _ACCEPTED, codes="")
        tx.delete(PENDING, read.of, inbound.member)
        tx.put(
            RECEIVED,
            ReceivedRow(
                inbound.member, read.leaf, Kind.RECEIPT, carried.nonce, carried.data, carried.proof,
                tx.batch(self.batch), tx.now, "", LeafId(b""), inbound.uri, Incarnation(0), 0, LeafId(b""),
            ),
        )  # fmt: skip
        tx.put(RECEIPT, ReceiptRow(row.md, inbound.member, read.leaf))
        tx.log_encoded(EntryType.RECEIPT, b"".join((self.entry, read.leaf, read.of, self.end)))
        return read.leaf

    def settle(self) -> None:
        """Do nothing: nothing was kept back."""


def open_receipts(inbound: Inbound, batch: bytes, statements: tuple[Carried, ...]) -> PlainReceipts | None:
    """Read the receipts of a frame.

    None: nothing in it is plain, for example if there are other statements.
    """
    tx, node = inbound.tx, inbound.tx.node
    if any(carried.kind != Kind.RECEIPT for carried in statements):
        return None
    verified = verify_many(
        batch, Kind.RECEIPT, statements, inbound.member, tx.now,
        trust=node.trust, suites=node.suites, roots=node.roots,
    )  # fmt: skip
    if verified is None:
        return None
    read = read_receipts(verified, node.member)
    entry = encode(
        ReceiptJoined, ReceiptJoined(inbound.member, _NO_LEAF, _NO_LEAF, ReceiptStatus.ACCEPTED, ())
    )
    return PlainReceipts(inbound, _with_pairs(inbound, read), batch, entry[:-67], entry[-3:])


def _with_pairs(inbound: Inbound, read: list[Read | None]) -> tuple[tuple[Read, PairRow] | None, ...]:
    """Pair each plain receipt with its row, with one query per table."""
    tx, member = inbound.tx, inbound.member
    times = Counter([one.of for one in read if one is not None])
    asked = [
        one
        for one in read
        if one is not None and one.status is ReceiptStatus.ACCEPTED and not one.codes and times[one.of] == 1
    ]
    known = tx.get_many(RECEIVED, [(member, one.leaf) for one in asked])
    sent = tx.get_many(STATEMENT, [(one.of,) for one in asked])
    released = [
        (one, row.md)
        for one, row, before in zip(asked, sent, known, strict=True)
        if before is None and row is not None and row.kind == Kind.RELEASE and row.peer == member
    ]
    pairs = tx.get_many(PAIR, [(md, member) for _, md in released])
    plain = {
        one.leaf: (one, row)
        for (one, _), row in zip(released, pairs, strict=True)
        if row is not None and row.leaf == one.of and facts_of(row) == _SENT
    }
    return tuple([plain.get(one.leaf) if one is not None else None for one in read])
