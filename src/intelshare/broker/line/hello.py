"""Hello: an incarnation begins; two nodes report where their streams stand, and ask for what is missing.

start_incarnation  a new incarnation: its id and log entry 0 are durable before it signs anything (c6)
make_hello         what this node tells a peer about itself when a link opens
accept_hello       what the peer told: its incarnation, its streams, the documents that it lacks
acknowledge        what the peer has committed is not sent again
answer_gap         the peer asks for numbers that it has not seen
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from intelshare.audit.log import LogHead, root
from intelshare.audit.records import EntryType, Rejected, Start
from intelshare.broker.exchange.receipt import answers_others
from intelshare.broker.kernel.allowance import Lasting
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.documents import keep_document
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Gap
from intelshare.broker.kernel.kept_rows import allowance_in, charge
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.pair_rows import codes_beside, facts_of, put_pair
from intelshare.broker.kernel.tables import (
    BATCH_KEY,
    BULLETIN,
    INCOMING,
    LOG_HEAD,
    NODE,
    OUTGOING,
    PAIR,
    PENDING,
    PORTION,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    NodeRow,
    PairRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF, ToSay, Transaction
from intelshare.broker.lifecycle.anew import is_void, queue_again
from intelshare.broker.lifecycle.review import denial
from intelshare.broker.lifecycle.stop import cancel, head_acknowledged, head_of, is_cancelled, stop
from intelshare.broker.lifecycle.streams import gap_in, gap_of, take_head
from intelshare.broker.transparency.known_checkpoints import latest
from intelshare.broker.transparency.witness import remember
from intelshare.broker.treaty.act import acts, missing_acts, next_act, queue_acts
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Consent, Kind, Receipt, StreamHead, Trust, TrustType
from intelshare.delivery import MAX_ASKED, BestReceipt, Cause, PairStatus, Stage, pair, status_of
from intelshare.envelope import stream_start
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import Digest, Incarnation, LeafId, MemberCode, ReleaseNumber
from intelshare.instant import NEVER, Instant
from intelshare.ports import EVERY_ROW, Plan, Random, Scalar, View, changed
from intelshare.trust import DocumentVersions, HelloPayload, PeerHello

MAX_HEADS = 64
"""The most streams that a hello names; statements tell a new incarnation of a peer about older ones."""

MAX_OLDER = 4096
"""The most older streams: one for each start of this node since which it had something for the peer."""


MAX_RECALLS = 4096
"""The most recalls, and answers about consent, that are sent to a peer again after its start."""

_SHOWN_NOWHERE = frozenset((Kind.RECEIPT, Kind.CONSENT))
"""The kinds that no number, version or checkpoint of a hello shows to be missing."""

MAX_FILL = 1024
"""The most numbers that one gap request brings back."""


@dataclass(frozen=True, slots=True)
class HelloResult:
    """The result of a peer's hello."""

    gaps: tuple[Gap, ...]
    forgot: int
    """The number of releases that the peer sent and no longer knows: amnesia, to be shown."""
    lost: int
    """The number of entries of this node's log that the peer knows and this node has lost."""
    effects: Effects
    """They include the documents that the peer lacks."""
    spent: Mapping[Lasting, int]
    """The part of the peer's allowance that was spent."""


def start_incarnation(node: Node, view: View, now: Instant, random: Random) -> Plan[Incarnation]:
    """Start the incarnation that ``node`` names; entry 0 commits to the log before it."""
    tx = Transaction(node, view, now, random)
    me = view.get(NODE, SELF)
    previous, size, before = Incarnation(0), 0, bytes(32)
    head = None
    if me is not None:
        previous = me.incarnation
        head = view.get(LOG_HEAD, previous)
        if head is not None:
            size, before = head.size, root(LogHead(head.incarnation, head.size, head.frontier))
    tx.begin_log(node.incarnation, head)
    tx.put(
        NODE,
        NodeRow(
            SELF,
            node.incarnation,
            previous,
            now,
            max(now, me.latest if me is not None else now),
            max(now, me.written if me is not None else now),
            me.confirmed if me is not None else Instant(0),
        ),
    )
    tx.log(EntryType.START, Start(node.version, previous, size, before))
    return tx.plan(node.incarnation)


