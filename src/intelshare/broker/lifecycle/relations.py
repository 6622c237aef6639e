"""Relations: a bulletin may supersede an earlier one of its originator, or reply to one.

The claims of a grant name the other bulletin only to a recipient who was handed it (docs/format.md), so that
nobody learns of one that it does not have. The same holds for readers: a relation is shown to those who may
open both. Nothing waits for the other bulletin, and the order in which the two come does not matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import (
    find_bulletin,
    may_see,
    only_one,
    read_written,
    written_starting,
)
from intelshare.broker.kernel.tables import BULLETIN, INBOX, PAIR, RELATED, RelatedRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.read import received, show
from intelshare.bulletin import Draft
from intelshare.crypto.records import Reply
from intelshare.errors import DeliveryError
from intelshare.ids import BulletinId, ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import View
from intelshare.roles import Role


class Relation(IntEnum):
    """What one bulletin is to another."""

    SUPERSEDES = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class Named:
    """Another bulletin, named by a draft or by the claims of a grant."""

    relation: Relation
    member: MemberCode
    """Its originator."""
    md: ManifestDigest


@dataclass(frozen=True, slots=True)
class Context:
    """The bulletins around one, as one reader may know them: ids, empty where there is none to be shown."""

    supersedes: bytes = b""
    superseded_by: bytes = b""
    reply_to: bytes = b""


def own_bulletin(node: Node, view: View, given: str, user: UserRow, now: Instant) -> ManifestDigest:
    """The own bulletin that a user may recall or supersede: its author and releasing officers.

    Raises DeliveryError RECALL_NOT_ORIGINATOR for another member's that the user may read, NOT_AUTHORISED for
    a colleague's, NOT_FOUND for all else (attacks.md row 41), INPUT_INVALID.
    """
    try:
        row = find_bulletin(node, view, given, user, now).row
    except DeliveryError as error:
        if error.code == "NOT_FOUND" and received(node, view, given, user, now):
            raise DeliveryError(
                "RECALL_NOT_ORIGINATOR",
                "another member wrote this bulletin: only its originator may recall or supersede it",
                hint="ask the originator",
            ) from None
        raise
    if row.author != user.user and user.role != Role.RELEASING_OFFICER:
        raise DeliveryError(
            "NOT_AUTHORISED",
            "a bulletin is recalled or superseded by its author or by a releasing officer",
            hint="ask one of them; `intelshare outbox ID` names the author",
        )
    return row.md


def named_by(node: Node, view: View, draft: Draft, user: UserRow, now: Instant) -> tuple[Named, ...]:
    """The bulletins that a draft names by the beginning of their ids. Raises what ``own_bulletin`` raises."""
    named = []
    if draft.supersedes:
        md = own_bulletin(node, view, draft.supersedes, user, now)
        named.append(Named(Relation.SUPERSEDES, node.member, md))
    if draft.in_reply_to:
        named.append(_answered(node, view, draft, user, now))
    return tuple(named)


def keep(tx: Transaction, md: ManifestDigest, named: Collection[Named]) -> None:
    """Note what a bulletin names."""
    for one in named:
        tx.put(RELATED, RelatedRow(one.md, one.relation, md, one.member))


def named_in(
    supersedes: Iterable[ManifestDigest], reply: Iterable[Reply], originator: MemberCode
) -> tuple[Named, ...]:
    """What a grant names. ``supersedes`` is about the originator's own, whatever it says (row 41)."""
    return (
        *(Named(Relation.SUPERSEDES, originator, md) for md in supersedes),
        *(Named(Relation.REPLY, one.originator, one.md) for one in reply),
    )


def claims_of(
    tx: Transaction, md: ManifestDigest, recipient: MemberCode, at_once: Collection[tuple[bytes, str]]
) -> tuple[tuple[ManifestDigest, ...], tuple[Reply, ...]]:
    """(supersedes, reply) as the grant to this recipient may name them.

    ``at_once``: (md, recipient) of what is handed over in the same commit.
    """
    rows = [
        row
        for row in tx.view.find(RELATED, "md", md)
        if (row.of, recipient) in at_once or _was_handed(tx, row, recipient)
    ]
    return (
        tuple([row.of for row in rows if row.relation == Relation.SUPERSEDES]),
        tuple([Reply(row.member, row.of) for row in rows if row.relation == Relation.REPLY]),
    )


def context_of(
    node: Node, view: View, md: ManifestDigest, originator: MemberCode, user: UserRow, now: Instant
) -> Context:
    """What a reader of one bulletin may know of those around it."""
    earlier = view.find(RELATED, "md", md)
    later = view.find(RELATED, "key", md, Relation.SUPERSEDES)

    def first(found: Iterable[tuple[MemberCode, ManifestDigest]]) -> bytes:
        visible = (_visible(node, view, member, other, user, now) for member, other in found)
        return next((known for known in visible if known is not None), b"")

    return Context(
        first((row.member, row.of) for row in earlier if row.relation == Relation.SUPERSEDES),
        first((originator, row.md) for row in later),
        first((row.member, row.of) for row in earlier if row.relation == Relation.REPLY),
    )


def _answered(node: Node, view: View, draft: Draft, user: UserRow, now: Instant) -> Named:
    """A received bulletin or an own one. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    given, originator = draft.in_reply_to, draft.in_reply_to_from
    found = [
        (member, Named(Relation.REPLY, member, shown.row.md))
        for member, shown in received(node, view, given, user, now, originator)
    ]
    if originator in ("", node.member):
        found += [
            (node.member, Named(Relation.REPLY, node.member, written.row.md))
            for written in written_starting(node, view, given, user, now)
        ]
    return only_one(found, given, originator)


def _was_handed(tx: Transaction, row: RelatedRow, recipient: MemberCode) -> bool:
    """Whether this recipient has the bulletin that is named: we handed it over, or it came from there."""
    pair = tx.get(PAIR, row.of, recipient)
    if pair is not None and pair.leaf:
        return True
    came = tx.get(INBOX, row.of) if row.member != tx.node.member else None
    return came is not None and came.originator == row.member and recipient in (came.originator, came.sender)


def _visible(
    node: Node, view: View, member: MemberCode, md: ManifestDigest, user: UserRow, now: Instant
) -> BulletinId | None:
    if member == node.member:
        own = view.get(BULLETIN, md)
        seen = own is not None and may_see(node, read_written(node, view, own), user, now)
        return own.bulletin if own is not None and seen else None
    row = view.get(INBOX, md)
    if row is None or row.originator != member or show(node, view, row, user, now) is None:
        return None
    return row.bulletin
