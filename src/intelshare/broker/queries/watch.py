"""Watch: events in the order of the log, as far as a reader may know of them.

The log is the record of every act, in order and durable, so a place in it is a cursor that outlives both
ends: a watcher that comes back goes on where it was, and misses nothing (crash point c13). Nothing is written
here.
"""

from __future__ import annotations

import struct
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from intelshare.audit.records import (
    STORED,
    ConsentSaid,
    Destroyed,
    EntryType,
    ReceiptJoined,
    Received,
    Stop,
    TreatyActed,
)
from intelshare.broker.exchange.consent import sees
from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.cursor import OVERHEAD, open_cursor, seal_cursor
from intelshare.broker.kernel.damage import noting_damage
from intelshare.broker.kernel.log import OpenedEntry, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import may_see, read_written
from intelshare.broker.kernel.tables import (
    BULLETIN,
    CONSENT,
    INBOX,
    LOG_HEAD,
    READER,
    STATEMENT,
    InboxRow,
    UserRow,
)
from intelshare.broker.lifecycle.read import show
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Act, Kind, ReceiptStatus
from intelshare.delivery import Cause
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import Incarnation, LeafId, ManifestDigest
from intelshare.instant import Instant
from intelshare.ports import Random, View

PAGE = 256
"""The entries looked at in one query."""

_LOST: Final = "a part of the log cannot be read: look at `intelshare inbox` and `intelshare outbox`"

_CONSENT = {1: "consent asked", 2: "consent granted", 3: "consent refused"}

