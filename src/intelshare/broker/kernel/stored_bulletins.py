"""Reads back what the steps stored (drafts, secrets, decisions, facts) and finds a bulletin by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, TypeVar

from intelshare.broker.kernel.decide_pair import PairDecision
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    BULLETIN,
    PORTION,
    BulletinRow,
    PortionRow,
    UserRow,
)
from intelshare.broker.kernel.transaction import open_secret
from intelshare.bulletin import MAX_ID
from intelshare.crypto.codec import Count, decode, encode, record
from intelshare.crypto.records import Portion
from intelshare.errors import DeliveryError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import Instant
from intelshare.instant import show as show_instant
from intelshare.labels import Label
from intelshare.policy import ReadRequest, Snapshot, read_decision
from intelshare.ports import View

R = TypeVar("R")

MAX_ALIKE: Final = 256
"""The most bulletins looked at whose ids start alike."""


@record
class _Heads:
    """The portions of a draft without their content: all that deciding again needs."""

    portions: Annotated[tuple[Portion, ...], Count(1, 64)]


@dataclass(frozen=True, slots=True)
class Written:
    """A stored bulletin of this member, in reading order. The portions have no content."""

    row: BulletinRow
    portions: tuple[PortionRow, ...]
    heads: tuple[Portion, ...]
    labels: tuple[Label, ...]

    @property
    def purged(self) -> Instant:
        """When its content was purged after delivery; 0 if it is still here."""
        return max([portion.purged for portion in self.portions])

    @property
    def size(self) -> int:
        """The bytes of its bodies."""
        return sum([len(portion.body) for portion in self.portions])

    def decidable(self) -> list[tuple[int, Portion, Label]]:
        """Return the portions in the form that ``decide_pair`` takes."""
        return [
            (row.slot, head, label)
            for row, head, label in zip(self.portions, self.heads, self.labels, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Made:
    """A bulletin as submit has just made it, so that hand-over need not read it back (``Node.recent``)."""

    heads: tuple[Portion, ...]
    labels: tuple[Label, ...]
    secrets: Mapping[int, bytes]
    """By slot, in reading order."""
    names: bool
    """True if it names another bulletin."""
    snapshot: Snapshot
    """The world in which it was decided."""
    decided: Mapping[MemberCode, PairDecision]

    def __repr__(self) -> str:
        return f"Made({len(self.heads)} portions)"


def remember_made(node: Node, md: ManifestDigest, made: Made) -> None:
    """Remember it until it is handed over to all recipients of ``decided``."""
    node.recent.put(md, made, 2048 * (len(made.heads) + len(made.decided)), made.decided)


def made_of(node: Node, md: ManifestDigest) -> Made | None:
    """Return what is remembered of this bulletin, or None."""
    made: Made | None = node.recent.get(md)
    return made


def without_content(portions: Sequence[Portion]) -> tuple[Portion, ...]:
    """Return the portions' labels, categories and flags."""
    return tuple([Portion(p.kind, p.label, p.category, p.flags, p.grade, p.media, b"") for p in portions])


def encode_heads(heads: tuple[Portion, ...]) -> bytes:
    """Encode the labels, categories and flags of a draft, to be sealed for its bulletin row."""
    return encode(_Heads, _Heads(heads))


@lru_cache(maxsize=64)
def _read_heads(encoded: bytes) -> tuple[Portion, ...]:
    """Return the heads of a draft. Many drafts have the same: they name no bulletin and hold no content."""
    return decode(_Heads, encoded).portions


def read_written(node: Node, view: View, row: BulletinRow) -> Written:
    """Return the bulletin with its portions. Raises StoreError RECORD_CORRUPT if one is missing."""
    return written_of(node, row, view.get_many(PORTION, portion_keys(row)))


def portion_keys(row: BulletinRow) -> list[tuple[ManifestDigest, int]]:
    """Return the keys of a bulletin's portions, in reading order."""
    return [(row.md, slot) for slot in row.slots]


def written_of(node: Node, row: BulletinRow, found: Sequence[PortionRow | None]) -> Written:
    """Return the bulletin with these portions: of ``portion_keys``. Raises StoreError RECORD_CORRUPT."""
    heads = _read_heads(open_secret(node, BULLETIN.name, row.md, 0, row.sealed_draft))
    portions = tuple([portion for portion in found if portion is not None])
    if len(portions) != len(heads):
        raise StoreError("RECORD_CORRUPT", f"bulletin {row.bulletin.hex()} lacks a portion")
    return Written(row, portions, heads, tuple([node.labels.read(head.label) for head in heads]))


