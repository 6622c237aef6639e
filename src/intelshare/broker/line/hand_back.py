"""Hand back: recipients return to a node the releases and treaty acts that it has forgotten (promise P12).

    back_since    after a restore: ask linked members for the releases of this node since an instant
    hand_back     the peer asks for its releases: they go back as they were signed, with the claims
    on_returned   a release of this node comes back: what is known is completed, the rest is learned again

A returned release proves itself: it carries this node's signature, and it commits to the claims. Content
comes back only for numbers that were named, and is compared with the commitments of the manifest. A forgotten
bulletin is known afterwards as if it had been purged: its recipients are shown, and it can be recalled.
The grant that opened a release does not come back: its row stays without, and it cannot be sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.audit.records import EntryType, HandOver
from intelshare.broker.exchange.recall import tell_recalled
from intelshare.broker.kernel.counters import OUTBOX
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried, Gap, Outbound, rank
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import count_pair, facts_of, logged_decision, put_pair
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import encode_heads
from intelshare.broker.kernel.tables import (
    BATCH,
    BULLETIN,
    COUNTER,
    INBOX,
    OUTGOING,
    PAIR,
    PORTION,
    RECEIVED,
    STATEMENT,
    BulletinRow,
    InboxRow,
    OutgoingRow,
    PairRow,
    PortionRow,
    ReceivedRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import Transaction, open_secret, unless_damaged
from intelshare.broker.lifecycle.anew import queue_again
from intelshare.broker.lifecycle.destroy import RECALLED
from intelshare.broker.lifecycle.rebuild import recount
from intelshare.broker.lifecycle.stop import stop_pair
from intelshare.broker.line.handover import frames_of
from intelshare.broker.treaty.act import on_returned_act, returned_acts
from intelshare.crypto.codec import decode
from intelshare.crypto.records import (
    Claims,
    Evidence,
    Kind,
    Manifest,
    Portion,
    PortionKind,
    Release,
)
from intelshare.delivery import BestReceipt, Cause, Stage, pair
from intelshare.envelope import body_digest, grant_digest, manifest_digest, reopen
from intelshare.errors import CryptoError, EnvelopeError, RecordError
from intelshare.ids import Digest, LeafId, ManifestDigest, MemberCode, NodeUri, UserUri
from intelshare.instant import EPOCH, MINUTE, Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import ReceivedBatch, Statement, verify_evidence

MAX_BACK: Final = 1024
"""Releases that one request brings back, the newest first."""

_MARGIN: Final = 10 * MINUTE
"""Clocks of two members may differ by as much."""

_UNKNOWN: Final = Digest(bytes(32))


@dataclass(frozen=True, slots=True)
class HandBackResult:
    """The frames that go back. The receipts for them are queued again."""

    frames: tuple[Outbound, ...]


def back_since(
    node: Node, view: View, members: Sequence[MemberCode], since: Instant, now: Instant, random: Random
) -> Plan[Effects]:
    """Ask these members for what they received of this node since then."""
    tx = Transaction(node, view, now, random)
    # A clock that was ahead has left a mark that the present time has not reached yet.
    since = Instant(max(1, min(since, now)))
    tx.gaps += [(member, Gap(node.uri, 0, ((since, now),))) for member in members]
    return tx.plan(tx.effects())


def hand_back(
    node: Node, view: View, peer: MemberCode, uri: NodeUri, gap: Gap, now: Instant, random: Random
) -> Plan[HandBackResult]:
    """Return the accepted releases of a peer's node, by number; or since an instant, with its member's treaty
    acts. Raises PEER_REVOKED.
    """
    node.trust.need_dealing(peer)
    tx = Transaction(node, view, now, random)
    frames = _acts_back(tx, peer) if gap.incarnation == 0 else []
    found: dict[Digest, list[tuple[LeafId, Carried, int]]] = {}
    receipts: list[StatementRow] = []
    for held in _asked(view, peer, uri, gap):
        carried = unless_damaged(tx, partial(_as_it_came, tx, *held, content=gap.incarnation != 0))
        if carried is not None:
            received, inbox = held
            found.setdefault(received.batch, []).append((received.leaf, carried, inbox.rank))
            receipts += _receipt(tx, received)
    queue_again(tx, peer, receipts)
    for batch, items in found.items():
        record = unless_damaged(tx, partial(view.get, BATCH, batch))
        if record is not None:
            frames += frames_of(peer, record.record, b"", items)
    return tx.plan(HandBackResult(tuple(frames)))


def _acts_back(tx: Transaction, peer: MemberCode) -> list[Outbound]:
    """The peer's treaty acts in their order: what it has forgotten of its law goes before its releases."""
    frames: list[Outbound] = []
    for row in returned_acts(tx.view, peer):
        record = unless_damaged(tx, partial(tx.view.get, BATCH, row.batch))
        if record is not None:
            carried = Carried(row.kind, row.nonce, row.data, row.proof)
            frames += frames_of(peer, record.record, b"", [(row.leaf, carried, 0)])
    return frames


