"""Hand over: what is queued becomes releases, numbered, sealed and signed in one commit (c7, c8).

For each recipient whose link has room, most urgent first:

    1. its directory is fresh and names a sealing key      else all of it waits
    2. the pair is decided again, now                      withheld, held, expired, or go on
    3. the egress check, which shares no code with it      policy.check_egress
    4. number, grant, release; one signature for all       envelope.seal

Only after the commit does the first byte leave, and every retry is the same bytes (``resend``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from intelshare.audit.records import EntryType, HandOver
from intelshare.broker.kernel.decide_pair import (
    PairDecision,
    banner_of,
    decision_fingerprint,
    record_of,
)
from intelshare.broker.kernel.frame import Carried, Frame, Outbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, with_facts
from intelshare.broker.kernel.portion_secrets import open_portion_secret
from intelshare.broker.kernel.stored_bulletins import Written, read_written
from intelshare.broker.kernel.tables import (
    BATCH_KEY,
    BULLETIN,
    NODE,
    OUTGOING,
    PAIR,
    SECRET,
    BatchKeyRow,
    OutgoingRow,
    PairRow,
    SecretRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF, Transaction, unless_damaged
from intelshare.broker.lifecycle.redecide import Carrying, redecide
from intelshare.broker.lifecycle.relations import claims_of
from intelshare.broker.lifecycle.stop import cancel_questions, stop_pair
from intelshare.crypto.records import Granted, KeyRecord, Kind, Precedence
from intelshare.delivery import Cause, pair
from intelshare.envelope import Cleared, ClearedPortion, Tip, first_tip, seal
from intelshare.errors import CryptoError, DeliveryError, TrustError
from intelshare.ids import KeyId, LeafId, ManifestDigest, MemberCode, ReleaseNumber
from intelshare.instant import Instant
from intelshare.labels import Label, format_banner
from intelshare.policy import check_egress
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import MAX_LEAVES

MAX_FRAME = 1 << 20
"""Bytes of one frame."""

_SMALLEST = 1536
"""Bytes below which no release with its payload stays."""

_OVERHEAD = 8 * 1024
"""Batch record, batch key and framing, kept free in every frame."""


_Read = tuple[Written, Mapping[int, SecretRow]]
"""A bulletin, and what opens its portions, by slot."""


@dataclass(slots=True)
class _Chosen:
    row: PairRow
    written: Written
    decided: PairDecision
    cleared: Cleared
    size: int


def handover(
    node: Node, view: View, rooms: Mapping[MemberCode, int], now: Instant, random: Random
) -> Plan[tuple[Outbound, ...]]:
    """Seal what is ready for the peers that have room (bytes), at most 256 releases under one signature."""
    tx = Transaction(node, view, now, random)
    chosen: list[_Chosen] = []
    read: dict[ManifestDigest, _Read] = {}
    share = max(1, MAX_LEAVES // max(1, len(rooms)))
    for recipient in sorted(rooms):
        if len(chosen) + share > MAX_LEAVES:
            break
        try:
            kem = node.trust.sealing_key(recipient, node.signer.suite.number, now)
        except (TrustError, CryptoError):
            continue  # what is queued waits for a directory; `status` shows it
        room = rooms[recipient]
        for row in view.find(PAIR, "ready", recipient, 1, limit=min(share, room // _SMALLEST + 1)):
            if room <= 0:
                break
            one = _clear(tx, row, read, kem)
            if one is not None:
                chosen.append(one)
                room -= one.size
    if not chosen:
        return tx.plan(())
    at_once = {(one.row.md, one.row.recipient) for one in chosen}
    for one in chosen:
        supersedes, reply = claims_of(tx, one.row.md, one.row.recipient, at_once)
        if supersedes or reply:
            one.cleared = replace(one.cleared, supersedes=supersedes, reply=reply)
    tips = {one.row.recipient: _tip(node, view, one.row.recipient) for one in chosen}
    sealed = seal([one.cleared for one in chosen], node.signer, now, random, tips=tips)
    batch = tx.batch(sealed.batch)
    for kem_id, key in sealed.batch_keys.items():
        tx.put(BATCH_KEY, BatchKeyRow(batch, kem_id, key))
    for recipient, tip in sealed.tips.items():
        tx.put(OUTGOING, outgoing(tx, recipient, tip))
    carried: dict[MemberCode, list[tuple[LeafId, Carried, int]]] = {}
    for one, release in zip(chosen, sealed.releases, strict=True):
        bodies = tuple([_body(one.written, granted.granted.slot) for granted in one.cleared.portions])
        statement = release.statement
        tx.queue(
            StatementRow(
                release.leaf, one.row.recipient, Kind.RELEASE, statement.nonce, statement.data,
                statement.proof, batch, one.cleared.kem_id, release.grant, one.row.md,
                bytes([portion.granted.slot for portion in one.cleared.portions]),
                node.incarnation, release.release.sequence,
            ),
            one.row.rank,
            one.size,
        )  # fmt: skip
        tx.log(
            EntryType.HAND_OVER,
            HandOver(
                one.row.md, one.row.recipient, release.leaf, node.incarnation,
                release.release.sequence, one.row.decision,
            ),
        )  # fmt: skip
        tx.put(
            PAIR,
            with_facts(
                one.row,
                pair.hand_over(facts_of(one.row)),
                now,
                codes="",
                incarnation=node.incarnation,
                sequence=release.release.sequence,
                leaf=release.leaf,
            ),
        )
        carried.setdefault(one.row.recipient, []).append(
            (
                release.leaf,
                Carried(
                    Kind.RELEASE, statement.nonce, statement.data, statement.proof, release.grant, bodies
                ),
                one.row.rank,
            )
        )
    keys = {one.row.recipient: sealed.batch_keys[one.cleared.kem_id] for one in chosen}
    return tx.plan(
        tuple(
            [
                frame
                for peer, items in carried.items()
                for frame in frames_of(peer, sealed.batch, keys[peer], items)
            ]
        )
    )


def first_ready(view: View, peer: MemberCode) -> int | None:
    """Rank of the most urgent pair that is ready for this peer; None: there is none."""
    rows = view.find(PAIR, "ready", peer, 1, limit=1)
    return rows[0].rank if rows else None


def _clear(
    tx: Transaction, row: PairRow, known: dict[ManifestDigest, _Read], kem: tuple[KeyId, KeyRecord]
) -> _Chosen | None:
    """Decide the pair again; None if it does not go, which is then written."""
    node, now = tx.node, tx.now
    read = known.get(row.md) or unless_damaged(tx, lambda: _read(tx, row.md))
    if read is None:
        # It waits for an operator, and questions about it with it; the others go on.
        cancel_questions(tx, row)
        tx.put(PAIR, with_facts(row, pair.hold(facts_of(row)), now, codes="RECORD_CORRUPT"))
        return None
    known[row.md] = read
    written, secrets = read
    if written.row.recalled:
        stop_pair(tx, row, Cause.RECALLED, ("BULLETIN_RECALLED",))
        return None
    due = min(written.row.expires, written.row.deliver_by)
    if now >= due:
        stop_pair(tx, row, Cause.EXPIRED, ("EXPIRED",))
        return None
    decided, consents = redecide(tx, row, written)
    row = _note_decision(tx, row, decided)
    if not decided.granted:
        stop_pair(tx, row, Cause.WITHHELD, decided.codes)
        return None
    if decided.holds:
        tx.put(PAIR, with_facts(row, pair.hold(facts_of(row)), now, codes=" ".join(decided.holds)))
        return None
    try:
        cleared = _cleared(node, secrets, row, written, decided, now, kem, consents)
    except DeliveryError as stopped:
        stop_pair(tx, row, Cause.WITHHELD, (stopped.code,))
        return None
    size = 2048 + sum(len(_body(written, judged.slot)) for judged in decided.granted)
    # What goes under a consent is over when that ends: then no receipt can come for it any more.
    row = changed(row, due=min([due, *(given.consent.until for given, _ in consents)]))
    return _Chosen(row, written, decided, cleared, size)


def _read(tx: Transaction, md: ManifestDigest) -> _Read:
    """All of a bulletin that is needed to hand it over. Raises StoreError RECORD_CORRUPT."""
    bulletin = tx.view.get(BULLETIN, md)
    assert bulletin is not None  # noqa: S101 - stored in the same transaction as its pairs
    secrets = {row.slot: row for row in tx.view.find(SECRET, "key", md)}
    return read_written(tx.node, tx.view, bulletin), secrets


def _cleared(
    node: Node,
    secrets: Mapping[int, SecretRow],
    row: PairRow,
    written: Written,
    decided: PairDecision,
    now: Instant,
    kem: tuple[KeyId, KeyRecord],
    consents: Sequence[Carrying],
) -> Cleared:
    """The only maker of ``Cleared``: decided and passed by the egress check.

    Raises DeliveryError POLICY_DENIED.
    """
    by_slot = {portion.slot: portion for portion in written.portions}
    granted = decided.granted
    for judged in granted:
        _check_egress(node, judged.label, row.recipient, judged.ruling.decision.originator, now)
    return Cleared(
        recipient=row.recipient,
        kem_id=kem[0],
        kem=kem[1],
        manifest=written.row.manifest,
        precedence=Precedence(written.row.precedence),
        deliver_by=written.row.deliver_by,
        portions=tuple(
            [
                ClearedPortion(
                    Granted(judged.slot, judged.ruling.cited, judged.ruling.decision.obligations),
                    open_portion_secret(node, secrets.get(judged.slot)),
                    by_slot[judged.slot].body_digest,
                )
                for judged in granted
            ]
        ),
        banner=banner_of(node, [judged.label for judged in granted], node.member, now),
        decision=row.decision,
        consents=tuple([evidence for _, evidence in consents]),
    )


def _check_egress(node: Node, label: Label, recipient: MemberCode, originator: str, now: Instant) -> None:
    """Raises DeliveryError POLICY_DENIED, every time."""
    registry = node.world.registry

    def passed() -> bool:
        check_egress(format_banner(label, registry), recipient, originator, registry, now)
        return True

    node.world.at(now).remember((check_egress, label, recipient, originator), passed)


def _note_decision(tx: Transaction, row: PairRow, decided: PairDecision) -> PairRow:
    """Log the decision again where it differs from the one that is in force."""
    gist = decision_fingerprint(tx.node.storage_key, decided)
    if gist == row.gist:
        return row
    entry, place = tx.log(EntryType.DECISION, record_of(decided, row.md, tx.node.member, tx.now))
    return changed(
        row,
        decided_in=tx.node.incarnation,
        decided_at=place,
        decision=entry,
        gist=gist,
        granted=len(decided.granted),
        basis=decided.basis,
    )


def outgoing(tx: Transaction, recipient: MemberCode, tip: Tip) -> OutgoingRow:
    """The stream's row with this tip; what was cancelled in it stays so."""
    stored = tx.get(OUTGOING, tip.incarnation, recipient)
    if stored is not None:
        return changed(stored, last=tip.last, head=tip.head)
    me = tx.get(NODE, SELF)
    began = me.began if me is not None else tx.now
    return OutgoingRow(tip.incarnation, recipient, -began, tip.last, tip.head, b"")