def find_bulletin(node: Node, view: View, given: str, user: UserRow, now: Instant) -> Written:
    """Return this member's bulletin whose id starts with these digits (at least 4), if the user may see it.

    Raises DeliveryError NOT_FOUND, INPUT_INVALID (several match).
    """
    found = written_starting(node, view, given, user, now)
    return only_one([(node.member, written) for written in found], given)


def written_starting(node: Node, view: View, given: str, user: UserRow, now: Instant) -> list[Written]:
    """Return this member's bulletins whose id starts so, as far as the user may see them.

    Raises DeliveryError NOT_FOUND if ``given`` is not the start of an id.
    """
    low, high = id_range(given)
    rows = view.find(BULLETIN, "bulletin", after=(low,), limit=MAX_ALIKE)
    found = [read_written(node, view, row) for row in rows if row.bulletin <= high]
    return [written for written in found if may_see(node, written, user, now)]


def may_see(node: Node, written: Written, user: UserRow, now: Instant) -> bool:
    """Decide if a user may see a bulletin of this member: its author may, and anyone cleared for all of it.

    For anybody else it does not exist (attacks.md row 51).
    """
    return written.row.author == user.user or all(
        read_decision(node.world, read_request(node, user, label, head.category, now)).allowed
        for head, label in zip(written.heads, written.labels, strict=True)
    )


def read_request(
    node: Node,
    user: UserRow,
    label: Label,
    category: str,
    now: Instant,
    *,
    basis: str | None = None,
    valid_until: Instant | None = None,
) -> ReadRequest:
    """Return the question whether a user may read a portion now."""
    return ReadRequest(
        label=label,
        category=category,
        at=now,
        member=node.member,
        clearance=user.clearance or None,
        nationality=user.nationality,
        categories=frozenset(user.categories.split()),
        basis=basis,
        valid_until=valid_until,
    )


def id_range(given: str) -> tuple[bytes, bytes]:
    """Return the id just below those that start with these digits, and the last of them.

    Raises DeliveryError NOT_FOUND if ``given`` is not the start of an id.
    """
    text = given.lower()
    if not 4 <= len(text) <= MAX_ID or not set(text) <= set("0123456789abcdef"):
        raise not_found(given)
    first = int(text.ljust(32, "0"), 16)
    return (
        (first - 1).to_bytes(16, "big") if first else b"",
        int(text.ljust(32, "f"), 16).to_bytes(16, "big"),
    )


def need_content(written: Written) -> None:
    """Return if the content is here. Raises DeliveryError NOT_FOUND if it was purged after delivery."""
    if written.purged:
        raise DeliveryError(
            "NOT_FOUND",
            f"the content was purged at {show_instant(written.purged)}, after delivery",
            hint="`intelshare outbox ID` shows what became of it; `intelshare export` still proves it",
        )


def only_one(found: Sequence[tuple[MemberCode, R]], given: str, originator: str = "") -> R:
    """Return the one thing that was found under this start of an id.

    Each comes with its bulletin's originator. A bulletin is known by (originator, id): two members may use
    one id, and then the originator decides. Raises DeliveryError NOT_FOUND, INPUT_INVALID (several: it names
    their originators).
    """
    if not found:
        raise not_found(given, originator)
    if len(found) > 1:
        originators = sorted({member for member, _ in found})
        hints = [] if len(given) == MAX_ID else ["give more digits of the id"]
        if len(originators) > 1:
            hints.append("name the originator with --from")
        raise DeliveryError(
            "INPUT_INVALID",
            f"several bulletins start with {given}; their originators: {', '.join(originators)}",
            hint=", or ".join(hints),
        )
    return found[0][1]


def not_found(given: str, originator: str = "") -> DeliveryError:
    """Return NOT_FOUND, worded the same if there is none and if the asker may not see it (row 52)."""
    return DeliveryError(
        "NOT_FOUND",
        f"there is no bulletin {given}{f' from {originator}' if originator else ''}",
        hint="`intelshare inbox` and `intelshare outbox` list yours",
    )