def make_hello(node: Node, view: View, peer: MemberCode, now: Instant) -> HelloPayload:
    """Return this node's hello to a peer: documents held, and how far each stream to it has gone."""
    me = view.get(NODE, SELF)
    previous = me.previous if me is not None else Incarnation(0)
    rows = view.find(OUTGOING, "newest", peer, limit=MAX_HEADS)
    heads = [
        head_of(row, previous if row.incarnation == node.incarnation else Incarnation(0)) for row in rows
    ]
    if not any(row.incarnation == node.incarnation for row in rows):
        start = stream_start(node.uri, node.incarnation, peer)
        heads.insert(0, StreamHead(peer, node.incarnation, previous, ReleaseNumber(0), start, ()))
    versions = []
    for member in (node.member, peer):
        held = node.trust.members.get(member)
        if held is not None:
            directory = held.directory.version if held.directory is not None else 0
            versions.append(DocumentVersions(member, held.root.version, directory))
    held = node.trust.members.get(peer)
    listed = held.directory.nodes if held is not None and held.directory is not None else ()
    seen = tuple(checkpoint for one in listed for checkpoint in latest(view, one.uri))
    return HelloPayload(
        now, tuple(sorted(node.suites)), tuple(versions), node.incarnation, tuple(heads[:MAX_HEADS]), seen[:1]
    )


def accept_hello(
    node: Node,
    view: View,
    peer: PeerHello,
    acknowledged: Sequence[LeafId],
    allowed: Mapping[Lasting, int] | None,
    now: Instant,
    random: Random,
) -> Plan[HelloResult]:
    """Process a peer's hello. A head that does not hold freezes its stream, but the link opens: the peer's
    other streams go on (promise P11). ``acknowledged``: what it acknowledged last; one that starts again may
    have lost it. ``allowed`` bounds what the peer may make this node keep.

    Raises TrustError PEER_REVOKED if the peer is left out.
    """
    node.trust.need_dealing(peer.member)
    tx = Transaction(node, view, now, random)
    allowance, forgot = allowance_in(tx, peer.member, allowed), 0
    starts_anew = view.get(INCOMING, peer.node, peer.payload.incarnation) is None
    if starts_anew:
        _recall_again(tx, peer.member)
        _say_again(tx, peer.member, acknowledged)
    beyond = _not_named(tx, peer)
    for head in peer.payload.heads:
        if head.to == node.member:
            try:
                if take_head(tx, peer.member, peer.node, head, allowance):
                    beyond[head.incarnation] = head.last
            except DeliveryError as bad:
                digest = Digest(sha256(encode(StreamHead, head)))
                if allowance.take(Lasting.EVIDENCE):
                    allowance.keep(Lasting.EVIDENCE)
                    tx.log(EntryType.REJECTED, Rejected(peer.member, digest, bad.code))
    for incarnation, last in beyond.items():
        stream = view.get(INCOMING, peer.node, incarnation)
        forgot += stream.last - last if stream is not None else 0
        if starts_anew:
            _answer_again(tx, peer, incarnation, last)
    gaps = []
    for row in view.find(INCOMING, "member", peer.member):
        gap = gap_of(tx, row.origin, row.incarnation) if row.origin == peer.node else None
        if gap is not None:
            gaps.append(gap)
    for head in peer.payload.heads:
        gap = gap_of(tx, peer.node, head.incarnation)
        if gap is not None and gap not in gaps:
            gaps.append(gap)
    # Always ask: nothing in a hello tells if there are any.
    gaps.append(Gap.of_acts(next_act(view, peer.member)))
    lacking = _lacking(node, peer.payload)
    _take_back_directories(tx, peer.member)
    if lacking:
        tx.say([ToSay(peer.member, Kind.TRUST, data, 0) for data in lacking])
    if starts_anew:
        _name_older(tx, peer.member)
    lost = remember(tx, peer.member, peer.node, peer.payload)
    charge(tx, peer.member, allowance)
    return tx.plan(HelloResult(tuple(gaps), forgot, lost, tx.effects(), allowance.spent))


def _not_named(tx: Transaction, peer: PeerHello) -> dict[Incarnation, int]:
    """The streams for this member that the node has had, and does not know of any more; of each the number up
    to which it knows it: 0. Its hello names all that it knows, if it has room for more.
    """
    if len(peer.payload.heads) >= MAX_HEADS:
        return {}
    named = {head.incarnation for head in peer.payload.heads if head.to == tx.node.member}
    rows = tx.view.find(INCOMING, "member", peer.member)
    return {
        row.incarnation: 0
        for row in rows
        if row.origin == peer.node and row.last and row.incarnation not in named
    }


