"""Receive: a frame from a peer becomes inbox rows and receipts, in one transaction (c10 to c12).

The checks run in the order of attacks.md ("Order of checks"); the first that fails gives the code:

    1      TLS identity: the runtime, before any of this
    2      lengths and kind                                                         rejected
    3      digest known: DUPLICATE, the stored receipt again
    4, 5   batch, signer, both signatures, proof              statement.verify      rejected
    then by kind, as ``_HANDLERS`` says; checks 6 to 15 of a release               line.release

Rejected: only bounded evidence is stored; the peer is told the code and tries again. Refused: the statement
is authentic and for this member, so a signed receipt carries the code. The receipts of a frame are signed
together and leave after the commit of what they say (promise P5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from intelshare.audit.records import EntryType, Received, Rejected
from intelshare.broker.exchange import consent
from intelshare.broker.exchange.recall import on_recall
from intelshare.broker.exchange.receipt import on_receipt
from intelshare.broker.exchange.receipt_many import open_receipts
from intelshare.broker.kernel.allowance import Allowance, Lasting
from intelshare.broker.kernel.documents import keep_document
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Carried, Frame, Gap
from intelshare.broker.kernel.inbound import Inbound, Refusal, known_row
from intelshare.broker.kernel.kept_rows import allowance_in, charge
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.tables import PENDING, RECEIVED, STATEMENT
from intelshare.broker.kernel.transaction import ToSay, Transaction
from intelshare.broker.lifecycle.anew import queue_again
from intelshare.broker.lifecycle.hearing import wait_as_well
from intelshare.broker.lifecycle.streams import gaps, on_stream_head
from intelshare.broker.line import release
from intelshare.broker.line.hand_back import RETURNED, is_own, on_returned
from intelshare.broker.line.release_many import open_releases
from intelshare.broker.transparency import witness
from intelshare.broker.transparency.directories import keep_directory_fork
from intelshare.broker.transparency.evidence import REJECTED, Shelf, counted_again, keep_fork, keep_rejected
from intelshare.broker.treaty.act import gap_of_acts, on_treaty_act, settle
from intelshare.crypto.codec import decode, malformed
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Kind, ReceiptStatus, Trust
from intelshare.envelope import Opener
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, LeafId, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import (
    Answer,
    ReceivedBatch,
    Statement,
    Verified,
    encode_receipts,
    leaf_id,
    parse_statement,
    prove,
    read_batch,
    verify,
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame from an identified peer node."""

    member: MemberCode
    uri: NodeUri
    frame: Frame
    clock: bool = True
    """True if this node's clock is believed (promise P10)."""
    allowed: Mapping[Lasting, int] | None = None
    """The rows that the peer may make this node keep; None: without limit."""
    bundle: bool = False
    """True if it came in a bundle: what the peer has said since that was written may still have to come."""


@dataclass(frozen=True, slots=True)
class ReceiveResult:
    """The answers and effects that may leave after the commit."""

    acks: tuple[Ack, ...]
    again: bool
    """Stored receipts were queued again: load them with ``resend``."""
    gaps: tuple[Gap, ...]
    """The gaps to request from this peer."""
    accepted: int
    effects: Effects
    """Receipts for this peer, and whatever its statements lead to for others."""
    spent: Mapping[Lasting, int]
    """The part of the peer's allowance that was spent."""
    forgotten: Instant | None = None
    """Since when this node has sent the peer what it no longer knows, as receipts say; None: nothing."""


class Plain(Protocol):
    """The statements of a frame that need no second look: the loops over them can accept but not refuse."""

    def take(self, place: int, carried: Carried) -> LeafId | None:
        """Accept the statement at this place of the frame if it is plain. None: nothing was done."""

    def settle(self) -> None:
        """Write what was kept back: before the general code looks, and at the end."""


def open_plain(inbound: Inbound, frame: Frame) -> Plain | None:
    """Return the plain statements of a frame that holds only releases, or only receipts."""
    return open_releases(inbound, frame.batch, frame.statements) or open_receipts(
        inbound, frame.batch, frame.statements
    )


