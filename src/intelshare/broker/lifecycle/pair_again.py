"""A damaged pair, made again from what is left of it, for whom an operator gives up its record (``drop``).

    of the pair                    as told by
    -----------------------------  -------------------------------------------------------------------------
    the number under which it      the log and the releases (``handed_over``); without one it never went
    went last
    what its recipient has said    the receipts
    the decision                   the log, at the place that the last release names; if it is not there the
                                   bulletin is decided again, so that there is one to show
    precedence, times, size        the bulletin; if that is not there either, its release and its portions

Nobody knows any more whether it waited for an officer, or was stopped before it went.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from intelshare.audit.records import DecisionKept, EntryType, HandOver
from intelshare.audit.work import Work
from intelshare.broker.kernel.damage import unless_damaged
from intelshare.broker.kernel.decide_pair import basis_of
from intelshare.broker.kernel.frame import rank
from intelshare.broker.kernel.kept_claims import decided_at
from intelshare.broker.kernel.log import OpenedEntry, logs, opened, opened_at
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, log_decision, with_facts
from intelshare.broker.kernel.stored_bulletins import Written, portion_keys, written_of
from intelshare.broker.kernel.tables import (
    BULLETIN,
    PORTION,
    RECEIPT,
    RECEIVED,
    STATEMENT,
    BulletinRow,
    PairRow,
    PortionRow,
    StatementRow,
)
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.add_recipient import new_pair
from intelshare.broker.lifecycle.attachments import codes_after
from intelshare.broker.lifecycle.mend import whole
from intelshare.broker.lifecycle.recalled import was_recalled
from intelshare.broker.lifecycle.redecide import ONLY_OWN, decide_portions
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Kind, Receipt, ReceiptStatus, Release
from intelshare.delivery import BestReceipt, Facts, Stage, pair
from intelshare.ids import Digest, Incarnation, LeafId, ManifestDigest, MemberCode
from intelshare.instant import EPOCH
from intelshare.ports import Scalar, View, changed

_UNKNOWN: Final = Digest(bytes(32))

PairKey = tuple[Any, ...]
"""Bulletin and recipient."""


class Number(NamedTuple):
    """The number of a release; the last one to a recipient sorts last."""

    began: int
    """When the incarnation began that has given it."""
    sequence: int
    incarnation: Incarnation
    leaf: LeafId


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Under which number each of some pairs went last, and up to where each log was read for it."""

    numbers: Mapping[PairKey, Number] = field(default_factory=dict)
    read: Mapping[Incarnation, int] = field(default_factory=dict)


def handed_over(
    node: Node, view: View, pairs: Collection[PairKey], before: HandedOver | None = None
) -> Work[HandedOver]:
    """Return under which number these pairs went last, as logs and releases say: one of them may be damaged
    as well. It reads all of both, which takes seconds where millions are kept, and pauses between.

    ``before``: what it has found earlier, of these pairs among others; only what was logged since is read.
    """
    heads = logs(view) if pairs else []
    began = {head.incarnation: head.began for head in heads}
    known, found = before or HandedOver(), dict[PairKey, Number]()

    def note(key: PairKey, incarnation: int, sequence: int, leaf: bytes) -> None:
        at = Incarnation(incarnation)
        number = Number(began.get(at, 0), sequence, at, LeafId(leaf))
        found[key] = max(found.get(key, number), number)

    for key in known.numbers.keys() & pairs:
        found[key] = known.numbers[key]
    for head in heads:
        first = known.read.get(head.incarnation, 0)
        if first >= head.size:
            continue
        yield
        for entry in opened(node, view, head.incarnation, first, types={EntryType.HAND_OVER}):
            said = decode(HandOver, entry.record)
            if (said.md, said.recipient) in pairs:
                note((said.md, said.recipient), said.incarnation, said.sequence, said.leaf)
    for recipient in sorted({key[1] for key in pairs}) if before is None else ():
        yield
        for row in _releases(view, recipient):
            if (row.md, recipient) in pairs:
                note((row.md, recipient), row.incarnation, row.sequence, row.leaf)
    return HandedOver(found, {head.incarnation: head.size for head in heads})


def _releases(view: View, recipient: MemberCode) -> Iterator[StatementRow]:
    after: tuple[Scalar, ...] = ()
    while page := view.find(STATEMENT, "number", recipient, Kind.RELEASE, after=after):
        after = (page[-1].incarnation, page[-1].sequence, page[-1].leaf)
        yield from page


