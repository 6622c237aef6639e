"""Search: words in what a reader may see.

Nothing is indexed: what is sealed at rest stays so, and is opened and searched page by page, newest first.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from intelshare.broker.kernel.actor import Actor, user_row_of
from intelshare.broker.kernel.damage import damaged_records, each_readable, next_rows
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.portion_secrets import read_secret
from intelshare.broker.kernel.stored_bulletins import may_see, read_written
from intelshare.broker.kernel.tables import BULLETIN, INBOX, BulletinRow, InboxRow, UserRow
from intelshare.broker.lifecycle.read import show
from intelshare.crypto.records import Portion, PortionKind
from intelshare.envelope import reopen
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import BulletinId
from intelshare.instant import Instant
from intelshare.ports import Scalar, Table, View

PAGE = 64
"""The bulletins opened at a time."""

MAX_WORDS = 16
MAX_QUERY = 256
"""The most characters of a query."""

EXCERPT = 60
"""The characters shown before and after the first match."""

_TEXT = frozenset((PortionKind.TEXT, PortionKind.TITLE, PortionKind.STIX))


class Where(IntEnum):
    """The bulletins that are searched."""

    INBOX = 1
    OUTBOX = 2


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """A bulletin's place in the order of its table."""

    numbers: tuple[int, ...]
    md: bytes


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Words that must all be in one bulletin, in upper or lower case."""

    actor: Actor
    words: tuple[str, ...]
    where: Where
    before: SearchPlace | None = None
    """The place where the previous page ended."""


@dataclass(frozen=True, slots=True)
class Match:
    """One bulletin, with the text around the first word."""

    bulletin: BulletinId
    member: str
    """The originator."""
    at: Instant
    banner: str
    title: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The result of one page; ``before`` is None if it was the last."""

    matches: tuple[Match, ...]
    before: SearchPlace | None
    looked: int
    """The number of bulletins that this reader may see."""
    damaged: tuple[str, ...]
    """The damaged records that were met: a bulletin with one is left out (promise P13)."""


def words_of(text: str) -> tuple[str, ...]:
    """Split a query into words. Raises DeliveryError INPUT_INVALID."""
    words = tuple(dict.fromkeys(_fold(text).split()))
    if not words or len(words) > MAX_WORDS or len(text) > MAX_QUERY:
        raise DeliveryError("INPUT_INVALID", f"a search has 1 to {MAX_WORDS} words")
    return words


def search(node: Node, view: View, query: SearchQuery, now: Instant) -> SearchPage:
    """Search one page, newest first. Raises DeliveryError NOT_AUTHORISED."""
    reader = user_row_of(view, query.actor)
    after: tuple[Scalar, ...] = (*query.before.numbers, query.before.md) if query.before is not None else ()
    table: Table[Any] = INBOX if query.where is Where.INBOX else BULLETIN
    damaged: list[StoreError] = []
    rows: Sequence[InboxRow | BulletinRow]
    rows, more = next_rows(view, table, "newest", after, PAGE, damaged)
    seen = each_readable(rows, lambda row: _open(node, view, row, reader, now), damaged)
    matches = [
        Match(one.bulletin, one.member, one.at, one.banner, one.title, found)
        for one in seen
        if (found := _excerpt(one.portions, query.words)) is not None
    ]
    return SearchPage(tuple(matches), _place(rows[-1]) if more else None, len(seen), damaged_records(damaged))


def place_bytes(place: SearchPlace) -> bytes:
    """Encode a place, to be sealed for the user who goes on searching (``broker.kernel.cursor``)."""
    return struct.pack(f">B{len(place.numbers)}q", len(place.numbers), *place.numbers) + place.md


def search_place_of(data: bytes) -> SearchPlace:
    """Decode the result of ``place_bytes``."""
    count = data[0]
    end = 1 + 8 * count
    return SearchPlace(struct.unpack(f">{count}q", data[1:end]), data[end:])


def _place(row: InboxRow | BulletinRow) -> SearchPlace:
    if isinstance(row, InboxRow):
        return SearchPlace((row.newest, row.rank, row.sequence), row.md)
    return SearchPlace((row.newest,), row.md)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A bulletin as a reader may see it."""

    bulletin: BulletinId
    member: str
    at: Instant
    banner: str
    title: str
    portions: Sequence[Portion]


def _open(node: Node, view: View, row: InboxRow | BulletinRow, reader: UserRow, now: Instant) -> _Seen | None:
    if isinstance(row, InboxRow):
        shown = None if row.gone else show(node, view, row, reader, now)
        if shown is None:
            return None
        portions = [one.portion for one in shown.portions]
        return _Seen(row.bulletin, row.originator, row.received, shown.banner, shown.title, portions)
    written = read_written(node, view, row)
    if written.purged or not may_see(node, written, reader, now):
        return None
    opened = [
        reopen(row.manifest, stored.slot, read_secret(node, view, stored), stored.body).portion
        for stored, head in zip(written.portions, written.heads, strict=True)
        if head.kind in _TEXT or head.media
    ]
    banner = banner_of(node, written.labels, node.member, now)
    title = next((_text(one) for one in opened if one.kind == PortionKind.TITLE), "")
    return _Seen(row.bulletin, node.member, row.created, banner, title, opened)


def _excerpt(portions: Iterable[Portion], words: Sequence[str]) -> str | None:
    """Return the text around the first word, if every word is somewhere in the portions; otherwise None."""
    texts = [text for portion in portions if (text := _text(portion))]
    folded = [_fold(text) for text in texts]
    if not all(any(word in text for text in folded) for word in words):
        return None
    for text, plain in zip(texts, folded, strict=True):
        at = plain.find(words[0])
        if at >= 0:
            # Folding may change lengths: then show the beginning rather than a wrong place.
            start = max(0, at - EXCERPT) if len(text) == len(plain) else 0
            return " ".join(text[start : start + 2 * EXCERPT].split())
    return ""


def _text(portion: Portion) -> str:
    """Return the text of a portion: its content, or the name of a file."""
    if portion.kind in _TEXT:
        return portion.content.decode("utf-8", "replace")
    return portion.media


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
