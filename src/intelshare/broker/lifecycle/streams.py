"""Streams of peers: check 9, stream heads, and requests for gaps. Nothing waits for a gap (promise P6)."""

from __future__ import annotations

from collections.abc import Iterator

from intelshare.broker.kernel.allowance import Allowance, Lasting
from intelshare.broker.kernel.frame import Carried, Gap
from intelshare.broker.kernel.inbound import Inbound, known_row
from intelshare.broker.kernel.tables import INCOMING, RECEIVED, IncomingRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.records import Kind, ReleasePeek, StreamHead
from intelshare.delivery import MAX_ASKED, MAX_RANGES, Incoming, NumberVerdict, Ranges, arrive
from intelshare.envelope import stream_start
from intelshare.errors import DeliveryError, EnvelopeError
from intelshare.ids import Incarnation, LeafId, MemberCode, NodeUri
from intelshare.ports import changed
from intelshare.statement import Verified

MAX_SKIP = 1 << 20
"""The most numbers by which a head may run ahead of what is held."""

FROZEN = 1
"""``IncomingRow.frozen``: it contradicted itself. ``FROZEN + 1 + n``: an operator has let it go on, and up to
number n nothing is compared. 0: neither."""


def is_frozen(row: IncomingRow) -> bool:
    """Return whether the stream contradicted itself and waits for an operator."""
    return row.frozen == FROZEN


def floor_of(row: IncomingRow) -> int:
    """Up to this number an operator has let contradictions be."""
    return max(0, row.frozen - FROZEN - 1)


def number(inbound: Inbound, leaf: LeafId, start: ReleasePeek) -> bool:
    """Enter a release's number into its stream; return True if it was cancelled (VOIDED).

    Raises DeliveryError INCARNATION_UNKNOWN, RATE, SEQUENCE_FORK (this freezes the stream).
    """
    tx = inbound.tx
    row = tx.get(INCOMING, start.origin, start.incarnation)
    if row is None or row.member != inbound.member:
        raise DeliveryError(
            "INCARNATION_UNKNOWN",
            "the release belongs to an incarnation that no hello or stream head has named",
            hint="the peer names it when the link opens again",
        )

    def held(place: int) -> tuple[LeafId, LeafId] | None:
        if place == 0:
            return stream_start(start.origin, start.incarnation, tx.node.member), LeafId(b"")
        key = (start.origin, start.incarnation, place)
        if key in inbound.numbers:
            return inbound.numbers[key]
        found = tx.view.find(
            RECEIVED, "number", start.origin, start.incarnation, Kind.RELEASE, place, limit=1
        )
        return (found[0].leaf, found[0].prev) if found else None

    try:
        judged, after = arrive(_stream(row), start.sequence, leaf, start.prev, held)
    except DeliveryError as fork:
        if fork.code == "SEQUENCE_FORK":
            tx.put(INCOMING, changed(row, frozen=FROZEN))
        raise
    inbound.numbers[start.origin, start.incarnation, start.sequence] = (leaf, start.prev)
    if after.holes.spans:
        inbound.streams.add((start.origin, start.incarnation))
    tx.put(
        INCOMING,
        changed(
            row, last=after.last, head=after.head, holes=after.holes.pack(), cancelled=after.cancelled.pack()
        ),
    )
    return judged is NumberVerdict.VOIDED


def on_stream_head(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Process a head that came as a statement. Raises EnvelopeError WRONG_RECIPIENT, DeliveryError."""
    del carried
    head = verified.read(StreamHead)
    if head.to != inbound.tx.node.member:
        raise EnvelopeError("WRONG_RECIPIENT", "the stream head is for another member")
    take_head(inbound.tx, inbound.member, inbound.uri, head, inbound.allowance)
    inbound.streams.add((inbound.uri, head.incarnation))
    inbound.tx.put(RECEIVED, known_row(inbound, verified, None))


def take_head(
    tx: Transaction, member: MemberCode, origin: NodeUri, head: StreamHead, allowance: Allowance
) -> int:
    """Learn of an incarnation and how far it has gone; return how many numbers the peer forgot (0: none).

    Nothing is learnt about a frozen stream. Raises DeliveryError RATE (too far ahead, or too many
    incarnations), SEQUENCE_FORK if the head names another release for a number that is held (this freezes the
    stream).
    """
    row = tx.get(INCOMING, origin, head.incarnation)
    if row is None:
        allowance.need(Lasting.STREAMS)
        allowance.keep(Lasting.STREAMS)
        begin = stream_start(origin, head.incarnation, tx.node.member)
        row = IncomingRow(origin, head.incarnation, member, 0, begin, b"", b"", 0, 0)
    if is_frozen(row):
        return 0
    if head.last > row.last + MAX_SKIP:
        raise DeliveryError("RATE", f"the head is more than {MAX_SKIP} numbers ahead")
    cancelled = Ranges.unpack(row.cancelled)
    holes = Ranges.unpack(row.holes)
    for span in head.cancelled:
        cancelled = cancelled.add(span.first, span.last)
        holes = holes.remove(span.first, span.last)
    if len(cancelled.spans) > MAX_RANGES:
        raise DeliveryError("RATE", f"more than {MAX_RANGES} cancelled ranges in one stream")
    if head.last == row.last > floor_of(row) and head.head != row.head:
        tx.put(INCOMING, changed(row, frozen=FROZEN))
        raise DeliveryError("SEQUENCE_FORK", "the head names another release for a number that is held")
    tx.put(
        INCOMING,
        changed(row, cancelled=cancelled.pack(), holes=holes.pack(), announced=max(row.announced, head.last)),
    )
    return max(0, row.last - head.last)


def missing(row: IncomingRow) -> Ranges:
    """Return the numbers of a stream that are known to exist and have not come."""
    holes = Ranges.unpack(row.holes)
    if row.announced > row.last:
        holes = holes.add(row.last + 1, row.announced)
    for first, last in Ranges.unpack(row.cancelled).spans:
        holes = holes.remove(first, last)
    return holes


def gaps(tx: Transaction, inbound: Inbound) -> Iterator[Gap]:
    """Yield the gaps to request from this peer in the streams that its frame has touched."""
    for origin, incarnation in sorted(inbound.streams):
        gap = gap_of(tx, origin, incarnation)
        if gap is not None:
            yield gap


def gap_of(tx: Transaction, origin: NodeUri, incarnation: Incarnation) -> Gap | None:
    """Return the gap of one stream (``gap_in``)."""
    row = tx.get(INCOMING, origin, incarnation)
    return gap_in(row) if row is not None else None


def gap_in(row: IncomingRow) -> Gap | None:
    """Return the gap of a stream, at most 64 ranges; None: nothing is missing, or the stream is frozen."""
    spans = missing(row).spans[:MAX_ASKED] if not is_frozen(row) else ()
    return Gap(row.origin, row.incarnation, spans) if spans else None


def _stream(row: IncomingRow) -> Incoming:
    holes, cancelled = Ranges.unpack(row.holes), Ranges.unpack(row.cancelled)
    return Incoming(row.last, row.head, holes, cancelled, is_frozen(row), floor_of(row))