def pair_again(
    tx: Transaction, md: ManifestDigest, recipient: MemberCode, number: Number | None
) -> tuple[PairRow, bool] | None:
    """Return the pair, not stored yet, and whether it was recalled. ``number``: under which it went last.

    None: it never went, and its bulletin is not there: nothing is left of it. Raises StoreError
    RECORD_CORRUPT.
    """
    release = whole(tx, STATEMENT, number.leaf) if number is not None else None
    entry = unless_damaged(tx, partial(_decision, tx, release)) if release is not None else None
    bulletin = unless_damaged(tx, partial(tx.get, BULLETIN, md))
    if bulletin is not None:
        row, recalled = _beside(tx, bulletin, recipient, entry), bool(bulletin.recalled)
    elif number is not None:
        row, recalled = _alone(tx, md, recipient, release, entry), was_recalled(tx, md, recipient)
    else:
        return None
    if number is None:
        return with_facts(row, Facts(Stage.QUEUED), tx.now), recalled
    granted = release.slots if release is not None else b""
    named = decode(DecisionKept, entry.record).portions if entry is not None else granted
    row = changed(
        row, incarnation=number.incarnation, sequence=number.sequence, leaf=number.leaf,
        granted=len(granted) or row.granted,
        # For whom not all portions were decided gets only its own, should it go again.
        approved=ONLY_OWN if len(named) < row.portions else "",
    )  # fmt: skip
    return _answered(tx, row), recalled


def _beside(
    tx: Transaction, bulletin: BulletinRow, recipient: MemberCode, entry: OpenedEntry | None
) -> PairRow:
    """Return the pair as its bulletin tells it, with this decision, or a new one."""
    written = _written(tx, bulletin)
    new = new_pair(tx.node, decide_portions(tx.node, written, recipient, tx.now, only_own=False))
    row = changed(
        new.row, md=bulletin.md, rank=rank(bulletin.precedence),
        due=min(bulletin.expires, bulletin.deliver_by), created=bulletin.created, size=written.size, codes="",
    )  # fmt: skip
    if entry is None:
        decision, at = log_decision(tx, new.decision, bulletin.md, new.logged)
        return changed(row, decided_in=tx.node.incarnation, decided_at=at, decision=decision)
    # Decided again since, it would cite an entry that says otherwise: the next hand-over logs its own.
    return changed(
        row, decided_in=entry.incarnation, decided_at=entry.place, decision=entry.leaf, gist=_UNKNOWN
    )


def _alone(
    tx: Transaction,
    md: ManifestDigest,
    recipient: MemberCode,
    release: StatementRow | None,
    entry: OpenedEntry | None,
) -> PairRow:
    """Return a pair that went, and whose bulletin is not there: as far as its release and the decision on it
    tell it, and that it went. Should the bulletin be read again, its recipient is still told of a recall.
    """
    said = decode(Release, release.data) if release is not None else None
    slots = release.slots if release is not None else b""
    portions = decode(DecisionKept, entry.record).portions if entry is not None else ()
    return PairRow(
        md=md,
        recipient=recipient,
        ready=0,
        rank=rank(said.precedence) if said is not None else 0,
        open=0,
        due=said.deliver_by if said is not None else EPOCH,
        created=entry.at if entry is not None else EPOCH,
        stage=Stage.HANDED_OVER,
        cause=0,
        receipt=0,
        conflict=0,
        codes="",
        changed=tx.now,
        granted=len(slots),
        portions=len(portions),
        basis=basis_of([one.decision.value.basis for one in portions if one.slot in slots]),
        decided_in=entry.incarnation if entry is not None else Incarnation(0),
        decided_at=entry.place if entry is not None else 0,
        decision=entry.leaf if entry is not None else _UNKNOWN,
        gist=_UNKNOWN,
        approved="",
        incarnation=Incarnation(0),
        sequence=0,
        leaf=LeafId(b""),
        size=sum([len(one.body) for one in tx.view.find(PORTION, "key", md)]),
    )


def _written(tx: Transaction, bulletin: BulletinRow) -> Written:
    """Return a bulletin whose portions may be damaged: they are not needed to decide it again."""
    found = [
        whole(tx, PORTION, *key) or PortionRow(*key, place, b"", _UNKNOWN)
        for place, key in enumerate(portion_keys(bulletin))
    ]
    return written_of(tx.node, bulletin, found)


def _decision(tx: Transaction, release: StatementRow) -> OpenedEntry | None:
    """Return the logged decision on which a release rests; None if it is not in this node's log."""
    place = decided_at(tx.node, release)
    return opened_at(tx.node, tx.view, *place) if place is not None else None


def _answered(tx: Transaction, row: PairRow) -> PairRow:
    """Return a pair that was handed over, with what its receipts say, and since when."""
    known = [
        whole(tx, RECEIVED, one.member, one.leaf)
        for one in tx.view.find(RECEIPT, "key", row.md, row.recipient)
    ]
    read = [(decode(Receipt, one.data), one.at) for one in known if one is not None]
    read.sort(key=lambda one: one[0].decided_at)
    said = [one for one, _ in read]
    row = with_facts(row, Facts(Stage.HANDED_OVER), tx.now)
    for place, (one, came) in enumerate(read):
        if one.leaf == row.leaf or one.status is not ReceiptStatus.REFUSED:
            others = place > 0 and all(before.leaf != one.leaf for before in said[:place])
            facts = pair.receive(facts_of(row), BestReceipt[one.status.name], one.codes, elsewhere=others)
            # The outbox shows since when it is so, and how long it took.
            since = came if facts != facts_of(row) else row.changed
            row = with_facts(row, facts, since, codes=codes_after(row, facts, one))
    return row
