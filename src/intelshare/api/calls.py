"""Each thing that the library can ask: the request, and its answer as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from intelshare.api.values import (
    Bulletin,
    Event,
    Explanation,
    InboxEntry,
    Listed,
    Me,
    OutboxEntry,
    Outcome,
    Pair,
    PairDecision,
    PortionDecision,
    PortionKind,
    Precedence,
    ReadPortion,
    Reason,
    RecallEffect,
    Receipt,
    SearchMatch,
    Sent,
    Text,
)
from intelshare.delivery import PairStatus
from intelshare.errors import DeliveryError, StoreError
from intelshare.instant import NEVER, Instant
from intelshare.roles import Role
from intelshare.wire import enum_word
from intelshare.wire.v1 import user_pb2 as pb

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One method of the Bulletins service, with its request and what its answer becomes."""

    method: str
    request: Message
    read: Callable[[Any], R]


def submission(
    text: str,
    *,
    to: Iterable[str],
    label: str,
    category: str,
    title: str = "",
    title_label: str = "",
    more: Sequence[Text] = (),
    precedence: Precedence = Precedence.ROUTINE,
    grade: str = "",
    flags: Sequence[str] = (),
    valid_until: datetime | None = None,
    supersedes: str = "",
    in_reply_to: str = "",
    from_bulletin: str = "",
) -> pb.SubmitRequest:
    """The request without its key. Raises DeliveryError INPUT_INVALID."""
    if isinstance(to, str):
        raise DeliveryError("INPUT_INVALID", "the recipients are a list", hint='to=["USA"]')
    titles = [(pb.PORTION_KIND_TITLE, title, title_label or label)] if title else []
    texts = [(pb.PORTION_KIND_TEXT, one.text, one.label) for one in (Text(text, label), *more)]
    return pb.SubmitRequest(
        to=list(to),
        precedence=pb.Precedence.Value(f"PRECEDENCE_{Precedence(precedence).value}"),
        valid_until=NEVER if valid_until is None else _instant(valid_until),
        deliver_by=NEVER,
        portions=[
            pb.Portion(
                kind=kind,
                label=marked,
                category=category,
                flags=flags,
                grade=grade,
                media="text/plain",
                content=content.encode(),
            )
            for kind, content, marked in (*titles, *texts)
        ],
        supersedes=supersedes,
        in_reply_to=in_reply_to,
        from_bulletin=from_bulletin,
    )


def inbox(
    *, unread: bool, sender: str, category: str, since: datetime | None, limit: int
) -> Call[Listed[InboxEntry]]:
    """Received bulletins."""
    request = pb.InboxRequest(
        unread=unread, category=category, since=_instant(since) if since else 0, limit=limit
    )
    setattr(request, "from", sender)
    return Call("Inbox", request, lambda answer: _listed(map(_inbox_entry, answer.entries), answer))


def read(bulletin: str, *, originator: str) -> Call[Bulletin]:
    """Open a bulletin."""
    return Call("Read", pb.ReadRequest(id=bulletin, originator=originator), _bulletin)


def outbox(*, held: bool, limit: int) -> Call[Listed[OutboxEntry]]:
    """Bulletins of the member."""
    request = pb.OutboxRequest(held=held, limit=limit)
    return Call("Outbox", request, lambda answer: _listed(map(_outbox_entry, answer.entries), answer))


def sent(bulletin: str) -> Call[OutboxEntry]:
    """One bulletin of the member."""
    return Call(
        "Outbox",
        pb.OutboxRequest(id=bulletin, limit=1),
        lambda answer: replace(_outbox_entry(answer.entries[0]), damaged=tuple(answer.damaged)),
    )


def why(bulletin: str, recipient: str) -> Call[Explanation]:
    """The decision of a pair."""
    return Call(
        "Why",
        pb.WhyRequest(id=bulletin, recipient=recipient),
        lambda found: Explanation(
            _pair_decision(found.decision), _time(found.decided_at), found.log_index, found.log_entry
        ),
    )


def approve(bulletin: str, recipient: str, shown: Explanation | None) -> Call[PairStatus]:
    """Release a held pair."""
    entry = b"" if shown is None else shown.log_entry
    request = pb.ApproveRequest(id=bulletin, recipient=recipient, log_entry=entry)
    return Call("Approve", request, lambda answer: PairStatus(answer.word))


def refuse(bulletin: str, recipient: str, reason: str) -> Call[PairStatus]:
    """End a held pair."""
    request = pb.RefuseRequest(id=bulletin, recipient=recipient, reason=reason)
    return Call("Refuse", request, lambda answer: PairStatus(answer.word))


def recall(bulletin: str, reason: str, *, dry_run: bool) -> Call[dict[str, RecallEffect]]:
    """Take a bulletin back. The answer raises StoreError RECORD_CORRUPT if not every recipient is known."""
    request = pb.RecallRequest(id=bulletin, reason=reason, dry_run=dry_run)
    return Call("Recall", request, _recalled)


def _recalled(answer: pb.RecallResponse) -> dict[str, RecallEffect]:
    if answer.damaged:
        raise StoreError(
            "RECORD_CORRUPT",
            f"all others are asked, but one recipient is not known: {answer.damaged[0]}",
            hint="an operator repairs it (`intelshare node repair`); a recall after that asks the rest",
        )
    return {pair.recipient: RecallEffect(pair.effect) for pair in answer.pairs}


def receipts(bulletin: str) -> Call[Listed[Receipt]]:
    """Signed receipts."""
    request = pb.ReceiptsRequest(id=bulletin)
    return Call("Receipts", request, lambda found: _listed(map(_receipt, found.receipts), found))