def _asked(view: View, peer: MemberCode, uri: NodeUri, gap: Gap) -> Iterator[tuple[ReceivedRow, InboxRow]]:
    count = 0
    for first, last in gap.missing:
        if gap.incarnation == 0:
            rows = _newest(view, peer, Instant(max(0, first - _MARGIN)))
        else:
            rows = _numbered(view, peer, (uri, gap.incarnation), first, last)
        for one in rows:
            yield one
            count += 1
            if count >= MAX_BACK:
                return


def _newest(view: View, peer: MemberCode, since: Instant) -> Iterator[tuple[ReceivedRow, InboxRow]]:
    for row in view.find(INBOX, "newest", limit=4 * MAX_BACK):
        if row.received < since:
            return
        received = view.get(RECEIVED, peer, row.leaf) if row.sender == peer else None
        if received is not None:
            yield received, row


def _numbered(
    view: View, peer: MemberCode, stream: tuple[NodeUri, int], first: int, last: int
) -> Iterator[tuple[ReceivedRow, InboxRow]]:
    after = (max(first - 1, 0),)
    for row in view.find(RECEIVED, "number", *stream, Kind.RELEASE, after=after, limit=MAX_BACK):
        if row.sequence > last:
            return
        # A frame is one instant of the inbox.
        same = view.find(INBOX, "newest", -row.at) if row.member == peer and not row.code else []
        yield from [(row, held) for held in same if held.leaf == row.leaf]


def _as_it_came(tx: Transaction, row: ReceivedRow, held: InboxRow, *, content: bool) -> Carried:
    """The release, with H(secrets) and the claims where its grant was. Raises StoreError RECORD_CORRUPT."""
    claims = open_secret(tx.node, INBOX.name, held.md, 0, held.sealed_claims)
    portions = {one.slot: one.body for one in tx.view.find(PORTION, "key", held.md)} if content else {}
    slots = [one.slot for one in decode(Claims, claims).granted]
    bodies = tuple([portions.get(slot, b"") for slot in slots]) if portions else ()
    return Carried(row.kind, row.nonce, row.data, row.proof, held.secrets + claims, bodies)


def _receipt(tx: Transaction, row: ReceivedRow) -> list[StatementRow]:
    said = unless_damaged(tx, partial(tx.get, STATEMENT, row.receipt)) if row.receipt else None
    return [said] if said is not None else []


def is_own(node: Node, batch: ReceivedBatch) -> bool:
    """Return whether a batch names a key of this member."""
    signer = node.trust.key_record(batch.record.key)
    return signer is not None and signer.member == node.member


RETURNED: Final = frozenset((Kind.RELEASE, Kind.TREATY_ACT))
"""The kinds of this member's statements that peers hand back."""


def on_returned(inbound: Inbound, statement: Statement, batch: ReceivedBatch, carried: Carried) -> None:
    """Take in what a peer hands back. Raises CryptoError, EnvelopeError."""
    if statement.kind is Kind.TREATY_ACT:
        on_returned_act(inbound, statement, batch)
    else:
        _on_returned_release(inbound, statement, batch, carried)


def _on_returned_release(
    inbound: Inbound, statement: Statement, batch: ReceivedBatch, carried: Carried
) -> None:
    """Take in a returned release. Raises CryptoError, EnvelopeError for one of another node or recipient."""
    tx, node = inbound.tx, inbound.tx.node
    evidence = Evidence(statement.kind, statement.nonce, statement.data, statement.proof, batch.raw)
    verified = verify_evidence(evidence, trust=node.trust, suites=node.suites, roots=node.roots)
    release = verified.read(Release)
    if release.recipient != inbound.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the returned release was made for another member")
    if release.origin != node.uri:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "the release is of another node of this member")
    secrets, claims_bytes = Digest(carried.grant[:32]), carried.grant[32:]
    if grant_digest(claims_bytes, secrets) != release.grant_digest:
        raise EnvelopeError("COMMITMENT_MISMATCH", "what came back with the release is not what it granted")
    claims = decode(Claims, claims_bytes)
    manifest = decode(Manifest, claims.manifest)
    if manifest.originator != node.member:
        return  # passed on for somebody else: nothing of it can be recalled here
    md = manifest_digest(claims.manifest)
    slots = [one.slot for one in claims.granted]
    said = StatementRow(
        verified.leaf, inbound.member, Kind.RELEASE, statement.nonce, statement.data, statement.proof,
        tx.batch(batch.raw), release.kem, b"", md, bytes(slots), release.incarnation, release.sequence,
    )  # fmt: skip
    try:
        known = tx.get(STATEMENT, verified.leaf) is not None
    except RecordError:
        tx.put(STATEMENT, said)
        known = True
    if known:
        _complete(tx, md, inbound.member, dict(zip(slots, carried.bodies, strict=False)))
        return
    tx.put(STATEMENT, said)
    _learn_bulletin(tx, md, claims, manifest, release)
    _learn_pair(tx, said, claims, manifest, release)


