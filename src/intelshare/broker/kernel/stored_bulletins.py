"""Reading back what the steps stored: drafts, secrets, decisions, facts; and finding a bulletin by its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BULLETIN,
    PORTION,
    BulletinRow,
    PortionRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import Transaction, open_secret
from intelshare.bulletin import Draft
from intelshare.crypto.codec import Count, decode, encode, record
from intelshare.crypto.records import Portion
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest
from intelshare.instant import Instant
from intelshare.labels import Label
from intelshare.policy import ReadRequest, read_decision
from intelshare.ports import View

R = TypeVar("R")

MAX_ALIKE: Final = 256
"""Bulletins looked at whose ids start alike."""


@record
class _Heads:
    """The portions of a draft without their content: what deciding again needs."""

    portions: Annotated[tuple[Portion, ...], Count(1, 64)]


@dataclass(frozen=True, slots=True)
class Written:
    """A stored bulletin of this member, in reading order. The portions have no content."""

    row: BulletinRow
    portions: tuple[PortionRow, ...]
    heads: tuple[Portion, ...]
    labels: tuple[Label, ...]

    def decidable(self) -> list[tuple[int, Portion, Label]]:
        """As ``decide_pair`` takes it."""
        return [
            (row.slot, head, label)
            for row, head, label in zip(self.portions, self.heads, self.labels, strict=True)
        ]


def seal_draft(tx: Transaction, md: ManifestDigest, draft: Draft) -> bytes:
    """Labels, categories and flags of a draft, sealed for its bulletin row."""
    heads = _Heads(
        tuple([Portion(p.kind, p.label, p.category, p.flags, p.grade, p.media, b"") for p in draft.portions])
    )
    return tx.seal(BULLETIN.name, md, 0, encode(_Heads, heads))


def read_written(node: Node, view: View, row: BulletinRow) -> Written:
    """The bulletin with its portions. Raises StoreError RECORD_CORRUPT if one is missing."""
    heads = decode(_Heads, open_secret(node, BULLETIN.name, row.md, 0, row.sealed_draft)).portions
    portions = sorted(view.find(PORTION, "key", row.md), key=lambda portion: portion.position)
    if len(portions) != len(heads):
        raise StoreError("RECORD_CORRUPT", f"bulletin {row.bulletin.hex()} has lost a portion")
    return Written(row, tuple(portions), heads, tuple([node.labels.read(head.label) for head in heads]))


def find_bulletin(node: Node, view: View, given: str, user: UserRow, now: Instant) -> Written:
    """The own bulletin whose id starts with these hexadecimal digits (at least 4), if the user may see it.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID (several start so).
    """
    low, high = id_range(given)
    rows = view.find(BULLETIN, "bulletin", after=(low,), limit=MAX_ALIKE)
    found = [read_written(node, view, row) for row in rows if row.bulletin <= high]
    return only_one([written for written in found if may_see(node, written, user, now)], given)


def may_see(node: Node, written: Written, user: UserRow, now: Instant) -> bool:
    """Whether an own user may see an own bulletin: its author, and who is cleared for all of it.

    For anybody else it does not exist (attacks.md row 51).
    """
    return written.row.author == user.user or all(
        read_decision(
            node.world,
            ReadRequest(
                label=label,
                category=head.category,
                at=now,
                member=node.member,
                clearance=user.clearance or None,
                nationality=user.nationality,
                categories=frozenset(user.categories.split()),
            ),
        ).allowed
        for head, label in zip(written.heads, written.labels, strict=True)
    )


def id_range(given: str) -> tuple[bytes, bytes]:
    """The ids just below and last of those that start with these digits.

    Raises DeliveryError NOT_FOUND for what is no id.
    """
    text = given.lower()
    if not 4 <= len(text) <= 32 or not set(text) <= set("0123456789abcdef"):
        raise not_found(given)
    first = int(text.ljust(32, "0"), 16)
    return (
        (first - 1).to_bytes(16, "big") if first else b"",
        int(text.ljust(32, "f"), 16).to_bytes(16, "big"),
    )


def only_one(rows: Sequence[R], given: str) -> R:
    """The row, if there is exactly one. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    if not rows:
        raise not_found(given)
    if len(rows) > 1:
        raise DeliveryError(
            "INPUT_INVALID", f"several bulletins start with {given}", hint="give more digits of the id"
        )
    return rows[0]


def not_found(given: str) -> DeliveryError:
    """NOT_FOUND in one wording, whether there is none or the asker may not see it (attacks.md row 52)."""
    return DeliveryError(
        "NOT_FOUND",
        f"there is no bulletin {given}",
        hint="`intelshare inbox` and `intelshare outbox` list yours",
    )
