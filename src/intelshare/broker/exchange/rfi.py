"""Requests for information: who has asked whom, until when, and if an answer came.

A request, and all that follows it, is a bulletin in reply to it (``bulletin.request``): it is decided,
encrypted and proved like any other. Only the state is kept here, derived from both members' bulletins as they
come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, each_readable, noting_damage
from intelshare.broker.kernel.decide_pair import PairDecision
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.pair_rows import facts_of
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import may_see, read_written
from intelshare.broker.kernel.tables import BULLETIN, INBOX, PAIR, REQUEST, RequestRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.read import show
from intelshare.broker.lifecycle.relations import Named, Relation
from intelshare.bulletin import Marked, Word, marked_in
from intelshare.crypto.records import Portion, PortionKind
from intelshare.delivery import PairStatus, status_of
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View, changed

MAX_LISTED = 1000

EXCERPT = 60
"""The characters of a question that a list shows where there is no title."""


class RequestState(IntEnum):
    """The state of a request between two members."""

    OPEN = 1
    ANSWERED = 2
    DECLINED = 3
    CLOSED = 4


_ENDS = {
    Word.ANSWER: RequestState.ANSWERED,
    Word.DECLINE: RequestState.DECLINED,
    Word.CLOSE: RequestState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request as it is listed: its question, and the last bulletin that answered it."""

    row: RequestRow
    bulletin: bytes
    category: str
    title: str
    reply: bytes


_NEVER_CAME: Final = frozenset(
    (
        *(PairStatus.WITHHELD, PairStatus.EXPIRED, PairStatus.RECALLED),
        *(PairStatus.UNDELIVERABLE, PairStatus.REFUSED),
    )
)
"""The states of a reply that its recipient does not have and never had."""


def as_it_stands(view: View, row: RequestRow) -> RequestRow:
    """Return a request as it stands: one whose answer or refusal never came to its member is open.

    The row says what was written here. That waits in the queue like any bulletin, and may still be withheld
    by a treaty that has ended, refused by an officer, recalled, or expire.
    """
    if row.own or row.state not in (RequestState.ANSWERED, RequestState.DECLINED):
        return row
    reply = None
    with noting_damage([]):  # where it is damaged nobody knows what became of it; the list goes on
        reply = view.get(PAIR, row.reply, row.member)
    if reply is None or status_of(facts_of(reply)) not in _NEVER_CAME:
        return row
    return changed(row, state=RequestState.OPEN, reply=ManifestDigest(b""))


def requests_of(
    tx: Transaction,
    md: ManifestDigest,
    portions: Sequence[Portion],
    named: Collection[Named],
    decided: Sequence[PairDecision],
) -> list[RequestRow]:
    """Return the rows for a bulletin of this member: a request to each recipient that gets it, or its end.

    Raises DeliveryError INPUT_INVALID if it answers something that is not a request, or answers the wrong
    member; ID_CONFLICT if it declines a request that is not open.
    """
    marked = marked_in(portions)
    if marked is None:
        return []
    to = [one.recipient for one in decided if one.granted]
    if marked.word is Word.ASK:
        return [_opened(tx, md, recipient, 1, marked) for recipient in to]
    replied = next((one for one in named if one.relation is Relation.REPLY), None)
    own = int(marked.word is Word.CLOSE)
    if replied is None or (replied.member == tx.node.member) != bool(own):
        raise _no_request(marked.word)
    if own:
        stored = [row for row in tx.view.find(REQUEST, "key", replied.md) if row.own]
        # The rows must include what this transaction has already written.
        rows = [tx.get(REQUEST, row.md, row.member, row.own) or row for row in stored]
    else:
        row = tx.get(REQUEST, replied.md, replied.member, 0)
        rows = [as_it_stands(tx.view, row)] if row is not None else []
        if replied.member not in [one.recipient for one in decided]:
            raise DeliveryError(
                "INPUT_INVALID",
                f"the answer is not addressed to {replied.member}, which asked",
                hint=f"name {replied.member} with --to",
            )
        if rows and replied.member not in to:
            # Withheld: nobody was answered, and the request stays open.
            return []
    if not rows:
        raise _no_request(marked.word)
    if marked.word is Word.DECLINE and all(row.state != RequestState.OPEN for row in rows):
        raise _settled(rows[0])
    return [_ended(tx, row, marked.word, md) for row in rows]


def note_received(
    tx: Transaction,
    sender: MemberCode,
    md: ManifestDigest,
    portions: Sequence[Portion],
    named: Collection[Named],
) -> None:
    """Note what an accepted bulletin of a peer means for requests.

    An answer without a request changes nothing.
    """
    marked = marked_in(portions)
    if marked is None:
        return
    if marked.word is Word.ASK:
        tx.put(REQUEST, _opened(tx, md, sender, 0, marked))
        return
    own = int(marked.word is not Word.CLOSE)
    whose = tx.node.member if own else sender
    for one in named:
        if one.relation is Relation.REPLY and one.member == whose:
            row = tx.get(REQUEST, one.md, sender, own)
            if row is not None:
                tx.put(REQUEST, _ended(tx, as_it_stands(tx.view, row), marked.word, md))