def _answer_again(tx: Transaction, peer: PeerHello, incarnation: Incarnation, last: int) -> None:
    """Say to a node that has started again the first receipt for what it sent and does not know any more.

    It may not have noticed. Whoever gets a receipt that it cannot place asks for what was received since then
    (``engine.hearing``).
    """
    numbers = tx.view.find(
        RECEIVED, "number", peer.node, incarnation, Kind.RELEASE, after=(last,), limit=MAX_ASKED
    )
    for row in numbers:
        answered = row.receipt if not row.code else LeafId(b"")
        said = unless_damaged(tx, partial(tx.get, STATEMENT, answered)) if answered else None
        if said is not None:
            queue_again(tx, peer.member, [said])
            return


def _name_older(tx: Transaction, peer: MemberCode) -> None:
    """Name to a peer the streams for which the hello has no room: otherwise it would reject for ever what it
    still lacks of them (INCARNATION_UNKNOWN). Each is signed once, however often the peer restarts.
    """
    rows = tx.view.find(OUTGOING, "newest", peer, limit=MAX_HEADS + MAX_OLDER)[MAX_HEADS - 1 :]
    if not rows:
        return
    heads = [encode(StreamHead, head_of(row, Incarnation(0))) for row in rows]
    said = {
        row.data: row for row in tx.view.find(STATEMENT, "number", peer, Kind.STREAM_HEAD, limit=EVERY_ROW)
    }
    queue_again(tx, peer, [said[data] for data in heads if data in said])
    new = [ToSay(peer, Kind.STREAM_HEAD, data, 0) for data in heads if data not in said]
    if new:
        tx.say(new)


def _recall_again(tx: Transaction, peer: MemberCode) -> None:
    """Tell a restarted peer again of recalls and of refused or withdrawn consents: it may have lost them."""
    recalls = tx.view.find(STATEMENT, "number", peer, Kind.RECALL, limit=MAX_RECALLS)
    consents = tx.view.find(STATEMENT, "number", peer, Kind.CONSENT, limit=MAX_RECALLS)
    refusals = [row for row in consents if not decode(Consent, row.data).slots]
    queue_again(tx, peer, [*recalls, *refusals])


def _say_again(tx: Transaction, peer: MemberCode, acknowledged: Sequence[LeafId]) -> None:
    """Tell a restarted peer again what it acknowledged last, if nothing else shows that it has lost that."""
    read = [unless_damaged(tx, partial(tx.get, STATEMENT, leaf)) for leaf in acknowledged]
    queue_again(tx, peer, [row for row in read if row is not None and row.kind in _SHOWN_NOWHERE])


def announce(
    node: Node, view: View, peers: Sequence[MemberCode], now: Instant, random: Random
) -> Plan[Effects]:
    """Send peers this member's directory after it was renewed."""
    tx = Transaction(node, view, now, random)
    signed = node.trust.members[node.member].directory_signed
    if signed is None or not peers:
        return tx.plan(tx.effects())
    data = encode(Trust, signed)
    for peer in peers:
        _take_back_directories(tx, peer)
    tx.say([ToSay(peer, Kind.TRUST, data, 0) for peer in peers])
    return tx.plan(tx.effects())


def publish_root(node: Node, view: View, trust: Trust, now: Instant, random: Random) -> Plan[Effects]:
    """Accept this member's next root, and send it to every partner. Raises TrustError (trust/rules.py)."""
    change = node.trust.with_document(trust, now, node.member)
    tx = Transaction(node, view, now, random)
    if change.changed:
        keep_document(tx, change.member, trust, change)
        tx.node = with_trust(node, change.view)
        data = encode(Trust, trust)
        tx.say([ToSay(peer, Kind.TRUST, data, 0) for peer in node.trust.partners])
    return tx.plan(tx.effects())


def acknowledge(
    node: Node, view: View, peer: MemberCode, acks: Sequence[Ack], now: Instant, random: Random
) -> Plan[tuple[Ack, ...]]:
    """Stop sending what the peer has committed; return the acknowledgements, for the link's window."""
    tx = Transaction(node, view, now, random)
    for ack in acks:
        if not ack.code and len(ack.digest) == 32:
            bad: list[StoreError] = []
            waits = view.find(PENDING, "key", ack.digest, peer, limit=1, damaged=bad)
            if waits or bad:
                tx.delete(PENDING, ack.digest, peer)
                said = unless_damaged(tx, partial(view.get, STATEMENT, ack.digest))
                if said is not None and said.kind == Kind.STREAM_HEAD:
                    head_acknowledged(tx, peer, said.data)
    return tx.plan(tuple(acks))


