"""Hand back: recipients return to a node the releases and treaty acts that it has forgotten (promise P12).

    back_since    after a restore: ask linked members for the releases of this node since an instant
    hand_back     the peer asks for its releases: they go back as they were signed, with the claims
    on_returned   a release of this node comes back: what is known is completed, the rest is learned again

A returned release proves itself: it carries this node's signature, and it commits to the claims. Content
comes back only for numbers that were named, and is compared with the commitments of the manifest. A forgotten
bulletin is known afterwards as if it had been purged: its recipients are shown, and it can be recalled. One
whose row is damaged is after that what it was (decision 97).
The grant that opened a release does not come back: its row stays without, and it cannot be sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Final

from intelshare.audit.records import EntryType, HandOver, Submit
from intelshare.broker.kernel.counters import OUTBOX_COUNTER
from intelshare.broker.kernel.damage import is_damaged, is_there, unless_damaged
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried, Gap, Outbound, rank
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.kept_claims import keep_returned
from intelshare.broker.kernel.log import MAX_TOGETHER, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import count_pair, facts_of, logged_decision, put_pair
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import encode_heads, without_content
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
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.broker.lifecycle.anew import queue_again
from intelshare.broker.lifecycle.destroy import CAUSE_RECALLED
from intelshare.broker.lifecycle.rebuild import recount
from intelshare.broker.lifecycle.recalled import tell_recalled, was_recalled
from intelshare.broker.lifecycle.stop import stop_pair
from intelshare.broker.line.handover import frames_of
from intelshare.broker.treaty.act import on_returned_act, returned_acts
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import sha256
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
from intelshare.errors import CryptoError, EnvelopeError, RecordError, StoreError
from intelshare.ids import Digest, Incarnation, LeafId, ManifestDigest, MemberCode, NodeUri, UserUri
from intelshare.instant import EPOCH, MINUTE, Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import ReceivedBatch, Statement, is_revoked, verify_evidence

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
    verified = verify_evidence(evidence, trust=node.trust, suites=node.suites, roots=node.roots, revoked=True)
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
    if is_revoked(verified.batch.record, node.trust):
        _recall_shown(tx, md, inbound.member)
        raise CryptoError("SIGNER_REVOKED", "the returned release was signed with a key that was revoked")
    back = _Returned(md, inbound.member, claims, manifest, release)
    slots = [one.slot for one in claims.granted]
    tx.mended |= is_damaged(tx, BATCH, Digest(sha256(batch.raw)))
    said = StatementRow(
        verified.leaf, inbound.member, Kind.RELEASE, statement.nonce, statement.data, statement.proof,
        tx.batch(batch.raw), release.kem, b"", md, bytes(slots), release.incarnation, release.sequence,
    )  # fmt: skip
    known = is_there(tx, STATEMENT, verified.leaf)
    damaged = known and is_damaged(tx, STATEMENT, verified.leaf)
    tx.mended |= damaged
    if damaged or not known:
        kept = keep_returned(tx, said, claims_bytes, secrets)
        tx.put(STATEMENT, changed(said, sealed_claims=kept))
    _complete(tx, back, dict(zip(slots, carried.bodies, strict=False)))
    if not known:
        _learn_bulletin(tx, back)
        _learn_pair(tx, said, back)


@dataclass(frozen=True, slots=True)
class _Returned:
    """A bulletin of this member as its recipient hands it back: exactly what this node had signed for it."""

    md: ManifestDigest
    peer: MemberCode
    claims: Claims
    manifest: Manifest
    release: Release


def _complete(tx: Transaction, back: _Returned, bodies: dict[int, bytes]) -> None:
    """Replace damaged parts of a bulletin by those of the peer, if they are what the manifest commits to."""
    if not is_there(tx, BULLETIN, back.md):
        return
    came = _content_back(tx, back, bodies)
    if is_damaged(tx, BULLETIN, back.md):
        if _bulletin_back(tx, back):
            tx.mended = True
            _count_again(tx, _portions(tx, back.md), others=False)
    elif came:
        tx.mended = True
        known = _there(tx, back.md, [])
        _count_again(tx, came, others=any(one.body for one in known if one not in came))


def _content_back(tx: Transaction, back: _Returned, bodies: dict[int, bytes]) -> list[PortionRow]:
    """Write again the portions that are damaged here, and return them."""
    came: list[PortionRow] = []
    for slot in [slot for slot in bodies if is_damaged(tx, PORTION, back.md, slot)]:
        portion = unless_damaged(tx, partial(_portion_of, tx, back, slot, bodies[slot]))
        if portion is not None:
            tx.put(PORTION, portion)
            came.append(portion)
    return came


def _portion_of(tx: Transaction, back: _Returned, slot: int, body: bytes) -> PortionRow | None:
    """Return the row of a portion in the place that the log names. Raises CryptoError, EnvelopeError if the
    manifest does not commit to this body, StoreError RECORD_CORRUPT.
    """
    row = tx.get(PAIR, back.md, back.peer)
    if row is None:
        return None
    places = {one.slot: one.position for one in logged_decision(tx.node, tx.view, row).portions}
    author = UserUri("") if places[slot] else _author(tx, row)
    portion = PortionRow(back.md, slot, places[slot], body, body_digest(body), EPOCH, author)
    reopen(back.claims.manifest, slot, read_secret(tx.node, tx.view, portion), body)
    return portion


def _author(tx: Transaction, row: PairRow) -> UserUri:
    """Return who wrote the bulletin of a pair, by its row, or by the log: who submits it is logged with the
    first decisions. Empty if the row is damaged and the pair was decided again. Raises StoreError
    RECORD_CORRUPT.
    """
    known = None if is_damaged(tx, BULLETIN, row.md) else tx.get(BULLETIN, row.md)
    if known is not None:
        return known.author
    first = max(0, row.decided_at - MAX_TOGETHER)
    near = opened(tx.node, tx.view, row.decided_in, first, row.decided_at, types={EntryType.SUBMIT})
    said = [decode(Submit, entry.record) for entry in near]
    return next((UserUri(one.user) for one in said if one.md == row.md), UserUri(""))


def _bulletin_back(tx: Transaction, back: _Returned) -> bool:
    """Write the damaged row of a bulletin again, if all that it says is known: by the peer, by the content
    that is here, and by its pairs.
    """
    heads = unless_damaged(tx, partial(_heads, tx, back))
    if not heads:
        return False
    author = next((row.author for row in _portions(tx, back.md) if row.author), UserUri(""))
    pairs = tx.view.find(PAIR, "key", back.md)
    # A recall is told to whoever has it, and ends that pair; it changes again with what is said after that.
    recalled = min([row.changed for row in pairs if row.cause == Cause.RECALLED], default=EPOCH)
    _put_bulletin(tx, back, heads, author, recalled)
    for row in pairs if recalled else ():
        if row.leaf and not was_recalled(tx, row.md, row.recipient):
            _tell_recalled(tx, row)  # the pair came back while nobody could read that there was a recall
    return True


def _heads(tx: Transaction, back: _Returned) -> dict[int, Portion] | None:
    """Return by slot, in reading order, the labels of all portions. Of one whose content is gone nobody knows
    the label any more: the banner under which it was granted is at least as high. None: it was not granted to
    this peer. Raises StoreError RECORD_CORRUPT.
    """
    heads: dict[int, Portion] = {}
    granted = {one.slot for one in back.claims.granted}
    for row in _portions(tx, back.md):
        if row.body:
            secret = read_secret(tx.node, tx.view, row)
            heads[row.slot] = reopen(back.claims.manifest, row.slot, secret, row.body).portion
        elif row.slot in granted:
            heads[row.slot] = _below(back.claims.banner)
        else:
            return None
    return heads


def _below(banner: str) -> Portion:
    return Portion(PortionKind.TEXT, banner, "", (), "", "", b"")


def _portions(tx: Transaction, md: ManifestDigest) -> list[PortionRow]:
    """Return the portions of a bulletin in reading order, also those that this step has brought back. Raises
    StoreError RECORD_CORRUPT.
    """
    damaged: list[StoreError] = []
    rows = _there(tx, md, damaged)
    slots = [row.slot for row in rows]
    for error in damaged:
        if not isinstance(error, RecordError) or error.key[1] not in slots:
            raise error
    return sorted(rows, key=attrgetter("position"))


def _there(tx: Transaction, md: ManifestDigest, damaged: list[StoreError]) -> Collection[PortionRow]:
    """Return the portions of a bulletin that can be read, as they will be after this step."""
    stored = tx.view.find(PORTION, "key", md, damaged=damaged)
    put = [row for row in tx.put_into(PORTION) if row.md == md]
    return {row.slot: row for row in (*stored, *put)}.values()


def _count_again(tx: Transaction, back: Sequence[PortionRow], *, others: bool) -> None:
    """Count the outbox with what is back of a bulletin: while it was damaged, it may not have been counted.

    ``others``: it is counted already, for other content.
    """
    put = [row for row in tx.put_into(COUNTER) if row.name == OUTBOX_COUNTER]
    seen = put[0] if put else recount(tx.view, OUTBOX_COUNTER)
    size = sum([len(one.body) for one in back])
    tx.put(COUNTER, changed(seen, rows=seen.rows + bool(size and not others), size=seen.size + size))


def _learn_bulletin(tx: Transaction, back: _Returned) -> None:
    """Known again, without content and without its author: a releasing officer can recall it."""
    if is_there(tx, BULLETIN, back.md):
        return
    # Nobody knows the labels of its portions any more: the banner is at least as high.
    heads = {one.slot: _below(back.claims.banner) for one in back.claims.granted}
    for position, slot in enumerate(heads):
        tx.put(PORTION, PortionRow(back.md, slot, position, b"", _UNKNOWN, tx.now))
    _put_bulletin(tx, back, heads, UserUri(""), EPOCH)


def _put_bulletin(
    tx: Transaction, back: _Returned, heads: Mapping[int, Portion], author: UserUri, recalled: Instant
) -> None:
    """``heads``: by slot, in reading order."""
    manifest = back.manifest
    sealed = tx.seal(BULLETIN.name, back.md, 0, encode_heads(without_content(tuple(heads.values()))))
    tx.put(
        BULLETIN,
        BulletinRow(
            back.md, manifest.bulletin, author, manifest.created, -manifest.created,
            manifest.precedence, manifest.expires, back.release.deliver_by, back.claims.manifest,
            bytes(heads), recalled, sealed,
        ),
    )  # fmt: skip


def _learn_pair(tx: Transaction, said: StatementRow, back: _Returned) -> None:
    """Handed over, and open until the recipient's receipt has come again. Its decision is in no log here.

    What waits here, or was stopped while it waited, has gone under this number before the disk was put back.
    A recall that was made since did not know of it, and is told now.
    """
    claims, manifest, release = back.claims, back.manifest, back.release
    count = len(claims.granted)
    row = PairRow(
        said.md, said.peer, 0, rank(manifest.precedence), 1, min(manifest.expires, release.deliver_by),
        manifest.created, Stage.HANDED_OVER, Cause.NONE, BestReceipt.NONE, 0, "", tx.now, count, count, "",
        Incarnation(0), 0, claims.decision, _UNKNOWN, "", release.incarnation, release.sequence,
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


def _recall_shown(tx: Transaction, md: ManifestDigest, peer: MemberCode) -> None:
    """Recall a bulletin also from a peer that shows it by a release which a stolen key has signed: whoever
    signed it, the peer has the bulletin. Once: the peer shows it again as long as it is not believed.
    """
    bulletin = unless_damaged(tx, partial(tx.get, BULLETIN, md))
    if bulletin is not None and bulletin.recalled and not was_recalled(tx, md, peer):
        tell_recalled(tx, md, [peer], "")


def _tell_recalled(tx: Transaction, row: PairRow) -> None:
    """Tell a recipient that had a bulletin of its recall, whatever had stopped the pair before."""
    bulletin = unless_damaged(tx, partial(tx.get, BULLETIN, row.md))
    if bulletin is None or not bulletin.recalled:
        return
    if row.cause != Cause.RECALLED:
        stop_pair(tx, row, Cause.RECALLED, (CAUSE_RECALLED,))
    tell_recalled(tx, row.md, [row.recipient], "")