def requests(node: Node, view: View, actor: Actor, now: Instant) -> tuple[list[RequestLine], tuple[str, ...]]:
    """Return all requests whose question the user may see, newest first.

    Also returns the damaged records that were met: a request with one is left out, or its reply (promise
    P13).
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []
    rows = view.find(REQUEST, "newest", limit=MAX_LISTED, damaged=damaged)
    standing = [as_it_stands(view, row) for row in rows]
    return _lines(node, view, standing, reader, now, damaged), damaged_records(damaged)


def overdue_requests(node: Node, view: View, actor: Actor, now: Instant) -> tuple[int, tuple[str, ...]]:
    """Count the open requests of peers that are overdue, among those that the user may see.

    Also returns the damaged records that were met: a request with one is not counted.
    """
    reader = user_row_of(view, actor)
    damaged: list[StoreError] = []
    # Start after 0: NEVER sorts first.
    rows = view.find(REQUEST, "due", 0, RequestState.OPEN, after=(0,), limit=MAX_LISTED, damaged=damaged)
    late = [row for row in rows if row.due <= now]
    return len(_lines(node, view, late, reader, now, damaged)), damaged_records(damaged)


def _opened(tx: Transaction, md: ManifestDigest, member: MemberCode, own: int, marked: Marked) -> RequestRow:
    empty = ManifestDigest(b"")
    return RequestRow(md, member, own, RequestState.OPEN, marked.due, empty, -tx.now, tx.now)


def _ended(tx: Transaction, row: RequestRow, word: Word, reply: ManifestDigest) -> RequestRow:
    # An answer always counts; declining or closing changes only an open request.
    if word is not Word.ANSWER and row.state != RequestState.OPEN:
        return row
    return changed(row, state=_ENDS[word], reply=reply, changed=tx.now)


def _no_request(word: Word) -> DeliveryError:
    return DeliveryError(
        "INPUT_INVALID",
        "only your own request can be closed" if word is Word.CLOSE else "this answers no request",
        hint="`intelshare rfi list` shows the requests; name one with --in-reply-to",
    )


def _settled(row: RequestRow) -> DeliveryError:
    state = RequestState(row.state).name.lower()
    return DeliveryError(
        "ID_CONFLICT",
        f"the request is {state} already, and stays so; nothing was sent",
        hint="`intelshare rfi list` shows it; a further answer may still be sent",
    )


def _lines(
    node: Node,
    view: View,
    rows: Iterable[RequestRow],
    reader: UserRow,
    now: Instant,
    damaged: list[StoreError],
) -> list[RequestLine]:
    return each_readable(rows, lambda row: _line(node, view, row, reader, now, damaged), damaged)


def _line(
    node: Node, view: View, row: RequestRow, reader: UserRow, now: Instant, damaged: list[StoreError]
) -> RequestLine | None:
    seen = (_own if row.own else _received)(node, view, row.md, reader, now)
    if seen is None:
        return None
    bulletin, portions = seen
    reply = b""
    if row.reply:
        # The member that asked closes; the other one answers or declines.
        ours = bool(row.own) == (row.state == RequestState.CLOSED)
        with noting_damage(damaged):
            found = (_own if ours else _received)(node, view, row.reply, reader, now)
            reply = found[0] if found is not None else b""
    return RequestLine(row, bulletin, portions[0].category if portions else "", _title(portions), reply)


def _own(
    node: Node, view: View, md: ManifestDigest, reader: UserRow, now: Instant
) -> tuple[bytes, Sequence[Portion]] | None:
    row = view.get(BULLETIN, md)
    if row is None:
        return None
    written = read_written(node, view, row)
    if not may_see(node, written, reader, now):
        return None
    if written.purged:
        return row.bulletin, [head for head in written.heads if head.kind is not PortionKind.TITLE]
    portions = [
        reopen(row.manifest, stored.slot, read_secret(node, view, stored), stored.body).portion
        for stored in written.portions
    ]
    return row.bulletin, portions


def _received(
    node: Node, view: View, md: ManifestDigest, reader: UserRow, now: Instant
) -> tuple[bytes, Sequence[Portion]] | None:
    row = view.get(INBOX, md)
    shown = show(node, view, row, reader, now) if row is not None and not row.gone else None
    if row is None or shown is None:
        return None
    return row.bulletin, [one.portion for one in shown.portions]


def _title(portions: Sequence[Portion]) -> str:
    for kind in (PortionKind.TITLE, PortionKind.TEXT):
        for portion in portions:
            if portion.kind is kind:
                text = " ".join(portion.content.decode("utf-8", "replace").split())
                return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
    return ""