def _tip(node: Node, view: View, recipient: MemberCode) -> Tip:
    row = view.get(OUTGOING, node.incarnation, recipient)
    if row is None:
        return first_tip(node.uri, node.incarnation, recipient)
    return Tip(row.incarnation, ReleaseNumber(row.last), row.head)


def _body(written: Written, slot: int) -> bytes:
    return next(portion.body for portion in written.portions if portion.slot == slot)


def frames_of(
    peer: MemberCode, batch: bytes, batch_key: bytes, items: Sequence[tuple[LeafId, Carried, int]]
) -> list[Outbound]:
    """Statements of one batch as frames of at most 1 MiB, in their order."""
    frames: list[Outbound] = []
    part: list[tuple[LeafId, Carried, int]] = []
    size = _OVERHEAD
    for item in items:
        if part and size + item[1].size > MAX_FRAME:
            frames.append(_frame(peer, batch, batch_key, part))
            part, size = [], _OVERHEAD
        part.append(item)
        size += item[1].size
    if part:
        frames.append(_frame(peer, batch, batch_key, part))
    return frames


def _frame(
    peer: MemberCode, batch: bytes, batch_key: bytes, items: Sequence[tuple[LeafId, Carried, int]]
) -> Outbound:
    return Outbound(
        peer,
        min([rank for _, _, rank in items]),
        Frame(batch, batch_key, tuple([carried for _, carried, _ in items])),
        tuple([leaf for leaf, _, _ in items]),
    )
