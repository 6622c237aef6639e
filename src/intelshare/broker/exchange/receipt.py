"""Receipts: a signed receipt joins the facts of a pair; the release it answers is not sent again.

``receipts`` shows them all, as they were signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from intelshare.audit.records import EntryType, ReceiptJoined
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, each_readable, unless_damaged
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.inbound import Inbound, known_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, is_ready, put_pair
from intelshare.broker.kernel.stored_bulletins import find_bulletin
from intelshare.broker.kernel.tables import (
    BATCH,
    FILE,
    OWED,
    PAIR,
    PENDING,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    BulletinRow,
    Owed,
    PairRow,
    ReceiptRow,
    ReceivedRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.attachments import WHOLE, codes_after
from intelshare.broker.lifecycle.stop import cancel_questions
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Evidence, Kind, Receipt, ReceiptStatus
from intelshare.delivery import BestReceipt, pair
from intelshare.errors import CryptoError, DeliveryError, EnvelopeError, StoreError, code_of_peer
from intelshare.ids import LeafId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View, changed
from intelshare.statement import Verified, verify_evidence

MAX_TRIES = 8
"""The answers after which a pair may still go again; a recipient that asks for it yet again has refused."""

MAX_RECEIPTS = 256
"""The most receipts of one recipient for one bulletin; usually there are three."""

MAX_SHOWN = 4096
"""The most receipts shown for one bulletin."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One receipt for a bulletin of this member."""

    member: MemberCode
    row: ReceivedRow
    receipt: Receipt
    flaw: str
    """Empty: signature and proof hold, as verified now; otherwise the code of what does not."""


_RECEIPTS = {
    ReceiptStatus.ACCEPTED: BestReceipt.ACCEPTED,
    ReceiptStatus.REFUSED: BestReceipt.REFUSED,
    ReceiptStatus.READ: BestReceipt.READ,
    ReceiptStatus.DESTROYED: BestReceipt.DESTROYED,
}


def on_receipt(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Join a receipt.

    Raises EnvelopeError WRONG_RECIPIENT, DeliveryError RECEIPT_UNKNOWN, RATE (rejected).
    """
    del carried
    tx = inbound.tx
    said = verified.read(Receipt)
    # ``to`` must name this member: otherwise a receipt for another member could be replayed here.
    if said.to != tx.node.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the receipt is for another member")
    statement = tx.get(STATEMENT, said.leaf)
    if statement is None:
        inbound.forgotten = min(inbound.forgotten or said.decided_at, said.decided_at)
    if statement is None or statement.peer != inbound.member or statement.kind != Kind.RELEASE:
        raise DeliveryError("RECEIPT_UNKNOWN", f"{inbound.member} answers a release that it was not handed")
    if tx.view.count(RECEIPT, "key", statement.md, inbound.member) >= MAX_RECEIPTS:
        raise DeliveryError("RATE", f"more than {MAX_RECEIPTS} receipts for one bulletin")
    row = tx.get(PAIR, statement.md, inbound.member)
    if row is not None and (row.leaf == said.leaf or said.status is not ReceiptStatus.REFUSED):
        before, receipt = facts_of(row), _RECEIPTS[said.status]
        # Between other receipts it makes no difference.
        refused = BestReceipt.REFUSED in (before.receipt, receipt)
        elsewhere = refused and answers_others(tx, row, said.leaf)
        facts = pair.receive(before, receipt, said.codes, elsewhere=elsewhere)
        if is_ready(facts) and tx.view.count(RECEIPT, "key", statement.md, inbound.member) >= MAX_TRIES:
            facts = pair.receive(before, receipt, (), elsewhere=elsewhere)
        if facts != before:
            put_pair(tx, row, facts, codes=codes_after(row, facts, said))
            if is_ready(facts):
                tx.ready.add(inbound.member)
        elif WHOLE in said.codes:
            tx.put(PAIR, changed(row, codes=codes_after(row, facts, said)))
        if WHOLE in said.codes:
            _owe_no_files(tx, statement.md, inbound.member)
        if said.status is ReceiptStatus.REFUSED and not is_ready(facts):
            cancel_questions(tx, row)
    tx.delete(PENDING, said.leaf, inbound.member)
    tx.put(RECEIVED, known_row(inbound, verified, None))
    tx.put(RECEIPT, ReceiptRow(statement.md, inbound.member, verified.leaf))
    tx.log(
        EntryType.RECEIPT,
        ReceiptJoined(
            inbound.member, verified.leaf, said.leaf, said.status, tuple(map(code_of_peer, said.codes))
        ),
    )


def _owe_no_files(tx: Transaction, md: ManifestDigest, member: MemberCode) -> None:
    """Strike off what an earlier bundle has asked for: the member has all files of this bulletin by now, and
    asks again for what its disk loses later.
    """
    for row in tx.view.find(FILE, "portion", md):
        tx.delete(OWED, member, Owed.FILE, row.pieces)


def answers_others(tx: Transaction, row: PairRow, leaf: LeafId) -> bool:
    """Return True if there are receipts for this pair, and all of them answer other numbers than this one."""
    known = tx.view.find(RECEIPT, "key", row.md, row.recipient)
    kept = [unless_damaged(tx, partial(tx.get, RECEIVED, one.member, one.leaf)) for one in known]
    answered = {decode(Receipt, one.data).leaf for one in kept if one is not None}
    return bool(answered) and leaf not in answered


def receipts(
    node: Node, view: View, actor: Actor, given: str, now: Instant
) -> tuple[BulletinRow, list[Signed], tuple[str, ...]]:
    """Return a bulletin of this member and all receipts for it, oldest first.

    Also returns the damaged records that were met: a receipt with one is left out (promise P13). Raises
    DeliveryError, StoreError RECORD_CORRUPT if the bulletin itself is damaged.
    """
    reader = user_row_of(view, actor)
    bulletin = find_bulletin(node, view, given, reader, now).row
    damaged: list[StoreError] = []
    rows = view.find(RECEIPT, "key", bulletin.md, limit=MAX_SHOWN, damaged=damaged)
    found = each_readable(rows, partial(_signed, node, view), damaged)
    found.sort(key=lambda one: (one.row.at, one.member, one.receipt.status))
    return bulletin, found, damaged_records(damaged)


def _signed(node: Node, view: View, row: ReceiptRow) -> Signed:
    stored = view.get(RECEIVED, row.member, row.leaf)
    batch = view.get(BATCH, stored.batch) if stored is not None else None
    if stored is None or batch is None:
        raise StoreError("RECORD_CORRUPT", f"a receipt of {row.member} is missing: {row.leaf.hex()}")
    flaw = ""
    try:
        evidence = Evidence(Kind.RECEIPT, stored.nonce, stored.data, stored.proof, batch.record)
        verified = verify_evidence(evidence, trust=node.trust, suites=node.suites, roots=node.roots)
        if verified.signer.member != row.member:
            flaw = "NOT_AUTHORISED"
    except (CryptoError, EnvelopeError) as bad:
        flaw = bad.code
    return Signed(row.member, stored, decode(Receipt, stored.data), flaw)
