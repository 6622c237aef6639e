"""Relations: a bulletin may supersede an earlier one of its originator, or reply to one.

The claims of a grant name the other bulletin only to a recipient that was handed it (docs/format.md), so that
nobody learns of a bulletin that they do not have. The same holds for readers: a relation is shown to those
who may open both. Nothing waits for the other bulletin, and the order in which the two come does not matter.
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
    """The relation of one bulletin to another."""

    SUPERSEDES = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class Named:
    """Another bulletin, named by a draft or by the claims of a grant."""

    relation: Relation
    member: MemberCode
    """The originator of that bulletin."""
    md: ManifestDigest


@dataclass(frozen=True, slots=True)
class Context:
    """The ids of related bulletins, as one reader may know them; empty if there is none to show."""

    supersedes: bytes = b""
    superseded_by: bytes = b""
    reply_to: bytes = b""


def own_bulletin(node: Node, view: View, given: str, user: UserRow, now: Instant) -> ManifestDigest:
    """Return a bulletin of this member if the user may recall or supersede it: its author or an officer.

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
            "only its author or a releasing officer may recall, supersede or give up a bulletin",
            hint="ask one of them; `intelshare outbox ID` names the author",
        )
    return row.md


def named_by(node: Node, view: View, draft: Draft, user: UserRow, now: Instant) -> tuple[Named, ...]:
    """Return the bulletins that a draft names by the start of their ids.

    Raises what ``own_bulletin`` raises.
    """
    named = []
    if draft.supersedes:
        md = own_bulletin(node, view, draft.supersedes, user, now)
        named.append(Named(Relation.SUPERSEDES, node.member, md))
    if draft.in_reply_to:
        named.append(_answered(node, view, draft, user, now))
    return tuple(named)


def keep(tx: Transaction, md: ManifestDigest, named: Collection[Named]) -> None:
    """Store the bulletins that a bulletin names."""
    for one in named:
        tx.put(RELATED, RelatedRow(one.md, one.relation, md, one.member))


def named_in(
    supersedes: Iterable[ManifestDigest], reply: Iterable[Reply], originator: MemberCode
) -> tuple[Named, ...]:
    """Return the bulletins that a grant names.

    ``supersedes`` counts only for the originator's bulletins (row 41).
    """
    return (
        *(Named(Relation.SUPERSEDES, originator, md) for md in supersedes),
        *(Named(Relation.REPLY, one.originator, one.md) for one in reply),
    )


def relations_for(
    tx: Transaction, md: ManifestDigest, recipient: MemberCode, at_once: Collection[tuple[bytes, str]]
) -> tuple[tuple[ManifestDigest, ...], tuple[Reply, ...]]:
    """Return (supersedes, reply) as the grant to this recipient may name them.

    ``at_once`` holds (md, recipient) of everything that is handed over in the same commit.
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
    """Return the ids of related bulletins that a reader of one bulletin may know."""
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
    """Find the bulletin replied to: received, or this member's.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID.
    """
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
    """Return True if this recipient has the named bulletin: it was handed over, or came from that member."""
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