def whoami() -> Call[Me]:
    """The user that the client is."""
    return Call(
        "WhoAmI",
        pb.WhoAmIRequest(),
        lambda me: Me(
            me.user, me.member, Role(me.role), me.clearance, me.nationality, tuple(me.categories), me.node
        ),
    )


def sent_of(answer: pb.SubmitResponse) -> Sent:
    """The decision, and the id unless it was a dry run."""
    return Sent(answer.bulletin.hex(), answer.banner, tuple([_pair_decision(pair) for pair in answer.pairs]))


def matches_of(page: pb.SearchResponse, damaged: set[str] | None) -> Iterator[SearchMatch]:
    """The bulletins that were found on a page; ``damaged`` collects the records that it left out."""
    if damaged is not None:
        damaged.update(page.damaged)
    for one in page.matches:
        yield SearchMatch(
            one.bulletin.hex(), one.originator, _time(one.at), one.banner, one.title, one.excerpt
        )


def event_of(event: pb.WatchEvent) -> Event:
    """An event of the watch."""
    return Event(
        event.what,
        _time(event.at),
        event.cursor,
        event.bulletin.hex(),
        event.member,
        tuple(event.codes),
        event.banner,
        event.title,
        event.text,
    )


def _listed(entries: Iterable[R], answer: Any) -> Listed[R]:
    return Listed(tuple(entries), tuple(answer.damaged))


def _inbox_entry(one: pb.InboxEntry) -> InboxEntry:
    return InboxEntry(
        id=one.bulletin.hex(),
        originator=one.originator,
        number=one.sequence,
        precedence=_precedence(one.precedence),
        received_at=_time(one.received_at),
        created_at=_time(one.created_at),
        banner=one.banner,
        title=one.title,
        portions=one.portions,
        read=one.read,
        destroyed=one.destroyed,
        reason=one.reason,
    )


def _bulletin(opened: pb.ReadResponse) -> Bulletin:
    return Bulletin(
        id=opened.bulletin.hex(),
        originator=opened.originator,
        precedence=_precedence(opened.precedence),
        created_at=_time(opened.created_at),
        received_at=_time_or_none(opened.received_at),
        valid_until=_time_or_none(opened.valid_until),
        banner=opened.banner,
        portions=tuple([_portion(number, one) for number, one in enumerate(opened.portions, 1)]),
    )


def _portion(number: int, one: pb.ReadPortion) -> ReadPortion:
    portion = one.portion
    return ReadPortion(
        number=number,
        kind=PortionKind(_word("PortionKind", portion.kind)),
        label=portion.label,
        mark=one.mark,
        category=portion.category,
        flags=tuple(portion.flags),
        grade=portion.grade,
        media=portion.media,
        content=portion.content,
        basis=one.basis,
        obligations=tuple(one.obligations),
    )


def _outbox_entry(one: pb.OutboxEntry) -> OutboxEntry:
    return OutboxEntry(
        id=one.bulletin.hex(),
        precedence=_precedence(one.precedence),
        created_at=_time(one.created_at),
        banner=one.banner,
        title=one.title,
        author=one.author,
        pairs=tuple([_pair(pair) for pair in one.pairs]),
        recalled_at=_time_or_none(one.recalled_at),
        purged_at=_time_or_none(one.purged_at),
    )


def _pair(pair: pb.OutboxPair) -> Pair:
    return Pair(
        pair.recipient,
        PairStatus(pair.word),
        _time(pair.changed_at),
        tuple(pair.codes),
        pair.granted,
        pair.portions,
        pair.basis,
        pair.recall_requested,
        pair.reason,
    )


def _pair_decision(pair: pb.PairDecision) -> PairDecision:
    portions = tuple([_portion_decision(one) for one in pair.portions])
    return PairDecision(pair.recipient, PairStatus(pair.word), portions, tuple(pair.codes))


def _portion_decision(one: pb.PortionDecision) -> PortionDecision:
    return PortionDecision(
        one.position + 1,
        Outcome(one.outcome),
        one.basis,
        tuple(one.articles),
        tuple(one.obligations),
        tuple([Reason(reason.code, reason.detail, reason.place) for reason in one.reasons]),
        tuple(one.holds),
    )


def _receipt(one: pb.SignedReceipt) -> Receipt:
    return Receipt(
        one.recipient,
        one.status,
        tuple(one.codes),
        _time(one.decided_at),
        _time(one.received_at),
        one.flaw,
    )


def _precedence(number: int) -> Precedence:
    return Precedence(_word("Precedence", number))


def _word(kind: str, number: int) -> str:
    """Raises DeliveryError INPUT_INVALID for a value of a newer node."""
    word = enum_word(pb.DESCRIPTOR.enum_types_by_name[kind], number)
    if word is None:
        hint = "update this library: the node is newer"
        raise DeliveryError("INPUT_INVALID", f"{kind} {number} is unknown here", hint=hint)
    return word


def _time(instant: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) if not instant else _known(instant)


def _time_or_none(instant: int) -> datetime | None:
    return None if instant in (0, NEVER) else _known(instant)


def _known(instant: int) -> datetime:
    from intelshare.instant import to_datetime

    return to_datetime(Instant(instant))


def _instant(at: datetime) -> Instant:
    """Raises DeliveryError INPUT_INVALID for a time without a zone: whose noon would it be?"""
    from intelshare.instant import of

    if at.tzinfo is None:
        raise DeliveryError(
            "INPUT_INVALID", "a time needs a zone", hint="datetime.now(UTC) + timedelta(days=7)"
        )
    return of(at)