def receive(
    node: Node,
    view: View,
    arrival: Arrival,
    now: Instant,
    random: Random,
    *,
    open_plain: Callable[[Inbound, Frame], Plain | None] = open_plain,
) -> Plan[ReceiveResult]:
    """Judge every statement of a frame. Nothing that a peer may send raises: each statement gets its code.

    Raises TrustError PEER_REVOKED if the member was suspended or removed since the frame came. With an
    ``open_plain`` that finds nothing plain the outcome is the same; the property test passes one.
    """
    node.trust.need_dealing(arrival.member)
    tx = Transaction(node, view, now, random)
    inbound = Inbound(
        tx,
        arrival.member,
        arrival.uri,
        arrival.frame.batch_key,
        Opener(node.sealing, node.retired),
        clock=arrival.clock,
        allowance=allowance_in(tx, arrival.member, arrival.allowed),
    )
    allowance = inbound.allowance
    shelf = Shelf(tx, arrival.member, REJECTED)
    try:
        batch = read_batch(arrival.frame.batch)
    except IntelshareError as bad:
        acks = [
            _reject(tx, shelf, arrival, allowance, carried, bad.code) for carried in arrival.frame.statements
        ]
        charge(tx, arrival.member, allowance)
        return tx.plan(ReceiveResult(tuple(acks), False, (), 0, Effects(), allowance.spent))
    plain = open_plain(inbound, arrival.frame)
    acks, again = [], False
    for place, carried in enumerate(arrival.frame.statements):
        taken = plain.take(place, carried) if plain is not None else None
        if taken is not None:
            acks.append(Ack(taken, "", now))
            continue
        if plain is not None:
            plain.settle()
        try:
            leaf, told = _take(inbound, batch, carried)
            again |= told
            acks.append(Ack(leaf, "", now))
        except IntelshareError as bad:
            acks.append(_reject(tx, shelf, arrival, allowance, carried, bad.code))
    if plain is not None:
        plain.settle()
    _answer(tx, inbound)
    settle(inbound)
    if arrival.bundle and inbound.accepted:
        wait_as_well(tx, arrival.member)
    charge(tx, arrival.member, allowance)
    asked = (*gaps(tx, inbound), *gap_of_acts(inbound))
    return tx.plan(
        ReceiveResult(
            tuple(acks), again, asked, inbound.accepted, tx.effects(), allowance.spent, inbound.forgotten
        )
    )


def _take(inbound: Inbound, batch: ReceivedBatch, carried: Carried) -> tuple[LeafId, bool]:
    """Process one statement; return its digest, and True if its stored receipt was queued again.

    Raises IntelshareError: rejected.
    """
    tx = inbound.tx
    node = tx.node
    statement = parse_statement(carried.kind, carried.nonce, carried.data, carried.proof)
    leaf = leaf_id(statement.kind, statement.nonce, statement.data)
    if leaf in inbound.unanswered:
        return leaf, False  # it came earlier in this frame, and its receipt is not signed yet
    known = tx.get(RECEIVED, inbound.member, leaf)
    if known is not None:
        return leaf, _say_again(tx, inbound.member, known.receipt)
    if statement.kind in RETURNED and is_own(node, batch):
        on_returned(inbound, statement, batch, carried)
        return leaf, False
    lasting = _LASTING.get(statement.kind)
    if lasting is not None:
        inbound.allowance.need(lasting)
    if statement.kind is Kind.TRUST:
        on_trust(inbound, statement, prove(statement, batch), batch.raw)
    else:
        verified = verify(
            statement, batch, inbound.member, tx.now, trust=node.trust, suites=node.suites, roots=node.roots
        )
        _HANDLERS.get(verified.statement.kind, on_unknown)(inbound, verified, carried)
    if lasting is not None:
        inbound.allowance.keep(lasting)
    return leaf, False