def _complete(tx: Transaction, md: ManifestDigest, peer: MemberCode, bodies: dict[int, bytes]) -> None:
    """Content that is damaged here is that of the peer again, if it is what the manifest commits to."""
    bulletin, row = tx.get(BULLETIN, md), tx.get(PAIR, md, peer)
    if bulletin is None or row is None:
        return
    back: list[bytes] = []
    for slot, body in bodies.items():
        try:
            tx.get(PORTION, md, slot)
        except RecordError:
            places = {one.slot: one.position for one in logged_decision(tx.node, tx.view, row).portions}
            portion = PortionRow(md, slot, places[slot], body, body_digest(body))
            reopen(bulletin.manifest, slot, read_secret(tx.node, tx.view, portion), body)
            tx.put(PORTION, portion)
            back.append(body)
    if back:
        _count_again(tx, md, sum(map(len, back)))


def _count_again(tx: Transaction, md: ManifestDigest, size: int) -> None:
    """Count the outbox with content of this bulletin that is back: while it was damaged, it may not have
    been counted.
    """
    seen = recount(tx.view, OUTBOX)
    others = any(one.body for one in tx.view.find(PORTION, "key", md))
    tx.put(COUNTER, changed(seen, rows=seen.rows + (not others), size=seen.size + size))


def _learn_bulletin(
    tx: Transaction, md: ManifestDigest, claims: Claims, manifest: Manifest, release: Release
) -> None:
    """Known again, without content and without its author: a releasing officer can recall it."""
    if tx.get(BULLETIN, md) is not None:
        return
    # Nobody knows the labels of its portions any more: the banner is at least as high.
    heads = tuple([Portion(PortionKind.TEXT, claims.banner, "", (), "", "", b"") for _ in claims.granted])
    for position, one in enumerate(claims.granted):
        tx.put(PORTION, PortionRow(md, one.slot, position, b"", _UNKNOWN, tx.now))
    tx.put(
        BULLETIN,
        BulletinRow(
            md, manifest.bulletin, UserUri(""), manifest.created, -manifest.created, manifest.precedence,
            manifest.expires, release.deliver_by, claims.manifest,
            bytes([one.slot for one in claims.granted]), EPOCH,
            tx.seal(BULLETIN.name, md, 0, encode_heads(heads)),
        ),
    )  # fmt: skip


def _learn_pair(
    tx: Transaction, said: StatementRow, claims: Claims, manifest: Manifest, release: Release
) -> None:
    """Handed over, and open until the recipient's receipt has come again.

    What waits here, or was stopped while it waited, has gone under this number before the disk was put back.
    A recall that was made since did not know of it, and is told now.
    """
    count = len(claims.granted)
    row = PairRow(
        said.md, said.peer, 0, rank(manifest.precedence), 1, min(manifest.expires, release.deliver_by),
        manifest.created, Stage.HANDED_OVER, Cause.NONE, BestReceipt.NONE, 0, "", tx.now, count, count, "",
        release.incarnation, 0, claims.decision, _UNKNOWN, "", release.incarnation, release.sequence,
        said.leaf, 0,
    )  # fmt: skip
    known = tx.get(PAIR, said.md, said.peer)
    if known is None:
        tx.put(PAIR, row)
        count_pair(tx, row, 1)
        _tell_recalled(tx, row)
    elif not known.leaf:
        mark = {"incarnation": row.incarnation, "sequence": row.sequence, "leaf": row.leaf}
        codes = known.codes if known.cause != Cause.NONE else ""
        row = put_pair(tx, known, pair.hand_over(facts_of(known)), codes=codes, **mark)
        tx.node.recent.done(said.md, said.peer)
        _tell_recalled(tx, row)
    tx.log(
        EntryType.HAND_OVER,
        HandOver(said.md, said.peer, said.leaf, release.incarnation, release.sequence, claims.decision),
    )
    stream = tx.get(OUTGOING, release.incarnation, said.peer)
    if stream is None:
        stream = OutgoingRow(release.incarnation, said.peer, -manifest.created, 0, LeafId(b""), b"")
    if release.sequence > stream.last:
        tx.put(OUTGOING, changed(stream, last=release.sequence, head=said.leaf))


def _tell_recalled(tx: Transaction, row: PairRow) -> None:
    """Tell a recipient that had a bulletin of its recall, whatever had stopped the pair before."""
    bulletin = tx.get(BULLETIN, row.md)
    if bulletin is None or not bulletin.recalled:
        return
    if row.cause != Cause.RECALLED:
        stop_pair(tx, row, Cause.RECALLED, (RECALLED,))
    tell_recalled(tx, row.md, [row.recipient], "")
