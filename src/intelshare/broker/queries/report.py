"""Report: the compliance report of a period, from the log and the rows that it refers to.

It contains nothing above what an auditor may see: kinds, levels, articles, codes, times; no title, no text,
no id of a bulletin. A destroyed bulletin keeps its articles (claims stay), but loses category and level.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intelshare.audit.records import STORED, EntryType, HandOver, ReceiptJoined, Received, Stop
from intelshare.audit.report import MAX_RELEASES, REPORT_SCHEMA, Duty, Released, Report, Shared, Stopped
from intelshare.broker.kernel.damage import MAX_NAMED, damaged_records, noting_damage
from intelshare.broker.kernel.kept_claims import read_claims
from intelshare.broker.kernel.log import OpenedRows, logs, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of, logged_decision
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import Written, read_written
from intelshare.broker.kernel.tables import (
    BULLETIN,
    DUTY,
    INBOX,
    PAIR,
    PORTION,
    RECEIVED,
    STATEMENT,
    InboxRow,
    PairRow,
)
from intelshare.broker.kernel.transaction import open_secret
from intelshare.crypto.codec import decode, decode_prefix
from intelshare.crypto.records import Citation, Claims, Granted, Kind, ReceiptStatus, ReleasePeek
from intelshare.delivery import BestReceipt, Cause, PairStatus, Stage, status_of
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError, IntelshareError, StoreError
from intelshare.ids import ManifestDigest
from intelshare.instant import Instant
from intelshare.labels import Label, level_reference
from intelshare.ports import View

_WANTED: Final = frozenset((EntryType.HAND_OVER, EntryType.RECEIVED, EntryType.STOP, EntryType.RECEIPT))

_GONE: Final = "destroyed"

_Kind = tuple[tuple[Citation, ...], str, str, str]
"""The citations, basis, category and level of one granted portion."""


_Line = tuple[str, str, str, str, str, str]
"""Sender, recipient, treaty, article, category, level."""


@dataclass(slots=True)
class _Gathered:
    rows: OpenedRows
    shared: dict[_Line, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    stopped: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    releases: list[Released] = field(default_factory=list)
    missing: list[Released] = field(default_factory=list)
    overdue: list[Duty] = field(default_factory=list)
    truncated: bool = False
    damaged: list[StoreError] = field(default_factory=list)


def report(node: Node, view: View, treaty: str, since: Instant, until: Instant, now: Instant) -> Report:
    """Report everything of a period, or what concerns one treaty.

    Reads the log entries of the period once.
    """
    found = _Gathered(OpenedRows(node, view))
    lost: list[range] = []
    for at, record in _records(node, view, since, until, lost):
        if len(found.releases) >= MAX_RELEASES:
            found.truncated = True
            break
        with noting_damage(found.damaged):
            match record:
                case HandOver():
                    _sent(node, view, found, record, treaty, at)
                case Received(kind=Kind.RELEASE):
                    _received(node, view, found, record, treaty, min(until, now))
                case Stop():
                    _stopped(node, view, found, record, treaty)
                case ReceiptJoined(status=ReceiptStatus.REFUSED):
                    if _names(node, view, record, treaty):
                        for code in record.codes or ("",):
                            found.stopped[node.member, record.member, "refused", code] += 1
                case _:
                    pass
    entries = [f"log entries {one[0]} to {one[-1]}" for one in lost[:MAX_NAMED]]
    return Report(
        REPORT_SCHEMA,
        node.member,
        treaty,
        since,
        until,
        now,
        [Shared(*key, bulletins, portions) for key, (bulletins, portions) in sorted(found.shared.items())],
        [Stopped(*key, count) for key, count in sorted(found.stopped.items())],
        found.releases,
        found.missing,
        found.overdue,
        found.truncated,
        [*damaged_records(found.damaged), *entries],
    )


def _records(
    node: Node, view: View, since: Instant, until: Instant, lost: list[range]
) -> Iterator[tuple[Instant, Any]]:
    """Yield the records of the period, in the order of the log. ``lost`` collects those that are damaged."""
    heads = logs(view)
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        if head.began < until and (after is None or after.began >= since):
            for entry in opened(node, view, head.incarnation, high=head.size, types=_WANTED, lost=lost):
                if since <= entry.at < until:
                    yield entry.at, decode(STORED[EntryType(entry.type)], entry.record)


def _sent(node: Node, view: View, found: _Gathered, act: HandOver, treaty: str, at: Instant) -> None:
    row, written = view.get(PAIR, act.md, act.recipient), view.get(BULLETIN, act.md)
    if row is None or written is None:
        return
    kinds = _granted_here(node, view, row, found.rows)
    if _share(found, node.member, act.recipient, kinds, treaty):
        current = row.leaf == act.leaf
        one = Released(
            act.leaf.hex(),
            node.member,
            act.recipient,
            act.sequence,
            at,
            status_of(facts_of(row)) if current else "cancelled",
            _treaties(kinds),
        )
        found.releases.append(one)
        if current and row.receipt == BestReceipt.NONE and row.stage == Stage.HANDED_OVER:
            found.missing.append(one)


def _granted_here(node: Node, view: View, row: PairRow, rows: OpenedRows) -> list[_Kind]:
    """Return what the decision in force grants, with category and level of each portion."""
    written = view.get(BULLETIN, row.md)
    assert written is not None  # noqa: S101 - a pair has its bulletin
    opened = read_written(node, view, written)
    if not row.decided_in:
        return _granted_back(node, view, row, opened)
    decision = logged_decision(node, view, row, rows)
    kinds = []
    for portion in decision.portions:
        made = portion.decision.value
        if made.outcome != 3:
            label, head = opened.labels[portion.position], opened.heads[portion.position]
            kinds.append((made.citations, made.basis, head.category, _level(node, label, row.created)))
    return kinds


def _granted_back(node: Node, view: View, row: PairRow, written: Written) -> list[_Kind]:
    """Return the same of a release that is known again from its recipient: its claims say what it granted."""
    known = {slot: (head.category, label) for slot, head, label in written.decidable()}
    kinds = []
    for one in _claimed(node, view, row):
        category, label = known.get(one.slot, ("", None))
        level = _level(node, label, row.created) if label is not None else "none"
        kinds.append((one.citations, one.citations[0].treaty if one.citations else "", category, level))
    return kinds


def _claimed(node: Node, view: View, row: PairRow) -> Sequence[Granted]:
    said = view.get(STATEMENT, row.leaf)
    return read_claims(node, view, said).granted if said is not None else ()


def _received(node: Node, view: View, found: _Gathered, act: Received, treaty: str, until: Instant) -> None:
    known = view.get(RECEIVED, act.member, act.leaf)
    if known is None:
        return
    start, _ = decode_prefix(ReleasePeek, known.data)
    inbox = view.get(INBOX, ManifestDigest(act.subject))
    kinds: list[_Kind] = []
    if not act.codes and inbox is not None:
        kinds = _granted_there(node, view, inbox)
        if not _share(found, act.member, node.member, kinds, treaty):
            return
    elif treaty:
        return
    for code in act.codes:
        found.stopped[act.member, node.member, "refused", code] += 1
    found.releases.append(
        Released(
            act.leaf.hex(),
            act.member,
            node.member,
            start.sequence,
            known.at,
            PairStatus.REFUSED if act.codes else _status_here(inbox),
            _treaties(kinds),
        )
    )
    if inbox is not None and not act.codes:
        for row in view.find(DUTY, "key", inbox.md, damaged=found.damaged):
            if row.due <= until and (not row.done or row.done > row.due):
                late = Duty(act.member, act.leaf.hex(), row.obligation, row.due, row.done)
                found.overdue.append(late)


def _status_here(inbox: InboxRow | None) -> PairStatus:
    if inbox is None or inbox.gone:
        return PairStatus.DESTROYED
    return PairStatus.READ if inbox.told else PairStatus.ACCEPTED


def _granted_there(node: Node, view: View, inbox: InboxRow) -> list[_Kind]:
    claims = decode(Claims, open_secret(node, INBOX.name, inbox.md, 0, inbox.sealed_claims))
    kinds = []
    for granted in claims.granted:
        category = level = _GONE
        try:
            stored = view.get(PORTION, inbox.md, granted.slot)
            if stored is not None:
                secret = read_secret(node, view, stored)
                portion = reopen(claims.manifest, granted.slot, secret, stored.body).portion
                category = portion.category
                level = _level(node, node.labels.read(portion.label), inbox.received)
        except (DeliveryError, IntelshareError):
            pass
        kinds.append((granted.citations, "", category, level))
    return kinds


def _share(found: _Gathered, sender: str, recipient: str, kinds: Iterable[_Kind], treaty: str) -> bool:
    """Count the portions that the treaty allowed; return True if there are any."""
    lines: Counter[_Line] = Counter()
    for citations, basis, category, level in kinds:
        cited = [(one.treaty, one.article) for one in citations] or [(basis, "")]
        for name, article in cited:
            if not treaty or name == treaty:
                lines[sender, recipient, name, article, category, level] += 1
    for key, portions in lines.items():
        counted = found.shared[key]
        counted[0] += 1
        counted[1] += portions
    return bool(lines)


def _stopped(node: Node, view: View, found: _Gathered, act: Stop, treaty: str) -> None:
    row = view.get(PAIR, act.md, act.recipient)
    if treaty and (row is None or not _speaks_of(node, view, row, treaty)):
        return
    for code in act.codes or ("",):
        found.stopped[node.member, act.recipient, Cause(act.cause).name.lower(), code] += 1


def _names(node: Node, view: View, act: ReceiptJoined, treaty: str) -> bool:
    if not treaty:
        return True
    said = view.get(STATEMENT, act.of)
    row = view.get(PAIR, said.md, said.peer) if said is not None else None
    return row is not None and row.leaf == act.of and _speaks_of(node, view, row, treaty)


def _speaks_of(node: Node, view: View, row: PairRow, treaty: str) -> bool:
    """Return True if the decision cites the treaty, or one of its reasons lies in the treaty's file."""
    if not row.decided_in:
        return any(one.treaty == treaty for granted in _claimed(node, view, row) for one in granted.citations)
    for portion in logged_decision(node, view, row).portions:
        made = portion.decision.value
        if any(one.treaty == treaty for one in made.citations):
            return True
        if any(reason.place.split(":")[0] == f"{treaty}.toml" for reason in made.reasons):
            return True
    return False


def _level(node: Node, label: Label, at: Instant) -> str:
    found = level_reference(label, node.world.registry, at)
    return found.name if found is not None else "none"


def _treaties(kinds: Iterable[_Kind]) -> list[str]:
    return sorted({f"{one.treaty} {one.article}" for citations, *_ in kinds for one in citations})
