"""Accepts a frame's plain releases in one loop: rows, log entries and receipts of ``release.accept``.

Nearly every release is plain: the next number of its stream, of a bulletin that the signer wrote and that is
new here, opened by the batch loops of the envelope and allowed by this member's law. The loop can accept but
not refuse:

    1. all proofs and all openings of the frame            statement.verify_many, envelope.open_many
    2. what is stored for each, with one query per table   RECEIVED, INBOX, RECALLED
    3. the next number of its stream, and not cancelled
    4. no other bulletin under its id
    5. this member's law, asked once for portions that are alike   release.decide_release
    6. rows and log entry; the row of RECEIVED waits for the receipt that it names (``receive._answer``)

A release that is not plain is left untouched, and goes to ``release.accept`` in its turn: every refusal is
decided there. ``tests/property/test_receive_agreement.py`` holds both to the same rows and answers, honest
and hostile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from intelshare.audit.records import EntryType, Received
from intelshare.broker.exchange.rfi import note_received
from intelshare.broker.kernel.counters import INBOX_COUNTER
from intelshare.broker.kernel.frame import Carried, rank
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.portion_secrets import put_secret
from intelshare.broker.kernel.tables import (
    INBOX,
    INCOMING,
    PORTION,
    RECALLED,
    RECEIVED,
    InboxRow,
    IncomingRow,
    PortionRow,
    ReceivedRow,
)
from intelshare.broker.lifecycle.destroy import Gone, due_of
from intelshare.broker.lifecycle.duties import note_duties
from intelshare.broker.lifecycle.relations import Named, keep, named_in
from intelshare.broker.line.release import Denied, OpenedRelease, decide_release
from intelshare.bulletin import content_is_read
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Kind, ReceiptStatus
from intelshare.delivery import Ranges
from intelshare.envelope import OpenedRow, open_many
from intelshare.ids import Digest, Incarnation, LeafId
from intelshare.instant import NEVER, Instant
from intelshare.ports import changed
from intelshare.statement import verify_many

_NO_MD: Final = Digest(bytes(32))


@dataclass(frozen=True, slots=True)
class _Law:
    """The decision of this member's law on portions that are alike."""

    obligations: frozenset[str]
    kept: Instant
    """Until when the obligations allow what came now to be kept."""
    asks: bool
    """True if the portions may be a request for information, or the answer to one."""


@dataclass(slots=True)
class _Stream:
    """A stream of the peer, as far as this frame has brought it."""

    row: IncomingRow
    cancelled: Ranges
    holes: bool
    last: int
    head: LeafId