def answer_gap(
    node: Node,
    view: View,
    peer: MemberCode,
    gap: Gap,
    now: Instant,
    random: Random,
    *,
    asked: Instant = NEVER,
) -> Plan[bool]:
    """Queue the requested numbers of a stream to this peer, or this member's acts, again as the same bytes.

    Returns True if there were any. Numbers of pairs that were stopped, or that may not go now, stay unsent;
    other nodes' numbers are unknown here. A peer that asks for a release that it signed for has lost it: if
    the bulletin was recalled, purged or is over since, or has gone to it under another number, this number is
    cancelled, as is one that may not go now if another one was accepted; and if it was signed with a key that
    is compromised now, or lacks what opens it (it came back: ``hand_back``), the pair waits for hand-over
    too. It stays accepted if that was not under this number. If its content is no longer here either, and
    there is no receipt, the pair ends (STORE_FORGOT).
    ``asked`` is when the peer asked, by the peer's clock; NEVER: just now. A release whose record is damaged
    stays unsent, and the others go. Raises TrustError PEER_REVOKED if the peer is left out.
    """
    node.trust.need_dealing(peer)
    tx = Transaction(node, view, now, random)
    if gap.acts:
        return tx.plan(queue_acts(tx, peer, gap.acts) > 0)
    if gap.origin != node.uri:
        return tx.plan(False)
    answers = _Answers(asked)
    for first, last in gap.missing:
        after, left = (max(first - 1, 0),), MAX_FILL - answers.queued
        for row in view.find(
            STATEMENT, "number", peer, Kind.RELEASE, gap.incarnation, after=after, limit=left
        ):
            if row.sequence > last or answers.queued >= MAX_FILL:
                break
            _answer_number(tx, row, peer, answers)
    stop(tx, answers.lost, Cause.UNDELIVERABLE, ("STORE_FORGOT",))
    cancel(tx, answers.void)
    for pair_row in answers.anew:
        elsewhere = answers_others(tx, pair_row, pair_row.leaf)
        facts = pair.forgotten(facts_of(pair_row), elsewhere=elsewhere)
        put_pair(tx, pair_row, facts, codes=codes_beside(facts, pair_row))
    return tx.plan(answers.queued > 0 or bool(answers.void or answers.lost))


@dataclass(slots=True)
class _Answers:
    """The numbers that a peer asks for, by what becomes of them."""

    asked: Instant
    queued: int = 0
    """The releases that go again."""
    void: list[PairRow] = field(default_factory=list)
    """The pairs whose number is cancelled."""
    anew: list[PairRow] = field(default_factory=list)
    """Those of them that wait for hand-over again."""
    lost: list[PairRow] = field(default_factory=list)
    """The pairs without a receipt whose content is nowhere: nothing else would end them."""
    signed: dict[Digest, bool] = field(default_factory=dict)
    """The batches whose signature was looked at (``is_void``)."""


def _answer_number(tx: Transaction, row: StatementRow, peer: MemberCode, answers: _Answers) -> None:
    """Queue one release again, cancel its number, or leave it unsent."""
    found = unless_damaged(tx, partial(tx.view.get, PAIR, row.md, peer))
    purged = unless_damaged(tx, partial(_is_purged, tx.view, row))
    if found is None:
        return
    over = unless_damaged(tx, partial(_is_over, tx, found, answers.asked))
    if found.leaf == row.leaf and (purged or over):
        sent = status_of(facts_of(found)) is PairStatus.SENT
        (answers.lost if sent else answers.void).append(found)
        return
    if found.leaf not in (b"", row.leaf):
        # The pair went again under another number, and the peer has forgotten its answer to this one.
        replaced = changed(found, incarnation=row.incarnation, sequence=row.sequence)
        answers.void += () if is_cancelled(tx, replaced) else (replaced,)
        return
    # Taken back: its number is cancelled, and the pair goes under another one.
    taken_back = (found.leaf, found.stage == Stage.QUEUED) != (row.leaf, False)
    if purged is None or over is None or taken_back or found.cause != Cause.NONE:
        return
    if not unless_damaged(tx, partial(_was_answered, tx.view, found, answers.asked)):
        return  # it has come since the peer asked for it
    if denied := unless_damaged(tx, partial(denial, tx, found)):
        if answers_others(tx, found, row.leaf):
            # The peer has it, under another number: nobody decides about the pair again, and stops it.
            answers.void.append(found)
        return
    if denied is None:
        return
    key = unless_damaged(tx, partial(tx.view.get, BATCH_KEY, row.batch, row.kem))
    sealed = row.grant and key is not None
    waits = tx.view.get(PENDING, row.leaf, peer) is not None
    if waits and sealed and found.receipt == BestReceipt.NONE:
        return  # if its signature does not count, ``sign_anew`` takes it back
    if not sealed or unless_damaged(tx, partial(is_void, tx, row, answers.signed)):
        # The peer has lost it, or never had it under this number, and would reject it: its signature does not
        # count, or what had opened it was forgotten or damaged here, and comes back from nobody. It goes once
        # more, as a new release.
        tx.delete(PENDING, row.leaf, peer)
        answers.void.append(found)
        answers.anew.append(found)
        return
    if waits:
        return
    tx.queue_as_signed(row, peer, found.rank)
    answers.queued += 1