def on_unknown(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    del inbound, carried
    raise malformed("Statement", f"this version does not accept {verified.statement.kind.name} statements")


def on_release(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    try:
        release.accept(inbound, verified, carried)
    except Refusal as refused:
        _refuse(inbound, verified, refused)


_HANDLERS: Mapping[Kind, Callable[[Inbound, Verified, Carried], None]] = {
    Kind.RELEASE: on_release,
    Kind.RECEIPT: on_receipt,
    Kind.STREAM_HEAD: on_stream_head,
    Kind.RECALL: on_recall,
    Kind.TREATY_ACT: on_treaty_act,
    Kind.CONSENT: consent.on_consent,
    Kind.CHECKPOINT: witness.on_checkpoint,
}


_LASTING: Mapping[Kind, Lasting] = {
    Kind.TRUST: Lasting.DIRECTORIES,
    Kind.TREATY_ACT: Lasting.ACTS,
    Kind.CONSENT: Lasting.CONSENTS,
    Kind.CHECKPOINT: Lasting.CHECKPOINTS,
    Kind.STREAM_HEAD: Lasting.HEADS,
}
"""The allowance that a statement spends before it is verified.

Receipts and releases spend none; recalls spend theirs in ``on_recall``.
"""


def _refuse(inbound: Inbound, verified: Verified, refused: Refusal) -> None:
    tx = inbound.tx
    tx.put(
        RECEIVED,
        changed(known_row(inbound, verified, refused.peek), code=" ".join(refused.codes)),
    )
    tx.log(
        EntryType.RECEIVED,
        Received(inbound.member, Kind.RELEASE, verified.leaf, Digest(refused.md or bytes(32)), refused.codes),
    )
    inbound.receipts.append((verified.leaf, ReceiptStatus.REFUSED, refused.codes, 0))


def on_trust(inbound: Inbound, statement: Statement, leaf: LeafId, batch: bytes) -> None:
    """Accept a peer's document about itself.

    It proves itself: check 4 and the signatures of 5 do not apply.

    It counts from the next statement of the same frame on.
    """
    tx = inbound.tx
    trust = decode(Trust, statement.data)
    change = tx.node.trust.with_document(trust, tx.now, inbound.member)
    if change.changed:
        tx.node = with_trust(tx.node, change.view)
        keep_document(tx, inbound.member, trust, change)
    tx.put(RECEIVED, known_row(inbound, None, None, statement=statement, leaf=leaf, batch=batch))


def _answer(tx: Transaction, inbound: Inbound) -> None:
    """Sign all receipts of the frame together, and record with each statement which receipt answers it."""
    if not inbound.receipts:
        return
    answers = [Answer(leaf, status, codes) for leaf, status, codes, _ in inbound.receipts]
    records = encode_receipts(inbound.member, answers, tx.now)
    outbound = tx.say(
        [
            ToSay(inbound.member, Kind.RECEIPT, data, rank)
            for data, (*_, rank) in zip(records, inbound.receipts, strict=True)
        ]
    )
    for (leaf, *_), receipt_leaf in zip(inbound.receipts, outbound[0].leaves, strict=True):
        make = inbound.unanswered.get(leaf)
        if make is not None:
            tx.put(RECEIVED, make(inbound, receipt_leaf))
            continue
        row = tx.get(RECEIVED, inbound.member, leaf)
        if row is not None:
            tx.put(RECEIVED, changed(row, receipt=receipt_leaf))


def _say_again(tx: Transaction, peer: MemberCode, leaf: LeafId) -> bool:
    """Queue a stored receipt again, as the same bytes (promise P4); return whether it waits."""
    if not leaf or tx.get(PENDING, leaf, peer) is not None:
        return bool(leaf)
    row = tx.get(STATEMENT, leaf)
    return row is not None and queue_again(tx, peer, [row]) > 0


_KEEPS_NOTHING = frozenset(("RATE", "DISK_FULL", "RECORD_CORRUPT"))
"""No evidence is kept of what came too fast, found no room or met a damaged record: it says nothing about
the peer."""


def _reject(
    tx: Transaction, shelf: Shelf, arrival: Arrival, allowance: Allowance, carried: Carried, code: str
) -> Ack:
    """Keep bounded evidence and one log entry per digest and code; return the code for the peer.

    Rejections that say nothing about the peer leave no evidence, nor do those beyond its budget of evidence.
    """
    leaf = sha256_leaf(carried)
    fresh = code not in _KEEPS_NOTHING and not counted_again(tx, leaf, code)
    if fresh and allowance.take(Lasting.EVIDENCE):
        allowance.keep(Lasting.EVIDENCE)
        keep_rejected(shelf, carried, arrival.frame.batch, leaf, code)
        tx.log(EntryType.REJECTED, Rejected(arrival.member, Digest(leaf), code))
    if code == "TRUST_FORK":
        keep_directory_fork(tx, decode(Trust, carried.data))
    if code == "SEQUENCE_FORK":
        keep_fork(tx, arrival.member, arrival.uri, carried, arrival.frame.batch)
    return Ack(leaf, code, tx.now)


def sha256_leaf(carried: Carried) -> bytes:
    """Return the digest by which a statement is acknowledged, even a malformed one."""
    try:
        statement = parse_statement(carried.kind, carried.nonce, carried.data, carried.proof)
    except IntelshareError:
        return sha256(carried.nonce + carried.data + carried.proof)
    return leaf_id(statement.kind, statement.nonce, statement.data)
