"""Receipt: the recipient's signed word joins the facts of a pair; what it answers need not be sent again."""

from __future__ import annotations

from intelshare.audit.records import EntryType, ReceiptJoined
from intelshare.broker.frame import Carried
from intelshare.broker.inbound import Inbound, known_row
from intelshare.broker.stored import facts_of, is_ready, with_facts
from intelshare.broker.tables import PAIR, PENDING, RECEIPT, RECEIVED, STATEMENT, ReceiptRow
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus
from intelshare.delivery import BestReceipt, pair
from intelshare.errors import DeliveryError, EnvelopeError
from intelshare.statement import Verified

_RECEIPTS = {
    ReceiptStatus.ACCEPTED: BestReceipt.ACCEPTED,
    ReceiptStatus.REFUSED: BestReceipt.REFUSED,
    ReceiptStatus.READ: BestReceipt.READ,
    ReceiptStatus.DESTROYED: BestReceipt.DESTROYED,
}


def receipt(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Join it. Raises EnvelopeError WRONG_RECIPIENT, DeliveryError RECEIPT_UNKNOWN (both: rejected)."""
    del carried
    tx = inbound.tx
    said = verified.read(Receipt)
    # ``to`` names whom the receipt is for; it must be us, or another member's word could be replayed here.
    if said.to != tx.node.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the receipt is for another member")
    statement = tx.get(STATEMENT, said.leaf)
    if statement is None or statement.peer != inbound.member or statement.kind != Kind.RELEASE:
        raise DeliveryError("RECEIPT_UNKNOWN", f"{inbound.member} answers a release that it was not handed")
    row = tx.get(PAIR, statement.md, inbound.member)
    if row is not None and row.leaf == said.leaf:
        before = facts_of(row)
        facts = pair.receive(before, _RECEIPTS[said.status], said.codes)
        if facts != before:
            codes = row.codes if facts.receipt is before.receipt else " ".join(said.codes)
            tx.put(PAIR, with_facts(row, facts, tx.now, codes=codes))
        if is_ready(facts):
            tx.ready.add(inbound.member)
    tx.delete(PENDING, said.leaf, inbound.member)
    tx.put(RECEIVED, known_row(inbound, verified, None))
    tx.put(RECEIPT, ReceiptRow(statement.md, inbound.member, verified.leaf))
    tx.log(
        EntryType.RECEIPT,
        ReceiptJoined(inbound.member, verified.leaf, said.leaf, said.status, said.codes),
    )