@dataclass(slots=True)
class PlainReleases:
    """The releases of a frame that may be plain, by their place in it. Made by ``open_releases``."""

    inbound: Inbound
    rows: tuple[OpenedRow | None, ...]
    signed_at: Instant
    batch: bytes
    entry: bytes
    """The log entry up to the statement that it names."""
    laws: dict[tuple[int, ...], _Law | None] = field(default_factory=dict)
    streams: dict[Incarnation, _Stream] = field(default_factory=dict)

    def take(self, place: int, carried: Carried) -> LeafId | None:
        """Accept the release at this place of the frame if it is plain. None: nothing was done."""
        row = self.rows[place]
        if row is None or (stream := self._next_in(row)) is None or self._is_elsewhere(row):
            return None
        law = self._law(row)
        if law is None:
            return None
        self.streams[row.incarnation] = stream
        stream.last, stream.head = row.number, row.leaf
        self._store(row, carried, law)
        return row.leaf

    def settle(self) -> None:
        """Write how far the streams have come: before the general code looks, and at the end."""
        for incarnation, stream in self.streams.items():
            self.inbound.tx.put(INCOMING, changed(stream.row, last=stream.last, head=stream.head))
            if stream.holes:
                self.inbound.streams.add((stream.row.origin, incarnation))
        self.streams.clear()

    def _next_in(self, row: OpenedRow) -> _Stream | None:
        """Return the stream if the number is its next one and was not cancelled (check 9)."""
        stream = self.streams.get(row.incarnation)
        if stream is None:
            inbound = self.inbound
            stored = inbound.tx.get(INCOMING, inbound.uri, row.incarnation)
            if stored is None or stored.frozen or stored.member != inbound.member:
                return None
            cancelled = Ranges.unpack(stored.cancelled)
            stream = _Stream(stored, cancelled, bool(stored.holes), stored.last, stored.head)
        if row.number != stream.last + 1 or row.prev != stream.head or row.number in stream.cancelled:
            return None
        return stream

    def _is_elsewhere(self, row: OpenedRow) -> bool:
        """Return True if the id is another bulletin's, or this one came another way (check 12)."""
        inbound, name = self.inbound, (self.inbound.member, row.bulletin)
        return name in inbound.bulletins or bool(inbound.tx.view.find(INBOX, "bulletin", *name, limit=1))

    def _law(self, row: OpenedRow) -> _Law | None:
        # The keys use the ids of objects, all of which live as long as ``rows``.
        alike = (id(row.words), self.signed_at < row.expires, *map(id, row.heads))
        if alike not in self.laws:
            self.laws[alike] = self._judged(row)
        return self.laws[alike]

    def _judged(self, row: OpenedRow) -> _Law | None:
        words = row.words
        if any(content_is_read(head) for head in row.heads):
            # Content that states its markings is checked in each release, and heads have none.
            return None
        brought = OpenedRelease(
            self.inbound.member, row.expires, self.signed_at, words.banner, row.slots, row.heads,
            words.citations, words.obligations,
        )  # fmt: skip
        try:
            obligations = decide_release(self.inbound, brought)
        except Denied:
            return None
        kept = due_of(NEVER, self.inbound.tx.now, obligations)
        return _Law(obligations, kept, any("rfi=" in head.media for head in row.heads))

    def _store(self, row: OpenedRow, carried: Carried, law: _Law) -> None:
        """Store the bulletin (check 15)."""
        inbound, tx, md = self.inbound, self.inbound.tx, row.md
        urgency = rank(row.precedence)
        size = sum([len(body) for body in carried.bodies])
        tx.count(INBOX_COUNTER, 1, size)
        for position, slot in enumerate(row.slots):
            put_secret(tx, md, slot, row.secrets[position])
            tx.put(PORTION, PortionRow(md, slot, position, carried.bodies[position], row.digests[position]))
        tx.put(
            INBOX,
            InboxRow(
                md, row.bulletin, inbound.member, inbound.member, row.leaf, row.created, tx.now, -tx.now,
                row.expires, row.precedence, urgency, row.number, len(row.slots), 0, Gone.NO, "",
                min(row.expires, law.kept), size, Digest(sha256(b"".join(row.secrets))),
                tx.seal(INBOX.name, md, 0, row.claims),
            ),
        )  # fmt: skip
        self._note(row, law)
        inbound.bulletins[inbound.member, row.bulletin] = md
        inbound.numbers[inbound.uri, row.incarnation, row.number] = (row.leaf, row.prev)
        inbound.accepted += 1
        tx.log_encoded(EntryType.RECEIVED, self.entry + row.leaf + md + b"\0\0")
        inbound.receipts.append((row.leaf, ReceiptStatus.ACCEPTED, (), urgency))
        inbound.unanswered[row.leaf] = partial(_received, row, carried, tx.batch(self.batch))

    def _note(self, row: OpenedRow, law: _Law) -> None:
        """Note duties, relations and requests; few bulletins have any."""
        tx, member = self.inbound.tx, self.inbound.member
        if law.obligations:
            note_duties(tx, row.md, law.obligations)
        named: tuple[Named, ...] = ()
        if row.words.supersedes or row.words.reply:
            named = named_in(row.words.supersedes, row.words.reply, member)
            keep(tx, row.md, named)
        if law.asks:
            note_received(tx, member, row.md, row.heads, named)


def open_releases(inbound: Inbound, batch: bytes, statements: tuple[Carried, ...]) -> PlainReleases | None:
    """Open the releases of a frame. None: nothing in it is plain.

    In a frame with other statements nothing is plain: a trust document among them may change whom to believe.
    """
    tx, node = inbound.tx, inbound.tx.node
    if node.lacks is not None or any(carried.kind != Kind.RELEASE for carried in statements):
        return None
    verified = verify_many(
        batch, Kind.RELEASE, statements, inbound.member, tx.now,
        trust=node.trust, suites=node.suites, roots=node.roots,
    )  # fmt: skip
    if verified is None or verified.signer.node != inbound.uri:
        return None
    opened = open_many(verified, statements, inbound.batch_key, node.member, tx.now, inbound.opener).rows
    entry = encode(Received, Received(inbound.member, Kind.RELEASE, LeafId(_NO_MD), _NO_MD, ()))[:-66]
    return PlainReleases(inbound, _new(inbound, opened), verified.batch.record.signed_at, batch, entry)


def _received(
    row: OpenedRow, carried: Carried, batch: Digest, inbound: Inbound, receipt: LeafId
) -> ReceivedRow:
    return ReceivedRow(
        inbound.member, row.leaf, Kind.RELEASE, carried.nonce, carried.data, carried.proof, batch,
        inbound.tx.now, "", receipt, inbound.uri, row.incarnation, row.number, row.prev,
    )  # fmt: skip


def _new(inbound: Inbound, opened: tuple[OpenedRow | None, ...]) -> tuple[OpenedRow | None, ...]:
    """Keep only the releases of which nothing is stored: neither statement, nor bulletin, nor recall."""
    tx, member = inbound.tx, inbound.member
    rows = [row for row in opened if row is not None]
    received = tx.get_many(RECEIVED, [(member, row.leaf) for row in rows])
    held = tx.get_many(INBOX, [(row.md,) for row in rows])
    recalled = tx.get_many(RECALLED, [(member, row.md) for row in rows])
    found = zip(rows, received, held, recalled, strict=True)
    known = {row.leaf for row, *stored in found if any(stored)}
    # What comes twice in one frame is left to the general code.
    leaves, bulletins = Counter([row.leaf for row in rows]), Counter([row.md for row in rows])
    return tuple(
        [
            row
            if row is not None and row.leaf not in known and leaves[row.leaf] == bulletins[row.md] == 1
            else None
            for row in opened
        ]
    )
