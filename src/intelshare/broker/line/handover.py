"""Hand-over: queued pairs become releases, numbered, sealed and signed in one commit (c7, c8).

For each recipient whose link has room, most urgent first:

    1. its directory is fresh and names a sealing key      otherwise everything for it waits
    2. the pair is decided again, now                      withheld, held, expired, or it goes on
    3. the egress check, which shares no code with it      policy.check_egress
    4. number, grant, release; one signature for all       envelope.seal_many

The first byte leaves only after the commit, and every retry sends the same bytes (``resend``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from intelshare.audit.records import EntryType
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.decide_pair import (
    PairDecision,
    banner_of,
    loggable,
)
from intelshare.broker.kernel.frame import Carried, Frame, Outbound, precedence_of
from intelshare.broker.kernel.kept_claims import keep_claims
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import codes_beside, facts_of, log_decision, put_pair
from intelshare.broker.kernel.portion_secrets import open_portion_secret
from intelshare.broker.kernel.shortage import goes_on
from intelshare.broker.kernel.stored_bulletins import Made, Written, made_of, read_written
from intelshare.broker.kernel.tables import (
    BATCH_KEY,
    BULLETIN,
    NODE,
    OUTGOING,
    PAIR,
    PORTION,
    SECRET,
    BatchKeyRow,
    OutgoingRow,
    PairRow,
    SecretRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import SELF, Transaction
from intelshare.broker.lifecycle.redecide import Carrying, redecide
from intelshare.broker.lifecycle.relations import relations_for
from intelshare.broker.lifecycle.stop import cancel_questions, stop_pair
from intelshare.crypto.pae import u16, u64
from intelshare.crypto.records import Granted, KeyRecord, Kind, Precedence
from intelshare.delivery import Cause, pair
from intelshare.envelope import Cleared, ClearedPortion, SealedRow, Tip, first_tip, seal_many
from intelshare.errors import CryptoError, DeliveryError, StoreError, TrustError
from intelshare.ids import Digest, Incarnation, KeyId, LeafId, ManifestDigest, MemberCode, ReleaseNumber
from intelshare.instant import Instant
from intelshare.labels import Label, format_banner
from intelshare.policy import check_egress
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import MAX_LEAVES

MAX_FRAME = 1 << 20
"""The most bytes of one frame."""

SMALLEST = 1536
"""The bytes that a release is counted with besides its bodies. None has fewer: what a hand-over leaves of a
window would go as another one, of a few releases, with a signature of its own.
"""

_OVERHEAD = 8 * 1024
"""The bytes for batch record, batch key and framing, kept free in every frame."""


@dataclass(slots=True)
class _Chosen:
    row: PairRow
    cleared: Cleared
    bodies: tuple[bytes, ...]
    size: int


@dataclass(frozen=True, slots=True)
class _Bulletin:
    """A bulletin to be handed over, to whichever recipients."""

    written: Written
    made: Made | None
    """The bulletin as submit made it a moment ago, if that is still remembered."""
    secrets: Mapping[int, SecretRow]
    """The stored secrets by slot; empty where ``made`` has them."""
    granted: dict[tuple[object, ...], _Granted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Granted:
    """The parts shared by all recipients who are granted the same portions on the same grounds."""

    portions: tuple[ClearedPortion, ...]
    banner: str
    bodies: tuple[bytes, ...]
    size: int


class Read(NamedTuple):
    """A bulletin that another process has stored, read before the turn to write (``read_ahead``)."""

    written: Written
    made: Made


Ahead = Mapping[ManifestDigest, Read]


class _Bulletins(dict[ManifestDigest, _Bulletin]):
    """The bulletins of one hand-over, as they are read."""

    def __init__(self, ahead: Ahead) -> None:
        super().__init__()
        self.ahead = ahead


def handover(
    node: Node,
    view: View,
    rooms: Mapping[MemberCode, int],
    most: int,
    now: Instant,
    random: Random,
    ahead: Ahead = MappingProxyType({}),
) -> Plan[tuple[Outbound, ...]]:
    """Seal ready pairs for the peers that have room (in bytes), ``most`` for one peer.

    At most 256 releases have one signature. What was read ``ahead`` changes no outcome.
    """
    tx = Transaction(node, view, now, random)
    bulletins = _Bulletins(ahead)
    chosen = _choose(tx, rooms, most, bulletins)
    if not chosen:
        return tx.plan(())
    _name_others(tx, chosen, bulletins)
    tips = {one.row.recipient: _tip(node, view, one.row.recipient) for one in chosen}
    sealed = seal_many(
        [one.cleared for one in chosen], node.signer, now, random, tips=tips, suites=node.suites
    )
    batch = tx.batch(sealed.batch)
    for kem_id, key in sealed.batch_keys.items():
        tx.put(BATCH_KEY, BatchKeyRow(batch, kem_id, key))
    for recipient, tip in sealed.tips.items():
        tx.put(OUTGOING, outgoing(tx, recipient, tip))
    carried: dict[MemberCode, list[tuple[LeafId, Carried, int]]] = {}
    for one, release in zip(chosen, sealed.rows, strict=True):
        _put_release(tx, one, release, batch)
        statement = Carried(
            Kind.RELEASE, release.nonce, release.data, release.proof, release.grant, one.bodies
        )
        carried.setdefault(one.row.recipient, []).append((release.leaf, statement, one.row.rank))
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


def entry_of(row: PairRow, incarnation: Incarnation, release: SealedRow) -> bytes:
    """Encode the log entry of a hand-over: a ``HandOver``, as the codec writes it."""
    name = row.recipient.encode()
    number = u64(incarnation) + u64(release.number)
    return b"".join((row.md, u16(len(name)), name, release.leaf, number, row.decision))


def _choose(
    tx: Transaction, rooms: Mapping[MemberCode, int], most: int, bulletins: _Bulletins
) -> list[_Chosen]:
    """Choose the pairs that go now, for each recipient the most urgent first: steps 1 to 3."""
    node = tx.node
    chosen: list[_Chosen] = []
    share = max(1, min(most, MAX_LEAVES // max(1, len(rooms))))
    for recipient in sorted(rooms):
        if len(chosen) + share > MAX_LEAVES:
            break
        try:
            kem = node.trust.sealing_key(recipient, node.signer.suite.number, tx.now)
        except (TrustError, CryptoError):
            continue  # the queue waits for a directory; `status` shows it
        room = rooms[recipient]
        for row in tx.some(PAIR, "ready", recipient, 1, limit=min(share, room // SMALLEST + 1)):
            if room <= 0 or not goes_on(node.lacks, precedence_of(row.rank)):
                break
            one = _clear(tx, row, bulletins, kem)
            if one is not None:
                chosen.append(one)
                room -= one.size
    return chosen


def _name_others(tx: Transaction, chosen: Sequence[_Chosen], bulletins: _Bulletins) -> None:
    """Name in the claims the other bulletins that their recipient has, or gets now."""
    at_once = {(one.row.md, one.row.recipient) for one in chosen}
    for one in chosen:
        made = bulletins[one.row.md].made
        if made is not None and not made.names:
            continue
        supersedes, reply = relations_for(tx, one.row.md, one.row.recipient, at_once)
        if supersedes or reply:
            one.cleared = replace(one.cleared, supersedes=supersedes, reply=reply)


def _put_release(tx: Transaction, one: _Chosen, release: SealedRow, batch: Digest) -> None:
    """Store statement, log entry and facts: one commit before the first byte leaves (promise P7)."""
    row, node = one.row, tx.node
    slots = bytes([portion.granted.slot for portion in one.cleared.portions])
    tx.queue(
        StatementRow(
            release.leaf, row.recipient, Kind.RELEASE, release.nonce, release.data, release.proof, batch,
            one.cleared.kem_id, release.grant, row.md, slots, node.incarnation, release.number,
            keep_claims(tx, row, one.cleared, release.leaf),
        ),
        row.rank,
        one.size,
    )  # fmt: skip
    tx.log_encoded(EntryType.HAND_OVER, entry_of(row, node.incarnation, release))
    handed = pair.hand_over(facts_of(row))
    mark = {"incarnation": node.incarnation, "sequence": release.number, "leaf": release.leaf}
    put_pair(tx, row, handed, codes=codes_beside(handed, row), **mark)
    node.recent.done(row.md, row.recipient)


def first_ready(view: View, peer: MemberCode) -> int | None:
    """Return the rank of the most urgent pair that is ready for this peer, or None."""
    rows = view.find(PAIR, "ready", peer, 1, limit=1)
    return rows[0].rank if rows else None


def _clear(
    tx: Transaction, row: PairRow, bulletins: _Bulletins, kem: tuple[KeyId, KeyRecord]
) -> _Chosen | None:
    """Decide the pair again. Record the reason and return None if it must not go."""
    now = tx.now
    bulletin = bulletins.get(row.md) or unless_damaged(tx, lambda: _read(tx, row.md, bulletins.ahead))
    if bulletin is None:
        _hold(tx, row, ("RECORD_CORRUPT",))
        return None
    bulletins[row.md] = bulletin
    written = bulletin.written
    if written.row.recalled:
        stop_pair(tx, row, Cause.RECALLED, ("BULLETIN_RECALLED",))
        return None
    due = min(written.row.expires, written.row.deliver_by)
    if now >= due:
        stop_pair(tx, row, Cause.EXPIRED, ("EXPIRED",))
        return None
    again = _decide_again(tx, row, bulletin)
    if again is None:
        _hold(tx, row, ("RECORD_CORRUPT",))
        return None
    row, decided, consents = again
    if not decided.granted:
        stop_pair(tx, row, Cause.WITHHELD, decided.codes)
        return None
    if decided.holds:
        _hold(tx, row, decided.holds)
        return None
    try:
        granted = _granted(tx, row, bulletin, decided)
    except DeliveryError as stopped:
        stop_pair(tx, row, Cause.WITHHELD, (stopped.code,))
        return None
    # A release that rests on a consent ends when that consent does: after that no receipt can come.
    due = min([due, *(given.consent.until for given, _ in consents)])
    row = row if due == row.due else changed(row, due=due)
    cleared = _cleared(row, written, granted, kem, consents)
    return _Chosen(row, cleared, granted.bodies, granted.size)


def _hold(tx: Transaction, row: PairRow, codes: Iterable[str]) -> None:
    """Let a pair wait for an officer or an operator. Questions that its recipient was to answer end: they
    would reveal the bulletin, and cannot be answered without it. Later the user asks again.
    """
    cancel_questions(tx, row)
    held = pair.hold(facts_of(row))
    put_pair(tx, row, held, codes=codes_beside(held, row, codes))


def _read(tx: Transaction, md: ManifestDigest, ahead: Ahead) -> _Bulletin:
    """Read everything that handing over a bulletin needs. Raises StoreError RECORD_CORRUPT."""
    row = tx.view.get(BULLETIN, md)
    assert row is not None  # noqa: S101 - stored in the same transaction as its pairs
    made = made_of(tx.node, md)
    if made is not None:
        # Even now the stored bodies are what leaves: a retry must find the same bytes.
        stored = tx.get_many(PORTION, [(md, slot) for slot in made.secrets])
        portions = tuple([portion for portion in stored if portion is not None])
        if len(portions) == len(stored):
            return _Bulletin(Written(row, portions, made.heads, made.labels), made, {})
    elif (read := ahead.get(md)) is not None:
        # Its bodies are those that are stored, and while a pair waits nothing changes them.
        written = read.written
        return _Bulletin(Written(row, written.portions, written.heads, written.labels), read.made, {})
    written = read_written(tx.node, tx.view, row)
    found = tx.view.get_many(SECRET, [(md, portion.slot) for portion in written.portions])
    secrets = {secret.slot: secret for secret in found if secret is not None}
    if len(secrets) < len(written.portions):
        raise StoreError("RECORD_CORRUPT", f"bulletin {row.bulletin.hex()} has lost a key")
    return _Bulletin(written, None, secrets)


def _decide_again(
    tx: Transaction, row: PairRow, bulletin: _Bulletin
) -> tuple[PairRow, PairDecision, tuple[Carrying, ...]] | None:
    """Decide the pair again (promise P9), and log a changed decision; also return the consents it needs.

    None: a record that the decision rests on is damaged.

    The decision on a remembered bulletin stands as long as the world is the very one, and in the same stretch
    of time, in which it was decided: no act, law or date has come between.
    """
    made = bulletin.made
    if made is not None and not row.approved and made.snapshot is tx.node.world.at(tx.now):
        decided = made.decided.get(row.recipient)
        if decided is not None and "CONSENT_REQUIRED" not in decided.codes:
            return row, decided, ()
    again = unless_damaged(tx, partial(redecide, tx, row, bulletin.written))
    if again is None:
        return None
    decided, consents = again
    return _note_decision(tx, row, decided), decided, consents


def _granted(tx: Transaction, row: PairRow, bulletin: _Bulletin, decided: PairDecision) -> _Granted:
    """Return the content of the grant. Raises DeliveryError POLICY_DENIED if the egress check stops it."""
    node, written, made = tx.node, bulletin.written, bulletin.made
    for judged in decided.granted:
        _check_egress(node, judged.label, row.recipient, judged.ruling.decision.originator, tx.now)
    grounds = tuple(
        [(judged.slot, judged.ruling.cited, judged.ruling.decision.obligations) for judged in decided.granted]
    )
    known = bulletin.granted.get(grounds)
    if known is not None:
        return known
    by_slot = {portion.slot: portion for portion in written.portions}
    stored = [by_slot[judged.slot] for judged in decided.granted]
    secrets = [
        made.secrets[portion.slot]
        if made is not None
        else open_portion_secret(node, bulletin.secrets.get(portion.slot))
        for portion in stored
    ]
    found = bulletin.granted[grounds] = _Granted(
        tuple(
            [
                ClearedPortion(Granted(*ground), secret, portion.body_digest)
                for ground, secret, portion in zip(grounds, secrets, stored, strict=True)
            ]
        ),
        banner_of(node, [judged.label for judged in decided.granted], node.member, tx.now),
        tuple([portion.body for portion in stored]),
        SMALLEST + sum([len(portion.body) for portion in stored]),
    )
    return found


def _cleared(
    row: PairRow,
    written: Written,
    granted: _Granted,
    kem: tuple[KeyId, KeyRecord],
    consents: Sequence[Carrying],
) -> Cleared:
    """Make a ``Cleared``.

    Nothing else does: its portions were decided, and passed the egress check in ``_granted``.
    """
    return Cleared(
        recipient=row.recipient,
        kem_id=kem[0],
        kem=kem[1],
        manifest=written.row.manifest,
        precedence=Precedence(written.row.precedence),
        deliver_by=written.row.deliver_by,
        portions=granted.portions,
        banner=granted.banner,
        decision=row.decision,
        consents=tuple([evidence for _, evidence in consents]),
    )


def _check_egress(node: Node, label: Label, recipient: MemberCode, originator: str, now: Instant) -> None:
    """Run the egress check. Raises DeliveryError POLICY_DENIED, also when the answer is remembered."""
    registry = node.world.registry

    def passed() -> bool:
        check_egress(format_banner(label, registry), recipient, originator, registry, now)
        return True

    node.world.at(now).remember((check_egress, label, recipient, originator), passed)


def _note_decision(tx: Transaction, row: PairRow, decided: PairDecision) -> PairRow:
    """Log the decision again if it differs from the one in force."""
    logged = loggable(tx.node.storage_key, decided, tx.node.member)
    if logged.fingerprint == row.gist:
        return row
    entry, place = log_decision(tx, decided, row.md, logged)
    return changed(
        row,
        decided_in=tx.node.incarnation,
        decided_at=place,
        decision=entry,
        gist=logged.fingerprint,
        granted=len(decided.granted),
        basis=decided.basis,
    )


def outgoing(tx: Transaction, recipient: MemberCode, tip: Tip) -> OutgoingRow:
    """Return the stream's row with this tip; numbers that were cancelled in it stay cancelled."""
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


def frames_of(
    peer: MemberCode, batch: bytes, batch_key: bytes, items: Sequence[tuple[LeafId, Carried, int]]
) -> list[Outbound]:
    """Split statements of one batch into frames of at most 1 MiB, in order."""
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