_STOPPED = {
    Cause.WITHHELD: "withheld",
    Cause.EXPIRED: "expired",
    Cause.RECALLED: "recalled",
    Cause.UNDELIVERABLE: "undeliverable",
    Cause.HOLD_REFUSED: "withheld",
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next entry to look at."""

    incarnation: Incarnation
    place: int


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. ``after`` is the cursor to go on from: with it nothing is missed or told twice."""

    what: str
    """One word or two: received, sent, accepted, withheld, recalled, consent granted, treaty act ...;
    damaged: what happened here cannot be read, for the reason in ``text``.
    """
    at: Instant
    after: Cursor
    bulletin: bytes = b""
    member: str = ""
    codes: tuple[str, ...] = ()
    banner: str = ""
    title: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """The events found, and the cursor to go on from; ``more``: there may be more already."""

    happened: tuple[Happened, ...]
    after: Cursor
    more: bool


_CURSOR: Final = struct.Struct(">QQ")


def cursor_text(node: Node, actor: Actor, cursor: Cursor, random: Random) -> str:
    """Seal a cursor for a watcher: it reveals nothing that this user may not see."""
    sealed = seal_cursor(node, actor.user, "watch", _CURSOR.pack(cursor.incarnation, cursor.place), random)
    return urlsafe_b64encode(sealed).decode().rstrip("=")


def parse_cursor(node: Node, actor: Actor, text: str) -> Cursor:
    """Open a cursor that ``cursor_text`` gave this user.

    Raises DeliveryError INPUT_INVALID, CURSOR_UNKNOWN.
    """
    try:
        sealed = b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        sealed = b""
    if len(sealed) != OVERHEAD + _CURSOR.size:
        raise DeliveryError(
            "INPUT_INVALID",
            f"{text[:60]!r} is not a cursor",
            hint="use one that `intelshare watch` printed, or none",
        )
    incarnation, place = _CURSOR.unpack(open_cursor(node, actor.user, "watch", sealed))
    return Cursor(Incarnation(incarnation), place)


def end_of_log(node: Node, view: View) -> Cursor:
    """Return the cursor after everything that has happened."""
    head = view.get(LOG_HEAD, node.incarnation)
    return Cursor(node.incarnation, head.size if head is not None else 0)


def watch(node: Node, view: View, actor: Actor, cursor: Cursor, now: Instant) -> Watched:
    """Return what this reader may know of the next entries, and where something of it cannot be read.

    Raises DeliveryError NOT_AUTHORISED, CURSOR_UNKNOWN (a log that this node does not hold any more).
    """
    reader = user_row_of(view, actor)
    page = page_of(node, view, cursor, _TELL)
    found: list[tuple[int, Happened]] = [
        (part.start, _unreadable(now, Cursor(cursor.incarnation, part.stop), _LOST)) for part in page.lost
    ]
    for entry in page.entries:
        damaged: list[StoreError] = []
        with noting_damage(damaged):
            told = _told(node, view, reader, entry, now)
        if damaged:
            after = Cursor(entry.incarnation, entry.place + 1)
            told = _unreadable(entry.at, after, damaged[0].message)
        if told is not None:
            found.append((entry.place, told))
    happened = [told for _, told in sorted(found, key=itemgetter(0))]
    return Watched(tuple(happened), page.after, page.more)


def _unreadable(at: Instant, after: Cursor, text: str) -> Happened:
    return Happened("damaged", at, after, codes=("RECORD_CORRUPT",), text=text)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries of some types, and the cursor to go on from; ``more``: there may be more already.

    ``lost``: the indexes whose rows are damaged.
    """

    entries: tuple[OpenedEntry, ...]
    after: Cursor
    more: bool
    lost: tuple[range, ...]


def page_of(node: Node, view: View, cursor: Cursor, types: Collection[EntryType]) -> LogPage:
    """Return the next entries of these types. Raises DeliveryError CURSOR_UNKNOWN."""
    head = view.get(LOG_HEAD, cursor.incarnation)
    if head is None or cursor.place > head.size:
        raise DeliveryError(
            "CURSOR_UNKNOWN",
            "this node has no log that long: it was restored, or the cursor belongs to another node",
            hint="watch without --since, and look at `intelshare inbox` for what came in the meantime",
        )
    after = Cursor(cursor.incarnation, min(cursor.place + PAGE, head.size))
    gone: list[range] = []
    read = tuple(opened(node, view, cursor.incarnation, cursor.place, after.place, types=types, lost=gone))
    lost = tuple(gone)
    if after.place < head.size:
        return LogPage(read, after, True, lost)
    # The log of this node's next start goes on where this one ended.
    later = view.find(LOG_HEAD, "began", after=(head.began, head.incarnation), limit=1)
    if later:
        return LogPage(read, Cursor(later[0].incarnation, 0), True, lost)
    return LogPage(read, after, False, lost)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The reader who asks, and the entry asked about."""

    node: Node
    view: View
    reader: UserRow
    now: Instant
    at: Instant
    after: Cursor


def _told(node: Node, view: View, reader: UserRow, entry: OpenedEntry, now: Instant) -> Happened | None:
    kind = EntryType(entry.type)
    record = decode(STORED[kind], entry.record)
    after = Cursor(entry.incarnation, entry.place + 1)
    return _TELL[kind](_Asked(node, view, reader, now, entry.at, after), record)


def _own(
    asked: _Asked, md: ManifestDigest, what: str, member: str, codes: tuple[str, ...] = ()
) -> Happened | None:
    """Describe an event of a bulletin of this member, if the reader may see it."""
    row = asked.view.get(BULLETIN, md)
    if row is None or not may_see(
        asked.node, read_written(asked.node, asked.view, row), asked.reader, asked.now
    ):
        return None
    return Happened(what, asked.at, asked.after, row.bulletin, member, codes)


def _stop(asked: _Asked, said: Stop) -> Happened | None:
    if asked.view.get(BULLETIN, said.md) is None:
        # Whoever gave up its record has ended it: nobody can tell any more who wrote it, or may see it.
        text = f"the record of bulletin {said.md.hex()} was damaged, and was given up"
        return _unreadable(asked.at, asked.after, text)
    return _own(asked, said.md, _STOPPED.get(Cause(said.cause), "stopped"), said.recipient, said.codes)


def brought(view: View, said: Received) -> InboxRow | None:
    """Return the bulletin that is here from this release; None if it was refused, or brought what was here.

    A bulletin may arrive under two numbers: signed again after a theft, or handed over again by a sender
    that has forgotten. Both are logged, and it is told once. A release by the originator that replaces what
    somebody else has passed on is told as well: other portions can be read since.
    """
    if said.kind != Kind.RELEASE or said.codes:
        return None
    row = view.get(INBOX, ManifestDigest(said.subject))
    return row if row is not None and row.leaf == said.leaf else None


def _received(asked: _Asked, said: Received) -> Happened | None:
    row = brought(asked.view, said)
    if row is None or row.gone:
        return None
    shown = show(asked.node, asked.view, row, asked.reader, asked.now)
    if shown is None:
        return None
    return Happened(
        "received", asked.at, asked.after, row.bulletin, row.originator, (), shown.banner, shown.title
    )


def _receipt(asked: _Asked, said: ReceiptJoined) -> Happened | None:
    release = asked.view.get(STATEMENT, LeafId(said.of))
    if release is None:
        return None
    what = ReceiptStatus(said.status).name.lower()
    return _own(asked, release.md, what, said.member, said.codes)


def _destroyed(asked: _Asked, said: Destroyed) -> Happened | None:
    row = asked.view.get(INBOX, said.md)
    # A reader who had not opened it does not learn that it was here.
    if row is None or asked.view.get(READER, asked.reader.user, said.md) is None:
        return None
    return Happened("destroyed", asked.at, asked.after, row.bulletin, said.member, (said.cause,))


def _consent(asked: _Asked, said: ConsentSaid) -> Happened | None:
    what = _CONSENT.get(said.state, "consent")
    own = _own(asked, said.md, what, said.member)
    if own is not None:
        return own
    row = asked.view.get(INBOX, said.md)
    stands = asked.view.get(CONSENT, said.md, said.recipient, said.member)
    shown = show(asked.node, asked.view, row, asked.reader, asked.now) if row is not None else None
    # A reader who may not read the bulletin does not learn of the consent.
    if row is None or shown is None or stands is None or not sees(shown, stands):
        return None
    return Happened(what, asked.at, asked.after, row.bulletin, said.member, text=f"for {said.recipient}")


def _treaty_act(asked: _Asked, said: TreatyActed) -> Happened:
    act = Act(said.act).name.lower().replace("_", " ")
    return Happened("treaty act", asked.at, asked.after, member=said.member, text=f"{act} {said.treaty}")


_TELL: Mapping[EntryType, Callable[[_Asked, Any], Happened | None]] = {
    EntryType.SUBMIT: lambda asked, said: _own(asked, said.md, "submitted", ""),
    EntryType.HAND_OVER: lambda asked, said: _own(asked, said.md, "sent", said.recipient),
    EntryType.STOP: _stop,
    EntryType.RECALL: lambda asked, said: _own(asked, said.md, "recalled", ""),
    EntryType.RECEIVED: _received,
    EntryType.RECEIPT: _receipt,
    EntryType.DESTROYED: _destroyed,
    EntryType.CONSENT: _consent,
    EntryType.TREATY_ACT: _treaty_act,
}