def _is_purged(view: View, row: StatementRow) -> bool:
    """Return True if content that a release brought was purged."""
    portions = [view.get(PORTION, row.md, slot) for slot in row.slots]
    return any(portion.purged for portion in portions if portion is not None)


def _is_over(tx: Transaction, row: PairRow, asked: Instant) -> bool:
    """Return True if the peer had signed for the release when it asked, has lost it, and may not have it any
    more. Raises StoreError RECORD_CORRUPT.
    """
    if row.stage != Stage.HANDED_OVER or row.receipt == BestReceipt.NONE:
        return False
    return _has_ended(tx, row) and _was_answered(tx.view, row, asked)


def _has_ended(tx: Transaction, row: PairRow) -> bool:
    if row.cause == Cause.RECALLED or row.receipt == BestReceipt.DESTROYED:
        return True
    bulletin = tx.get(BULLETIN, row.md)
    if bulletin is None:
        return True  # it was given up: nobody can decide any more whether it may go
    return tx.node.confirmed and min(bulletin.expires, bulletin.deliver_by) <= tx.now


def _was_answered(view: View, row: PairRow, asked: Instant) -> bool:
    """Return True unless the peer has signed for the release since it asked: a bundle may come late."""
    if asked == NEVER:
        return True
    receipts = [
        view.get(RECEIVED, row.recipient, one.leaf)
        for one in view.find(RECEIPT, "key", row.md, row.recipient)
    ]
    return all(one is None or decode(Receipt, one.data).decided_at < asked for one in receipts)


def still_missing(view: View, peer: MemberCode, origin: str, incarnation: int) -> Gap | None:
    """Return what to request from a peer again: numbers of a stream or, without an origin, treaty acts."""
    if not origin:
        first = missing_acts(acts(view, peer))
        return None if first is None else Gap.of_acts(first)
    row = view.get(INCOMING, origin, incarnation)
    return gap_in(row) if row is not None else None


def ask_again(node: Node, view: View, now: Instant, random: Random) -> Plan[int]:
    """Queue every release without a receipt again, unchanged, after the disk lost data; return how many.

    A receipt that was acknowledged and then lost does not come back by itself: its sender is done with it.
    Resending the release makes the peer repeat its stored receipt (promises P4, P12).
    """
    tx = Transaction(node, view, now, random)
    queued = 0
    after: tuple[Scalar, ...] = ()
    while rows := view.find(PAIR, "due", 1, after=after):
        for row in rows:
            said = view.get(STATEMENT, row.leaf) if row.stage == Stage.HANDED_OVER else None
            if said is not None and view.get(PENDING, row.leaf, row.recipient) is None:
                tx.queue_as_signed(said, row.recipient, row.rank)
                queued += 1
        after = (rows[-1].due, rows[-1].md, rows[-1].recipient)
    return tx.plan(queued)


def _take_back_directories(tx: Transaction, peer: MemberCode) -> None:
    """Stop sending directories of this member that the peer has not acknowledged: after a newer one they
    would be rejected as TRUST_ROLLBACK, and sent again without end.
    """
    for said in tx.view.find(STATEMENT, "number", peer, Kind.TRUST):
        waits = tx.get(PENDING, said.leaf, peer) is not None
        if waits and decode(Trust, said.data).type is TrustType.DIRECTORY:
            tx.end(peer, said.leaf)


def _lacking(node: Node, payload: HelloPayload) -> list[bytes]:
    """Return this member's documents that the peer does not report: roots in order, then the directory."""
    own = node.trust.members[node.member]
    theirs = next((row for row in payload.documents if row.member == node.member), None)
    if theirs is None:
        return []
    lacking = [encode(Trust, root) for root in own.roots[theirs.root :]]
    if (
        own.directory is not None
        and own.directory_signed is not None
        and own.directory.version > theirs.directory
    ):
        lacking.append(encode(Trust, own.directory_signed))
    return lacking
